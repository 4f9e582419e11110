"""What the story breaks of Pachyderm."""

import python_pachyderm


def delete_repository(story, host):
    address = host.run("microk8s kubectl get service pachd -n pachyderm -o jsonpath='{.spec.clusterIP}'").out
    with host.forward(30650, address) as port:
        python_pachyderm.Client("127.0.0.1", port).delete_repo("fmnist", force=True)


FAULTS = {
    "above": [
        (
            "microk8s kubectl delete pvc etcd-storage-etcd-0 -n pachyderm --wait=false",
            "etcd's claim etcd-storage-etcd-0 is being deleted",
        ),
        (
            """microk8s kubectl patch service pachd -n pachyderm -p '{"spec":{"type":"NodePort"}}'""",
            "service pachd is of type NodePort",
        ),
    ],
    "away": [(delete_repository, "there is no repository fmnist")],
}
