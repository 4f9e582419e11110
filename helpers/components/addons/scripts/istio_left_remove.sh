# Takes away what Istio 1.5.1 and MicroK8s' add-on leave; KINDS=yes: the kinds without Istio's name, too. Of those of
# cert-manager only the ones that Istio's release brought: somebody's own have no such label.
microk8s kubectl delete clusterrole istio-reader --ignore-not-found
microk8s kubectl delete clusterrolebinding istio-reader istio-multi --ignore-not-found
if [ "$1" = yes ]; then
  microk8s kubectl delete crd -l release=istio --ignore-not-found --timeout=300s
fi
data=/var/snap/microk8s/current common=/root/snap/microk8s/common
rm -rf $data/bin/istioctl $data/actions/istio $data/tmp/istio $common/istio.lock $common/istio-auth.lock
