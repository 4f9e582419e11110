"""A checkpoint's way from a task to the object store: written from a pod once, read by every later verification."""

from __future__ import annotations

from pathlib import Path

from minio.error import S3Error

from helpers.components.determined.task_pod import variables, with_secret
from helpers.core.actions import Action

#: the Secret with the keys, which the chart and a task's pod read
KEYS = "determined-keys"
#: what the task writes, below the bucket
CHECKPOINT, CHECKPOINT_BYTES = "runbook-proof/checkpoint.bin", bytes(range(256)) * 256
_WRITER = Path(__file__).with_name("write_checkpoint.py")
#: the folder in which the task's container has these keys, a file each
_MOUNTED, _READ = "/run/runbook-keys", ("accessKey", "secretKey")


def written(det, s3, bucket, user):
    """Action: a task has written a checkpoint, with the master's endpoint and keys, and read it back."""

    def apply():
        det.command(["python3", "-c", _WRITER.read_text("utf-8")], user, _environment(det.settings()))

    return Action(
        f"det cmd run python3 -c ...   (writes s3://{bucket}/{CHECKPOINT} from a pod)",
        lambda: why_not_written(s3, bucket),
        apply,
        lambda: s3.client.remove_object(bucket, CHECKPOINT),
        absent=lambda: s3.why_not_away(bucket, CHECKPOINT),
    )


def _environment(settings):
    """The environment of the task's configuration: where to write, and a volume with the keys to it.

    What stands in a task's configuration is shown to every user; and Determined lets a pod_spec add volumes to its
    container, but no variables (master/pkg/model/environment_config.go).
    """
    store = settings["checkpoint_storage"]
    plain = {"ENDPOINT": store["endpoint_url"], "BUCKET": store["bucket"], "KEY": CHECKPOINT, "KEYS": _MOUNTED}
    return {"environment_variables": variables(plain), "pod_spec": {"spec": with_secret(KEYS, _MOUNTED, _READ)}}


def why_not_written(s3, bucket):
    """None when the bucket has what a task wrote."""
    try:
        same = s3.get(bucket, CHECKPOINT) == CHECKPOINT_BYTES
    except S3Error as e:
        return f"{bucket}/{CHECKPOINT}: {e.code}"
    return None if same else f"{bucket}/{CHECKPOINT} is not as a task wrote it"
