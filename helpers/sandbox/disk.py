"""The sandbox's disk: a btrfs in one sparse file, whose states are kept and brought back whole; else a plain folder.

disk.img holds now/ (the host's root file system and the mark of its recipe) and saved/NAME/ (a snapshot of now/ with
saved.json and the secrets of that time). Every change is prepared under another name and becomes true by a rename, so
that a kill leaves the old or the new; settle() clears away the rest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from helpers.core import files
from helpers.core.errors import BadInput, RunbookError
from helpers.core.secrets import SecretStore

from . import machine, processes
from .processes import Report

FILESYSTEMS = Path("/proc/filesystems")
MIB = 1 << 20


class Saved(NamedTuple):
    """A saved state: when (ISO 8601), the chapters that the host held, the bytes that the disk held then."""

    name: str
    when: str
    chapters: list[str]
    size: int


def checked(name: str) -> str:
    """The name of a saved state; BadInput for one that could lead elsewhere."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise BadInput(
            f"use a saved state named {name!r}",
            saw="a name is up to 32 lower case letters, digits and -",
            do="for example: before-upgrade",
        )
    return name


def why_plain() -> str:
    """Why this machine can give a sandbox a plain folder only; empty when it can do better."""
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices here"
    if not re.search(r"\bbtrfs$", FILESYSTEMS.read_text(), re.M):
        machine.output("modprobe", "btrfs")
    return "" if re.search(r"\bbtrfs$", FILESYSTEMS.read_text(), re.M) else "this kernel has no btrfs"


