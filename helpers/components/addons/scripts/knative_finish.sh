# Applies what `microk8s enable knative` itself applies, from the folder MANIFESTS, and as often: it says "already
# enabled" as soon as one cluster role is there.
kubectl() { microk8s kubectl "$@"; }
# Configurations of webhooks whose pod is gone: Eventing's refuses the ConfigMaps without which its pod cannot start.
for release in serving.knative.dev/release eventing.knative.dev/release; do
  kubectl delete mutatingwebhookconfiguration,validatingwebhookconfiguration -l $release --ignore-not-found
done
kinds=$1/setup
[ -d "$kinds" ] || kinds=$1/serving-crds.yaml # there an older stand-in has them
applied "$kinds"
kubectl wait --for=condition=established --timeout=300s crd -l knative.dev/crd-install=true
applied "$1"
