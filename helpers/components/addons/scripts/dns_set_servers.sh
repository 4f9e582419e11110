# CoreDNS, where it is, asks these SERVERS for what it does not know.
if microk8s kubectl get configmap coredns -n kube-system >/dev/null 2>&1; then
  microk8s kubectl get configmap coredns -n kube-system -o yaml |
    sed -E "s#forward \\. .*#forward . $1#" | microk8s kubectl apply -f -
fi
if microk8s kubectl get deployment coredns -n kube-system >/dev/null 2>&1; then
  microk8s kubectl rollout restart deployment coredns -n kube-system
fi
