"""Owns the form of tests/recordings/determined.md: what was asked of a real master and what it answered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

RECORDING = Path(__file__).resolve().parent.parent / "recordings" / "determined.md"


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
    """(path, kind of value) of each value of a JSON text, as far as the text goes: recordings are cut after some hundred characters.

    A list counts by its first element, an id among the keys as one.
    """
    scanner, found, at = re.compile(r'\s*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)'), [], 0
    stack: list[list] = []  # [path, kind, key or number]

    def note(kind: str):
        if not stack:
            found.append(("", kind))
        elif stack[-1][1] == "{":
            found.append((f"{stack[-1][0]}.{stack[-1][2]}", kind))
        elif stack[-1][2] == 0:
            found.append((f"{stack[-1][0]}[]", kind))

    while token := scanner.match(text, at):
        word, at = token[1], token.end()
        if word in "{[":
            note({"{": "object", "[": "list"}[word])
            path = (
                ""
                if not stack
                else f"{stack[-1][0]}.{stack[-1][2]}"
                if stack[-1][1] == "{"
                else f"{stack[-1][0]}[{'' if stack[-1][2] == 0 else '…'}]"
            )
            stack.append([path, word, None if word == "{" else 0])
        elif word in "}]":
            stack.pop()
        elif word == ",":
            stack[-1][2] = None if stack[-1][1] == "{" else stack[-1][2] + 1
        elif word == ":":
            pass
        elif stack and stack[-1][1] == "{" and stack[-1][2] is None:
            stack[-1][2] = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", word.strip('"'))
        elif at < len(text) or word[0] == '"' and len(word) > 1 and word[-1] == '"' or not stack:
            note(
                "text"
                if word[0] == '"'
                else "null"
                if word == "null"
                else "flag"
                if word in ("true", "false")
                else "number"
            )
    return [(path, kind) for path, kind in found if "…" not in path]


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
