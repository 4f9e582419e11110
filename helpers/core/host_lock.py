"""The lock of a host. It lies there: whoever changes the host, from wherever and by whatever name, meets the same."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Generator

from helpers.core import shell
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host

#: on the host; a reboot empties /run, where root alone makes files
PATH = "/run/mlops-runbook.lock"
#: the modes that change a host, and the variable that says to a chapter's kernel that its run holds the lock
CHANGING, HELD_BY_RUN = ("install", "remove"), "RUNBOOK_LOCK"
#: seconds: for a run that is just ending, for an answer, between tries to have it back
_PATIENCE, _ANSWER, _AGAIN = 5, 60, 2
_SCRIPT = Path(__file__).with_name("scripts") / "hold.sh"


class _Taken(Exception):
    """Another has it: the process that holds it on the host, by what its owner is known to live, and who it is."""

    def __init__(self, pid: str, life: str, who: str):
        self.pid, self.life, self.who = pid, life, who
        super().__init__(who)


class HostLock:
    """Held from take() on until release(), or until this process ends, however it does.

    A process on the host holds it, whose input is a pipe of ours through SSH: it ends with us.
    """

    def __init__(self, host: Host, what: str):
        self.host, self.what = host, what
        self._released = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def take(self, again: bool = False) -> HostLock:
        """BadInput says who has it. One whose owner is proved to be dead is taken over.

        again: this process may have it already, by another name of the same host.
        """
        try:
            self._hold()
        except _Taken as other:
            if again and other.life and other.life == _life():
                return self
            if not _is_dead(other.life):
                raise self._refused(other) from None
            self._take_from(other)
        threading.Thread(target=self._keep, daemon=True).start()
        return self

    def release(self) -> None:
        self._released.set()
        self._let_go()

    def _take_from(self, dead: _Taken) -> None:
        try:
            self._hold(dead.pid)
        except _Taken as other:
            raise self._refused(other) from None

    def _hold(self, dead: str = "") -> None:
        script = shell.script(
            _SCRIPT, PATH, _PATIENCE, f"{operator()}, process {os.getpid()}, {self.what}", _life(), dead or "none"
        )
        process = subprocess.Popen(
            self.host.root_command(script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        timer = threading.Timer(_ANSWER, process.kill)
        timer.start()
        try:
            self._answer(process)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        self._process = process
        if self._released.is_set():
            self._let_go()

    def _answer(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        said: list[str] = []
        for line in process.stdout:
            if line.startswith("@@runbook held"):
                return
            if line.startswith("@@runbook taken "):
                raise _Taken(*(line[len("@@runbook taken ") :].split("\t") + ["", "", ""])[:3])
            said.append(line)
        do = "Is it reachable, and has its disk room in /run? Run again."
        raise RunbookError("take the lock of the host", self.host.name, "".join(said[-6:]) or "no answer", do)

    def _refused(self, other: _Taken) -> BadInput:
        do = (
            "Wait for it, or end it there: Ctrl-C, or the kernel of the notebook.\n"
            f"If that machine is gone for good, on the host: sudo kill {other.pid}"
        )
        return BadInput(f"start {self.what}", self.host.name, f"another run is at work there: {other.who}", do)

    def _keep(self) -> None:
        """A connection that is lost lets go of it: have it back, or stop this run when another has it by then."""
        while self._process and not self._released.is_set():
            self._process.wait()
            if self._released.wait(_AGAIN):
                return
            try:
                self._have_back()
            except BadInput as e:
                print(f"the lock of the host was lost with the connection\n{e}", file=sys.stderr)
                ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as after `./runbook up &` in a script
                os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)
                return
            except RunbookError:  # the host is away yet
                continue

    def _have_back(self) -> None:
        try:
            self._hold()
        except _Taken as other:
            if other.life != _life():
                raise self._refused(other) from None
            self._take_from(other)  # our own: the host does not know yet that the connection is gone

    def _let_go(self) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def held(*hosts: Host, what: str) -> Generator[None, None, None]:
    """The locks of these hosts, as long as the `with` lasts. BadInput when another has one."""
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.callback(HostLock(host, what).take(again=host is not hosts[0]).release)
        yield


def operator() -> str:
    """Who sits here, for a person: ``user@machine``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _life() -> str:
    """This process, for those who can see it: the machine's boot, the space of its process ids, the id."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {os.getpid()}"
    except OSError:
        return ""


def _is_dead(life: str) -> bool:
    """Is it proved? Of processes of other machines nobody here can tell."""
    where, _, pid = life.rpartition(" ")
    if not where or where != _life().rpartition(" ")[0]:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
