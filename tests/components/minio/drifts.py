"""What a hand changes of MinIO in the story, how it is put back, and how regress names it."""

import json

from minio import Minio

from helpers.core.secrets import SecretStore

_READ = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::models/*"]}
_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [_READ]})


def _bucket(call, *words):
    def change(host):
        with host.forward(9000) as port:
            secret = SecretStore(host.target.slug).get("minio-root").reveal()
            getattr(Minio(f"127.0.0.1:{port}", "runbook", secret, secure=False), call)("models", *words)

    return change


DRIFTS = {
    "quick": [
        (
            _bucket("set_bucket_policy", _POLICY),
            _bucket("delete_bucket_policy"),
            "- models nobody",
            "+ models Allow *: s3:GetObject on models/*",
        ),
        (
            "usermod -aG games minio-user",
            "gpasswd -d minio-user games",
            "- minio-user minio-user /srv/minio /usr/sbin/nologin",
            "+ minio-user games minio-user /srv/minio /usr/sbin/nologin",
        ),
    ],
}
