# A probe: host-access is enabled for ADDRESS, and the loopback has that one under MicroK8s' label, as a /32: with the
# mask of its class, which MicroK8s 1.20 gives it, a whole network would be this host.
lock=/var/snap/microk8s/current/var/lock/host-access-enabled
[ -e "$lock" ] || { echo 'host-access is not enabled'; exit 1; }
[ "$(cat "$lock")" = "$1" ] || { echo "host-access is enabled for $(cat "$lock"), not for $1"; exit 1; }
there=$(ip -4 -o addr show dev lo label lo:microk8s | awk '{print $4}' | paste -sd' ')
[ "$there" = "$1/32" ] || { echo "lo has ${there:-no address} for pods, not $1/32"; exit 1; }
wide=$(ip -4 route show table local match "$1" | grep '^local ' | grep -v "^local $1 " || true)
[ -z "$wide" ] || { echo "more than $1 leads to this host: ${wide//$'\n'/; }"; exit 1; }
