# A probe: CoreDNS asks these SERVERS (one text, as in its Corefile) for what it does not know.
servers=${1//./\\.}
microk8s kubectl get configmap coredns -n kube-system -o jsonpath='{.data.Corefile}' |
  grep -E >/dev/null "forward \\. +$servers *\$" || { echo 'CoreDNS forwards elsewhere'; exit 1; }
