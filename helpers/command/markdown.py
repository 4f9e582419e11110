"""Markdown of pages that are made: tables, and texts of others as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable


def rows(cells: Iterable[Iterable[object]]) -> str:
    """Lines of a table."""
    escaped = [[re.sub(r"(?<!\\)\|", r"\\|", str(cell)).replace("\n", " ") for cell in row] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in escaped)


def table(headers: list[str], cells: Iterable[Iterable[object]]) -> str:
    return rows([headers, ["---"] * len(headers), *cells]) + "\n"


def literal(text: str) -> str:
    """A text of a server's or a program's as Markdown that shows it as it is, on one line: no tag, no link, no role."""
    return re.sub(r"([\\`*_{}\[\]<>$&#~|@!^])", r"\\\1", " ".join(text.split()))


def when(time: str) -> str:
    """An ISO 8601 time in UTC, as people write it."""
    return time[:16].replace("T", " ") if time else ""


def raw_html(markup: str) -> str:
    """HTML as it is, as a block of Markdown."""
    return f"```{{raw}} html\n{markup}\n```\n"
