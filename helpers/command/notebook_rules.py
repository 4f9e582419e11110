"""The rules of a chapter's notebook: each says in which cell it is broken, in which words, and what to do."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from helpers.command import targets
from helpers.core import catalogue, parameters
from helpers.core.errors import BadInput
from helpers.core.notebooks import Notebook

WIDTH = 100  # of a notebook's code, in its texts as well: a page's column holds no more
SCREEN = 60  # lines of a cell
SECTIONS = {"## Proof": "its checks", "## When it fails": "the table of entries", "## What next": "where to go on"}
_SECRET_NAME = re.compile("password|secret|token")
_SECRET = re.compile(r"(?im)(password|secret|token)\s*=\s*[\"'][^\"'{]+[\"']\s*$")
_ADDRESS = re.compile(r"https?://[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.I)
_VERSION = re.compile(r"(?<![\w.])v?\d+\.\d+\.\d+(?![\w.]*\.\d|\d)")
_SHELL = ("; do\n", "then\n", "done\n", "fi\n", "|| {")


class Cell(NamedTuple):
    """One cell. number: counted from 1, all kinds."""

    number: int
    kind: str
    text: str
    raw: dict[str, Any]

    @property
    def is_parameters(self) -> bool:
        return "parameters" in self.raw.get("metadata", {}).get("tags", [])


class Broken(NamedTuple):
    """Where a rule is broken. cell: 0 for the notebook as a whole."""

    cell: int
    what: str
    do: str


class Source:
    """A notebook that can be read, with what rules ask of it."""

    def __init__(self, path: Path, cells: list[Cell]):
        self.path, self.cells = path, cells
        self.notebook = Notebook(path)
        self.meta: dict[str, Any] = self.notebook.content["metadata"]
        self.code = [c for c in cells if c.kind == "code"]
        self.prose = [c for c in cells if c.kind == "markdown"]

    def nodes(self) -> Iterator[tuple[Cell, ast.AST]]:
        return ((cell, node) for cell in self.code for node in ast.walk(ast.parse(cell.text)))

    def checks(self) -> Iterator[tuple[Cell, ast.Call]]:
        """Its calls of ch.check."""
        for cell, node in self.nodes():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "ch.check":
                yield cell, node


Rule = Callable[[Source], Iterator[Broken]]


def broken(path: Path) -> list[Broken]:
    """All that is wrong with one notebook, in the order of its cells."""
    cells = list[Cell]()
    found = list(_unreadable(path, cells))
    if not found:
        source = Source(path, cells)
        found = [each for rule in RULES for each in rule(source)]
    return sorted(found, key=lambda each: each.cell)


# -- can it be read? -------------------------------------------------------------------------------


def _unreadable(path: Path, cells: list[Cell]) -> Iterator[Broken]:
    """What keeps other rules from being asked. Fills in the cells."""
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        cells += [Cell(i, c["cell_type"], "".join(c["source"]), c) for i, c in enumerate(content["cells"], 1)]
        meta: Any = content["metadata"].get("runbook")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        yield Broken(0, f"it is no notebook: {type(e).__name__}: {e}", "Save it from Jupyter, as .ipynb.")
        return
    if not isinstance(meta, dict) or not {"id", "title", "provides"} <= set(cast("dict[str, Any]", meta)):
        yield Broken(0, "its metadata name no id, title and provides below `runbook`", _META)
    for cell in (c for c in cells if c.kind == "code"):
        yield from _no_python(cell)


_META = "For example in the notebook's JSON: " + json.dumps(
    {"metadata": {"runbook": {"id": "board", "title": "Board", "provides": ["board"]}}}
)


def _no_python(cell: Cell) -> Iterator[Broken]:
    try:
        ast.parse(cell.text)
    except SyntaxError as e:
        yield Broken(
            cell.number, f"line {e.lineno} is no Python: {e.msg}", "Mend it; % and ! of IPython have no place."
        )
        return
    try:
        if cell.is_parameters:
            list(parameters.read(cell.text))
    except ValueError:
        yield Broken(cell.number, "a parameter has no plain value", "A text, a number, True or False, or a list.")


# -- its form --------------------------------------------------------------------------------------


def _name(s: Source) -> Iterator[Broken]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", s.notebook.id):
        yield Broken(0, f"the id is {s.notebook.id!r}", "Small letters, digits and _; a letter first.")
    if not re.fullmatch(rf"\d\d_{re.escape(s.notebook.id)}", s.path.stem):
        yield Broken(0, f"the file is called {s.path.name}", f"Two digits and its id: 05_{s.notebook.id}.ipynb")


def _order(s: Source) -> Iterator[Broken]:
    """What it requires comes before it."""
    for name in s.notebook.requires:
        if not [p for p in s.path.parent.glob(f"[0-9][0-9]_{name}.ipynb") if p.name < s.path.name]:
            do = "Name a chapter with a lower number in `requires`, or give this one a higher number."
            yield Broken(0, f"it requires {name}, and no chapter before it is called so", do)


def _title(s: Source) -> Iterator[Broken]:
    first = s.cells[0]
    wanted = "# " + s.notebook.title
    if first.kind != "markdown" or first.text.splitlines()[:1] != [wanted]:
        yield Broken(1, "the first cell does not begin with the title of the metadata", f"Begin it with: {wanted}")


def _sections(s: Source) -> Iterator[Broken]:
    lines = [line for cell in s.prose for line in cell.text.splitlines()]
    for heading, holds in SECTIONS.items():
        if heading not in lines:
            yield Broken(0, f"the section {heading!r} is missing", f"Add it, with {holds}.")


def _outputs(s: Source) -> Iterator[Broken]:
    for cell in s.code:
        if cell.raw.get("outputs") or cell.raw.get("execution_count") is not None:
            yield Broken(cell.number, "it has outputs or a count", "Clear all outputs; a run keeps its own copy.")
    if "papermill" in s.meta:
        yield Broken(0, "papermill's metadata are in it", "Take it from git again: this is a copy that a run made.")


def _ids(s: Source) -> Iterator[Broken]:
    ids = [cell.raw["id"] for cell in s.cells if "id" in cell.raw]
    if ids and len(set(ids)) != len(s.cells):
        yield Broken(0, "two cells have the same id, or some have none", "Number them: 05-00, 05-01, and so on.")


def _opened(s: Source) -> Iterator[Broken]:
    line = f'Chapter.open("{s.notebook.id}", globals())'
    if not any(line in cell.text for cell in s.code):
        yield Broken(0, "no cell opens the chapter", f"ch = {line}")
    if not s.code or not s.code[-1].text.strip().endswith("ch.verdict()"):
        yield Broken(s.code[-1].number if s.code else 0, "the last code cell is not the verdict", "ch.verdict()")


# -- its parameters --------------------------------------------------------------------------------


def _parameters(s: Source) -> Iterator[Broken]:
    tagged = [cell.number for cell in s.cells if cell.is_parameters]
    if tagged != [2]:
        yield Broken(2, "it is not the one cell tagged `parameters`", "Tag the second cell, and no other.")
        return
    for p in s.notebook.parameters.values():
        if not p.help:
            yield Broken(
                2, f"{p.name} has no comment", "Say on its line what it is: the form and the reference show it."
            )
        if not isinstance(p.default, str | int | float | list):
            yield Broken(2, f"{p.name} is not flat", "A text, a number, True or False, or a list.")
        if _SECRET_NAME.search(p.name):
            yield Broken(2, f"{p.name} sounds like a secret", "Secrets come from ch.secret(name), by name.")
    yield from _defaults(s.notebook)


def _defaults(n: Notebook) -> Iterator[Broken]:
    wanted = {"target": targets.default(n.host), "mode": "install", "origin": "auto"}
    for name, value in wanted.items():
        if name not in n.parameters or n.parameters[name].default != value:
            yield Broken(2, f"{name} is missing, or has another default", f'{name} = "{value}"')
    try:
        n.check({})
    except BadInput as e:
        yield Broken(2, f"a default is refused: {e.what}: {e.saw}", e.do or "Give it one that fits.")


# -- its code --------------------------------------------------------------------------------------


def _screen(s: Source) -> Iterator[Broken]:
    for cell in s.code:
        lines = cell.text.splitlines()
        if len(lines) > SCREEN:
            yield Broken(cell.number, f"it has {len(lines)} lines, more than a screen", "Make two cells of it.")
    for cell in s.cells:
        for number, line in _code(cell):
            if len(line) > WIDTH:
                yield Broken(cell.number, f"line {number} has {len(line)} characters", f"At most {WIDTH}: break it.")


def _code(cell: Cell) -> Iterator[tuple[int, str]]:
    """(number, line) of a cell's code: of a text, what stands between fences."""
    inside = cell.kind == "code"
    for number, line in enumerate(cell.text.splitlines(), 1):
        if cell.kind == "markdown" and line.lstrip().startswith("```"):
            inside = not inside
        elif inside:
            yield number, line


