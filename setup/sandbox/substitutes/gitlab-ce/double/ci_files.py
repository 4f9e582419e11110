"""The files of jobs: their logs, and the archives that they leave."""

from __future__ import annotations

import io
import mimetypes
import shutil
import time
import zipfile
from pathlib import Path

import config
from api import Answer, message
from ci_config import seconds

LOGS = config.DATA / "gitlab-ci/builds"
ARTIFACTS = config.DATA / "gitlab-rails/shared/artifacts"


def trace_path(job: dict) -> Path:
    return LOGS / time.strftime("%Y_%m", time.gmtime(job["created"])) / str(job["project_id"]) / f"{job['id']}.log"


def trace_size(job: dict) -> int:
    path = trace_path(job)
    return path.stat().st_size if path.exists() else 0


def append(job: dict, data: bytes) -> int:
    """The log's size after it."""
    path = trace_path(job)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path, "ab") as log:
        log.write(data)
    return path.stat().st_size


def shown_trace(job: dict) -> bytes:
    """The log as it is shown: without the job's token. To mask variables is the runner's work."""
    path = trace_path(job)
    text = path.read_bytes() if path.exists() else b""
    return text.replace(job["token"].encode(), b"x" * len(job["token"]))


def folder(job: dict) -> Path:
    return ARTIFACTS / str(job["project_id"]) / str(job["id"])


def keep(job: dict, name: str, data: bytes, about: dict) -> None:
    """A file that a runner sent, into the job's object."""
    place = folder(job)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    kind = about["artifact_type"]
    (place / kind).write_bytes(data)
    life = about.get("expire_in")
    expires = None if life == "never" else time.time() + seconds(life, 30 * 86400)
    others = [a for a in job["artifacts"] if a["file_type"] != kind]
    job["artifacts"] = [*others, {"file_type": kind, "size": len(data), "filename": name,
                                  "file_format": about["artifact_format"], "expires": expires}]  # fmt: skip


def _archive(job: dict) -> tuple[str, bytes]:
    found = next((a for a in job["artifacts"] if a["file_type"] == "archive"), None)
    if not found or found["expires"] and found["expires"] < time.time():
        raise message(404, "404 Not Found")
    return found["filename"], (folder(job) / "archive").read_bytes()


def archive(job: dict) -> Answer:
    name, data = _archive(job)
    return Answer(200, data, {"Content-Disposition": f'attachment; filename="{name}"'}, "application/zip")


def member(job: dict, path: str) -> Answer:
    _, data = _archive(job)
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        if path not in files.namelist():
            raise message(404, "404 Not Found")
        kind = mimetypes.guess_type(path)[0] or "text/plain"
        return Answer(200, files.read(path), {}, kind)


def remove(job: dict) -> None:
    trace_path(job).unlink(missing_ok=True)
    shutil.rmtree(folder(job), ignore_errors=True)


def parts(kind: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """Of a multipart body: {field: (file's name, content)}."""
    mark = kind.partition("boundary=")[2].strip().strip('"').encode()
    found = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + mark)[1:]:
        head, _, data = part.partition(b"\r\n\r\n")
        about = dict(p.strip().partition("=")[::2] for p in head.decode(errors="replace").split(";") if "=" in p)
        name = about.get("name", "").split("\r\n")[0].strip('"')
        if name:
            found[name] = (about.get("filename", "").split("\r\n")[0].strip('"'), data)
    return found
