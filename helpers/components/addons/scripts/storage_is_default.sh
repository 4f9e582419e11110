# A probe: a claim that names no StorageClass gets a folder of the host.
default='{.metadata.annotations.storageclass\.kubernetes\.io/is-default-class}'
[ "$(microk8s kubectl get storageclass microk8s-hostpath -o jsonpath="$default")" = true ] || {
  echo 'StorageClass microk8s-hostpath is not the default'
  exit 1
}
