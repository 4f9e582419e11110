# Takes Knative away; KINDS=yes: its kinds too, and with them every object of them.
kubectl() { microk8s kubectl "$@"; }
# The webhooks first: while their configuration stands and their pod does not, nothing of Knative can be changed or
# deleted.
webhooks=mutatingwebhookconfiguration,validatingwebhookconfiguration
kubectl delete $webhooks -l serving.knative.dev/release --ignore-not-found
if [ "$1" = yes ]; then
  # Without their controllers, nobody would take the finalizers away.
  held='(ingresses\.networking\.internal|routes\.serving|services\.serving|configurations\.serving)(\.knative\.dev)'
  each='{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}'
  for kind in $(kubectl get crd -o name | sed -nE "s#.*/$held\$#\\1\\2#p"); do
    kubectl get "$kind" -A -o jsonpath="$each" | while read -r namespace name; do
      kubectl delete "$kind" "$name" -n "$namespace" --ignore-not-found --wait=false </dev/null
      kubectl patch "$kind" "$name" -n "$namespace" --type=merge -p '{"metadata":{"finalizers":null}}' \
        </dev/null >/dev/null 2>&1 || true
    done
  done
fi
# The activator would take 5 minutes to end.
kubectl delete deployment --all -n knative-serving --wait=false >/dev/null 2>&1 || true
kubectl delete pod --all -n knative-serving --force --grace-period=0 >/dev/null 2>&1 || true
kubectl delete clusterrole,clusterrolebinding -l serving.knative.dev/release --ignore-not-found
kubectl delete namespace knative-serving knative-eventing knative-monitoring --ignore-not-found --timeout=180s
if [ "$1" = yes ]; then
  kubectl get crd -o name | { grep -E '\.knative\.dev$' || true; } | xargs -r microk8s kubectl delete --timeout=180s
fi
