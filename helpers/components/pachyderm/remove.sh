# Deletes Pachyderm, the namespace $1. The claim's volume outlives it, so its folder goes by hand.
space=$1 k="microk8s kubectl"
volumes=$($k get pv -o jsonpath="{range .items[?(@.spec.claimRef.namespace==\"$space\")]}{.metadata.name} {end}")
end_pods "$space"
$k delete namespace "$space" --ignore-not-found --timeout=300s
# By their names: others' Pachyderms have the same label.
$k delete clusterrole,clusterrolebinding pachyderm pachyderm-worker --ignore-not-found
for name in $volumes; do $k delete pv "$name" --ignore-not-found --timeout=300s; done
rm -rf --one-file-system /var/snap/microk8s/common/default-storage/"$space"-etcd-storage-etcd-0-pvc-*
