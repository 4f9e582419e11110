"""Pages that are made: status, helpers; parts of others; the README's table of chapters."""

from __future__ import annotations

import html
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from helpers.command import hosts, picture, record, sphinx_extension, status_page, troubles, verified
from helpers.command.markdown import literal, raw_html, rows, table
from helpers.command.picture import Part
from helpers.command.record import Run
from helpers.command.status_page import fidelity
from helpers.core import catalogue, notebooks
from helpers.core.errors import RunbookError
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO, SETUP
from helpers.sandbox import kinds, mirror

README = REPO / "README.md"
Known = Mapping[str, Notebook]


def whole(run: Run | None, known: Known) -> dict[str, str]:
    """The pages of the book that have no source, by file name."""
    return {
        "status.md": status_page.status(run, known, record.history(run)),
        "helpers.md": sphinx_extension.page(),
    }


def inserts(known: Known, commands: click.Group, run: Run | None = None) -> dict[str, str]:
    """What the code knows, by its mark in the book's prose."""
    named = sorted({name for n in known.values() for name in n.tables})
    return {
        "picture of the platform": raw_html(picture.svg(parts(known), run)),
        "parts of the platform": _parts_table(known),
        "commands": commands_reference(commands),
        "parameters": parameters_reference(known),
        "kinds of hosts": kinds_tried(known, hosts.load()),
        "what is verified": rows(verified.rows()),
        "fidelity": fidelities(mirror.fidelity()),
        "troubles": troubles.page(known),
        **{name: rows(_chapters_rows(known, name)) for name in named},
    }


def _chapters_rows(known: Known, table: str) -> list[list[str]]:
    """The rows that chapters bring to one of the book's tables; {number} in them is the chapter's."""
    found = [(n, row) for n in known.values() for row in n.tables.get(table, [])]
    return [[cell.replace("{number}", n.number) for cell in row] for n, row in found]


# -- the platform's parts ----------------------------------------------------------------------------


def parts(known: Known) -> list[Part]:
    """The chapters, and those of setup/planned.toml whose number no notebook has, in order."""
    planned = tomllib.loads((SETUP / "planned.toml").read_text())
    found = {number: Part(number, p["title"], p["where"], None) for number, p in planned.items()}
    found.update({n.number: Part(n.number, n.title, n.where, n) for n in known.values()})
    return [found[number] for number in sorted(found)]


def _parts_table(known: Known) -> str:
    rows = [_part_row(known, p) for p in parts(known)]
    return table(["chapter", "part", "where it runs", "after", "today"], rows)


def _part_row(known: Known, p: Part) -> list[str]:
    if p.notebook is None:
        return [p.number, p.title, p.where, "", "planned"]
    after = ", ".join(known[name].number for name in p.notebook.requires)
    return [p.number, f"[{p.title}](../notebooks/{p.notebook.path.name})", p.where, after, "yes"]


def readme_block(run: Run | None, known: Known) -> str:
    """The README's table of chapters, from the record."""
    chapters = table(["", "chapter", "fidelity", "last verified"], [_readme_row(run, p) for p in parts(known)])
    if not run:
        return chapters
    return chapters + (
        f"\nFidelity is that of the run on {run.where('`')} that these dates are from; "
        "`./runbook book --readme` writes the table.\n"
    )


def _readme_row(run: Run | None, p: Part) -> list[str]:
    n = p.notebook
    if n is None:
        return [p.number, p.title, "", "planned"]
    c = run.chapters.get(n.id) if run else None
    verified = c.verified[:10] if c else "not run"
    return [p.number, f"[{n.title}](notebooks/{n.path.name})", fidelity(c) if c else "", verified]


def refresh_readme() -> bool:
    """Write the table of chapters into the README, between its two comments. Returns whether it changed."""
    old, block = README.read_text(), readme_block(record.latest(), notebooks.load_all())
    marks = r"(?s)(<!-- chapters -->\n).*?(<!-- /chapters -->)"
    new, found = re.subn(marks, lambda m: m[1] + block + m[2], old)
    if not found:
        raise RunbookError(
            "write the README's table",
            saw="its two comments are gone",
            do="Put <!-- chapters --> and <!-- /chapters --> where the table belongs.",
        )
    if new != old:
        README.write_text(new)
    return new != old


