"""The model's weights in a bucket of MinIO, and what a pod needs to fetch them."""

from __future__ import annotations

import io

from minio.error import S3Error

from helpers.components.seldon import flowers


class ModelStore:
    """A bucket with the weights of each version.

    s3: a helpers.components.minio.S3.  endpoint: MinIO's host:port as pods reach it.  secret: its user's, a Secret.
    framework: whose model it is, one of flowers.FRAMEWORKS.
    """

    def __init__(self, s3, bucket, endpoint, secret, framework="sklearn"):
        self.s3, self.bucket, self.endpoint, self.secret = s3, bucket, endpoint, secret
        self.framework, self.wanted = framework, _files(framework)

    def uri(self, version):
        """Where the model's pod looks for its weights."""
        return f"s3://{self.bucket}/{flowers.place(self.framework, version)}"

    def credentials(self):
        """MinIO's address and key, by the names that the model's class reads."""
        return {"S3_ENDPOINT": self.endpoint, "S3_ACCESS_KEY": self.s3.user, "S3_SECRET_KEY": self.secret}

    def why_not_filled(self):
        bad = [key for key, data in self.wanted.items() if self._object(key) != data]
        return "missing in bucket {}, or others: {}".format(self.bucket, ", ".join(bad)) if bad else None

    def fill(self):
        for key, data in self.wanted.items():
            kind = "application/json" if key.endswith(".json") else "application/octet-stream"
            self.s3.client.put_object(self.bucket, key, io.BytesIO(data), len(data), content_type=kind)

    def clear(self):
        """Take the weights away, of each framework; the bucket stays."""
        if self.s3.client.bucket_exists(self.bucket):
            for key in _files(*flowers.FRAMEWORKS):
                self.s3.client.remove_object(self.bucket, key)

    def why_not_clear(self):
        said = (self.s3.why_not_away(self.bucket, key) for key in _files(*flowers.FRAMEWORKS))
        return next((why for why in said if why), None)

    def _object(self, key):
        try:
            return self.s3.get(self.bucket, key)
        except S3Error as e:
            if e.code in ("NoSuchKey", "NoSuchBucket"):
                return None
            raise


def _files(*frameworks):
    """{key: bytes} of all versions of these frameworks' models."""
    found = {}
    for framework in frameworks:
        for version in flowers.VERSIONS:
            found.update(flowers.files(framework, version))
    return found
