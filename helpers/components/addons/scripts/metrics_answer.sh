# A probe: the metrics API answers. While it does not, no namespace can be deleted, since the cluster cannot list what
# is in it.
available='{.status.conditions[?(@.type=="Available")].status}'
state=$(microk8s kubectl get apiservice v1beta1.metrics.k8s.io -o jsonpath="$available" 2>&1 || true)
[ "$state" = True ] || { echo 'the metrics API does not answer (APIService v1beta1.metrics.k8s.io)'; exit 1; }