class Disk:
    """The disk of the sandbox in folder. Callers hold the sandbox's lock, and stopped the host where it says so."""

    def __init__(self, folder: Path, slug: str):
        self.dir, self.slug = folder, slug
        self.image, self.place = folder / "disk.img", folder / "disk"
        self.now, self.kept = self.place / "now", self.place / "saved"

    @property
    def secrets(self) -> Path:
        """Where the engine keeps the secrets of this host."""
        return SecretStore(self.slug).path

    @property
    def root(self) -> Path:
        """The host's root file system; there while the disk is attached."""
        return self.now / "root" if self.image.is_file() else self.dir / "root"

    def exists(self) -> bool:
        return self.image.is_file() or self.root.is_dir()

    def attached(self) -> bool:
        return self.place.is_mount()

    def device(self) -> str:
        """The block device that an attached disk is on; empty for a plain folder."""
        return machine.output("findmnt", "-nro", "SOURCE", "--nofsroot", str(self.place)).strip()

    # --- there and away

    def prepare(self, report: Report) -> None:
        """Make the disk when there is none, and attach it."""
        if not self.exists():
            self._make(report)
        self.attach(report)

    def _make(self, report: Report) -> None:
        why = why_plain()
        if not why:
            try:
                return self._make_image()
            except RunbookError as error:
                self.remove_image()
                why = str(error.saw)
        report(f"host: its disk is a plain folder, which cannot be saved: {why}")

    def _make_image(self) -> None:
        new = self.image.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(new, "xb") as file:  # as large as what is free: the host sees how much it may use
            file.truncate(max(shutil.disk_usage(self.dir).free // MIB, 1024) * MIB)
        # Its metadata once: a second copy in the same file saves nothing.
        _run("make the sandbox's disk", "mkfs.btrfs", "--quiet", "--metadata", "single", str(new))
        os.replace(new, self.image)
        self._mount()

    def attach(self, report: Report) -> None:
        """Mount it where it is not, and finish what a kill cut off."""
        if not self.image.is_file():
            return
        self._mount()
        if self.settle():
            report("host: a restore that was cut off is finished")
        if not self.now.is_dir():
            _run("make the sandbox's disk", "btrfs", "subvolume", "create", str(self.now))

    def _mount(self) -> None:
        self.place.mkdir(exist_ok=True, mode=0o700)
        if self.attached():
            return
        held = machine.output("losetup", "-n", "-O", "NAME", "-j", str(self.image)).split()
        device = held[0] if held else _loop(self.image)
        options = "noatime,discard=async"  # what the host deletes is free on this machine, too
        _run("attach the sandbox's disk", "mount", "-t", "btrfs", "-o", options, device, str(self.place))
        machine.output("losetup", "-d", device)  # from now on it goes when it is unmounted

    def detach(self) -> None:
        """Unmount it and free its loop device. The host is stopped."""
        limit = time.monotonic() + 5
        while self.attached():
            done = subprocess.run(["umount", str(self.place)], capture_output=True, text=True)
            if done.returncode and time.monotonic() > limit:
                raise RunbookError(
                    "unmount the sandbox's disk",
                    host="this machine",
                    saw="\n".join([done.stderr.strip(), *self._mounts()]),
                    do=f"end what uses {self.place}, or unmount what is mounted in it; then the same command again",
                )
            if done.returncode:
                time.sleep(0.2)

    def _mounts(self) -> list[str]:
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return ["mounted there: " + p for p in points if p.startswith(f"{self.place}/")]

    def remove_image(self) -> None:
        """Take the disk and its saved states away. The host is stopped."""
        self.detach()
        for device in machine.output("losetup", "-n", "-O", "NAME", "-j", str(self.image)).split():
            machine.output("losetup", "-d", device)  # a kill between attaching and mounting
        for path in (self.image, self.image.with_suffix(".new")):
            if path.is_file():
                os.truncate(path, 0)  # free at once, also where some namespace still holds a copy of the mount
            path.unlink(missing_ok=True)

    # --- saved states

    def require(self, doing: str) -> None:
        """RunbookError where states cannot be kept."""
        if self.image.is_file():
            return
        if not self.exists():
            raise RunbookError(doing, saw="there is no such sandbox", do="./runbook sandbox up")
        why = why_plain()
        raise RunbookError(
            doing,
            saw="its disk is a plain folder: " + (why or "it was made by an older runbook"),
            do="use a machine whose kernel has btrfs and loop devices"
            if why
            else "./runbook sandbox down --wipe, then up: a new disk can be saved",
        )

    def find(self, name: str, doing: str) -> Path:
        """A saved state's folder; BadInput when there is none."""
        path = self.kept / checked(name)
        if not path.is_dir():
            there = ", ".join(sorted(p.name for p in self._complete())) or "none yet"
            raise BadInput(doing, saw="there is no saved state of that name", do="Saved states: " + there)
        return path

    def save(self, name: str, chapters: list[str], force: bool = False) -> None:
        """Keep the present state and the secrets. Of a running host it is what a power cut would leave."""
        final = self.kept / checked(name)
        if final.exists() and not force:
            raise BadInput(
                f"save the sandbox as {name!r}", saw="there is a saved state of that name", do="--force replaces it"
            )
        new = _beside(final, ".new")
        self.kept.mkdir(exist_ok=True)
        _run("save the sandbox's disk", "btrfs", "subvolume", "snapshot", str(self.now), str(new))
        when = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"when": when, "chapters": chapters, "size": shutil.disk_usage(self.place).used}
        machine.write(new / "saved.json", json.dumps(about, indent=1) + "\n")
        known = self.secrets.read_text() if self.secrets.is_file() else ""
        machine.write(new / "secrets.json", known, 0o600)
        _run("write the saved state", "btrfs", "filesystem", "sync", str(self.place))
        _swap(final)

    def stage(self, name: str) -> None:
        """Prepare a saved state for swap(); the host may run."""
        source = self.find(name, f"restore the sandbox to {name!r}")
        new = _beside(self.now, ".new")
        _run("restore the sandbox's disk", "btrfs", "subvolume", "snapshot", str(source), str(new))
        _run("restore the sandbox's disk", "btrfs", "filesystem", "sync", str(self.place))

    def swap(self) -> None:
        """Make the staged state the present one, with its secrets. The host is stopped."""
        _swap(self.now)
        self._place_secrets()

    def _place_secrets(self) -> bool:
        """A restored state brings the secrets of its time; while its mark is there this is still to be done."""
        mark = self.now / "saved.json"
        if not mark.is_file():
            return False
        known = (self.now / "secrets.json").read_text()
        if known:
            files.write_whole(self.secrets, known)
        else:
            self.secrets.unlink(missing_ok=True)
        mark.unlink()
        (self.now / "secrets.json").unlink()  # no copy beside a disk that goes on
        return True

    def settle(self) -> bool:
        """Finish, or clear away, what a kill in the middle left; True when a restore was finished."""
        finals = {p.with_name(p.name.partition(".")[0]) for p in self.kept.glob("*.*")}
        for final in (self.now, *sorted(finals)):
            if _beside(final, ".old").is_dir() and not final.is_dir():
                _beside(final, ".new").rename(final)
            for suffix in (".new", ".old"):
                _delete(_beside(final, suffix))
        return self._place_secrets()

    def forget(self, name: str) -> None:
        """Delete a saved state; its space is free on this machine a little later."""
        path = self.find(name, f"forget the saved state {name!r}")
        path.rename(_beside(path, ".new"))  # no longer one; settle() would delete it, too
        _delete(_beside(path, ".new"))

    def saved(self) -> list[Saved]:
        """The saved states, oldest first."""
        found: list[Saved] = []
        for path in self._complete():
            about = json.loads((path / "saved.json").read_text())
            found.append(Saved(path.name, about["when"], about["chapters"], about.get("size", 0)))
        return sorted(found, key=lambda s: s.when)

    def _complete(self) -> list[Path]:
        return [p for p in self.kept.iterdir() if "." not in p.name] if self.kept.is_dir() else []


def _run(what: str, *argv: str) -> None:
    processes.run(what, list(argv), do="is this machine's disk full? df -h")


def _loop(image: Path) -> str:
    """Attach a loop device, without a second copy in memory where the disk below allows that."""
    for direct in (["--direct-io=on"], []):
        device = machine.output("losetup", "--find", "--show", *direct, str(image)).strip()
        if device:
            return device
    raise RunbookError(
        "attach the sandbox's disk", host="this machine", saw="no loop device for it", do="losetup -a lists them"
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _swap(final: Path) -> None:
    """Put final.new in final's place. settle() finishes it after a kill."""
    old = _beside(final, ".old")
    if final.is_dir():
        final.rename(old)
    _beside(final, ".new").rename(final)
    _delete(old)


def _delete(path: Path) -> None:
    """Delete a subvolume, and those that somebody made inside of it."""
    if not path.is_dir():
        return
    top = next(p for p in path.parents if p.is_mount())
    for line in machine.output("btrfs", "subvolume", "list", "-o", str(path)).splitlines():
        _delete(top / line.partition(" path ")[2])
    _run(f"delete {path}", "btrfs", "subvolume", "delete", str(path))
