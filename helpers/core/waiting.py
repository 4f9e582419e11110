"""Waiting: race ready, failed and timed out under one deadline, saying what is waited for."""

from __future__ import annotations

import socket
import time
from typing import Callable, TypeVar

from helpers.core.errors import NotYet, RunbookError, TimedOut, words

__all__ = ["STANDS", "NotYet", "TimedOut", "wait"]

T = TypeVar("T")

#: seconds that the clock of one wait may stand in all
STANDS = 1800
#: seconds between two questions that are answered at once, at most: a tenth of what was waited already
SELDOM = 2
#: how many times longer the pause is than the question before it, up to twice SELDOM: a host that is busy answers late,
#: and whoever asks it all the time keeps it from what is waited for
LONGER = 2
#: seconds that one round of a question and its pause may take over its pause: what is longer is a host too busy to
#: answer, which is late with what is waited for, too. It is added to the time that is given, once that time at most
ROUND = 5
#: a host or server that is busy, as libraries tell it (socket.timeout: TimeoutError is another before Python 3.10)
_LATE = (ConnectionError, TimeoutError, socket.timeout)


def wait(  # noqa: PLR0913 - its keywords are its interface
    what: str,
    ready: Callable[[], T],
    failed: Callable[[], str | None] | None = None,
    timeout: float = 300,
    *,
    every: float = 0.5,
    host: str | None = None,
    tell: Callable[[str], None] | None = None,
    do: str | None = None,
    stands: Callable[[], str | None] | None = None,
) -> T:
    """Poll until `ready()` returns something true, and return it.

    ready: returns a false value, or raises, while it is not ready (NotYet says why).  failed: returns a reason
    once there is no hope, and RunbookError is raised at once; an answer that is late is asked for again, see _look.
    timeout: seconds, and up to as many more where answers are slow, see ROUND.  every: seconds between two questions
    at first, see SELDOM and LONGER.  tell(text): told what is seen meanwhile.  stands: says why the clock stands now,
    None while it runs; it stands for STANDS seconds at most.
    TimedOut after `timeout`, with the last thing seen. Never a false success.
    """
    clock, last = _Clock(timeout), ""
    while True:
        began = time.monotonic()
        try:
            got = ready()
            if got:
                return got
        except Exception as e:  # whatever library asks: an error means that it is not ready yet
            last = (getattr(e, "saw", None) or str(e) or type(e).__name__).strip().split("\n")[0]
        reason, unknown = _look(failed)
        if reason:
            raise RunbookError("wait for " + what, host, reason, do)
        left = clock.left(stands() if stands else None)
        if left <= 0:
            raise TimedOut(f"wait for {what} ({clock.given()})", host, (last or "not ready") + unknown, do)
        if tell:
            tell("waiting for {}, {:.0f} s left{}{}".format(what, left, clock.why, ": " + last if last else ""))
        time.sleep(clock.pause(every, began, left))


def _look(failed: Callable[[], str | None] | None) -> tuple[str | None, str]:
    """(why there is no hope, why that cannot be told now): one answer that is late ends no wait of minutes.

    What would come again, as bad input, a refused login and a fault of ours, is raised.
    """
    try:
        return failed() if failed else None, ""
    except RunbookError as e:
        if e.final:
            raise
        late: Exception = e
    except _LATE as e:
        late = e
    return None, f"; and whether there is hope cannot be told: {words(late)}"


class _Clock:
    """The seconds of one wait, which do not run while it stands."""

    def __init__(self, timeout: float):
        self._timeout, self._asked, self._stood, self._slow, self.why = timeout, time.monotonic(), 0.0, 0.0, ""
        self._began, self._end, self._paused = self._asked, self._asked + timeout, 0.0

    def left(self, stands: str | None) -> float:
        """Seconds left. stands: why the clock stood since it was asked last."""
        now = time.monotonic()
        since, self._asked, self.why = now - self._asked, now, ""
        if stands and self._stood < STANDS:
            since = min(since, STANDS - self._stood)
            self._stood += since
            self._end += since
            self.why = f" (the clock stands for up to {STANDS - self._stood:.0f} s: {stands})"
        else:
            slow = min(max(0.0, since - self._paused - ROUND), self._timeout - self._slow)
            self._slow += slow
            self._end += slow
        return self._end - now

    def pause(self, every: float, began: float, left: float) -> float:
        """Seconds until the next question, after one that began then: see SELDOM and LONGER."""
        waited, took = self._asked - self._began, self._asked - began
        pause = max(every, min(SELDOM, waited / 10), min(2 * SELDOM, LONGER * took))
        self._paused = min(pause, max(left, 0.01))
        return self._paused

    def given(self) -> str:
        slow = f", and {self._slow:.0f} s in which answers were slow" if self._slow >= 1 else ""
        stood = f", and {self._stood:.0f} s in which the clock stood" if self._stood >= 1 else ""
        return f"up to {self._timeout} s{slow}{stood}"
