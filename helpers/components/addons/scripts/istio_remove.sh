# Takes Istio away; KINDS=yes: its kinds too, and with them every object of them.
kubectl() { microk8s kubectl "$@"; }
webhooks=mutatingwebhookconfiguration,validatingwebhookconfiguration
kubectl delete $webhooks --ignore-not-found istio-sidecar-injector istio-galley
end_pods istio-system
kubectl delete namespace istio-system --ignore-not-found --timeout=300s
kubectl delete clusterrole,clusterrolebinding -l release=istio --ignore-not-found
if [ "$1" = yes ]; then
  kubectl get crd -o name | { grep -E '\.istio\.io$' || true; } | xargs -r microk8s kubectl delete --timeout=300s
fi
