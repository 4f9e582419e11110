"""Kinds of hosts: a folder in setup/sandbox/kinds/ each, with what makes a sandbox's host one of that kind.

kind.toml says what it is and the fields of Kind; packages.txt, guest/ and set-up.sh go into the host's root file
system when it is made; gateway/ is a proxy beside the host. @GATEWAY@, @NETWORK@ and @ADDRESS@ in them are filled in.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import SETUP

from . import machine

KINDS = SETUP / "sandbox" / "kinds"


@dataclass(frozen=True)
class Kind:
    """One kind. Without a folder it is the plain host.

    hostname: "" for the sandbox's name; @DASHED@ is the address with dashes. name_in_hosts: is it in /etc/hosts?
    stub_resolver: systemd-resolved's stub is the name server. cgroup: v1 or v2 only, where this machine allows it.
    closed: no way out but the proxy of gateway/, and none in but SSH, on outside_port of the gateway.
    """

    name: str = ""
    what: str = "a Debian 12 like a cloud's, and nothing in the way"
    suite: str = machine.SUITE
    hostname: str = ""
    name_in_hosts: bool = True
    stub_resolver: bool = False
    cgroup: str = ""
    closed: bool = False
    ssh_port: int = 22
    outside_port: int = 0
    folder: Path | None = None

    @property
    def packages(self) -> list[str]:
        """The Debian packages that its hosts have besides the base's."""
        return _lines(self.folder / "packages.txt") if self.folder else []

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        """As guest_files' own: {path in the guest: (contents, mode)}."""
        return tree(self.folder / "guest") if self.folder else {}

    @property
    def script(self) -> str:
        """What is run in a new host's root file system, after all else."""
        path = self.folder / "set-up.sh" if self.folder else None
        return path.read_text() if path and path.is_file() else ""

    @property
    def gateway(self) -> Path | None:
        """The folder of its proxy."""
        path = self.folder / "gateway" if self.folder else None
        return path if path and path.is_dir() else None


PLAIN = Kind()


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """The files below folder; sudo wants its own closed to all others."""
    found: dict[str, tuple[str, int]] = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        path = str(file.relative_to(folder))
        mode = 0o440 if path.startswith("etc/sudoers.d/") else 0o755 if file.stat().st_mode & 0o100 else 0o644
        found[path] = file.read_text(), mode
    return found


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with each @NAME@ in it."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []


@functools.cache
def known() -> dict[str, Kind]:
    """All kinds that have a folder, by name."""
    return {path.parent.name: _read(path) for path in sorted(KINDS.glob("*/kind.toml"))}


def _read(path: Path) -> Kind:
    said = tomllib.loads(path.read_text())
    wrong = said.keys() - {f.name for f in fields(Kind)} | ({"name", "folder"} & said.keys())
    if wrong or not said.get("what"):
        raise RunbookError(
            f"read {path}",
            saw="no such field: " + ", ".join(sorted(wrong)) if wrong else "it does not say what it is",
            do="helpers/sandbox/kinds.py has the fields",
        )
    return Kind(**said, name=path.parent.name, folder=path.parent)


def kind(name: str) -> Kind:
    """The kind of this name, PLAIN for ""; BadInput when there is none."""
    if name and name not in known():
        raise BadInput(f"make a host like {name!r}", saw="no such kind", do="Kinds: " + ", ".join(known()))
    return known()[name] if name else PLAIN


def remembered(folder: Path) -> Kind:
    """The kind that the sandbox in folder was made as."""
    mark = folder / "kind"
    return kind(mark.read_text().strip()) if mark.is_file() else PLAIN


def remember(folder: Path, chosen: Kind) -> None:
    """Note the kind of the sandbox in folder."""
    machine.write(folder / "kind", chosen.name + "\n")


def agreed(sandbox: str, there: Kind, asked: str | None, exists: bool) -> Kind:
    """The kind of a sandbox whose host is asked for; BadInput where one of another kind is there."""
    if asked is None or not exists:
        return there if asked is None else kind(asked)
    if kind(asked) != there:
        name = "" if sandbox == "sandbox" else f" --name {sandbox}"
        raise BadInput(
            f"make the sandbox {sandbox} like {asked}",
            saw=f"it was made {'like ' + there.name if there.name else 'without --like'}, and a host keeps its kind",
            do=f"Give the other one a name: ./runbook sandbox up --like {asked} --name {asked}\n"
            f"Or throw this one away first: ./runbook sandbox down --wipe{name}",
        )
    return there
