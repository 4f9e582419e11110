"""What the story breaks of the add-ons. Those of the group "away" cost minutes to mend: ./runbook test --faults."""

from faults import no_pods


def no_replicas(namespace, deployment):
    return f"microk8s kubectl scale deployment {deployment} -n {namespace} --replicas=0"


FAULTS = {
    "cluster": [
        (no_pods("kube-system", "coredns", "k8s-app=kube-dns"), "kube-system/coredns: 0 of 0 pods available"),
        ("microk8s kubectl delete configmap config -n metallb-system", "MetalLB has no configuration"),
        (
            "microk8s kubectl annotate storageclass microk8s-hostpath storageclass.kubernetes.io/is-default-class-",
            "StorageClass microk8s-hostpath is not the default",
        ),
        ("ip addr del 10.0.1.1/32 dev lo", "lo has no address for pods, not 10.0.1.1/32"),
    ],
    "away": [
        (no_replicas("istio-system", "istio-ingressgateway"), "istio-ingressgateway: 0 of 0 ready"),
        (no_replicas("knative-serving", "webhook"), "knative-serving/webhook: 0 of 0 pods available"),
        (no_replicas("container-registry", "registry"), "container-registry/registry: 0 of 0 pods available"),
    ],
}
