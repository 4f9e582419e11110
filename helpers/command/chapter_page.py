"""A chapter's page of the site: the executed notebook, without what only the machine needs to know."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers.command import record
from helpers.command.pages import literal, when
from helpers.command.progress import checks_held
from helpers.command.record import ArtifactUse, ChapterRun, Run

Cell = dict[str, Any]


def page(notebook: Path, below_title: str) -> str:
    """The notebook's JSON as the site shows it. What papermill noted about the run (times, paths) is left out."""
    content = json.loads(notebook.read_text("utf-8"))
    content["metadata"].pop("papermill", None)
    # papermill's own notes of an exception: the line below the title and the cell itself say it.
    cells: list[Cell] = [cell for cell in content["cells"] if "papermill-error-cell-tag" not in _tags(cell)]
    content["cells"] = cells
    for cell in cells:
        _clean(cell)
    _show_values(cells)
    title, _, rest = "".join(cells[0]["source"]).partition("\n")
    cells[0]["source"] = f"{title}\n\n{below_title}\n{rest}"
    return json.dumps(content, indent=1, ensure_ascii=False)


def _tags(cell: Cell) -> list[str]:
    return cell["metadata"].get("tags", [])


def _clean(cell: Cell) -> None:
    cell["metadata"].pop("papermill", None)
    cell["metadata"].pop("execution", None)
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            data["text/html"] = plain_marks("".join(data["text/html"]))


def _show_values(cells: list[Cell]) -> None:
    """papermill's cell of values is hidden: the parameters cell shows them."""
    used: dict[str, Any] = {}
    for cell in cells:
        if "injected-parameters" in _tags(cell):
            used = {name: value for name, value, _ in _assignments("".join(cell["source"]))}
            _tags(cell).append("remove-cell")
    for cell in cells:
        if "parameters" in _tags(cell):
            cell["source"] = with_values("".join(cell["source"]), used)


def _assignments(source: str) -> Iterator[tuple[str, Any, ast.Assign]]:
    """(name, value, node) of plain assignments."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, ast.literal_eval(node.value), node


def with_values(source: str, used: Mapping[str, Any]) -> str:
    """The parameters cell with the values of the run in it, in place of papermill's second cell; its comments stay."""
    lines = source.split("\n")
    for name, default, node in _assignments(source):
        value = used.get(name, default)
        if value != default and node.lineno == node.end_lineno:
            lines[node.lineno - 1] = _with_value(lines[node.lineno - 1], node, name, value)
    return "\n".join(lines)


def _with_value(line: str, node: ast.Assign, name: str, value: Any) -> str:
    comment = line[node.end_col_offset :].strip()
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list)) else repr(value)
    note = f"default: {line[node.value.col_offset : node.end_col_offset]}"
    return "{:<32} {}".format(f"{name} = {shown}", f"{comment} ({note})" if comment else "# " + note)


def plain_marks(markup: str) -> str:
    """‹text› of a cell's output as a dotted line, which says the same and is easier to read."""
    markup = re.sub('(<span style="color:)#57606a(">)‹✓›', r"\1#1a7f37\2✓", markup).replace("‹-›", "-")
    return re.sub("‹([^‹›]*)›", r'<span class="varies" title="may differ from run to run">\1</span>', markup)


def last_run(c: ChapterRun | None, run: Run | None) -> str:
    """The line below a chapter's title: how it went the last time."""
    kind, text = "none", "Not run yet: this page has no outputs."
    if c and run and c.state == "removed":
        text = f"Removed from `{run.target_of(c)}`: this page has no outputs."
    elif c and run and c.state in record.BAD:
        kind, text = "failed", _failure(c, run)
    elif c and run and c.notebook:
        words = [
            f"Last verified {when(c.verified)} UTC on `{run.target_of(c)}`",
            _held(c),
            *map(_stands_in, c.artifacts),
        ]
        kind, text = "ok", " · ".join(filter(None, words))
    return f"```{{div}} last-run {kind}\n{text}\n```\n"


def _failure(c: ChapterRun, run: Run) -> str:
    reason = re.sub("^error +((install|verify|remove): )?", "", c.reason or "no reason is known")
    reason = literal(reason.rstrip("."))
    mode = c.parameters.get("mode", run.mode)
    state = c.state.capitalize()
    return f"**{state}** on `{run.target_of(c)}` in mode {mode}: {reason}. [Status](../book/status.md) has the rest."


def _held(c: ChapterRun) -> str:
    held, comma, rest = checks_held(c).partition(", ")
    return f"{held} checks hold{comma}{rest}" if held else ""


def _stands_in(a: ArtifactUse) -> str:
    return f"{a.name}: {a.fidelity if a.program in ('', a.name) else f'{literal(a.program)} stands in, {a.fidelity}'}"
