"""The root file system of a new sandbox host: the Debian base, and what makes it a cloud image's equal."""

from __future__ import annotations

import os
from pathlib import Path

from . import machine, processes, rootfs
from .processes import Report

HERE = Path(__file__).resolve().parent
FILES, SET_UP = HERE / "guest_files", HERE / "set-up.sh"  # files of a new host, and what is run in it once

Content = tuple[Path, str, int]  # a file's path, text and mode


def files() -> dict[str, tuple[str, int]]:
    """{path in the guest: (contents, mode)}; sudo wants its files closed to all others."""
    found: dict[str, tuple[str, int]] = {}
    for file in sorted(p for p in FILES.rglob("*") if p.is_file()):
        path = str(file.relative_to(FILES))
        mode = 0o440 if path.startswith("etc/sudoers.d/") else 0o755 if file.stat().st_mode & 0o100 else 0o644
        found[path] = file.read_text(), mode
    return found


def make(root: Path, report: Report) -> None:
    """The sandbox host's root file system, made when missing."""
    added, script = files(), SET_UP.read_text()
    made_as, recipe = root.with_name("recipe"), rootfs.digest(machine.SUITE, rootfs.BASE, rootfs.THIN, added, script)
    if root.is_dir():
        if not made_as.is_file() or made_as.read_text() != recipe:
            report("host: made by an older runbook; './runbook sandbox down --wipe', then up, renews it")
        return
    tar = rootfs.base(report)
    report("host: unpacking its root file system")
    new = root.with_name("root.new")
    rootfs.unpack(tar, new)
    for path, (text, mode) in added.items():
        machine.write(new / path, text, mode)
    processes.run(
        "set up the sandbox host's root file system",
        processes.entered(new, ["sh", "-c", script]),
        do="./runbook sandbox down --wipe, then up again",
    )
    made_as.write_text(recipe)
    os.replace(new, root)


def contents(root: Path, recipes: dict[str, Path], mirror_url: str) -> list[Content]:
    """What a host needs before any chapter: each recipe's guest/ folder, and the mirror's address where it has one."""
    found: list[Content] = []
    for folder in (path / "guest" for path in recipes.values()):
        for file in (p for p in folder.rglob("*") if p.is_file()):
            mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            found.append((root / file.relative_to(folder), file.read_text(), mode))
    if mirror_url:
        found.append((root / "etc/runbook-mirror", mirror_url + "\n", 0o644))
    return found
