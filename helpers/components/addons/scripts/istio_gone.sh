# A probe: Istio is away; KINDS=yes: its kinds too.
! microk8s kubectl get namespace istio-system >/dev/null 2>&1 || exit 1
[ "$1" != yes ] || ! microk8s kubectl get crd -o name | grep -E >/dev/null '\.istio\.io$'
