"""Owns the form of tests/recordings/minio.md: what was asked of the real server and what it answered."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

RECORDING = Path(__file__).resolve().parent.parent / "recordings" / "minio.md"

#: On every answer; the recording says so once and leaves them out of each.
ON_EVERY_ANSWER = {
    "server": "MinIO",
    "accept-ranges": "bytes",
    "vary": "Origin",
    "content-security-policy": "block-all-mixed-content",
    "x-xss-protection": "1; mode=block",
}
_LEFT_OUT = set(ON_EVERY_ANSWER) | {"x-amz-request-id", "date", "content-length"}


@dataclass
class Exchange:
    method: str
    path: str  # without the query: it holds signatures
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: str = ""

    @property
    def asked(self) -> str:
        return f"{self.method} {self.path}"


def exchanges() -> dict[str, list[Exchange]]:
    """The wire transcript, by the heading of each case."""
    cases: dict[str, list[Exchange]] = {}
    text = RECORDING.read_text().split("## Client and wire transcript")[1].split("## Start-up transcripts")[0]
    for section in text.split("\n### ")[1:]:
        title, *lines = section.splitlines()
        case = cases.setdefault(title, [])
        for line in lines:
            if match := re.match(r"> ([A-Z]+) (\S+)", line):
                case.append(Exchange(match[1], match[2].split("?")[0]))
            elif match := re.match(r"< (\d{3}) (\{.*\})$", line):
                case[-1].status = int(match[1])
                case[-1].headers = {name.lower(): value for name, value in json.loads(match[2]).items()}
            elif line.startswith("< "):
                # One long body lost its last character when it was written down.
                body = line[2:].replace("\\n", "\n")
                case[-1].body = body + ">" if body.startswith("<?xml") and not body.endswith(">") else body
            elif match := re.match(r"= returns \(20\d, (b'.*')\)$", line):
                case[-1].body = ast.literal_eval(match[1]).decode()  # bodies read as a stream were noted here only
    return cases


def admin_answers() -> dict[str, tuple[str, str]]:
    """What the admin API answered, by the heading of each case: (status and Content-Type, body) as they stand there.

    Where S3 was asked with a user's key: ("", what the client made of it).
    """
    found = {}
    for section in RECORDING.read_text().split("\n# Admin API")[1].split("\n### ")[1:]:
        title, *lines = section.splitlines()
        answers = [line[2:] for line in lines if line.startswith("< ")]
        said = next((line[2:] for line in lines if line.startswith("= ")), "")
        if len(answers) > 1 and "encrypted" in answers[1]:
            answers[1] = said
        if answers:
            status, _, headers = answers[0].partition(" ")
            kind = json.loads(headers).get("Content-Type", "").split(";")[0]
            found[title] = (f"{status} {kind}".strip(), answers[1])
        else:
            found[title] = ("", said)
    return found


@dataclass
class Start:
    code: int
    stdout: str


def starts() -> dict[str, Start]:
    """What the program printed and ended with, by the name of each way it was started. 124: it ran until stopped."""
    text = RECORDING.read_text().split("## Start-up transcripts")[1]
    found = {}
    for name, code, stdout in re.findall(r"^##### ([^\n]+)\nexit=(\d+)\n--stdout\n(.*?)--stderr", text, re.S | re.M):
        found[name] = Start(int(code), stdout)
    return found


def differences(recorded: Exchange, seen: Exchange) -> list[str]:
    """What a client could notice, one short line each; ids and times count by their form only."""
    found = []
    if recorded.status != seen.status:
        found.append(f"status: {seen.status}, MinIO {recorded.status}")
    ours = {name.lower(): value for name, value in seen.headers.items() if name.lower() not in _LEFT_OUT}
    for name in sorted(set(ours) | set(recorded.headers)):
        a, b = _form(name, ours.get(name)), _form(name, recorded.headers.get(name))
        if a != b:
            found.append(f"header {name}: {a}, MinIO {b}")
    a, b = _flat(seen.body), _flat(recorded.body)
    for where in sorted({where for where, _ in (a - b) + (b - a)}):
        left, right = ([text for w, text in sorted(x.elements()) if w == where] for x in (a, b))
        found.append(f"body {where}: {left}, MinIO {right}")
    return found


def _form(name: str, value):
    if value is not None and name.lower() in ("last-modified", "lastmodified", "creationdate"):
        return re.sub(r"[A-Za-z]{3}\b", "Xxx", re.sub(r"\d", "9", value))
    return value


def _flat(body: str) -> Counter:
    if not body.lstrip().startswith("<?xml"):
        return Counter({("", body): 1}) if body else Counter()
    flat: Counter = Counter()

    def walk(element, where):
        tag = re.sub(r"^\{.*\}", "", element.tag)
        where = f"{where}/{tag}" if where else element.tag
        text = "an id" if tag in ("RequestId", "HostId") else _form(tag, element.text or "")
        flat[(where, text)] += 1
        for child in element:
            walk(child, where)

    walk(ElementTree.fromstring(body), "")
    return flat
