"""S3 object storage as a chapter sets it up and proves it: with the minio client, through the SSH connection."""

from __future__ import annotations

import datetime
import io
import json
import os
import re
from pathlib import Path

import urllib3
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import S3Error
from minio.helpers import check_bucket_name

from helpers.core import actions, notes
from helpers.core.actions import Action
from helpers.core.errors import OutOfReach, Unmet
from helpers.core.shell import script

#: the systemd unit of MinIO's own service
UNIT = Path(__file__).with_name("minio.service").read_text("utf-8")
#: a bucket of the runbook's own; what install puts there, verify reads
PROOF_BUCKET, KEPT, KEPT_BYTES = "runbook-proof", "kept.bin", bytes(range(256)) * 64

_PROGRAM = [
    "file /usr/local/bin/minio",
    "file /etc/default/minio",
    "file /etc/systemd/system/minio.service",
    "unit minio.service",
]
_SYSTEM = re.compile("(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|snap|srv|sys|tmp|usr|var)")


def connect(endpoint, user=None, secret=None, timeout=60):
    """A minio client of a host:port that tries nothing twice. user: None for a stranger; timeout: seconds."""
    return Minio(
        endpoint, access_key=user, secret_key=secret, secure=False, region="us-east-1", http_client=http(timeout)
    )


def administrator(endpoint, user, secret, timeout=60):
    """A client of MinIO's admin API. secret: a Secret; timeout: seconds."""
    key = StaticProvider(user, secret.reveal())
    return MinioAdmin(endpoint=endpoint, credentials=key, region="us-east-1", secure=False, http_client=http(timeout))


def read(client, bucket, key):
    """The object's bytes. S3Error when it is not there, or may not be had."""
    response = client.get_object(bucket, key)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def things(data_dir):
    """What the chapter makes on the host, as core/ownership.py names it."""
    return [
        "user minio-user",
        f"folder {data_dir}",
        *_PROGRAM,
    ]


def made_by_older(data_dir, path="/etc/default/minio"):
    """A probe of one of these things: a runbook that kept no note made it, or it is data of ours that were moved."""
    return script(Path(__file__).with_name("minio_is_ours.sh"), path, data_dir.rstrip("/") or "/")


def why_bad_buckets(names):
    """None when S3 takes each name for a new bucket, else the first that it does not, and why."""
    for name in names:
        try:
            check_bucket_name(name, True)
        except ValueError as e:
            return f"{name}: {e}"
    return None


def why_bad_directory(path):
    """None when a path can be a directory of MinIO's own, which remove deletes; else why not."""
    parts = path.rstrip("/").split("/")
    if parts[0] or len(parts) < 2 or not all(parts[1:]) or {".", ".."} & set(parts):
        return f"{path!r} is no absolute path to a directory"
    return f"{path} is the system's" if len(parts) == 2 and _SYSTEM.fullmatch(parts[1]) else None


def no_buckets_but(buckets, path):
    """A probe: no bucket but these holds anything. Where MinIO stands and does not run, nobody can tell: a no."""
    return script(Path(__file__).with_name("minio_others.sh"), path, PROOF_BUCKET, *buckets)


def policy_words(policy):
    """A bucket's policy as one line, whatever the order of its parts: a server may sort them."""
    statements = policy.get("Statement") or []
    return "; ".join(sorted(map(_statement, statements if isinstance(statements, list) else [statements]))) or "nobody"


def _statement(each):
    who, what, where = (_listed(each.get(key)) for key in ("Principal", "Action", "Resource"))
    only = "" if not each.get("Condition") else " if " + json.dumps(each["Condition"], sort_keys=True)
    return f"{each.get('Effect')} {who or 'nobody'}: {what} on {where.replace('arn:aws:s3:::', '')}{only}"


def _listed(value):
    """What may be one text, a list of them, or by kind as {"AWS": ["*"]}."""
    if isinstance(value, dict):
        value = [text for each in value.values() for text in ([each] if isinstance(each, str) else each)]
    return ", ".join(sorted([value] if isinstance(value, str) else value or []))


