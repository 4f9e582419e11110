# What must be the same of somebody's cluster: each object as it was written, MicroK8s' settings, who may use it, users' own
# kubeconfigs. What a controller writes (status, versions, what a lease or a pod is) is the cluster's.
microk8s status --wait-ready >/dev/null # remove restarts what has its own settings again
microk8s kubectl get -A -o json \
  namespaces,configmaps,secrets,services,deployments,daemonsets,statefulsets,persistentvolumeclaims,persistentvolumes,storageclasses,serviceaccounts,clusterroles,clusterrolebindings,crds,mutatingwebhookconfigurations,validatingwebhookconfigurations |
  python3 -c '
import json, sys
for each in json.load(sys.stdin)["items"]:
    about = each["metadata"]
    for name in ("resourceVersion", "uid", "selfLink", "generation", "creationTimestamp", "managedFields"):
        about.pop(name, None)
    each.pop("status", None)
    print(each["kind"], about.get("namespace", "-"), about["name"], json.dumps(each, sort_keys=True))
' | sort
find /var/snap/microk8s/current/args /home/*/.kube /root/.kube -path '*/cache' -prune -o ! -name '*.rendered' ! -type d \
  -printf '%p %m %U:%G %l ' -exec sh -c '[ -e "$0" ] || exec echo; sha256sum < "$0"' {} \; | sort
getent group microk8s
snap list
snap aliases
ip -4 -o addr show lo | awk '{print $2, $4}'
systemctl list-unit-files --no-legend --plain 'mlops*' 'snap.microk8s*' | awk '{print $1, $2}'
if [ -e /var/lib/mlops-runbook ]; then find /var/lib/mlops-runbook; fi
