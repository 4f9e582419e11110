"""The root file system of a new sandbox host: the Debian base, and what makes it a cloud image's equal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from . import kinds, machine, processes, rootfs
from .kinds import Kind
from .processes import Report

HERE = Path(__file__).resolve().parent
FILES, SET_UP = HERE / "guest_files", HERE / "set-up.sh"  # files of a new host, and what is run in it once

Content = tuple[Path, str, int]  # a file's path, text and mode


def make(root: Path, report: Report, kind: Kind, values: Mapping[str, str]) -> None:
    """The sandbox host's root file system, made when missing. values: for the kind's files, see kinds.filled()."""
    added = {**kinds.tree(FILES), **kind.files}
    script = "\n".join(filter(None, (SET_UP.read_text(), kind.script)))
    packages = [*rootfs.BASE, *kind.packages]
    made_as, recipe = root.with_name("recipe"), rootfs.digest(kind.suite, packages, rootfs.THIN, added, script)
    if root.is_dir():
        if not made_as.is_file() or made_as.read_text() != recipe:
            report("host: made by an older runbook; './runbook sandbox down --wipe', then up, renews it")
        return
    tar = rootfs.base(report, kind.suite, kind.packages)
    report("host: unpacking its root file system")
    new = root.with_name("root.new")
    rootfs.unpack(tar, new, kind.suite)
    for path, (text, mode) in added.items():
        machine.write(new / path, kinds.filled(text, values), mode)
    processes.run(
        "set up the sandbox host's root file system",
        processes.entered(new, ["sh", "-c", script]),
        do="./runbook sandbox down --wipe, then up again",
    )
    made_as.write_text(recipe)
    os.replace(new, root)


def contents(root: Path, recipes: dict[str, Path], mirror_url: str, kind: Kind) -> list[Content]:
    """What a host needs before any chapter: each recipe's guest/ folder, and the mirror's address where it has one.

    A file that the kind of host has is left to it.
    """
    found: list[Content] = []
    for folder in (path / "guest" for path in recipes.values()):
        for path, (text, mode) in kinds.tree(folder).items():
            if path not in kind.files:
                found.append((root / path, text, 0o755 if mode & 0o100 else 0o644))
    if mirror_url:
        found.append((root / "etc/runbook-mirror", mirror_url + "\n", 0o644))
    return found
