# A probe: all wanted pods of KIND NAMESPACE NAME are available, and at least one is wanted.
case $1 in
  deployment) fields='{.spec.replicas} {.status.availableReplicas}' ;;
  statefulset) fields='{.spec.replicas} {.status.readyReplicas}' ;;
  daemonset) fields='{.status.desiredNumberScheduled} {.status.numberAvailable}' ;;
esac
found=$(microk8s kubectl get "$1" "$3" -n "$2" -o jsonpath="$fields" 2>&1) || { echo "$found" | tail -1; exit 1; }
read -r want have <<< "$found"
if [ "${want:-0}" -lt 1 ] || [ "$want" != "${have:-0}" ]; then
  echo "$1 $2/$3: ${have:-0} of ${want:-0} pods available"
  exit 1
fi
