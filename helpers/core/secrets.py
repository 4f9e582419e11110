"""Secrets: made once per target, kept in one 0600 file, masked in every stream."""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import secrets as _random
import stat
import sys
from pathlib import Path
from typing import ContextManager, Iterable, TextIO

from helpers.core import files
from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import REPO, home

MASK = "*****"

#: what a person may give: long enough to be masked, and nothing that a shell, SQL or a settings file interprets
_GIVEN = r"[A-Za-z0-9!#%()*+,./:;=?@^_{|}~\[\]-]{8,}"


#: below the repository: what the runbook itself writes into commands, files and pages
_OWN_TEXTS = ("helpers/core", "helpers/components", "notebooks", "setup/catalogue.toml")


@functools.lru_cache(maxsize=None)
def _own_texts() -> str:
    paths = [path for name in _OWN_TEXTS for path in [REPO / name, *(REPO / name).rglob("*")]]
    return "\n".join(p.read_text("utf-8", "replace") for p in sorted(paths) if p.is_file() and p.suffix != ".pyc")


def _why_no_secret(value: str) -> str | None:
    """None when a value can be a secret of a person's; else why not, without the value."""
    if not re.fullmatch(_GIVEN, value):
        return "is shorter than 8 characters, or has a space, a quote, or one of $ & < > \\ `"
    # Masked, it would stand as ***** all over, and commands with it are "a secret in a command line".
    return "is a word of the runbook's own commands and texts" if value in _own_texts() else None


class Secret:
    """A named secret. Printing it never shows the value; `.reveal()` does, for a client library only."""

    def __init__(self, name: str, value: str):
        self.name, self._value = name, value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"<secret {self.name}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        # In text for a file, f"{secret}" leaves this mark; the value is put in as the file is sent.
        return "{{secret:" + self.name + "}}"


def variable(name: str) -> str:
    """The variable of the environment that gives this secret."""
    return "RUNBOOK_SECRET_" + name.upper().replace("-", "_")


