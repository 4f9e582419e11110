# A probe: istio-system has no Deployments but these DEPLOYMENTS, and no namespace that remove deletes has what neither Istio
# nor Knative brings.
kinds=statefulsets,daemonsets,cronjobs,persistentvolumeclaims columns=N:.kind,M:.metadata.name
if not_installed; then exit 0; fi
for space in istio-system knative-serving knative-eventing knative-monitoring; do
  found=$(microk8s kubectl get $kinds -n $space -o custom-columns=$columns --no-headers 2>/dev/null) || cannot_tell 2>&1 || exit 1
  [ -z "$found" ] || { echo "$space also holds: $(awk '{print $1 "/" $2}' <<< "$found" | paste -sd' ')"; exit 1; }
done
if nothing_of namespace istio-system >/dev/null; then exit 0; fi
names='{range .items[*]}{.metadata.name}{"\n"}{end}'
found=$(microk8s kubectl get deployments -n istio-system -o jsonpath="$names" 2>&1) || { echo "$found" | tail -1; exit 1; }
others=$(echo "$found" | grep -vxE "$(IFS='|'; echo "$*")" | paste -sd' ' || true)
[ -z "$others" ] || { echo "istio-system also holds the Deployments: $others"; exit 1; }
