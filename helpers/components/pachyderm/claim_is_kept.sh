# A probe: etcd's claim ($2, in the namespace $1) is bound to a volume that would outlive it.
space=$1 claim=$2 k="microk8s kubectl"
no() { echo "$1"; exit 1; }
fields='{.status.phase} {.spec.volumeName} {.metadata.deletionTimestamp}'
said=$($k get pvc "$claim" -n "$space" -o jsonpath="$fields" 2>&1) ||
  no "etcd's claim $claim is missing: its pods have nowhere to write"
read -r phase volume deleted <<< "$said"
[ "$phase" = Bound ] || no "etcd's claim $claim is $phase, not Bound"
[ -z "$deleted" ] || no "etcd's claim $claim is being deleted: it goes when etcd's pod ends"
fields='{.status.phase} {.spec.persistentVolumeReclaimPolicy} {.spec.claimRef.name} {.metadata.deletionTimestamp}'
said=$($k get pv "$volume" -o jsonpath="$fields" 2>&1) || no "etcd's volume $volume is missing"
read -r phase policy bound deleted <<< "$said"
[ "$phase $bound" = "Bound $claim" ] || no "etcd's volume $volume is $phase, not bound to $claim"
[ -z "$deleted" ] || no "etcd's volume $volume is being deleted"
[ "$policy" = Retain ] || no "etcd's volume would be deleted with its claim (policy $policy)"
