"""What the story breaks of Seldon."""

FAULTS = {
    "above": [
        (
            "microk8s kubectl delete seldondeployment flowers -n models",
            "there is no SeldonDeployment models/flowers",
        ),
        (
            "microk8s kubectl patch secret minio -n models "
            '-p \'{"stringData":{"S3_SECRET_KEY":"not-the-key-at-all"}}\'',
            "models/minio has another S3_SECRET_KEY",
        ),
        (
            "microk8s kubectl delete gateways.networking.istio.io seldon-gateway -n istio-system",
            '"seldon-gateway" not found',
        ),
        (
            "microk8s kubectl scale deployment seldon-controller-manager -n seldon-system --replicas=0",
            "seldon-controller-manager: 0 of 0 pods available",
        ),
    ],
}
