# A probe: Knative is away; KINDS=yes: its kinds too.
for namespace in knative-serving knative-eventing; do
  ! microk8s kubectl get namespace $namespace >/dev/null 2>&1 || exit 1
done
[ "$1" != yes ] || ! microk8s kubectl get crd -o name | grep -E >/dev/null '\.knative\.dev$'
