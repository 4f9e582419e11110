"""Files of the operator's machine: written whole or not at all, and locks that end with their process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import Callable, Generator, TextIO


def write_whole(path: str | Path, content: str | bytes, mode: int = 0o600, owner: os.stat_result | None = None) -> None:
    """Write a file whole or not at all: beside it first, with its mode from the start, then in its place.

    owner: of this file, when it is another's than ours (root writes in a person's home).
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    handle, part = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=str(path.parent))
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(part, mode)
        if owner and owner.st_uid != os.geteuid():
            os.chown(part, owner.st_uid, owner.st_gid)
        os.replace(part, str(path))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


@contextlib.contextmanager
def lock(path: str | Path, taken: Callable[[TextIO], None] | None = None) -> Generator[TextIO, None, None]:
    """Hold the lock of this file. taken(file): called when another holds it, before waiting; it may raise instead."""
    with open(str(path), "a+") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if taken:
                taken(f)
            fcntl.flock(f, fcntl.LOCK_EX)
        yield f


def at_once(_: TextIO) -> None:
    """`taken` of a lock that is not waited for: BlockingIOError."""
    raise BlockingIOError
