# Prints what the host's network is, a line each: who is connected, the servers that it asks, its addresses and routes.
# With ADDRESS, where the host does not have it: whether somebody answers there.
[ -z "${SSH_CONNECTION:-}" ] || echo "client ${SSH_CONNECTION%% *}"
for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf /run/NetworkManager/no-stub-resolv.conf; do
  [ ! -r $file ] || awk '$1 == "nameserver" { print "server", $2 }' $file
done
ip -4 -o addr show | awk '{ label = $2; for (i = 5; i < NF; i++) if ($i ~ /\\$/) label = $i; print "address", $4, label }'
ip -4 route show table all | sed '/^local \|^broadcast \|^multicast /d; s/^/route /'
if [ -n "${1:-}" ] && [ -z "$(ip -4 -o addr show to "$1/32")" ] && command -v ping >/dev/null; then
  ! ping -n -q -c 1 -W 1 "$1" >/dev/null 2>&1 || echo "answers $1"
fi
