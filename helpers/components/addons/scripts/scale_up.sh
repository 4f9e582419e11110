# Each of these DEPLOYMENTS of NAMESPACE that was scaled down to nothing gets a pod again.
namespace=$1
shift
for deployment in "$@"; do
  [ "$(microk8s kubectl get deployment "$deployment" -n "$namespace" -o jsonpath='{.spec.replicas}')" != 0 ] ||
    microk8s kubectl scale deployment "$deployment" -n "$namespace" --replicas=1
done
