# Takes away metrics-server, which `enable dashboard` enables and `disable dashboard` leaves. `disable metrics-server`
# stops at the first object that is gone; an API that stays without its server keeps every namespace from ending.
microk8s disable metrics-server </dev/null || true
microk8s kubectl delete apiservice v1beta1.metrics.k8s.io --ignore-not-found
microk8s kubectl delete deployment,service,serviceaccount metrics-server -n kube-system --ignore-not-found
