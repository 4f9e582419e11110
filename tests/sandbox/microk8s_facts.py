"""Owns the form of tests/recordings/microk8s-1.20.md: what the real command and add-ons do, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FACTS = Path(__file__).resolve().parent.parent / "recordings" / "microk8s-1.20.md"


def rows() -> dict[tuple[str, str], str]:
    """Each row of a table, point of a list and line of text below a heading, by (heading, how it begins)."""
    found: dict[tuple[str, str], str] = {}
    heading, header = "", False
    for line in FACTS.read_text().splitlines():
        if line.startswith("#"):
            heading, header = line.split()[-1 if line.startswith("## The") else 1], True
        elif line.startswith("|--"):
            header = False
        elif line.startswith("|") and not header or line.startswith("- ") or (line and _told(heading, line)):
            found[heading, _first(line)] = line
    return found


def _told(heading: str, line: str) -> bool:
    """A line of text that is a fact."""
    return line[0] not in "|#" and heading in ("command", "Add-ons", "Times")


def _first(line: str) -> str:
    if line.startswith("|"):
        return line.split(" | ")[0].lstrip("| ")
    return re.split(r"[:.;,](?: |$)", line.lstrip("- "))[0]


ROWS = rows()
TESTED: dict[tuple[str, str], list[str]] = {}


def found(heading: str, first: str) -> tuple[str, str]:
    """The one row of a heading that begins so."""
    (key,) = [key for key in ROWS if key[0] == heading and (key[1] == first or key[1].startswith(first + " "))]
    return key


def row(*pairs: tuple[str, str]):
    """The test is of these rows, each (heading, how it begins): its id. Its argument `row` is the first one's text."""
    keys = [found(*pair) for pair in pairs]

    def mark(test):
        for key in keys:
            TESTED.setdefault(key, []).append(test.__name__)
        name = " and ".join(": ".join(pair) for pair in pairs)
        return pytest.mark.parametrize("row", [ROWS[keys[0]]], ids=[name])(test)

    return mark
