# A probe: each of these DEPLOYMENTS of istio-system has its pods ready. Names those that have not, in this order.
fields='{range .items[*]}{.metadata.name} {.spec.replicas} {.status.readyReplicas}{"\n"}{end}'
found=$(microk8s kubectl get deployments -n istio-system -o jsonpath="$fields" 2>&1) || {
  echo "$found" | tail -1
  exit 1
}
bad=
for deployment in "$@"; do
  read -r _ want have <<< "$(echo "$found" | grep "^$deployment " || echo "$deployment missing")"
  if [ "$want" = missing ]; then
    bad="$bad; istio-system: $deployment is missing"
  elif [ "$want" = 0 ] || [ "${have:-0}" -lt "$want" ]; then
    bad="$bad; istio-system: $deployment: ${have:-0} of $want ready"
  fi
done
[ -z "$bad" ] || { echo "${bad#; }"; exit 1; }
