"""What differs between a recorded chapter and the same one replayed: drift, named by lines that a person reads."""

from __future__ import annotations

import difflib
import functools
import html
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from helpers.core.paths import SETUP

#: the one rule file: what may vary between two runs
RULES = SETUP / "nbval-sanitize.cfg"

#: A chapter's states: as it was; something is another than it was; it ended with an error before its verdict.
SAME, DRIFT, FAILED = "same", "drift", "failed"
_VERDICT = "Verdict"  # the error of a chapter that looked at all, and of which something does not hold


class Change(BaseModel):
    """Lines that a cell showed, and shows now."""

    where: str  # the heading above the cell, and the cell's number
    before: list[str] = []
    now: list[str] = []
    order: bool = False  # the same lines in another order

    def lines(self) -> list[str]:
        """As people read it."""
        head = ["the same lines in another order:"] if self.order else []
        return head + [f"- {line}" for line in self.before] + [f"+ {line}" for line in self.now]


class Cell(BaseModel):
    """A cell that was replayed. skipped: the chapter had ended with an error before it."""

    where: str
    seconds: float = 0.0
    changes: list[Change] = []
    error: str = ""
    skipped: bool = False


class ChapterDrift(BaseModel):
    """One chapter, compared. holds: each of its steps and checks does; then what changed can be accepted."""

    id: str
    number: str
    title: str
    target: str
    since: str  # the run whose outputs these were
    state: str = SAME
    holds: bool = True
    seconds: float = 0.0
    error: str = ""
    cells: list[Cell] = []

    @property
    def label(self) -> str:
        return f"{self.number} {self.id}"

    @property
    def changes(self) -> list[Change]:
        return [change for cell in self.cells for change in cell.changes]


def compare(found: ChapterDrift, recorded: Any, replayed: Sequence[dict[str, Any]]) -> ChapterDrift:
    """Fill in what differs. recorded: the notebook, as it was laid out; replayed: what nbval_plugin wrote."""
    results, ended = {cell["cell"]: cell for cell in replayed}, False
    for number, (heading, cell) in enumerate(_code_cells(recorded)):
        result = results.get(number)
        shown = Cell(where=f"{heading}, cell {number}", skipped=ended or result is None)
        found.cells.append(shown)
        if result and not ended:
            ended = _fill(found, shown, cell, result)
    _judge(found, not replayed)
    return found


def _code_cells(notebook: Any) -> Iterable[tuple[str, Any]]:
    """(the heading above it, the cell), of each cell with code, in order."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heads = re.findall(r"^#+ +(.+)$", cell.source, re.M)
            heading = heads[-1] if heads else heading
        elif cell.cell_type == "code":
            yield heading, cell


def _fill(found: ChapterDrift, shown: Cell, cell: Any, result: dict[str, Any]) -> bool:
    """Say of one cell what it gave. Returns whether the chapter ended here with an error."""
    shown.seconds = result.get("seconds", 0.0)
    verdict = result.get("ename") == _VERDICT or ".verdict(" in cell.source
    if result.get("differs") or result["error"]:
        named = " ".join(line for change in found.changes for line in (*change.before, *change.now))
        changes = _changes(shown.where, cell.outputs, result["now"])
        if verdict:
            changes = [_without(change, named) for change in changes]
        shown.changes = [change for change in changes if change.before or change.now]
        if not shown.changes and result.get("differs") and not (verdict and named):
            shown.changes = [Change(where=shown.where, now=["its form alone: what a page shows of it, not its words"])]
    if result["error"] and result.get("ename") == _VERDICT:
        found.holds = False
        shown.error = result["error"]
        return True
    if result["error"]:
        found.holds, found.state, found.error, shown.error = False, FAILED, result["error"], result["error"]
        shown.changes = []
    return bool(result["error"])


def _judge(found: ChapterDrift, nothing: bool) -> None:
    if nothing:
        found.state, found.holds = FAILED, False
        found.error = found.error or "nothing of it was replayed"
    elif found.state != FAILED and (found.changes or not found.holds):
        found.state = DRIFT
        if not found.changes:  # a verdict that says what no output said
            last = found.cells[-1]
            last.changes = [Change(where=last.where, now=last.error.splitlines())]


def _without(change: Change, named: str) -> Change:
    """The verdict's table says again what its chapter's cells said: those lines are left out, and its closing line."""

    def news(line: str) -> bool:
        words = re.split(r" {2,}", line.strip())
        title = next((after for kind, after in pairwise(words) if kind in ("step", "check")), line.strip())
        return title not in named and not line.startswith("✓ chapter ")

    before, now = filter(news, change.before), filter(news, change.now)
    return change.model_copy(update={"before": list(before), "now": list(now)})


def _changes(where: str, before: Sequence[Any], now: Sequence[Any]) -> list[Change]:
    """What differs, and apart from it each output of which only the lines' order does."""
    pairs = list(enumerate(zip(before, now, strict=True))) if len(before) == len(now) else []
    moved = [number for number, pair in pairs if _change(where, *([each] for each in pair)).order]
    rest = [[output for number, output in enumerate(outputs) if number not in moved] for outputs in (before, now)]
    return [_change(where, *rest), *(_change(where, [before[number]], [now[number]]) for number in moved)]


def _change(where: str, before: Sequence[Any], now: Sequence[Any]) -> Change:
    """The lines that differ: of the text, where that is the same of the page's."""
    for lines_of in (_text, _page):
        old, new = lines_of(before), lines_of(now)
        keys = [list(map(sanitized, lines)) for lines in (old, new)]
        if keys[0] != keys[1]:
            gone, come = _differing(old, new, *keys)
            moved = sorted(map(sanitized, gone)) == sorted(map(sanitized, come))
            return Change(where=where, before=gone, now=come, order=moved)
    return Change(where=where)


def _differing(
    old: Sequence[str], new: Sequence[str], before: Sequence[str], now: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Lines of old and of new that the other has not, told apart by their keys."""
    blocks = difflib.SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
    other = [block for block in blocks if block[0] != "equal"]
    gone = [line for _, begin, end, _, _ in other for line in old[begin:end]]
    return gone, [line for _, _, _, begin, end in other for line in new[begin:end]]


def _text(outputs: Sequence[Any]) -> list[str]:
    parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return [line.rstrip() for part in parts for line in _on_one_line(part).splitlines() if line.strip()]


def _page(outputs: Sequence[Any]) -> list[str]:
    pages = [re.sub(r"(?s)<!--varies-->.*?<!--/varies-->", "", o.get("data", {}).get("text/html", "")) for o in outputs]
    texts = [html.unescape(re.sub(r"<[^>]+>", "\n", page)) for page in pages]
    return [line.strip() for text in texts for line in _on_one_line(text).splitlines() if line.strip()]


def _on_one_line(text: str) -> str:
    """What varies may have several lines; here it is one."""
    return re.sub(r"‹[^›]*›", lambda marked: marked[0].replace("\n", " "), text)


def sanitized(line: str) -> str:
    """A line as nbval compares it, after the project's rules."""
    for regex, replacement in _rules().items():
        line = re.sub(regex, replacement, line)
    return line


@functools.cache
def _rules() -> dict[str, str]:
    plugin = import_module("nbval.plugin")  # with pytest: no other command waits for that
    return dict(plugin.get_sanitize_patterns(RULES.read_text()))
