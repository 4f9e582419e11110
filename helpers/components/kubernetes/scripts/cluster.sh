# What tells that something of the cluster is gone. A command that failed does not: the API server may be stopped.

# snapd says that MicroK8s is not installed, or nothing of it is on this host.
not_installed() {
  local said
  said=$(LC_ALL=C snap list microk8s 2>&1) && return 1
  case $said in *"no matching snaps installed"*) return 0 ;; esac
  [ ! -e /snap/microk8s ] && [ ! -e /var/snap/microk8s ] && ! command -v microk8s >/dev/null
}

cannot_tell() {
  echo "cannot tell what is in the cluster: kubectl got no answer. On the host: sudo microk8s start" >&2
  return 1
}

# nothing_of ARGUMENTS of kubectl get: it lists nothing.
nothing_of() {
  local found
  if not_installed; then return 0; fi
  found=$(microk8s kubectl get "$@" --ignore-not-found -o name) || cannot_tell || return 1
  [ -z "$found" ] || { echo "still there: ${found//$'\n'/ }"; return 1; }
}

# no_kinds PATTERN: no definition has a name that ends so.
no_kinds() {
  local found
  if not_installed; then return 0; fi
  found=$(microk8s kubectl get crd -o name) || cannot_tell || return 1
  found=$(grep -E "$1\$" <<< "$found" || true)
  [ -z "$found" ] || { echo "still there: ${found//$'\n'/ }"; return 1; }
}

cluster_answers() {
  not_installed || microk8s kubectl get namespace default -o name >/dev/null || cannot_tell
}

# end_pods NAMESPACE...: what runs there ends now. A namespace that goes waits for half of the longest time that a pod
# of it may take to end, 5 minutes for Knative's activator; a ReplicaSet that is still there makes that pod anew. All
# makers go by name, none by the garbage collector: while kinds of the cluster go, that stands still for a minute.
end_pods() {
  local namespace makers=deployment,replicaset,statefulset,daemonset,replicationcontroller,job
  for namespace; do
    microk8s kubectl delete "$makers" --all -n "$namespace" --timeout=60s >/dev/null 2>&1 || true
    microk8s kubectl delete pod --all -n "$namespace" --grace-period=1 --wait=false >/dev/null 2>&1 || true
  done
  # Kubelet tells of ended pods every 10 s, and of each when its folders are gone: all of them are waited for together.
  for namespace; do
    microk8s kubectl delete pod --all -n "$namespace" --grace-period=1 --timeout=60s >/dev/null 2>&1 || true
  done
}
