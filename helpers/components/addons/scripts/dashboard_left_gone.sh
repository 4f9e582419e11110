# A probe: nothing of dashboard_left_remove.sh is there.
nothing_of apiservice v1beta1.metrics.k8s.io
nothing_of deployment,service,serviceaccount metrics-server -n kube-system
