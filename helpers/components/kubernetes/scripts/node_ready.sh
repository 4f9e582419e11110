# A probe: the one node of MicroK8s is Ready.
fields='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}'
found=$(microk8s kubectl get node -o jsonpath="$fields" 2>&1) || {
  echo "the API server does not answer: $found" | tail -1
  exit 1
}
[ "${found%% *}" = True ] || { echo "the node is not Ready: ${found:-no node}"; exit 1; }
