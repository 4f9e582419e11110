# A probe: nothing of istio_left_remove.sh is there.
nothing_of clusterrole istio-reader
nothing_of clusterrolebinding istio-reader istio-multi
[ "$1" != yes ] || nothing_of crd -l release=istio
for path in /var/snap/microk8s/current/{bin/istioctl,actions/istio,tmp/istio}; do
  [ ! -e $path ] || { echo "still there: $path"; exit 1; }
done
