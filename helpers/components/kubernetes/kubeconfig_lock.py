"""The lock of a kubeconfig: the file <kubeconfig>.lock, which kubectl makes, too, and refuses to write while it is."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time

from helpers.core import files
from helpers.core.errors import RunbookError
from helpers.core.paths import home

#: seconds that another may hold it; an edit takes milliseconds
PATIENCE = 20


@contextlib.contextmanager
def locked(path):
    """Alone with the kubeconfig at this path. RunbookError when another holds it for too long."""
    lock = str(path) + ".lock"
    # Also alone among runbooks: only so can one that was killed be told from one that is at work.
    with files.lock(home("locks") / "kubeconfig"):
        _take(lock)
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(lock)


def _take(lock):
    deadline = time.monotonic() + PATIENCE
    while not _made(lock):
        if _left_over(lock):
            os.unlink(lock)
        elif time.monotonic() > deadline:
            raise RunbookError(
                "edit the kubeconfig " + lock[: -len(".lock")],
                saw=f"another program holds its lock for more than {PATIENCE} s",
                do=f"When no kubectl and no runbook is at work: rm {lock}. Nothing was changed.",
            )
        else:
            time.sleep(0.1)


def _made(lock):
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as f:
        f.write(f"runbook {os.getpid()} {socket.gethostname()}")
    return True


def _left_over(lock):
    """Is it that of a runbook of this machine that was killed? kubectl writes nothing into its own."""
    try:
        with open(lock) as f:
            holder = re.match(r"runbook ([0-9]+) (.+)\Z", f.read(200))
        if not holder or holder.group(2) != socket.gethostname():
            return False
        os.kill(int(holder.group(1)), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False
