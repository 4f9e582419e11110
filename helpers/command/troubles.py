"""Troubleshooting: the rows of all chapters, and one for each error that the code can raise; a page, and `explain`."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import click

from helpers.command import raised
from helpers.command.base import examples, say
from helpers.command.markdown import literal, table
from helpers.core import notebooks, parameters, paths
from helpers.core.errors import BadInput
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO

PAGE = "book/troubleshooting.html"
Known = Mapping[str, Notebook]


class Row(NamedTuple):
    """One row. `id` is its address on the page; rows of one function's errors share it.

    chapter: whose it is. as_is: its texts are Markdown, written by a person.
    """

    id: str
    see: str
    because: str
    do: str
    chapter: Notebook | None = None
    as_is: bool = False

    @property
    def words(self) -> str:
        return " ".join([self.id, self.see, self.because, self.do]).casefold()


def load(known: Known) -> list[Row]:
    """All there are."""
    by_hand = [row for n in known.values() for row in [*of_entries(n), *of_preconditions(n)]]
    return by_hand + of_errors(known)


def of_entries(n: Notebook) -> list[Row]:
    """The rows of a chapter's own table."""
    return [Row(e.id, e.see, e.because, e.do, n, as_is=True) for e in n.entries.values()]


def of_preconditions(n: Notebook) -> list[Row]:
    """What must hold before a chapter touches anything, with what to do when it does not."""
    calls = [node for cell in n.code() for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
    required = [c for c in calls if ast.unparse(c.func) == "ch.require"]
    return [_precondition(n, call) for call in required]


def _precondition(n: Notebook, call: ast.Call) -> Row:
    do = raised.words(next(k.value for k in call.keywords if k.arg == "do"))
    do = do if _said([do]) else "The error itself says what to do."
    see = f"start chapter {n.id}: {raised.words(call.args[0])}"
    return Row(f"before-{n.id}", see, "it is not so", do, n)


def of_errors(known: Known) -> list[Row]:
    """One for each error in the code, with what troubles.toml adds where the code alone cannot say it."""
    added = tomllib.loads((REPO / "book" / "troubles.toml").read_text("utf-8"))
    return [_error(error, known, added.get(error.row, {})) for error in raised.load() if not _has_entry(error)]


def _has_entry(error: raised.Raised) -> bool:
    """It always names a chapter's row."""
    return bool(error.entry) and raised.SOME not in error.entry


def _error(error: raised.Raised, known: Known, added: Mapping[str, str]) -> Row:
    room = error.module.split(".")[2:3]
    chapter = known.get(room[0]) if error.module.startswith("helpers.components.") else None
    do = _said(error.do) or [added.get("do", "")]
    if error.proof and not any(do):
        do = [_PROOF.format(chapter.number, chapter.id) if chapter else _ANY_PROOF]
    see = " / ".join(error.what) or "wait"
    because = _said(error.saw) or [added.get("because", raised.SOME)]
    see = "expected " + see if error.proof and error.what else see
    return Row(error.row, see, "\n".join(because), "\n".join(do), chapter)


def _said(texts: list[str]) -> list[str]:
    """Those that say something."""
    return [text for text in texts if text.strip(raised.SOME + " \n")]


_PROOF = "The check that failed names a row of chapter {}. ./runbook up --only {} makes what is missing, and proves it."
_ANY_PROOF = "The check that failed names a row of its chapter. ./runbook up makes what is missing, and proves it."


# -- the page ----------------------------------------------------------------------------------------

OWN = """
## The runbook's own errors

Read from its code: each error, what it can have seen, and what it tells to do. … stands for what only the run knows.
Those of a chapter's proofs say *expected*.

"""
COLUMNS = ["entry", "you see", "because", "do"]


def page(known: Known) -> str:
    """All rows, each with an address: what stands below the prose of book/troubleshooting.md."""
    chapters = "".join(_of_chapter(n) for n in known.values() if n.entries)
    return chapters + OWN + table(COLUMNS, _cells(of_errors(known)))


def _of_chapter(n: Notebook) -> str:
    head = "\n## {} {}\n\nOf chapter [{}](../notebooks/{}).\n\n"
    cells = _cells([*of_entries(n), *of_preconditions(n)])
    return head.format(n.number, n.title.split(":")[0], n.title, n.path.name) + table(COLUMNS, cells)


def _cells(rows: Iterable[Row]) -> Iterator[list[str]]:
    seen: set[str] = set()
    for row in rows:
        address = f"`{row.id}`" if row.id in seen else f"[`{row.id}`]{{#{row.id}}}"
        seen.add(row.id)
        yield [address, *(text if row.as_is else _lines(text) for text in (row.see, row.because, row.do))]


def _lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "<br>".join(literal(line) for line in _said(lines) or lines[:1])


# -- the command -------------------------------------------------------------------------------------

MOST = 12


@click.command(
    epilog=examples("""
./runbook explain minio-refused          a row, by the name that an error gives
./runbook explain connection refused     all rows that have these words
""")
)
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
def explain(words: tuple[str, ...]) -> None:
    """Print the troubleshooting row of an error, by its name or by words of its message."""
    found = matching(load(notebooks.load_all()), " ".join(words))
    for row in found[:MOST]:
        _print(row)
    if len(found) > MOST:
        say(f"{len(found) - MOST} more have these words: give more of the message.")


def matching(rows: list[Row], text: str) -> list[Row]:
    """The rows of this id, else those that have all the words; BadInput when there are none."""
    words = text.casefold().split()
    found = [row for row in rows if row.id == text] or [row for row in rows if all(w in row.words for w in words)]
    if not found:
        near = parameters.nearest(text, [row.id for row in rows])
        do = near or "Give fewer words of the message, as it prints them; no numbers, names or paths of yours."
        raise BadInput(f"explain {text!r}", saw="no row has this name or all of these words", do=do)
    return found


def _print(row: Row) -> None:
    where = f"chapter {row.chapter.label}" if row.chapter else "the runbook itself"
    say(f"{row.id}  ({where})")
    for label, text in (("see", row.see), ("why", row.because), ("do", row.do), ("page", address(row.id))):
        indented = text.replace("<br>", "\n").replace("\n", "\n       ")
        say(f"{label:<6} {indented}")
    say("")


def address(row: str) -> str:
    """Where the site has it: a file's address when the site is built here."""
    built = paths.build() / "site" / "_build" / "html" / PAGE
    return f"{built.as_uri() if built.is_file() else PAGE}#{row}"