def _manual(s: Source) -> Iterator[Broken]:
    """Code that is no reading for a person."""
    room = "Give it a name in the component's room, and call that."
    for cell, node in s.nodes():
        if isinstance(node, ast.Lambda):
            yield Broken(cell.number, f"a lambda in line {node.lineno}", room)
        if isinstance(node, ast.keyword) and node.arg == "on_line":
            yield Broken(cell.number, f"on_line in line {node.value.lineno}", room)
        if isinstance(node, ast.Constant) and _is_script(node.value):
            yield Broken(cell.number, f"a shell script in line {node.lineno}", "Make it a file beside the module.")


def _rooms(s: Source) -> Iterator[Broken]:
    """What is asked of our modules is in them: a run would say so only when it comes to that cell."""
    known = dict[str, ModuleType]()  # by their names in the notebook
    for cell, node in s.nodes():
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "helpers":
            for alias in node.names:
                if not _has(node.module, alias.name):
                    yield Broken(cell.number, f"{node.module} has no {alias.name}", "Name what is in it.")
                found = getattr(sys.modules.get(node.module), alias.name, None)
                known |= {alias.asname or alias.name: found} if isinstance(found, ModuleType) else {}
    for cell, node in s.nodes():
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            room = known.get(node.value.id)
            if room and not hasattr(room, node.attr):
                yield Broken(cell.number, f"{ast.unparse(node)} is not there", "Name what is in that module.")


