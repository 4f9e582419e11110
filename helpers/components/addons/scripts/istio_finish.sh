# Applies what `microk8s enable istio` applies, from the folder MANIFESTS. It does so once, ends when one object is
# refused, as by Galley while that starts, and says "already enabled" as soon as one pod is there.
[ -e "$1/istio-demo.yaml" ] || { echo "there is no $1/istio-demo.yaml: Istio was not fetched"; exit 1; }
for file in "$1"/crd*.yaml "$1/istio-demo.yaml"; do
  applied "$file"
done
