# Takes away what an earlier Istio left in the way of the next one.
# Without the pods behind them, its webhooks refuse Istio's rules, and each pod of a namespace with a label of Istio's.
webhooks=mutatingwebhookconfiguration,validatingwebhookconfiguration
microk8s kubectl delete $webhooks --ignore-not-found istio-sidecar-injector istio-galley
# A fetch that was cut off: gzip overwrites nothing, and where istioctl is, nothing is fetched.
data=/var/snap/microk8s/current
rm -rf $data/tmp/istio
[ -e $data/actions/istio/istio-demo.yaml ] || rm -f $data/bin/istioctl
