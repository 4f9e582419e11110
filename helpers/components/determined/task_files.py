"""The files that a task of Determined's starts with: what `det ... --context FOLDER` sends."""

from __future__ import annotations

import base64
import fnmatch
import io
import os
import tarfile
from pathlib import Path

from helpers.core.errors import BadInput
from helpers.core.paths import REPO

#: a request to /api/v1 has 4 MiB, gRPC's default (master/internal/grpcutil/api.go): files as they are, not in base64,
#: and the task's configuration. The 95 MiB of Determined's own client are those of the older routes.
LIMIT = 4 * 1024 * 1024 - 64 * 1024
#: of it, what a file takes beside its path and what is in it, at most
_ABOUT_A_FILE = 32
#: on Kubernetes the files travel packed, in a ConfigMap, which takes 1 MiB (master/internal/kubernetes/spec.go)
CONFIGMAP = 1024 * 1024
#: of it, what 0.15.3's master adds: its harness as a wheel of 358,616 bytes, scripts, an archive each
MASTERS_OWN = 364 * 1024
PACKED = CONFIGMAP - MASTERS_OWN
#: Determined sources a file of this name before JupyterLab starts (master/static/srv/notebook-entrypoint.sh)
HOOK = "startup-hook.sh"
#: checksums of packages: 180 KiB, and installing alone reads them. By their name: a folder that is named counts as used
_CHECKSUMS = "/sha256.txt"
#: names of files and folders that are never sent
_RUBBISH = ("__pycache__", "*.pyc", ".git", ".venv", ".ipynb_checkpoints", ".DS_Store")
#: what a chapter stands on, without what only ./runbook and the sandbox read: {folder: what of it stays here}
_RUNBOOK = {
    "helpers": ("command/", "sandbox/"),
    "notebooks": (),
    "setup": ("sandbox/",),
}


def files(folder):
    """[(path inside, Path)] of a folder's files, without what its .detignore names. BadInput when there is none."""
    import pathspec  # here: a chapter sends the runbook only, and an old Jupyter has no pathspec

    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"send {folder} with the notebook", saw="it is no folder", do="Name a folder: --context ~/work")
    rules = folder / ".detignore"
    lines = rules.read_text("utf-8").splitlines() if rules.is_file() else []
    # As harness/determined/common/context.py: the last pattern that fits a file decides, and .detignore is not sent.
    ignored = pathspec.PathSpec.from_lines("gitignore", [*lines, ".detignore"])
    return [(path, file) for path, file in _all(folder) if not ignored.match_file(path)]


def runbooks():
    """The runbook as a notebook needs it: helpers, chapters, what they read in setup/, and the hook for packages."""
    sent = [
        (f"{top}/{path}", file)
        for top, stays in _RUNBOOK.items()
        for path, file in _all(REPO / top)
        if not path.startswith(stays) and not path.endswith(_CHECKSUMS)
    ]
    return [*sent, (HOOK, Path(__file__).with_name(HOOK))]


def with_runbooks(folders):
    """The files of a folder beside the runbook's own. A hook of the folder's runs after ours, as my-startup-hook.sh."""
    theirs = [("my-" + path if path == HOOK else path, file) for path, file in folders]
    return sorted(dict(runbooks() + theirs).items())


def _all(folder):
    """[(path inside, Path)] of a folder's files, sorted, without rubbish."""
    found = []
    for top, folders, names in os.walk(str(folder)):
        folders[:] = sorted(name for name in folders if not _is_rubbish(name))
        inside = [Path(top) / name for name in sorted(names) if not _is_rubbish(name)]
        found += [(file.relative_to(folder).as_posix(), file) for file in inside if file.is_file()]
    return found


def _is_rubbish(name):
    return any(fnmatch.fnmatch(name, pattern) for pattern in _RUBBISH)


def packed(found):
    """The `files` of a request. BadInput when they are more than Determined, or a ConfigMap, takes."""
    folders = sorted({"/".join(path.split("/")[:n]) for path, _ in found for n in range(1, path.count("/") + 1)})
    sent = [_entry(path, tarfile.DIRTYPE, "", 0o755) for path in folders] + [
        _entry(path, tarfile.REGTYPE, base64.b64encode(file.read_bytes()).decode(), 0o644) for path, file in found
    ]
    size = _sent_size(sent)
    if size > LIMIT:
        raise _too_much(found, f"{_mib(size)} MiB; Determined's API takes {_mib(LIMIT)} MiB in a request")
    size = _packed_size(found)
    if size > PACKED:
        why = f"{_mib(size)} MiB when packed; on Kubernetes a ConfigMap has room for {_mib(PACKED)} MiB of them"
        raise _too_much(found, why)
    return sent


def size(found, sent):
    """How large the files of a request are, beside what is taken, in words. sent: what packed() made of them."""
    asked = f"{_mib(_sent_size(sent))} of {_mib(LIMIT)} MiB in Determined's request"
    return f"{len(found)}: {asked}, {_mib(_packed_size(found))} of {_mib(PACKED)} MiB packed in a ConfigMap"


def _sent_size(sent):
    return sum(_ABOUT_A_FILE + len(entry["path"].encode()) + len(entry["content"]) * 3 // 4 for entry in sent)


def _entry(path, kind, content, mode):
    return {"path": path, "type": ord(kind), "content": content, "mode": mode, "uid": 0, "gid": 0, "mtime": "0"}


def _packed_size(found):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as tar:  # the master's
        for path, file in found:
            tar.add(str(file), path)
    return len(out.getvalue())


def _mib(size):
    return f"{size / 2**20:.2f}"


def _too_much(found, saw):
    do = "Name what is not needed in the folder's .detignore; data belong into MinIO or Pachyderm."
    return BadInput(f"send {len(found)} files with a task", saw=saw, do=do)
