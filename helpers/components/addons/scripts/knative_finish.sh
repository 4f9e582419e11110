# Applies what `microk8s enable knative` itself applies, from the folder MANIFESTS: it says "already enabled" as soon
# as one cluster role is there.
kubectl() { microk8s kubectl "$@"; }
kinds=$1/setup  # there they lie in Canonical's snap
[ -d "$kinds" ] || kinds=$1/serving-crds.yaml
kubectl apply -f "$kinds"
kubectl wait --for=condition=established --timeout=60s crd -l knative.dev/crd-install=true
kubectl apply -f "$1"
