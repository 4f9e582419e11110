"""Commands of this machine, their output line by line as it comes; a late one is ended with all it started."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Any, Callable, NamedTuple, Sequence

import sh

from helpers.core.errors import RunbookError


class Result(NamedTuple):
    """How a command ended: exit code, both outputs, seconds."""

    code: int
    out: str
    err: str
    seconds: float


def execute(
    argv: Sequence[str],
    stdin: str | bytes | None = None,
    timeout: float = 20,
    on_line: Callable[[str, str], None] | None = None,
    keep: int | None = None,
) -> Result:
    """Run argv. on_line("out" or "err", line): called as lines come. TimeoutError after `timeout` seconds.

    keep: so many last lines are in the Result, for a command that may print without end; None: all.

    An error of on_line is raised when the command has ended; RunbookError when it could not write.
    """
    out: deque[str] = deque(maxlen=keep)
    err: deque[str] = deque(maxlen=keep)
    faults: list[Exception] = []
    start = time.monotonic()
    running = sh.Command(argv[0])(
        *argv[1:],
        _in=stdin if stdin is not None else "",
        _out=_collect(out, "out", on_line, faults),
        _err=_collect(err, "err", on_line, faults),
        _no_out=True,  # sh keeps nothing of its own
        _no_err=True,
        _bg=True,
        _bg_exc=False,
        _tty_out=False,
        _tty_in=False,
        _ok_code=list(range(-64, 256)),
        _encoding="utf-8",
        _decode_errors="replace",
        _new_session=True,
    )
    code = _end_of(running, timeout)
    for fault in faults:
        raise _in_words(fault)
    return Result(code, "".join(out), "".join(err), time.monotonic() - start)


def _collect(
    into: deque[str], stream: str, on_line: Callable[[str, str], None] | None, faults: list[Exception]
) -> Callable[[str], None]:
    def line(text: str) -> None:
        into.append(text)
        if not on_line:
            return
        try:
            on_line(stream, text.rstrip("\n"))
        except Exception as e:  # it would end the thread that reads, and the command would wait at a full pipe
            faults[:] = faults or [e]

    return line


def _in_words(fault: Exception) -> Exception:
    if not isinstance(fault, OSError):
        return fault
    do = "Is its disk full? df -h shows it. Make room, then run again: finished steps are kept."
    return RunbookError("write down what a command prints", "this machine", fault.strerror or str(fault), do)


def _end_of(running: Any, timeout: float) -> int:
    """The exit code. sh's own _timeout polls, which adds 0.1 s to every command: so a timer of ours."""
    late = threading.Event()
    timer = threading.Timer(timeout, lambda: (late.set(), _kill(running)))
    timer.daemon = True
    timer.start()
    code = None
    try:
        running.wait()
    except sh.ErrorReturnCode as e:  # sh 1.14 (Python 3.7): raised for an end by a signal, whatever _ok_code says
        code = e.exit_code
    except BaseException:  # Ctrl-C: nothing of ours goes on here
        _kill(running)
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError()
    return running.exit_code if code is None else code


def _kill(running: Any) -> None:
    with contextlib.suppress(OSError):
        running.kill_group()  # of its own session: what it started ends too