def _has(module: str, name: str) -> bool:
    """Has the module this name, or a module of it? One that is not there at all is told by a run's first cell."""
    try:
        room = import_module(module)
    except ImportError:
        return True
    if not hasattr(room, name):
        with contextlib.suppress(ImportError):
            import_module(f"{module}.{name}")  # which makes it a name of its package
    return hasattr(room, name)


def _is_script(value: object) -> bool:
    """A text of several lines with a loop or a branch of the shell."""
    return isinstance(value, str) and value.count("\n") > 1 and any(word in value for word in _SHELL)


def _artifacts(s: Source) -> Iterator[Broken]:
    for name in s.notebook.artifacts:
        if name not in catalogue.load():
            yield Broken(0, f"the catalogue has no artifact {name!r}", "Add it to setup/catalogue.toml.")


def _catalogue(s: Source) -> Iterator[Broken]:
    """Versions, addresses and checksums stand in the catalogue, and there only."""
    do = "It belongs into setup/catalogue.toml; ask for it: ch.artifact(name)."
    known, asked = _catalogued(s.notebook.artifacts), set[str]()
    for cell in s.code:
        asked = {text for text in known if text in cell.text}
        asked |= {m[0] for pattern in (_ADDRESS, _VERSION) for m in pattern.finditer(cell.text)}
        for text in sorted(text for text in asked if not any(text in other for other in asked - {text})):
            yield Broken(cell.number, f"a version or address of an artifact: {text}", do)


def _catalogued(asked: list[str]) -> set[str]:
    """Texts that no cell may have: of all artifacts where they are from, of those asked for the version of a file."""
    found = set[str]()
    for a in catalogue.load().values():
        found |= {a.url, a.sha256_url, a.sha256, a.entry.get("image", ""), *a.entry.get("images", [])}
        found |= {a.url.split("/")[2]} if a.url else set()
        found |= {a.version} if a.name in asked and a.kind == "file" else set()
    return found - {""}


def _secrets(s: Source) -> Iterator[Broken]:
    for cell in s.code:
        for m in _SECRET.finditer(cell.text):
            yield Broken(cell.number, f"a {m[1].lower()} stands in it", "Secrets come from ch.secret(name), by name.")


# -- its checks ------------------------------------------------------------------------------------


def _entries(s: Source) -> Iterator[Broken]:
    entries, checks = s.notebook.entries, list(s.checks())
    if not checks:
        yield Broken(0, "it proves nothing", "Add a ch.check(...) of what a user would do.")
    for id, entry in entries.items():
        if not (entry.see and entry.because and entry.do):
            yield Broken(0, f"the entry {id} has an empty field", "Say what is seen, why, and what to do.")
    for cell, call in checks:
        named = next((k.value for k in call.keywords if k.arg == "entry"), None)
        if isinstance(named, ast.Constant) and named.value not in entries:
            yield Broken(cell.number, f"no row of the table is called {named.value}", "Add it, or name another.")
        elif not isinstance(named, ast.Constant) and not (isinstance(named, ast.Attribute) and named.attr == "entry"):
            title = ast.unparse(call.args[0]) if call.args else ""
            yield Broken(cell.number, f"a check without an entry: {title}", 'entry="...", a row of "When it fails"')


#: all of them; each has a test of a notebook that breaks it
RULES: list[Rule] = [
    _name,
    _order,
    _title,
    _sections,
    _outputs,
    _ids,
    _opened,
    _parameters,
    _screen,
    _manual,
    _rooms,
    _artifacts,
    _catalogue,
    _secrets,
    _entries,
]
