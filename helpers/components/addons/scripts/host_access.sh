# A probe: host-access is enabled, and ADDRESS is on the loopback.
[ -e /var/snap/microk8s/current/var/lock/host-access-enabled ] || { echo 'host-access is not enabled'; exit 1; }
ip -4 -o addr show lo | grep >/dev/null " $1/" || { echo "$1 is not on lo"; exit 1; }