class SecretStore:
    """The secrets of one target: HOME/secrets/<target>.json, or the environment.

    A variable RUNBOOK_SECRET_<NAME> (upper case, - as _) wins over the file and is not stored. Such a value has 8
    characters or more, none of which a shell, SQL or a settings file would interpret, and is no word of the runbook's
    own; BadInput otherwise.
    """

    def __init__(self, slug: str):
        self.path = home("secrets") / (slug + ".json")

    def _locked(self) -> ContextManager[TextIO]:
        return files.lock(home("locks") / (self.path.name + ".lock"))

    def _read(self) -> dict[str, str]:
        try:
            _shut(self.path.parent, 0o700)
            _shut(self.path, 0o600)
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise RunbookError(
                "read the secrets of this target",
                saw=f"{self.path} is not JSON",
                do="Restore the file from a backup, or move it away and run `--mode remove`, then `up`.",
            ) from None

    def _write(self, known: dict[str, str]) -> None:
        files.write_whole(self.path, json.dumps(known, indent=1, sort_keys=True))

    def get(self, name: str) -> Secret:
        """The secret of that name; 32 random URL-safe characters are made and stored when it is new."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
            raise ValueError("a secret's name is lower case letters, digits, - and _: " + name)
        named = variable(name)
        given = os.environ.get(named)
        if given:
            why = _why_no_secret(given)
            if why:
                raise BadInput(
                    f"take the secret {name} from the environment",
                    saw=f"{named} {why}",
                    do="Choose another value; openssl rand -hex 16 makes a good one.",
                )
            return Secret(name, given)
        with self._locked():
            known = self._read()
            if name not in known:
                known[name] = _random.token_hex(16)
                self._write(known)
        return Secret(name, known[name])

    def find(self, name: str) -> Secret | None:
        """The secret of that name, or None: nothing is made."""
        return self.get(name) if name in self._read() or os.environ.get(variable(name)) else None

    def keep(self, name: str, value: str) -> None:
        """Store a secret that a server made."""
        with self._locked():
            known = self._read()
            known[name] = value
            self._write(known)

    def forget(self, name: str) -> None:
        with self._locked():
            known = self._read()
            if known.pop(name, None) is not None:
                if known:
                    self._write(known)
                else:
                    self.path.unlink()

    def forget_all(self) -> None:
        """For a target that is no more."""
        with self._locked():
            if self.path.exists():
                self.path.unlink()

    def names(self) -> list[str]:
        """Names of the stored secrets, sorted."""
        return sorted(self._read())

    def values(self) -> list[str]:
        """All values known for this target, stored ones and those in the environment that get() would take."""
        # Others are no secrets of anybody's: masked, one like "http" would take every address apart.
        env = [v for k, v in os.environ.items() if k.startswith("RUNBOOK_SECRET_") and _why_no_secret(v) is None]
        return list(self._read().values()) + env


def _shut(path: Path, mode: int) -> None:
    """Give others no right to it, as after a restore from a backup, and say so. RunbookError when that cannot be."""
    found = stat.S_IMODE(path.stat().st_mode)
    if not found & 0o077:
        return
    try:
        path.chmod(mode)
    except OSError as e:
        do = f"Let its owner set it: chmod {mode:o} {path}"
        raise RunbookError(
            "read the secrets of this target", saw=f"{path} is open to others ({found:o}): {e}", do=do
        ) from e
    print(
        f"{path} was open to others ({found:o}), and is {mode:o} now. Who read it knows the passwords.", file=sys.stderr
    )


#: so many characters of a base64 text at a line's end, or at the next one's beginning, are a secret's
_PART = 8


class Masker:
    """Replaces every known secret in whatever leaves the program.

    Also in base64 of either alphabet (inside of longer text, wrapped to lines of any width), in hexadecimal, and quoted
    for a URL by whatever library, which differ in what they quote and in the case of %2F.
    """

    def __init__(self, values: Iterable[str] = ()):
        self._values: set[str] = set()
        self._forms: list[str] = []  # the longest first: one may be a part of another
        self._quoted: list[re.Pattern[str]] = []
        self._parts: dict[
            str, list[tuple[str, int]]
        ] = {}  # _PART characters: the base64 texts that have them, and where
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        if len(value or "") < 4 or value in self._values:
            return
        self._values.add(value)
        raw, coded = value.encode(), _base64_forms(value.encode())
        forms = {value, base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), *coded}
        if len(raw) >= 8:
            forms |= {raw.hex(), raw.hex().upper()}
        if re.fullmatch("[0-9a-f]{32}", value):  # ours; of a person's it may be a word
            forms.add(value.upper())
        self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)
        self._quoted.append(re.compile("".join(map(_quoted_or_not, value))))
        for form in coded:
            for at in range(len(form) - _PART + 1):
                self._parts.setdefault(form[at : at + _PART], []).append((form, at))

    def mask(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        if "%" in text:
            for pattern in self._quoted:
                text = pattern.sub(MASK, text)
        return "".join(map(self._without_parts, text.splitlines(keepends=True)))

    def _without_parts(self, line: str) -> str:
        """A line without the end of a secret in base64 that began in the line before, and the beginning of one."""
        inner = line.strip(" \t\r\n\"'")
        for form, at in self._parts.get(inner[:_PART], ()):
            if inner.startswith(form[at:]) or form.startswith(inner, at):
                return line.replace(inner[: len(form) - at], MASK, 1)
        for form, at in self._parts.get(inner[-_PART:], ()):
            if inner.endswith(form[: at + _PART]):
                return MASK.join(line.rsplit(form[: at + _PART], 1))
        return line

    def holds_secret(self, text: str) -> bool:
        return any(form in text for form in self._forms) or any(p.search(text) for p in self._quoted if "%" in text)


def _quoted_or_not(character: str) -> str:
    """A pattern: a character as it is, or as a URL has it."""
    if re.fullmatch("[A-Za-z0-9]", character):
        return character
    quoted = "".join(f"%{byte:02x}" for byte in character.encode())
    return f"(?:{re.escape(character)}|(?i:{quoted}))"


def _base64_forms(raw: bytes) -> set[str]:
    """What of it is in any base64 text around it, in both alphabets; nothing for short ones."""
    found: set[str] = set()
    # In "user:secret" it starts at any of three places of a base64 group; its first and last characters mix with the
    # neighbours', the ones between are its own.
    for before in range(3) if len(raw) >= 8 else ():
        code = base64.b64encode(b"-" * before + raw).decode().rstrip("=")
        start, spare = (0, 2, 3)[before], (before + len(raw)) % 3
        own = code[start : len(code) - (1 if spare else 0)]
        found |= {own, own.replace("+", "-").replace("/", "_")}
    return found
