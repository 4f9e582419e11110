"""A chapter that no run started: what `up` does for its chapters before the first of them, its kernel does for one."""

from __future__ import annotations

import os
from typing import Any, Mapping

from helpers.core import host_lock, notebooks, notes, stands
from helpers.core.host import Host
from helpers.core.host_lock import HostLock
from helpers.core.notebooks import Notebook

_locks: dict[str, HostLock] = {}  # of this kernel: who opens a chapter again goes on with it


def begin(host: Host, notebook: Notebook, values: Mapping[str, Any]) -> None:
    """Take the host's lock until the verdict; nothing is removed under what stands on it. BadInput says why not."""
    mode = values["mode"]
    if mode not in host_lock.CHANGING or os.environ.get(host_lock.HELD_BY_RUN):
        return
    end(host)
    _locks[host.name] = HostLock(host, f"chapter {notebook.id} by hand in mode {mode}").take()
    if mode == "remove" and not values.get("delete_data"):
        try:
            known = notebooks.load_all()
            stands.check(known, [notebook.id], notes.standing(host, known), f"--target {host.name}")
        except BaseException:
            end(host)
            raise


def end(host: Host) -> None:
    """Let go of the lock."""
    lock = _locks.pop(host.name, None)
    if lock:
        lock.release()