def http(timeout):
    """An HTTP client that tries nothing twice. timeout: seconds for an answer, at a disk that others keep busy."""
    return urllib3.PoolManager(timeout=urllib3.Timeout(connect=min(timeout, 10), read=timeout), retries=False)


def found_version(ch):
    """What the host's program says of itself; "" when there is none, or it cannot be asked."""
    try:
        return ch.run("minio --version 2>/dev/null | head -n 1 || true", sudo=False).strip()
    except OutOfReach:
        return ""


class S3:
    """One S3 endpoint on the target. ch: the chapter; port: on the host; user: access key; secret: a Secret."""

    def __init__(self, ch, port, user, secret):
        self.ch, self.user, self.secret = ch, user, secret
        self.endpoint = "{}:{}".format(*ch.until_the_verdict(ch.host.way(port)))
        self.http = http(10)
        self.client = connect(self.endpoint, user, secret.reveal())

    def answering(self, unit):
        """Action: the server answers its health check; installing waits up to 5 minutes, not for a unit that failed."""
        return actions.waits(
            self.ch,
            "wait for GET /minio/health/cluster",
            "MinIO to answer",
            self.why_unhealthy,
            failed=lambda: actions.why_unit_failed(self.ch.host, unit),
        )

    def why_unhealthy(self):
        """None when the server serves requests, else why not: /live answers 200 from the first moment on."""
        try:
            status = self.http.request("GET", f"http://{self.endpoint}/minio/health/cluster").status
        except urllib3.exceptions.HTTPError as e:
            return f"no answer on its port: {type(e).__name__}"
        return None if status == 200 else f"GET /minio/health/cluster answered {status}"

    def why_key_refused(self):
        """None when the server lists its buckets for our key, else why not."""
        try:
            self.client.list_buckets()
        except S3Error as e:
            return f"MinIO refuses our key: {e.code}"
        except urllib3.exceptions.HTTPError as e:
            return f"no answer from MinIO: {type(e).__name__}"
        return None

    def bucket(self, name, delete=False):
        """Action: the bucket exists. Never emptied, never deleted by it, unless `delete`: then remove does both."""
        return Action(
            f"PUT /{name}  (create the bucket)",
            lambda: None if self.client.bucket_exists(name) else f"bucket {name} does not exist",
            lambda: self.client.make_bucket(name),
            (lambda: self._delete_bucket(name)) if delete else None,
            absent=lambda: self.why_not_away(name),
            makes=[f"bucket {name}"] if delete else [],
        )

    def let_in(self, names):
        """[(bucket, whom its policy lets in without a key of ours, to do what)], for state.show."""
        return [(name, self._policy(name)) for name in names]

    def _policy(self, name):
        try:
            return policy_words(json.loads(self.client.get_bucket_policy(name)))
        except S3Error as e:
            if e.code == "NoSuchBucketPolicy":
                return "nobody"
            if e.code == "NoSuchBucket":
                return "it does not exist"
            raise

    def _delete_bucket(self, name):
        for o in self.client.list_objects(name, recursive=True):
            self.client.remove_object(name, o.object_name)
        self.client.remove_bucket(name)

    def kept_object(self):
        """Action: an object in the runbook's own bucket that later verifications read."""
        return Action(f"PUT /{PROOF_BUCKET}/{KEPT}", self._why_not_kept, self._keep)

    def _why_not_kept(self):
        try:
            return None if self.get(PROOF_BUCKET, KEPT) == KEPT_BYTES else f"{PROOF_BUCKET}/{KEPT} has other content"
        except S3Error as e:
            return f"{PROOF_BUCKET}/{KEPT}: {e.code}"

    def _keep(self):
        if not self.client.bucket_exists(PROOF_BUCKET):
            self.client.make_bucket(PROOF_BUCKET)
        self.put(PROOF_BUCKET, KEPT, KEPT_BYTES)

    def get(self, bucket, key):
        """The object's bytes. S3Error when it is not there, or may not be had."""
        return read(self.client, bucket, key)

    def why_not_away(self, bucket, key=None):
        """None when there is no such object, or bucket: MinIO says so, or nothing of MinIO is on the host. Else why."""
        what = f"{bucket}/{key}" if key else f"bucket {bucket}"
        try:
            there = self.client.stat_object(bucket, key) if key else self.client.bucket_exists(bucket)
        except S3Error as e:
            return None if e.code in ("NoSuchKey", "NoSuchBucket") else f"cannot tell whether {what} is there: {e.code}"
        except urllib3.exceptions.HTTPError as e:
            why = f"cannot tell whether {what} is there, no answer from MinIO: {type(e).__name__}"
            return None if self.ch.host.ask(notes.gone(_PROGRAM)).ok else why
        return f"{what} is there" if there else None

    def put(self, bucket, key, content):
        """Store these bytes."""
        self.client.put_object(bucket, key, io.BytesIO(content), len(content))


