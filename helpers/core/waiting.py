"""Waiting: race ready, failed and timed out under one deadline, saying what is waited for."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

from helpers.core.errors import NotYet, RunbookError

__all__ = ["NotYet", "TimedOut", "wait"]

T = TypeVar("T")


class TimedOut(RunbookError):
    """The deadline passed; `.saw` is the last thing seen."""


def wait(  # noqa: PLR0913 - its keywords are its interface
    what: str,
    ready: Callable[[], T],
    failed: Callable[[], str | None] | None = None,
    timeout: float = 60,
    *,
    every: float = 0.5,
    host: str | None = None,
    tell: Callable[[str], None] | None = None,
    do: str | None = None,
) -> T:
    """Poll until `ready()` returns something true, and return it.

    ready: returns a false value, or raises, while it is not ready (NotYet says why).  failed: returns a reason
    once there is no hope, and RunbookError is raised at once.  timeout, every: seconds.  tell(text): told what is
    seen meanwhile.  TimedOut after `timeout`, with the last thing seen. Never a false success.
    """
    deadline, last = time.monotonic() + timeout, ""
    while True:
        try:
            got = ready()
            if got:
                return got
        except Exception as e:  # whatever library asks: an error means that it is not ready yet
            last = (getattr(e, "saw", None) or str(e) or type(e).__name__).strip().split("\n")[0]
        reason = failed() if failed else None
        if reason:
            raise RunbookError("wait for " + what, host, reason, do)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"wait for {what} (up to {timeout} s)", host, last or "not ready", do)
        if tell:
            tell("waiting for {}, {:.0f} s left{}".format(what, left, ": " + last if last else ""))
        time.sleep(min(every, max(left, 0.01)))
