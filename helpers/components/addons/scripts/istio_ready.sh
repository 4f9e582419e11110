# A probe: each of these DEPLOYMENTS of istio-system has its pods ready. Names those that have not, in this order.
fields='{.metadata.generation}|{.status.observedGeneration}|{.spec.replicas}|{.status.replicas}'
fields="$fields|{.status.updatedReplicas}|{.status.readyReplicas}"
why='{.status.conditions[?(@.type=="ReplicaFailure")].message}'
each="{range .items[*]}{.metadata.name}|$fields|$why{\"\\n\"}{end}"
found=$(microk8s kubectl get deployments -n istio-system -o jsonpath="$each" 2>&1) || {
  echo "$found" | tail -1
  exit 1
}
bad=
for deployment in "$@"; do
  if line=$(grep "^$deployment|" <<< "$found"); then
    IFS='|' read -r name generation observed want all new have why <<< "$line"
    says=$(rolled_out "$name" ready "$generation" "$observed" "$want" "$all" "$new" "$have" "$why") && continue
  else
    says="$deployment is missing"
  fi
  bad="$bad; istio-system: $says"
done
[ -z "$bad" ] || { echo "${bad#; }"; exit 1; }
