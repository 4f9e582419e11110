"""The sandbox's background processes: started with a pid file, known by pid and start time, ended one by one."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from helpers.core.errors import RunbookError

Report = Callable[[str], None]  # told what is being done, a line at a time
Steps = Sequence[tuple[signal.Signals, float]]

MINIMAL = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

HERE = Path(__file__).resolve().parent

# Dies with the runbook, also when that is killed.
TIED = ["setpriv", "--pdeathsig", "KILL"]

# For processes that ignore SIGTERM (unshare does) and hold no state.
KILL: Steps = ((signal.SIGKILL, 5),)

# The process writes its own pid file before it becomes the program: no moment in which it runs unknown.
# The start time (field 22 of /proc/PID/stat, clock ticks since boot) tells it from a later one with the same pid.
_SELF = 'f=$1; shift; read -r s < /proc/$$/stat; echo $$ $(set -- $s; echo ${22}) > "$f"; exec "$@"'


def start(
    pidfile: Path, argv: Iterable[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start argv in a session of its own, with its output appended to log."""
    pidfile.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    pidfile.unlink(missing_ok=True)
    with open(log, "ab") as out:
        process = subprocess.Popen(
            ["sh", "-c", _SELF, "start", str(pidfile), *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            start_new_session=True,
            cwd="/",
        )
    while process.poll() is None and not (pidfile.is_file() and pidfile.read_text().endswith("\n")):
        time.sleep(0.005)
    return process


def _stat(pid: int) -> tuple[str, int] | None:
    """(state letter, start time in ticks) of a process, None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[19])


def alive(pidfile: Path) -> int | None:
    """The pid when the process that wrote pidfile still runs."""
    try:
        pid, began = map(int, pidfile.read_text().split())
    except (OSError, ValueError):
        return None
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a child of ours that ended would stay as a zombie
    now = _stat(pid)
    return pid if now and now[0] != "Z" and now[1] == began else None


def adopt(argument: str, pidfile: Path) -> bool:
    """Find a process that has exactly this argument and write its pid file, for one that lost its own."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        now = _stat(int(entry.name))
        if argument.encode() in words and now and now[0] != "Z":
            pidfile.parent.mkdir(parents=True, exist_ok=True)
            pidfile.write_text(f"{entry.name} {now[1]}\n")
            return True
    return False


def since(pidfile: Path) -> float | None:
    """When the process of pidfile started, in seconds since the epoch."""
    if alive(pidfile) is None:
        return None
    ticks = int(pidfile.read_text().split()[1])
    boot = next(
        int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
    )
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def _alone(session: int) -> bool:
    """Does no process of this session run any more? One may hold a port a little longer than its leader lived."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                return False
    return True


def stop(pidfile: Path, steps: Steps = ((signal.SIGTERM, 10), (signal.SIGKILL, 5))) -> bool:
    """Send each (signal, seconds to wait) until the process of pidfile has ended; True when it had to be ended."""
    ended = False
    for number, seconds in steps:
        pid = alive(pidfile)
        if pid is None:
            break
        ended = True
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        _until(lambda: alive(pidfile) is None, seconds)
    if alive(pidfile) is None:
        pidfile.unlink(missing_ok=True)
    return ended


def kill(pidfile: Path) -> bool:
    """End a process that holds no state, and wait for what it started in its session; True when it had to be ended.

    Without that wait a program started anew at once meets the old one on its port, and takes its answer for its own.
    """
    pid = alive(pidfile)
    ended = stop(pidfile, KILL)
    if pid is not None:
        _until(functools.partial(_alone, pid), 5)
    return ended


def _until(done: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not done() and time.monotonic() < limit:
        time.sleep(0.05)


_APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh"]


def entered(root: Path, argv: list[str], binds: dict[Path, str] | None = None) -> list[str]:
    """The command that runs argv inside root, in namespaces of its own: nothing is left behind when it ends."""
    pairs = [f"{source}:{target}" for source, target in (binds or {}).items()]
    return [*_APART, str(HERE / "enter.sh"), str(root), *pairs, "--", *argv]


def confined(root: Path, argv: list[str], binds: Mapping[Path, str], variables: Iterable[str]) -> list[str]:
    """The same for what others wrote: as a user whom this machine gives nothing but its network.

    variables: names of those of the environment that it sees; their values stand in no command line.
    """
    words = [f"--bind={source}:{target}:idmap" for source, target in binds.items()]
    words += [f"--setenv={name}" for name in variables]
    return [*_APART, str(HERE / "confine.sh"), str(root), *words, "--", *argv]


def tidy() -> None:
    """Take away what is left of a confined command that was killed."""
    subprocess.run(["sh", str(HERE / "tidy.sh")], stdin=subprocess.DEVNULL)


def run(what: str, argv: list[str], do: str) -> None:
    """Run a short command that dies with this process; RunbookError with what it said when it fails."""
    done = subprocess.run([*TIED, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise RunbookError(
            what, host="this machine", saw=(done.stderr or done.stdout)[-800:] or f"exit code {done.returncode}", do=do
        )


def answers(pidfile: Path, address: str, port: int, path: str) -> bool:
    """Does the process of pidfile answer a GET with 200? Asked directly, never through a proxy."""
    if alive(pidfile) is None:
        return False
    link = http.client.HTTPConnection(address, port, timeout=10)
    try:
        link.request("GET", path)
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def wait(what: str, ready: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    """Wait until ready(); RunbookError with the log's end after that many seconds."""
    limit = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > limit:
            raise RunbookError(
                f"start {what}", saw=log.read_text(errors="replace")[-800:] or "no answer", do=f"see {log}"
            )
        time.sleep(0.05)
