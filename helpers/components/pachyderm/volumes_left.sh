# A probe: nothing is here that remove would take for the volume of etcd, and that an earlier Pachyderm left. $1: the
# namespace. $2: the chapter's note: where it is, or the namespace, that one's are meant.
space=$1 folders=/var/snap/microk8s/common/default-storage/$1-etcd-storage-etcd-0-pvc-
[ ! -e "$2" ] || exit 0
there=$(microk8s kubectl get namespace "$space" --ignore-not-found -o name) || cannot_tell || exit 1
[ -z "$there" ] || exit 0
left=$(microk8s kubectl get pv \
  -o jsonpath="{range .items[?(@.spec.claimRef.namespace==\"$space\")]}volume {.metadata.name} {end}") || cannot_tell || exit 1
left+=$(compgen -G "$folders*" | sed 's/^/folder /' | paste -sd' ' || true)
[ -z "$left" ] || { echo "of an earlier Pachyderm: $left"; exit 1; }