class Proofs:
    """What chapter 05 proves of its S3 endpoint."""

    def __init__(self, s3):
        self.s3, self.ch, self.client = s3, s3.ch, s3.client

    def roundtrip(self):
        """Create, stat, get and delete an object of 1 MiB of random bytes; it is gone afterwards."""
        key, data = "roundtrip.bin", os.urandom(1 << 20)
        self.s3.put(PROOF_BUCKET, key, data)
        size = self.client.stat_object(PROOF_BUCKET, key).size
        if size != len(data):
            raise Unmet(f"an object of {len(data)} bytes", f"{size} bytes")
        if self.s3.get(PROOF_BUCKET, key) != data:
            raise Unmet("the bytes that were put", "other bytes")
        self.client.remove_object(PROOF_BUCKET, key)
        self._refused("NoSuchKey", lambda: self.client.stat_object(PROOF_BUCKET, key))

    def kept(self):
        """The object that install left is there, of the right size and content."""
        size = self.client.stat_object(PROOF_BUCKET, KEPT).size
        if size != len(KEPT_BYTES) or self.s3.get(PROOF_BUCKET, KEPT) != KEPT_BYTES:
            raise Unmet(f"the {len(KEPT_BYTES)} bytes that install wrote", f"{size} other bytes")

    def presigned(self):
        """A presigned link works without credentials, and no longer does with another object's name in it."""
        link = self.client.presigned_get_object(PROOF_BUCKET, KEPT, expires=datetime.timedelta(minutes=1))
        got = self.s3.http.request("GET", link)
        if got.status != 200 or got.data != KEPT_BYTES:
            raise Unmet("the object, by its link", f"status {got.status}")
        forged = self.s3.http.request("GET", link.replace(KEPT, "other.bin"))
        if forged.status != 403:
            raise Unmet("403 for a link changed by hand", f"status {forged.status}")

    def wrong_secret_is_refused(self):
        """Our user with another secret key is not let in."""
        self._refused("SignatureDoesNotMatch", connect(self.s3.endpoint, self.s3.user, "not-the-password").list_buckets)

    def strangers_are_refused(self):
        """No credentials, an unknown user, and the defaults that MinIO ships with are all refused."""
        self._refused("AccessDenied", connect(self.s3.endpoint).list_buckets)
        self._refused("InvalidAccessKeyId", connect(self.s3.endpoint, "minioadmin", "minioadmin").list_buckets)

    def survives_restart(self, unit):
        """What was written is still there after a restart of the unit."""
        actions.restart(self.ch.host, unit)
        self.ch.wait("MinIO to answer again", lambda: self.s3.why_unhealthy() is None)
        self.kept()

    def _refused(self, code, call):
        try:
            call()
        except S3Error as e:
            if e.code != code:
                raise Unmet(code, e.code) from e
            return
        raise Unmet("refused with " + code, "it was let in")
