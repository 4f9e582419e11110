"""GitLab's services: a supervisor in runit's place, and what `sv` says of each.

Only nginx is a program here (it answers everything), and Alertmanager opens its port; the others are processes that can
be up or down.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import config

PROGRAM = Path(__file__).resolve().parent
RUN = config.DATA / "double/run"
WAIT = 30  # SVWAIT
EXPORTERS = ["gitlab-exporter", "node-exporter", "postgres-exporter", "redis-exporter"]
MONITORING = ["alertmanager", "grafana", "prometheus", *EXPORTERS]
ALWAYS = ["gitaly", "gitlab-workhorse", "logrotate", "nginx", "postgresql", "puma", "redis", "sidekiq"]


def enabled(said: dict[str, object]) -> list[str]:
    """The services' names, in the order of the alphabet."""
    names = ALWAYS + (MONITORING if said.get("prometheus_monitoring.enable", True) else [])
    return sorted(n for n in names if said.get(n.replace("-", "_") + ".enable", True))


def listed() -> list[str]:
    """What the last reconfigure enabled."""
    return sorted(p.name for p in (RUN / "services").glob("*"))


def supervised() -> bool:
    """Does the supervisor run? It holds a lock while it does."""
    RUN.mkdir(parents=True, exist_ok=True)
    with open(RUN / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def pid(name: str) -> int:
    """The service's process; 0 when there is none."""
    try:
        found = int((RUN / f"{name}.pid").read_text() or 0)
        os.kill(found, 0)
    except (OSError, ValueError):
        return 0
    return found if supervised() else 0


def _age(name: str) -> int:
    try:
        return int(time.time() - (RUN / f"{name}.pid").stat().st_mtime)
    except OSError:
        return 0


def line(name: str) -> str:
    """sv's line of a service as it is now."""
    found = pid(name)
    if found:
        return f"run: {name}: (pid {found}) {_age(name)}s"
    return f"down: {name}: {_age(name)}s, normally up"


def _until(done: object, timeout: float = WAIT) -> bool:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if done():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def command(word: str, name: str) -> int:
    """start, stop, restart or status of one service, as sv prints it; sv's exit code."""
    if not supervised():
        print(f"fail: {name}: runsv not running", flush=True)
        return 4 if word == "status" else 1
    if word == "status":
        print(f"{line(name)}; run: log: (pid {(RUN / 'lock').read_text()}) {_age(name)}s", flush=True)
        return 0 if pid(name) else 3
    before = pid(name)
    (RUN / f"{name}.down").touch() if word == "stop" else (RUN / f"{name}.down").unlink(missing_ok=True)
    if before and word == "restart":
        os.kill(before, signal.SIGTERM)
    left = {"restart": (0, before), "start": (0,)}  # the process that it must not be any more
    ok = _until(lambda: (not pid(name)) if word == "stop" else pid(name) not in left[word])
    print(("ok: " if ok else "timeout: ") + line(name), flush=True)
    return 0 if ok else 1


def start_supervisor() -> None:
    """By systemd, as the real one; by itself in a test's folder."""
    if supervised():
        return
    if Path("/") == config.ROOT:
        subprocess.run(["systemctl", "enable", "--now", "--quiet", "gitlab-runsvdir.service"], check=True)
    else:
        with open(os.devnull, "r+") as null:
            argv = [sys.executable, str(PROGRAM / "services.py")]
            subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True)
    _until(supervised)


class Supervisor:
    """Keeps each enabled service up that nobody stopped."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen] = {}
        self.ending = False

    def run(self) -> None:
        for mark in RUN.glob("*.down"):  # a stop does not outlive the supervisor
            mark.unlink()
        while not self.ending:
            names = listed()
            for name in {*names, *self.children}:
                self.look_at(name, wanted=name in names and not (RUN / f"{name}.down").exists())
            time.sleep(0.1)
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            child.wait()

    def look_at(self, name: str, wanted: bool) -> None:
        child = self.children.get(name)
        if child and child.poll() is not None:
            del self.children[name]
            (RUN / f"{name}.pid").write_text("0")
        elif child and not wanted:
            child.terminate()
        elif not child and wanted:
            self.children[name] = self.begin(name)
            (RUN / f"{name}.pid").write_text(str(self.children[name].pid))

    def begin(self, name: str) -> subprocess.Popen:
        folder = config.LOGS / name
        folder.mkdir(parents=True, exist_ok=True)
        server = [sys.executable, str(PROGRAM / "server.py")]
        argv = {"nginx": server, "alertmanager": [*server, "gossip"]}.get(name, ["sleep", "infinity"])
        with open(folder / "current", "a") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self, *_signal: object) -> None:
        self.ending = True


def main() -> None:
    RUN.mkdir(parents=True, exist_ok=True)
    with open(RUN / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        supervisor = Supervisor()
        signal.signal(signal.SIGTERM, supervisor.end)
        supervisor.run()


if __name__ == "__main__":
    main()
