# The pods of deployment $2 in namespace $1, where it is, are made anew. `kubectl rollout restart` would do it by writing
# into the deployment, and that may be somebody's.
labels='{{range $name, $value := .spec.selector.matchLabels}}{{$name}}={{$value}},{{end}}'
found=$(microk8s kubectl get deployment "$2" -n "$1" --ignore-not-found -o go-template="$labels")
[ -z "$found" ] || microk8s kubectl delete pods -n "$1" -l "${found%,}" >/dev/null
