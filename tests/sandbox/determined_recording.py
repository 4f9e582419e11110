"""Owns the form of tests/recordings/determined.md: what was asked of a real master and what it answered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

RECORDING = Path(__file__).resolve().parent.parent / "recordings" / "determined.md"
ON_KUBERNETES = RECORDING.with_name("determined-kubernetes.md")


@dataclass
class Exchange:
    title: str
    method: str
    path: str
    auth: str = ""  # "Bearer <TOKEN:admin>", "auth=<TOKEN:determined>" (a cookie) or what was sent as it is
    body: str = ""
    status: int = 0
    headers: dict = field(default_factory=dict)
    answer: str = ""


def exchanges() -> list[Exchange]:
    """The HTTP transcript, in its order."""
    text = RECORDING.read_text().split("## HTTP transcript\n")[1].split("\n## ")[0]
    found = []
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        title, *lines = section.splitlines()
        one = None
        for line in lines:
            if line.startswith("> "):
                asked = re.match(r"> ([A-Z]+) (\S+) (?:\((.*?)\) ?)?(.*)$", line)
                one = Exchange(title, asked[1], asked[2], asked[3] or "", asked[4])
            elif status := re.match(r"< (\d{3}) ?(\[\[.*\]\])?$", line):
                one.status, one.headers = int(status[1]), dict(json.loads(status[2] or "[]"))
            elif line.startswith("< "):
                one.answer = line[2:]
        found.append(one)
    return found


def shape(text: str) -> list[tuple[str, str]]:
    """(path, kind of value) of each value of a JSON text, as far as the text goes: recordings are cut.

    A list counts by its first element, an id among the keys as one.
    """
    scanner, reader, at = re.compile(r'\s*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)'), _Shape(), 0
    while token := scanner.match(text, at):
        at = token.end()
        reader.read(token[1], at == len(text))
    return [(path, kind) for path, kind in reader.found if "…" not in path]


@dataclass
class _Level:
    """An object or a list that is open. at: the key or the number of the value that comes next."""

    path: str
    kind: str
    at: str | int | None


class _Shape:
    """Reads JSON word by word, for no parser takes a text that was cut. found: (path, kind) of each value."""

    def __init__(self):
        self.found, self.open = [], []

    def read(self, word: str, last: bool):
        """last: the text ends here, and the word may be a part only."""
        if word in ("{", "["):
            path = self._note({"{": "object", "[": "list"}[word])
            self.open.append(_Level(path, word, None if word == "{" else 0))
        elif word in ("}", "]"):
            self.open.pop()
        elif word == ",":
            level = self.open[-1]
            level.at = None if level.kind == "{" else level.at + 1
        elif self.open and self.open[-1].at is None:
            self.open[-1].at = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", word.strip('"'))
        elif word != ":" and (not last or not self.open or re.fullmatch('".*"', word, re.S)):
            self._note(_kind(word))

    def _note(self, kind: str) -> str:
        """Note a value of this kind; returns its path. What is behind a list's first element has … in it."""
        path = ""
        if self.open:
            level = self.open[-1]
            path = level.path + (f".{level.at}" if level.kind == "{" else "[]" if level.at == 0 else "[…]")
        self.found.append((path, kind))
        return path


def _kind(word: str) -> str:
    if word[0] == '"':
        return "text"
    return {"null": "null", "true": "flag", "false": "flag"}.get(word, "number")


def cut(text: str) -> bool:
    """Was this answer written down in part only?"""
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


#: Texts that differ from server to server: compared by their form only.
_VARYING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z|\((?:[a-z]+-){2}[a-z]+\)|v2\.public\.[\w.-]+|<TOKEN>"
)


def _plain(value):
    """The value with what varies taken out."""
    if isinstance(value, dict):
        return {_VARYING.sub("*", key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return _VARYING.sub("*", value) if isinstance(value, str) else value


def differences(recorded: Exchange, status: int, headers: dict, answer: str) -> list[str]:
    """What a client could notice, one short line each."""
    found = []
    if status != recorded.status:
        found.append(f"status: {status}, Determined {recorded.status}")
    lower = {name.lower(): value for name, value in headers.items()}
    for name, value in recorded.headers.items():
        ours, theirs = (
            re.sub(
                r"v2\.public\.[\w.-]+|<TOKEN>",
                "*",
                re.sub(r"\w{3}, \d\d \w{3} (?!1970)\d{4} [\d:]+ GMT", "<time>", text),
            )
            for text in (lower.get(name.lower(), "none"), value)
        )
        if ours != theirs:
            found.append(f"header {name}: {ours}, Determined {theirs}")
    if not recorded.answer:
        if answer.strip() and recorded.method != "HEAD":
            found.append(f"body: {answer[:80]}, Determined none")
        return found
    if not cut(recorded.answer):
        try:
            ours = json.loads(answer)
        except ValueError:
            return [*found, f"body: not JSON: {answer[:80]}"]
        if _plain(ours) != _plain(json.loads(recorded.answer)):
            found.append(f"body: {answer.strip()[:300]}, Determined {recorded.answer[:300]}")
        return found
    theirs = shape(recorded.answer)
    ours = shape(answer)[: len(theirs)]
    if ours != theirs:
        place = next((i for i, pair in enumerate(theirs) if i >= len(ours) or ours[i] != pair), 0)
        found.append(f"body shape at {place}: {ours[place : place + 1]}, Determined {theirs[place]}")
    return found


def refusals() -> dict[str, list[str]]:
    """{what a task asked for: the errors that the master found in it}, sorted as its answer has them."""
    text = ON_KUBERNETES.read_text().split("```\n")[1]
    cases = re.findall(r"^(\S.*?)(?: \(seen\))?\n((?:  .*\n)+)", text, flags=re.M)
    return {title: sorted(line[2:] for line in errors.splitlines()) for title, errors in cases}


def most_of_a_request() -> int:
    """The bytes that /api/v1 takes."""
    return int(re.search(r"^/api/v1 takes ([\d,]+) bytes", ON_KUBERNETES.read_text(), re.M)[1].replace(",", ""))


def signs_of_a_password() -> tuple[list[str], list[str]]:
    """(those that a password of the database may have beside letters and digits, those that it may not)."""
    text = ON_KUBERNETES.read_text()
    may = re.search(r"letters, digits and (.*) alone", text)[1].split()
    return may, [*re.search(r"^With one of (.*) or a % the URL", text, re.M)[1].split(), "%"]


def without_its_database() -> list[tuple[str, int, dict]]:
    """[(what was asked with a good token while the database was down, the status, the answer)], in their order."""
    text = RECORDING.read_text().split("valid token with the database down:\n")[1].split("database back, try 1")[0]
    asked = re.findall(r"^(\{.*\})\n \[(\d+) \S+s\] (?:legacy )?(\S+)$", text, flags=re.M)
    return [
        (path if path[0] == "/" else "/api/v1/" + path, int(status), json.loads(said)) for said, status, path in asked
    ]


def busy_port() -> tuple[str, int]:
    """(the error in the log of a master on another one's port, the exit code)."""
    error, code = re.search(
        r"^##### busy port.*?^ERRO\[\S+\] (.*?) *\nexit=(\d+)$", RECORDING.read_text(), flags=re.M | re.S
    ).groups()
    return error, int(code)
