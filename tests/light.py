"""One group for test processes that leave the processors to another one, where there is cgroup v1 and root has it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from serving import until

from helpers.core.waiting import TimedOut

_NAME = "runbook-tests"


def join() -> None:
    """This process, and what it starts, hosts among it: together they weigh half of what one host does.

    Without a group, a process with a session of its own weighs half a host of two processors, whatever `nice` says.
    """
    with contextlib.suppress(OSError):  # no such hierarchy, no right to it: processes weigh what they do
        group = _group()
        group.mkdir(exist_ok=True)
        (group / "cpu.shares").write_text(str(512 * (os.cpu_count() or 1)))
        (group / "cgroup.procs").write_text(str(os.getpid()))


def leave() -> None:
    """The group goes, once all that was in it has ended: some connections of tests outlive them for a while."""
    with contextlib.suppress(OSError, TimedOut):
        group = _group()
        if group.is_dir():
            until("the group's end", lambda: not (group / "cgroup.procs").read_text(), timeout=120)
            group.rmdir()


def _group() -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return Path("/sys/fs/cgroup/cpu", path.strip("/"), _NAME)
    raise FileNotFoundError("cgroup v1 of processors")
