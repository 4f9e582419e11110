"""Which secrets are installed on a host, by a salted hash of each that lies there: none is replaced unasked.

Secrets are made on the operator's machine, one set for each name of a host. A second operator, or a second name, has
other ones: an install would give every server new passwords, and the first one's would be good for nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from pathlib import Path
from typing import Callable

from helpers.core import notes, shell
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.host_lock import operator
from helpers.core.secrets import Secret, SecretStore, variable

#: set by `up --take-over`: this operator's secrets replace those that are installed
TAKE_OVER = "RUNBOOK_TAKE_OVER"
_SCRIPT = Path(__file__).with_name("scripts") / "secrets.sh"


class InstalledSecrets:
    """The secrets of one chapter: got, noted on the host as they are installed, forgotten at remove."""

    def __init__(self, host: Host, ask: Callable[[str], tuple[bool, str]], store: SecretStore, installing: bool):
        self.host, self.ask, self.store, self.installing = host, ask, store, installing
        self._there: dict[str, str] | None = None
        self._new: list[str] = []  # that are not noted yet
        self._mine: list[str] = []

    def get(self, name: str, mine: bool, guarded: bool) -> Secret:
        """See Chapter.secret. BadInput when the host has another one."""
        if self.installing and guarded:
            self._admit(name, mine)
        if mine:
            self.forgets(name)
        return self.store.get(name)

    def forgets(self, name: str) -> None:
        if name not in self._mine:
            self._mine.append(name)

    def _admit(self, name: str, mine: bool) -> None:
        noted, ours = self._noted().get(name), self.store.find(name)
        fits = bool(noted and ours and noted.startswith(_hash(ours.reveal(), noted.partition(" ")[0])))
        if noted and not fits and not os.environ.get(TAKE_OVER):
            raise self._refused(name, noted, ours)
        if mine and not fits and name not in self._new:
            self._new.append(name)

    def _noted(self) -> dict[str, str]:
        if self._there is None:
            ok, said = self.ask(self._script("list"))
            if not ok:
                raise RunbookError("see which secrets are installed", self.host.name, said, "Run again.")
            lines = [line.split(" ", 2) for line in said.splitlines() if line.startswith("installed ")]
            self._there = {line[1]: line[2] for line in lines if len(line) == 3}
        return self._there

    def _refused(self, name: str, noted: str, ours: Secret | None) -> BadInput:
        since, _, who = noted.partition(" ")[2].partition(" ")[2].partition(" ")
        has = "this machine has another one for this target" if ours else "this machine has none for this target"
        saw = f"the host has one that {who} installed on {since}; {has}"
        do = (
            "A new one would lock out all that uses the old one. Take that one: ./runbook secrets "
            f"{name} shows it there; here: {variable(name)}=... ./runbook up\n"
            "Or replace it for good: ./runbook up --take-over. Chapters that use it must then be installed again, too."
        )
        return BadInput(f"use the secret {name}", self.host.name, saw, do)

    def note(self) -> None:
        """On the host, before the first change and after the last: these are the ones that are installed."""
        lines = {name: _line(self.store.get(name).reveal()) for name in self._new}
        if lines:
            words = [word for pair in lines.items() for word in pair]
            self.host.run(self._script("note", *words), quiet=True, what="note which secrets are installed")
            self._noted().update(lines)
            self._new = []

    def forget(self) -> None:
        """At remove; on the host first: a hash without its secret would be in the way of the next install."""
        if self._mine:
            self.host.run(self._script("forget", *self._mine), quiet=True, what="forget which secrets were installed")
        for name in self._mine:
            self.store.forget(name)

    def _script(self, *words: str) -> str:
        return shell.script(_SCRIPT, notes.STATE, *words)


def _line(value: str) -> str:
    """Salt, hash, date, operator."""
    return f"{_hash(value, os.urandom(8).hex())} {datetime.date.today()} {operator()}"


def _hash(value: str, salt: str) -> str:
    return f"{salt} {hashlib.pbkdf2_hmac('sha256', value.encode(), salt.encode(), 20000).hex()}"
