# A probe: of Knative's Eventing only the webhook has a pod; WANTED=yes: all of it. sources-controller never has.
names='{range .items[*]}{.metadata.name} {.spec.replicas}{"\n"}{end}'
found=$(microk8s kubectl get deployments -n knative-eventing -o jsonpath="$names")
found=$(grep -v '^sources-controller ' <<< "$found" || true)
if [ "$1" = yes ]; then
  rest=$(awk '$2 == "0" { print $1 }' <<< "$found" | paste -sd' ')
  [ -z "$rest" ] || { echo "of Eventing, these are scaled down: $rest"; exit 1; }
else
  runs=$(awk '$1 != "eventing-webhook" && $2 > 0 { print $1 }' <<< "$found" | paste -sd' ')
  [ -z "$runs" ] || { echo "of Eventing, these run: $runs"; exit 1; }
fi
