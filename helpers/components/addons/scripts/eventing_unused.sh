# A probe: nobody has an object of Eventing's kinds.
if not_installed; then exit 0; fi
kinds=$(microk8s kubectl get crd -o name) || cannot_tell || exit 1
kinds=$(sed -nE 's#.*/(.*\.(eventing|messaging|flows|sources)\.knative\.dev)$#\1#p' <<< "$kinds" | paste -sd,)
[ -z "$kinds" ] || nothing_of "$kinds" -A
