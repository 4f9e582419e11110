# Takes Knative away, Serving and Eventing; KINDS=yes: its kinds too, and with them every object of them.
kubectl() { microk8s kubectl "$@"; }
# What outlives the namespaces has one of these labels, in the releases of Serving and of Eventing 0.13.0.
delete_released() {
  local release
  for release in serving.knative.dev/release eventing.knative.dev/release; do
    kubectl delete "$1" -l "$release" --ignore-not-found
  done
}
# The webhooks first: while their configuration stands and their pod does not, nothing of Knative can be changed,
# deleted, or made again.
delete_released mutatingwebhookconfiguration,validatingwebhookconfiguration
if [ "$1" = yes ]; then
  # Without their controllers, nobody would take the finalizers away.
  each='{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}'
  for kind in $(kubectl get crd -o name | sed -nE 's#.*/(.*\.knative\.dev)$#\1#p'); do
    kubectl get "$kind" -A -o jsonpath="$each" | while read -r namespace name; do
      kubectl delete "$kind" "$name" -n "$namespace" --ignore-not-found --wait=false </dev/null
      kubectl patch "$kind" "$name" -n "$namespace" --type=merge -p '{"metadata":{"finalizers":null}}' \
        </dev/null >/dev/null 2>&1 || true
    done
  done
fi
end_pods knative-serving knative-eventing
delete_released apiservice,clusterrole,clusterrolebinding
kubectl delete namespace knative-serving knative-eventing knative-monitoring --ignore-not-found --timeout=300s
if [ "$1" = yes ]; then
  kubectl get crd -o name | { grep -E '\.knative\.dev$' || true; } | xargs -r microk8s kubectl delete --timeout=300s
fi
