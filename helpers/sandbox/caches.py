"""The caches of builds: how large they are, and what goes first when they are too large.

What a substitute's recipe made stays; what only makes the next build quicker goes first, the cheapest to get back
before the rest: unpacked Go modules, pip's files, Go's oldest results, the modules' archives, and last what a recipe
keeps for itself, as the compiled Kubernetes, which takes longest to get back.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path

from helpers.core import files
from helpers.core.errors import BadInput
from helpers.core.paths import home

from . import builds, kinds, processes, rootfs
from .processes import Report

LIMIT = 8 << 30  # bytes: all caches together
DAY = 24 * 3600  # seconds: another checkout of the runbook may still want a build that is younger


def size(path: Path) -> int:
    """Bytes on the disk, as du counts them."""
    done = subprocess.run(["du", "-sk", str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return int(done.stdout.split()[0]) * 1024 if done.stdout else 0


def trim(report: Report, limit: int = LIMIT) -> None:
    """Bring the caches below limit where they are above it; where another runbook builds, that one does it later."""
    if size(home("cache")) > limit:
        with contextlib.suppress(BlockingIOError), _no_build():
            _shrink(report, limit, _stale(DAY))


def prune(report: Report, everything: bool = False) -> None:
    """Remove what this checkout does not ask for, then as trim(); everything: all that no sandbox uses just now."""
    try:
        with _no_build():
            _shrink(report, -1 if everything else LIMIT, _rest() if everything else _stale(0))
    except BlockingIOError:
        raise BadInput(
            "trim the caches", saw="another runbook builds at this moment", do="Wait for it, then again."
        ) from None


@contextlib.contextmanager
def _no_build() -> Generator[None]:
    """BlockingIOError while something is built; what would be built waits."""
    with contextlib.ExitStack() as held:
        for number in range(builds.AT_ONCE):
            held.enter_context(files.lock(home("locks") / f"builds-{number}.lock", files.at_once))
        yield


def _shrink(report: Report, limit: int, useless: list[Path]) -> None:
    before = left = size(home("cache"))
    report(f"caches: {_gib(before)}; removing what is no longer used")
    _remove(useless)
    for words, step in _quickeners():
        left = size(home("cache"))
        if left <= limit:
            break
        report(f"caches: {_gib(left)}; removing {words}")
        step(left - limit)
    left = size(home("cache"))
    report(f"caches: {_gib(before - left)} freed, {_gib(left)} left")


def _quickeners() -> list[tuple[str, Callable[[int], None]]]:
    """What only makes builds quicker, and how it goes, given the bytes that are too many."""
    build = home("cache", "build")
    modules = build / "go-mod"
    others = [p for p in _inside(build) if p.name not in ("go-mod", "go-build", "pip")]
    return [
        ("Go's unpacked modules", lambda _: _remove([p for p in _inside(modules) if p.name != "cache"])),
        ("pip's files", lambda _: _remove([build / "pip"])),
        ("Go's oldest results", lambda excess: _oldest(build / "go-build", excess)),
        ("Go's module archives", lambda _: _remove([modules])),
        ("what recipes keep", lambda _: _remove(others)),
    ]


def _stale(old: float) -> list[Path]:
    """What no recipe of this checkout asks for, and what a kill left; old: seconds that it must have lain there."""
    cache = home("cache")
    wanted = {builds.place(name) for name in builds.recipes()}
    found = [p for p in (cache / "substitutes").glob("*/*") if p.is_dir() and p not in wanted]
    found += [p for p in cache.glob("builder-*") if p != rootfs.builder_path() and not rootfs.in_use(p)]
    bases = {rootfs.base_path(k.suite, k.packages) for k in (kinds.PLAIN, *kinds.known().values())}
    found += [p for p in cache.glob("base-*.tar*") if p not in bases]
    found += cache.glob("build/gone-*")
    return [p for p in found if time.time() - p.stat().st_mtime >= old]


def _rest() -> list[Path]:
    """All of the cache that no process uses, but for what makes builds quicker."""
    serving = [p for p in home("sandbox").glob("*/pids/registry") if processes.alive(p)]
    return [
        p
        for p in _inside(home("cache"))
        if p.name != "build"
        and not (p.name.startswith("builder-") and rootfs.in_use(p))
        and not (p.name == "registry" and serving)
    ]


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove(paths: list[Path]) -> None:
    """Aside first: what a kill leaves half removed must not be taken for whole."""
    for path in paths:
        if not path.exists():
            continue
        aside = home("cache", "build") / f"gone-{os.getpid()}"
        rootfs.remove(aside)
        path.rename(aside)
        rootfs.remove(aside)


def _oldest(folder: Path, excess: int) -> None:
    """Remove the results that were not used for longest, until excess bytes are freed; Go does the same by age."""
    entries = sorted((s.st_mtime, s.st_blocks * 512, p) for p in folder.glob("??/*") for s in [p.stat()])
    for _, count, path in entries:
        if excess <= 0:
            return
        path.unlink()
        excess -= count


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
