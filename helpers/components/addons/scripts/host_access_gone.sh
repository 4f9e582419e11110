# A probe: host-access is not enabled, and the loopback has no address of it.
[ ! -e /var/snap/microk8s/current/var/lock/host-access-enabled ] || { echo 'host-access is enabled'; exit 1; }
there=$(ip -4 -o addr show dev lo label lo:microk8s | awk '{print $4}')
[ -z "$there" ] || { echo "lo still has ${there//$'\n'/ }"; exit 1; }
