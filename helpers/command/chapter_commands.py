"""Commands that chapters bring: `commands` in a notebook's metadata names the module of each.

Such a module has EXAMPLES and a function `run(ch, say, ...)`. Its further parameters are the command's options: a flag
where the default is False, a text elsewhere. A line of its docstring, `name: help` or `name METAVAR: help`, explains
each; the docstring's first paragraph is the command's help. What it returns, when it is not None, are Outcomes of
chapters that it had run elsewhere: they are told, kept as a record, and decide the exit code.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import click

from helpers.command import elsewhere, record, targets
from helpers.command.base import Group, examples, say, target_option
from helpers.core import notebooks
from helpers.core.chapter import Chapter
from helpers.core.errors import RunbookError
from helpers.core.notebooks import Notebook
from helpers.core.target import Target


class ChapterGroup(Group):
    """A group whose commands are its own and those that chapters bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *named()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        notebook = None if own else named().get(cmd_name)
        return command(notebook, cmd_name) if notebook else own


def named() -> dict[str, Notebook]:
    """The commands that chapters bring, by name."""
    return {name: n for n in notebooks.load_all().values() for name in n.commands}


def command(notebook: Notebook, name: str) -> click.Command:
    """A chapter's command, made of its module's function."""
    module = importlib.import_module(notebook.commands[name])
    text = inspect.getdoc(module.run) or ""

    def call(target: str | None, **options: Any) -> None:
        _call(module, notebook, str(Target.parse(target or targets.default(notebook.host))), **options)

    help_ = text.partition("\n\n")[0]
    made = target_option(click.Command(name, callback=call, help=help_, epilog=examples(module.EXAMPLES)))
    made.params += _options(module.run, text)
    return made


def _call(module: ModuleType, notebook: Notebook, target: str, **options: Any) -> None:
    """Run it on the chapter as it was last run there."""
    old = record.last({notebook.id: target}).get(notebook.id)
    if old is None or not old.chapter.parameters:
        saw = f"chapter {notebook.number} has not run there"
        do = f"./runbook up --target {target} --only {notebook.id}"
        raise RunbookError(f"use chapter {notebook.id}", target, saw, do)
    values = {**old.chapter.parameters, "target": target, "mode": "verify"}
    ch = Chapter(notebook, notebook.check(values))
    ch.installed = record.installed(record.last(dict.fromkeys(notebooks.load_all(), target)))
    try:
        came = module.run(ch, say, **options)
    finally:
        ch.close()
    if came is not None:
        sys.exit(elsewhere.keep(came, target))


def _options(function: Callable[..., None], text: str) -> list[click.Parameter]:
    lines = {m[1]: m for m in re.finditer(r"(?m)^(\w+)(?: ([A-Z]+))?: (.+)$", text)}
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return [_option(p.name, p.default, lines[p.name][2], lines[p.name][3]) for p in parameters]


def _option(name: str, default: Any, metavar: str | None, text: str) -> click.Option:
    words = "--" + name.replace("_", "-")
    return click.Option([words, name], is_flag=default is False, default=default, metavar=metavar, help=text)
