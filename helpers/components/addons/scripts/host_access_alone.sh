# The loopback has ADDRESS, and no other, under MicroK8s' label, as a /32: the new one comes before the old one goes.
# Without the mark, `enable` enables it anew instead of saying that it is enabled.
[ -z "$1" ] || ip -4 addr replace "$1/32" dev lo label lo:microk8s
for other in $(ip -4 -o addr show dev lo label lo:microk8s | awk '{print $4}'); do
  [ "$other" = "$1/32" ] || ip -4 addr del "$other" dev lo
done
rm -f /var/snap/microk8s/current/var/lock/host-access-enabled
