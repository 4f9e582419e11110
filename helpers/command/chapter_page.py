"""A chapter's page of the site: the executed notebook, without what only the machine needs to know."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.command import record, targets
from helpers.command.markdown import literal, table, when
from helpers.command.progress import checks_held
from helpers.command.record import ChapterRun, Run
from helpers.command.status_page import fidelity, version
from helpers.core.notebooks import Notebook
from helpers.core.parameters import Parameter

Cell = dict[str, Any]


def page(notebook: Path, below_title: str, parameters: str = "") -> str:
    """The notebook's JSON as the site shows it. What papermill noted about the run (times, paths) is left out.

    below_title, parameters: Markdown below the title, and above the parameters cell, which is then folded.
    """
    content = json.loads(notebook.read_text("utf-8"))
    content["metadata"].pop("papermill", None)
    # papermill's own notes of an exception: the line below the title and the cell itself say it.
    cells: list[Cell] = [cell for cell in content["cells"] if "papermill-error-cell-tag" not in _tags(cell)]
    for cell in cells:
        _clean(cell)
    _show_values(cells)
    title, _, rest = "".join(cells[0]["source"]).partition("\n")
    cells[0]["source"] = f"{title}\n\n{below_title}\n{rest}"
    content["cells"] = [*_with_table(cells, parameters)]
    return json.dumps(content, indent=1, ensure_ascii=False)


def _with_table(cells: list[Cell], table: str) -> Iterator[Cell]:
    for cell in cells:
        if table and "parameters" in _tags(cell):
            yield {"cell_type": "markdown", "metadata": {}, "id": "parameters-table", "source": table}
            _tags(cell).append("hide-input")
        yield cell


def parameters(n: Notebook, c: ChapterRun | None) -> str:
    """The chapter's parameters as a table, with the values of the run."""
    used = {**{p.name: p.default for p in n.parameters.values()}, **(c.parameters if c else {})}
    rows = [_parameter(p, used[p.name]) for p in n.parameters.values() if p.name not in ("target", "mode")]
    return table(["parameter", "here", "what it is"], rows)


def _parameter(p: Parameter, value: Any) -> list[str]:
    shown = _code(value) + ("" if value == p.default else f" (default {_code(p.default)})")
    return [f"`{p.name}`", shown, literal(p.help)]


def _code(value: Any) -> str:
    text = value if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("``", "` `")


def command(n: Notebook, c: ChapterRun | None) -> str:
    """What makes this page again: the chapter by itself, with all that is not as the notebook has it."""
    used = c.parameters if c else {}
    where, own = targets.apart(n, used)
    words = ["./runbook", "up"]
    if any(target != targets.default(host) for host, target in where.named.items()):
        words += where.words(where.named).split()
    words += ["--only", n.id]
    if used.get("mode", "install") != "install":
        words += ["--mode", used["mode"]]
    known = n.parameters
    pairs = [f"{n.id}.{p}={_word(value)}" for p, value in own.items() if p in known and value != known[p].default]
    return shlex.join([*words, *(word for pair in pairs for word in ("-p", pair))])


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


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


def again(n: Notebook, c: ChapterRun | None) -> str:
    """The command of this page, below the badges."""
    return f"```bash\n{command(n, c)}\n```\n"


def last_run(c: ChapterRun | None, run: Run | None, before: Sequence[Run] = ()) -> str:
    """The badges below a chapter's title: how it went the last time. before: older runs, for how long it took."""
    kind, text = "none", "Not run yet: this page has no outputs."
    if c and run and c.state == "removed":
        text = f"Removed from `{run.target_of(c)}`: this page has no outputs."
    elif c and run and c.state in record.BAD:
        kind, text = "failed", _failure(c, run)
    elif c and run and c.notebook:
        kind, text = "ok badges", " ".join(_badges(c, run, before))
    return f"```{{div}} last-run {kind}\n{text}\n```\n"


def _badges(c: ChapterRun, run: Run, before: Sequence[Run]) -> Iterator[str]:
    yield _badge("verified", f"{when(c.verified)} UTC")
    yield _badge("on", literal(run.target_of(c)))
    if held(c):
        yield _badge("checks", held(c))
    for mode, seconds in took(c.id, [run, *before]).items():
        yield _badge(mode, f"{seconds:.0f} s")
    for program, found in sorted(c.versions.items()):
        yield _badge("runs", version(program, found))
    yield _badge("fidelity", fidelity(c), fidelity(c).split()[0])


def _badge(name: str, value: str, kind: str = "") -> str:
    return f"[[{name}]{{.badge-name}} {value}]{{.badge {'.is-' + kind if kind else ''}}}".replace(" }", "}")


def took(chapter: str, newest_first: Iterable[Run]) -> dict[str, float]:
    """{mode: seconds} of the last time that the chapter went through in each of the modes install and verify."""
    found: dict[str, float] = {}
    for run in newest_first:
        c = run.chapters.get(chapter)
        if c and c.run == run.id and c.state == "ok" and run.mode in ("install", "verify"):
            found.setdefault(run.mode, c.seconds)
    return dict(sorted(found.items()))


def _failure(c: ChapterRun, run: Run) -> str:
    reason = re.sub("^error +((install|verify|remove): )?", "", c.reason or "no reason is known")
    reason = literal(reason.rstrip("."))
    mode = c.parameters.get("mode", run.mode)
    state = c.state.capitalize()
    return f"**{state}** on `{run.target_of(c)}` in mode {mode}: {reason}. [Status](../book/status.md) has the rest."


def held(c: ChapterRun) -> str:
    """How many checks hold, as the badge says it."""
    good, comma, rest = checks_held(c).partition(", ")
    return f"{good} hold{comma}{rest}" if good else ""
