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

#: Determined's own limit: 95 MiB after base64 (harness/determined/common/constants.py)
LIMIT = 128 * 1024 * 1024 // 8 * 6 - 1024 * 1024
#: on Kubernetes the files travel in a ConfigMap, packed
PACKED = 1024 * 1024
_ALWAYS = ("__pycache__/", "*.pyc", ".git/", ".venv/", ".ipynb_checkpoints/", ".DS_Store")


def ignored(path, folder, patterns):
    """Does .detignore leave this path out? As in .gitignore: name, *.suffix, folder/, /from/the/top; ! lets in again."""
    out, parts = False, path.split("/")
    for pattern in patterns:
        lets_in, pattern = pattern.startswith("!"), pattern.lstrip("!")
        if pattern.endswith("/") and not folder:
            continue
        word = pattern.strip("/")
        hit = (
            fnmatch.fnmatch(path, word) if "/" in word or pattern.startswith("/") else fnmatch.fnmatch(parts[-1], word)
        )
        if hit:
            out = not lets_in
    return out


def files(folder):
    """[(path inside, Path)] of a folder's files, sorted, without what its .detignore names. BadInput when there is no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"send {folder} with the notebook", saw="it is no folder", do="Name a folder: --context ~/work")
    rules = folder / ".detignore"
    patterns = list(_ALWAYS) + [
        l.strip()
        for l in (rules.read_text().splitlines() if rules.is_file() else [])
        if l.strip() and not l.startswith("#")
    ]
    found = []
    for top, folders, names in os.walk(str(folder)):
        inside = os.path.relpath(top, str(folder)).replace(os.sep, "/")
        at = "" if inside == "." else inside + "/"
        folders[:] = sorted(f for f in folders if not ignored(at + f, True, patterns))
        found += [
            (at + n, Path(top) / n)
            for n in sorted(names)
            if not ignored(at + n, False, patterns) and (Path(top) / n).is_file()
        ]
    return found


def runbooks():
    """The runbook as a notebook needs it: helpers, chapters, and what they read in setup/."""
    found = []
    for top in ("helpers", "notebooks", "setup/label-studio-setup", "setup/pachyderm-setup"):
        found += [(top + "/" + p, path) for p, path in files(REPO / top) if not p.startswith(("command/", "sandbox/"))]
    return found + [("setup/" + n, REPO / "setup" / n) for n in ("catalogue.toml", "requirements-notebook.txt")]


def packed(found):
    """The `files` of a request. BadInput when they are more than Determined, or a ConfigMap, takes."""
    folders = sorted({"/".join(p.split("/")[:n]) for p, _ in found for n in range(1, p.count("/") + 1)})
    sent = [
        {"path": f, "type": ord(tarfile.DIRTYPE), "content": "", "mode": 0o755, "uid": 0, "gid": 0, "mtime": "0"}
        for f in folders
    ]
    sent += [
        {
            "path": p,
            "type": ord(tarfile.REGTYPE),
            "content": base64.b64encode(path.read_bytes()).decode(),
            "mode": 0o644,
            "uid": 0,
            "gid": 0,
            "mtime": "0",
        }
        for p, path in found
    ]
    do = "Name what is not needed in the folder's .detignore; data belong into MinIO or Pachyderm."
    size = sum(len(f["content"]) for f in sent)
    if size > LIMIT:
        raise BadInput(
            f"send {len(found)} files with a task",
            saw=f"{size / 2**20:.1f} MiB in base64; Determined takes {LIMIT / 2**20:.0f} MiB",
            do=do,
        )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for p, path in found:
            tar.add(str(path), p)
    if len(out.getvalue()) > PACKED:
        raise BadInput(
            f"send {len(found)} files with a task",
            saw=f"{len(out.getvalue()) / 2**20:.1f} MiB when packed; on Kubernetes they travel in a ConfigMap, which takes 1 MiB",
            do=do,
        )
    return sent
