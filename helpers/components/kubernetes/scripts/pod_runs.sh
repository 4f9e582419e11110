# A probe: the pod NAME of NAMESPACE runs.
[ "$(microk8s kubectl get pod "$1" -n "$2" -o jsonpath='{.status.phase}')" = Running ] || {
  echo "pod $1 does not run yet"
  exit 1
}
