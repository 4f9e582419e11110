"""The checkpoints in MinIO, one for each push that was trained, and what each makes of the pictures it never saw."""

from __future__ import annotations

import importlib.util
import json

from helpers.components.end_to_end import pictures
from helpers.components.end_to_end.cluster import FOLDER

BUCKET, FOLDER_IN_BUCKET = "clothes", "checkpoints/"


def key_of(commit):
    """Where in the bucket the checkpoint of a commit is."""
    return f"{FOLDER_IN_BUCKET}{commit}.json"


def model():
    """The module model.py that the pictures are judged by, as install pushed it."""
    spec = importlib.util.spec_from_file_location("runbook_clothes_model", str(FOLDER / "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def right_of(trained, unseen=None):
    """(how many of the unseen pictures a checkpoint knows, how many there are)."""
    judge, tried = model(), unseen or pictures.unseen()
    found = [judge.predict(trained, rows) for _, _, rows in tried]
    return sum(row.index(max(row)) == label for row, (_, label, _) in zip(found, tried)), len(tried)


class Checkpoints:
    """The bucket of a minio_keys.Key."""

    def __init__(self, key):
        self.key = key

    @property
    def client(self):
        return self.key.s3.client

    def read(self, commit):
        """The checkpoint of a commit. S3Error when there is none."""
        return json.loads(self.bytes(commit).decode())

    def bytes(self, commit):
        return self.key.s3.get(BUCKET, key_of(commit))

    def note(self, commit):
        """{revision, task, pictures, labels}: what the task wrote beside it."""
        said = self.client.stat_object(BUCKET, key_of(commit)).metadata
        return {name: said.get("x-amz-meta-" + name, "") for name in ("revision", "task", "pictures", "labels")}

    def in_order(self):
        """[(when, commit)] of all checkpoints, the oldest first."""
        found = self.client.list_objects(BUCKET, FOLDER_IN_BUCKET, recursive=True)
        return sorted((o.last_modified, o.object_name[len(FOLDER_IN_BUCKET) : -len(".json")]) for o in found)
