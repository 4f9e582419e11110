# CoreDNS has a pod. One that was left behind without its Deployment would make `enable` say that the add-on is
# enabled, and do nothing: it is ended.
if microk8s kubectl get deployment coredns -n kube-system >/dev/null 2>&1; then
  microk8s kubectl scale deployment coredns -n kube-system --replicas=1
else
  microk8s kubectl delete pod -n kube-system -l k8s-app=kube-dns --force --grace-period=0 >/dev/null 2>&1 || true
fi
