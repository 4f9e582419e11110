"""What the story breaks of Seldon."""

from minio import MinioAdmin
from minio.credentials import StaticProvider

from helpers.core.secrets import SecretStore


def change_key(story, host):
    with host.forward(9000) as port:
        root = StaticProvider("runbook", SecretStore(host.target.slug).get("minio-root").reveal())
        where = f"127.0.0.1:{port}"
        MinioAdmin(endpoint=where, credentials=root, region="us-east-1", secure=False).user_add("seldon", "not-its-key")


FAULTS = {
    "above": [
        (change_key, "MinIO refuses our key: SignatureDoesNotMatch"),
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
