"""A kernel of `./runbook lab`: the form below the parameters cell, and a record of a chapter run cell by cell."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from helpers.command.execution import Event
from helpers.command.form import Form
from helpers.command.plan import Plan
from helpers.command.progress import Progress
from helpers.command.record import ChapterRun, Run
from helpers.command.runner import Runner, fill
from helpers.command.targets import apart
from helpers.core import events, notebooks, parameters
from helpers.core.errors import BadInput, words
from helpers.core.notebooks import Notebook
from helpers.core.paths import absolute_environment, home


def watch(shell: Any) -> None:
    """Look at each cell after it has run."""
    absolute_environment()
    kernel = Kernel(shell)
    shell.events.register("post_run_cell", kernel.after)


def chapter_of(source: str, name: str = "") -> Notebook | None:
    """The chapter whose parameters cell this is. name: the notebook's file, where Jupyter tells it."""
    try:
        names = {p.name for p in parameters.read(source)}
    except (SyntaxError, ValueError):
        return None
    if not {"target", "mode", "origin"} <= names:
        return None
    known = notebooks.load_all()
    with contextlib.suppress(BadInput):
        return notebooks.find(Path(name).name, known)
    return next((n for n in known.values() if set(n.parameters) == names), None)


class Kernel:
    """What was run in it so far: the chapter, its form, and what it told since it was opened."""

    def __init__(self, shell: Any):
        self.shell = shell
        self.notebook: Notebook | None = None
        self.form: Form | None = None
        path = home("lab", ".events") / f"{os.getpid()}.events"
        path.unlink(missing_ok=True)
        os.environ["RUNBOOK_EVENTS"] = str(path)
        self._reader, self._told = events.Reader(path), list[Event]()

    def after(self, result: Any) -> None:
        """A cell has run."""
        found = chapter_of(result.info.raw_cell, os.environ.get("JPY_SESSION_NAME", "")) if result.success else None
        if found:
            self.notebook = found
            self.form = Form(found, self.shell.user_ns)
            self.form.show()
        self._record(result.error_in_exec)

    def _record(self, error: BaseException | None) -> None:
        """At the verdict, or where an error ended it: what was told since the chapter was opened."""
        for event in self._reader.new():
            if event["kind"] == "open":
                self._told = []
            self._told.append(event)
        over = any(event["kind"] == "verdict" for event in self._told)
        if self.notebook and self._told and (over or error):
            told, self._told = self._told, []
            opened = next((e for e in told if e["kind"] == "open"), None)
            if opened:
                keep(self.notebook, self.shell.user_ns, opened, told, words(error) if error else "")


def keep(n: Notebook, names: dict[str, Any], opened: Event, told: list[Event], error: str) -> Run:
    """The record of a chapter that was run cell by cell, as a run of it alone would have left it."""
    where, given = apart(n, {p: names[p] for p in n.parameters if p in names})
    plan = Plan(where, opened["mode"], only=[n.id], given={n.id: given})
    return CellByCell(plan, told, error).run()


class CellByCell(Runner):
    """A runner whose chapter has run already."""

    def __init__(self, plan: Plan, told: list[Event], error: str):
        super().__init__(plan, 1, Quiet(), force=True)
        self.told, self.error = told, error

    def _execute(self, n: Notebook, c: ChapterRun, mode: str) -> bool:
        fill(c, self.told)
        self._conclude(n, c, mode, self.error)
        return not self.error


class Quiet(Progress):
    """Tells nobody."""

    def say(self, text: str) -> None:
        pass
