# A probe: all wanted pods of KIND NAMESPACE NAME are available and of its newest template, and at least one is wanted.
why='{.status.conditions[?(@.type=="ReplicaFailure")].message}'
case $1 in
  deployment) fields="{.spec.replicas}|{.status.replicas}|{.status.updatedReplicas}|{.status.availableReplicas}|$why" ;;
  statefulset) fields='{.spec.replicas}||{.status.updatedReplicas}|{.status.readyReplicas}|' ;;
  daemonset)
    s=.status
    fields="{$s.desiredNumberScheduled}||{$s.updatedNumberScheduled}|{$s.numberAvailable}|"
    ;;
esac
fields="{.metadata.generation}|{.status.observedGeneration}|$fields"
found=$(microk8s kubectl get "$1" "$3" -n "$2" -o jsonpath="$fields" 2>&1) || { echo "$found" | tail -1; exit 1; }
IFS='|' read -r generation observed want all new have why <<< "$found"
rolled_out "$1 $2/$3" "pods available" "$generation" "$observed" "$want" "$all" "$new" "$have" "$why" || exit 1
