# Sets asked to what CoreDNS is to ask for names of the outside, as its Corefile has it: these SERVERS, or with none the
# host's own. Where the host asks a resolver on its loopback (systemd-resolved's stub, NetworkManager's dnsmasq), those
# that this one asks: 127.0.0.53 is the pod itself inside a pod. IPv4 only, as the add-on and the pods' network.
servers_of() { awk '$1 == "nameserver" && !seen[$2]++ { print $2 }' "$1" 2>/dev/null || true; }
reached_by_pods() { grep -E '^[0-9]{1,3}(\.[0-9]{1,3}){3}$' | grep -vE '^(127|0)\.' || true; }

cannot_be_asked() {
  if [ -n "$1" ]; then
    echo "pods cannot ask the name server ${1//$'\n'/, }: it must be IPv4, and none of the host's loopback"
  else
    echo 'the host names no name server (/etc/resolv.conf)'
  fi
  exit 1
}

asked=$*
if [ -n "$asked" ]; then
  others=$(printf '%s\n' "$@" | grep -vxFf <(printf '%s\n' "$@" | reached_by_pods) || true)
  [ -z "$others" ] || cannot_be_asked "$others"
else
  listed=$(servers_of /etc/resolv.conf)
  if [ -n "$listed" ] && [ "$listed" = "$(reached_by_pods <<< "$listed")" ]; then
    asked=/etc/resolv.conf
  else
    behind=/dev/null
    if [ -z "$listed" ] || grep -qE '^(127\.|0\.|::1$)' <<< "$listed"; then
      behind="/run/systemd/resolve/resolv.conf /run/NetworkManager/no-stub-resolv.conf"
    fi
    for file in $behind /etc/resolv.conf; do
      asked=$(servers_of "$file" | reached_by_pods | paste -sd' ')
      [ -z "$asked" ] || break
    done
    [ -n "$asked" ] || cannot_be_asked "$listed"
  fi
fi
