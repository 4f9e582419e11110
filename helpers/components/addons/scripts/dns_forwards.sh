# A probe, after name_servers.sh: CoreDNS asks what that found, and its configuration is whole.
corefile=$(microk8s kubectl get configmap coredns -n kube-system -o jsonpath='{.data.Corefile}')
has() { grep -E >/dev/null "^ *$1\$" <<< "$corefile"; }
# shellcheck disable=SC2154 # asked: from name_servers.sh
has "forward \\. +${asked//./\\.} *(\\{ *)?" || { echo "CoreDNS forwards elsewhere, not to $asked"; exit 1; }
for plugin in cache loop reload loadbalance; do
  has "$plugin( .*)?" || { echo "CoreDNS' configuration has lost its line \"$plugin\""; exit 1; }
done
