"""What the story breaks of MinIO. A group's faults do not hide each other; each is named by verify in these words."""

from minio import Minio

from helpers.core.secrets import SecretStore


def delete_bucket(story, host):
    with host.forward(9000) as port:
        secret = SecretStore(host.target.slug).get("minio-root").reveal()
        client = Minio(f"127.0.0.1:{port}", "runbook", secret, secure=False)
        for found in client.list_objects("models", recursive=True):
            client.remove_object("models", found.object_name)
        client.remove_bucket("models")


FAULTS = {
    "minio": [("systemctl stop minio", "minio is inactive")],
    "bucket": [(delete_bucket, "bucket models does not exist")],
}
