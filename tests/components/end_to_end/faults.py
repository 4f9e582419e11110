"""What the story breaks of the last chapter."""

FAULTS = {
    "above": [
        ("microk8s kubectl delete role deployer -n clothes", "Role/deployer: is missing"),
        ("microk8s kubectl delete secret clothes-minio -n determined", "there is no Secret determined/clothes-minio"),
    ],
    "below": [
        ("microk8s kubectl delete seldondeployment clothes -n clothes", "the gateway answers 404"),
    ],
}