# -- fidelity ----------------------------------------------------------------------------------------


def fidelities(stated: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of substitutes, in the catalogue's order, and all that differs."""
    known = catalogue.load()
    order = [name for name in known if name in stated] + [name for name in stated if name not in known]
    headers = ["artifact", "what for", "version asked for", "fidelity", "what stands in"]
    text = table(headers, [_fidelity_row(name, stated[name], known.get(name)) for name in order])
    return text + "\n## What differs\n" + "".join(_differs(name, stated[name]) for name in order)


def _fidelity_row(name: str, entry: Mapping[str, Any], artifact: catalogue.Artifact | None) -> list[str]:
    shown = f"[{name}](differs-{name})" if entry.get("differs") else name
    about, version = (artifact.about, artifact.version) if artifact else ("", "")
    return [shown, about, version, entry["fidelity"], entry.get("program", "")]


def _differs(name: str, entry: Mapping[str, Any]) -> str:
    if not entry.get("differs"):
        return ""
    head = f"\n(differs-{name})=\n### {name}\n\n{entry.get('program', '')} ({entry['fidelity']})\n\n"
    return head + "\n".join("- " + html.escape(d, quote=False) for d in entry["differs"]) + "\n"


# -- kinds of hosts ----------------------------------------------------------------------------------


def kinds_tried(known: Known, found: Mapping[str, hosts.Tried]) -> str:
    """Kind × chapter, and below in which words a chapter did not go through."""
    tried = [n for n in known.values() if any(n.id in t.chapters for t in found.values())]
    rows = [_kind_row(kind, found.get(name), tried) for name, kind in kinds.known().items()]
    text = table(["kind", "what it is", *(n.number for n in tried), "tried"], rows)
    told = [
        [f"`{name}`", n.number, t.chapters[n.id].state, literal(t.chapters[n.id].words)]
        for name, t in found.items()
        for n in tried
        if n.id in t.chapters and t.chapters[n.id].state != "ok"
    ]
    return text + ("\n" + table(["kind", "chapter", "", "in which words"], told) if told else "")


def _kind_row(kind: kinds.Kind, tried: hosts.Tried | None, chapters: Sequence[Notebook]) -> list[str]:
    ends = {n.id: tried.chapters[n.id].state if tried and n.id in tried.chapters else "" for n in chapters}
    for n in chapters:  # in the order of installing
        without = [m.number for m in chapters if m.id in n.requires and ends[m.id] not in ("ok", "")]
        ends[n.id] = ends[n.id] or (f"needs {without[0]}" if without else "")
    return [f"`{kind.name}`", kind.what, *ends.values(), tried.when if tried else ""]


# -- reference ---------------------------------------------------------------------------------------


def commands_reference(commands: click.Group) -> str:
    """What each command's --help says."""
    return "".join(_subcommands(commands, _context(commands, "./runbook", None)))


def _context(command: click.Command, name: str, above: click.Context | None) -> click.Context:
    return click.Context(command, info_name=name, parent=above, max_content_width=80, terminal_width=80)


def _subcommands(group: click.Group, context: click.Context) -> Iterable[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        below = _context(command, name, context)
        if isinstance(command, click.Group):
            yield f"\n### `{below.command_path}`\n\n{command.help}\n"
            yield from _subcommands(command, below)
        else:
            yield _help(command, below)


def _help(command: click.Command, context: click.Context) -> str:
    depth = "####" if context.parent and context.parent.parent else "###"
    return f"\n{depth} `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"


def parameters_reference(known: Known) -> str:
    """The parameters of all chapters, from their parameters cells."""
    return "".join(_parameters(n) for n in known.values())


def _parameters(n: Notebook) -> str:
    own = [p for p in n.parameters.values() if p.name not in ("target", "mode", "origin")]
    after = ", after " + ", ".join(f"`{name}`" for name in n.requires) if n.requires else ""
    head = f"\n### {n.number} `{n.id}`\n\n[{n.title}](../notebooks/{n.path.name}){after}\n\n"
    if not own:
        return head + "No parameters of its own.\n"
    return head + table(
        ["parameter", "default", ""], [[f"`{p.name}`", f"`{_default(p.default)}`", literal(p.help)] for p in own]
    )


def _default(value: Any) -> str:
    return str(value) if isinstance(value, bool) else json.dumps(value)
