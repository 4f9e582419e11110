# CoreDNS, where it is, starts anew.
found=$(microk8s kubectl get deployment coredns -n kube-system --ignore-not-found -o name)
[ -z "$found" ] || microk8s kubectl rollout restart "$found" -n kube-system
