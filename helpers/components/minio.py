"""S3 object storage as a chapter proves it: with the minio client, through the SSH connection."""

from __future__ import annotations

import datetime
import io
import os

import urllib3
from minio import Minio
from minio.error import S3Error

from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.errors import Unmet

#: a bucket of the runbook's own; what install puts there, verify reads
PROOF_BUCKET, KEPT, KEPT_BYTES = "runbook-proof", "kept.bin", bytes(range(256)) * 64


class S3:
    """One S3 endpoint on the target. ch: the chapter; port: on the host; user: access key; secret: a Secret."""

    def __init__(self, ch, port, user, secret):
        self.ch, self.user, self.secret = ch, user, secret
        self.endpoint = f"127.0.0.1:{ch.forward(port)}"
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=False)
        self.client = self._client(user, secret.reveal())

    def _client(self, user=None, secret=None):
        return Minio(
            self.endpoint,
            access_key=user,
            secret_key=secret,
            secure=False,
            region="us-east-1",
            http_client=urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=False),
        )

    # -- steps ---------------------------------------------------------------------------------

    def answering(self, unit):
        """Action: the server answers its health check; installing waits for it up to 60 s, and ends at once when the unit failed."""
        return Action(
            "wait for GET /minio/health/live",
            self._unhealthy,
            lambda: self.ch.wait(
                "MinIO to answer",
                lambda: self._unhealthy() is None,
                failed=lambda: actions.why_unit_failed(self.ch.host, unit),
                timeout=60,
            ),
        )

    def _unhealthy(self):
        try:
            status = self.http.request("GET", f"http://{self.endpoint}/minio/health/live").status
        except urllib3.exceptions.HTTPError as e:
            return f"no answer on its port: {type(e).__name__}"
        return None if status == 200 else f"GET /minio/health/live answered {status}"

    def takes_our_key(self):
        """For a precondition: None when the server lists its buckets for our key."""
        try:
            self.client.list_buckets()
        except S3Error as e:
            return f"MinIO refuses our key: {e.code}"
        except urllib3.exceptions.HTTPError as e:
            return f"no answer from MinIO: {type(e).__name__}"
        return None

    def bucket(self, name, delete=False):
        """Action: the bucket exists. Never emptied, never deleted by it, unless `delete`: then remove does both."""

        def done():
            return None if self.client.bucket_exists(name) else f"bucket {name} does not exist"

        def undo():
            for o in self.client.list_objects(name, recursive=True):
                self.client.remove_object(name, o.object_name)
            self.client.remove_bucket(name)

        return Action(
            f"PUT /{name}  (create the bucket)",
            done,
            lambda: self.client.make_bucket(name),
            undo if delete else None,
            absent=lambda: f"bucket {name} is there" if self.client.bucket_exists(name) else None,
        )

    def kept_object(self):
        """Action: an object in the runbook's own bucket that later verifications read."""

        def done():
            try:
                return (
                    None if self.get(PROOF_BUCKET, KEPT) == KEPT_BYTES else f"{PROOF_BUCKET}/{KEPT} has other content"
                )
            except S3Error as e:
                return f"{PROOF_BUCKET}/{KEPT}: {e.code}"

        def apply():
            if not self.client.bucket_exists(PROOF_BUCKET):
                self.client.make_bucket(PROOF_BUCKET)
            self.client.put_object(PROOF_BUCKET, KEPT, io.BytesIO(KEPT_BYTES), len(KEPT_BYTES))

        return Action(f"PUT /{PROOF_BUCKET}/{KEPT}", done, apply)

    # -- proofs --------------------------------------------------------------------------------

    def get(self, bucket, key):
        """The object's bytes. S3Error when it is not there, or may not be had."""
        response = self.client.get_object(bucket, key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def roundtrip(self):
        """Create, stat, get and delete an object of 1 MiB of random bytes; it is gone afterwards."""
        key, data = "roundtrip.bin", os.urandom(1 << 20)
        self.client.put_object(PROOF_BUCKET, key, io.BytesIO(data), len(data))
        size = self.client.stat_object(PROOF_BUCKET, key).size
        if size != len(data):
            raise Unmet(f"an object of {len(data)} bytes", f"{size} bytes")
        if self.get(PROOF_BUCKET, key) != data:
            raise Unmet("the bytes that were put", "other bytes")
        self.client.remove_object(PROOF_BUCKET, key)
        self._refused("NoSuchKey", lambda: self.client.stat_object(PROOF_BUCKET, key))

    def kept(self):
        """The object that install left is there, of the right size and content."""
        size = self.client.stat_object(PROOF_BUCKET, KEPT).size
        if size != len(KEPT_BYTES) or self.get(PROOF_BUCKET, KEPT) != KEPT_BYTES:
            raise Unmet(f"the {len(KEPT_BYTES)} bytes that install wrote", f"{size} other bytes")

    def presigned(self):
        """A presigned link works without credentials, and no longer does with another object's name in it."""
        link = self.client.presigned_get_object(PROOF_BUCKET, KEPT, expires=datetime.timedelta(minutes=1))
        got = self.http.request("GET", link)
        if got.status != 200 or got.data != KEPT_BYTES:
            raise Unmet("the object, by its link", f"status {got.status}")
        forged = self.http.request("GET", link.replace(KEPT, "other.bin"))
        if forged.status != 403:
            raise Unmet("403 for a link changed by hand", f"status {forged.status}")

    def refuses_wrong_secret(self):
        self._refused("SignatureDoesNotMatch", self._client(self.user, "not-the-password").list_buckets)

    def refuses_strangers(self):
        """No credentials, an unknown user, and the defaults that MinIO ships with are all refused."""
        self._refused("AccessDenied", self._client().list_buckets)
        self._refused("InvalidAccessKeyId", self._client("minioadmin", "minioadmin").list_buckets)

    def _refused(self, code, call):
        try:
            call()
        except S3Error as e:
            if e.code != code:
                raise Unmet(code, e.code)
            return
        raise Unmet("refused with " + code, "it was let in")

    def survives(self, restart):
        """What was written is still there after restart()."""
        restart()
        self.ch.wait("MinIO to answer again", lambda: self._unhealthy() is None, timeout=60)
        self.kept()
