"""The hosts of a run: one run at a time on each, reached before anything starts, locked as long as they are changed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable

from helpers.command import record
from helpers.command.plan import Plan
from helpers.core import files, host_lock, in_cluster, notes
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.paths import home
from helpers.core.target import Target


@contextlib.contextmanager
def target_locks(targets: Iterable[str], what: str) -> Generator[None]:
    """The locks of all these targets; they may be the same host in several words."""
    with contextlib.ExitStack() as held:
        for slug in sorted({Target.parse(target).slug for target in targets}):
            held.enter_context(target_lock(slug, what))
        yield


@contextlib.contextmanager
def target_lock(slug: str, what: str) -> Generator[None]:
    """Only one run at a time on a target. BadInput names the one that is there."""
    path = home("locks") / ("target-" + slug)
    with contextlib.ExitStack() as held:
        try:
            f = held.enter_context(files.lock(path, files.at_once))
        except BlockingIOError:
            raise BadInput(
                f"start {what} on {slug}",
                saw="another run is at work there: " + path.read_text().strip(),
                do="Wait for it, or stop it with Ctrl-C there.",
            ) from None
        f.truncate(0)
        f.write(f"process {os.getpid()}, {what}, since {record.now()}")
        f.flush()
        yield


@contextlib.contextmanager
def reached(plan: Plan, say: Callable[[str], None]) -> Generator[list[Host]]:
    """The plan's hosts, fit for it, and locked as long as they are changed."""
    with contextlib.ExitStack() as stack:
        hosts = check_reachable(plan, say)
        for host in hosts:
            stack.callback(host.close)
        if plan.mode in host_lock.CHANGING:
            stack.enter_context(host_lock.held(*hosts, what=f"up --mode {plan.mode}"))
        if plan.mode == "remove":  # another machine's runs are in no record here
            plan.check_nothing_stands_on({name for host in hosts for name in notes.standing(host, plan.known)})
        yield hosts


def check_reachable(plan: Plan, say: Callable[[str], None]) -> list[Host]:
    """Refuse targets that cannot be reached or used, before any chapter starts.

    verify looks at what is there: when one of several hosts is away, its chapters say so, and the others are proved.
    """
    targets, away = [Target.parse(target) for target in dict.fromkeys(plan.hosts().values())], list[RunbookError]()
    for target in targets:
        in_cluster.require_mode(target, plan.mode)
    hosts = [in_cluster.host(target) for target in targets]
    for host in hosts:
        try:
            host.connect()
            host.require_root()
        except RunbookError as error:
            away.append(error)
            if plan.mode != "verify" or len(away) == len(hosts):
                raise
            say(f"{host.name}: {error.what}: {error.saw}")
    return hosts
