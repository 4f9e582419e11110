"""The runbook's own SSH file on this machine, ~/.mlops-runbook/ssh/config: entries, with a blank line behind each."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable

from helpers.core.files import write_whole
from helpers.core.paths import home


def place() -> Path:
    """The file."""
    return home("ssh") / "config"


def entries() -> list[str]:
    """All that it has."""
    text = place().read_text() if place().exists() else ""
    return [part.strip("\n") for part in text.split("\n\n") if part.strip()]


def write(kept: Iterable[str]) -> None:
    """It has these alone, 0600."""
    write_whole(place(), "".join(entry + "\n\n" for entry in kept))


def forget(key: Path) -> None:
    """Take those out that log in with this key: their host is no more."""
    there = entries()
    kept = [entry for entry in there if f"IdentityFile {key}" not in map(str.strip, entry.splitlines())]
    if kept != there:
        write(kept)
