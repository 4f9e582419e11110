# The pods of deployment $2 in namespace $1, where it is, are made anew. `kubectl rollout restart` would do it by writing
# into the deployment, and that may be somebody's. On a busy host the deployment counts a pod that is gone for seconds:
# until it is written anew, who waits for it would find it ready. Whoever runs this ends it when that never comes.
seen() { microk8s kubectl get deployment "$2" -n "$1" --ignore-not-found -o "$3"; }
labels='{{range $name, $value := .spec.selector.matchLabels}}{{$name}}={{$value}},{{end}}'
found=$(seen "$1" "$2" go-template="$labels")
if [ -n "$found" ]; then
  before=$(seen "$1" "$2" jsonpath='{.metadata.resourceVersion} {.status.availableReplicas}')
  microk8s kubectl delete pods -n "$1" -l "${found%,}" >/dev/null
  case $before in
    *" "[1-9]*)
      while [ "$(seen "$1" "$2" jsonpath='{.metadata.resourceVersion}')" = "${before% *}" ]; do sleep 0.5; done
      ;;
  esac
fi
