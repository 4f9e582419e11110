"""The scripts that read and write a chapter's note on the host: what they are given, and where they keep it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Sequence

from helpers.core import shell

if TYPE_CHECKING:
    from helpers.core.host import Host

#: the folder of the notes on the host
STATE = "/var/lib/mlops-runbook"
_SCRIPTS = Path(__file__).with_name("scripts")
_THING = re.compile(r"[a-z]+ [^\s\"\\]+")


def script(chapter: str, verb: str, *arguments: str) -> str:
    """scripts/own_state.sh with these arguments, and own.sh, which goes on with it."""
    return _joined(STATE, chapter, verb, *arguments)


def _joined(*arguments: str) -> str:
    return shell.script(_SCRIPTS / "own_state.sh", *arguments) + "\n\n" + shell.script(_SCRIPTS / "own.sh")


def path(chapter: str) -> str:
    """A chapter's note on the host."""
    return f"{STATE}/{chapter}.json"


def copies(chapter: str) -> str:
    """The folder beside it, which goes with it: copies of what was there before, and marks of what is under way."""
    return f"{STATE}/copies/{chapter}"


def standing(host: Host, chapters: Iterable[str]) -> set[str]:
    """Those of the chapters that have a note on the host: something of them is there."""
    script = f"[ ! -e {shlex.quote(STATE)} ] || ls -A {shlex.quote(STATE)}"
    there = host.run(script, quiet=True, what="see on the host which chapters are there").out.splitlines()
    return {chapter for chapter in chapters if chapter + ".json" in there}


def gone(things: Sequence[str]) -> str:
    """A probe: these are proved to be away. What cannot be asked is a no, in words."""
    return script("-", "gone", *words(things))


def brings(chapter: str, names: Sequence[str]) -> str:
    """A script: the packages that apt would newly install for these go into the chapter's note, where it has one."""
    if not chapter:
        return ""
    simulated = "apt-get -s --no-install-recommends install " + " ".join(map(shlex.quote, names))
    return (
        f"new=$({simulated} | awk '$1 == \"Inst\" && $3 !~ /^\\[/ {{print $2}}')\n"
        f"( set -- {shlex.quote(STATE)} {shlex.quote(chapter)} brought $new\n{_joined()}\n)\n"
    )


def words(things: Iterable[str]) -> list[str]:
    """The things as arguments, kind and name each. ValueError for a name that a note cannot hold."""
    found: list[str] = []
    for thing in things:
        if not _THING.fullmatch(thing):
            raise ValueError(f"no thing that can be noted: {thing!r}")
        found.extend(thing.split(" "))
    return found
