"""A chapter's run that was begun by a button: a run as `up --only` makes it, in a thread, told as it goes."""

from __future__ import annotations

import ast
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from helpers.command.plan import Plan
from helpers.command.progress import Progress
from helpers.command.reach import reached, target_locks
from helpers.command.runner import Runner
from helpers.command.targets import apart
from helpers.core.errors import words
from helpers.core.notebooks import Notebook

Row = tuple[str, str]  # (step or check, title)


def titles(notebook: Notebook) -> Iterator[Row]:
    """Its steps and checks whose titles stand in its cells; those that hold a parameter are known when they come."""
    for source in notebook.code():
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda call: call.lineno):
            kind = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            title = call.args[0] if call.args else None
            if kind in ("step", "check") and isinstance(title, ast.Constant):
                yield kind, str(title.value)


class Work(Progress):
    """said, note, seconds and rows are what a person sees; `changed` is called when they change, twice a second."""

    def __init__(
        self, notebook: Notebook, values: Mapping[str, Any], mode: str, step: str, changed: Callable[[], None]
    ):
        super().__init__()
        self.notebook, self.values, self.mode, self.step, self.changed = notebook, values, mode, step, changed
        self.what = f"{mode} of one step" if step else mode
        self.busy, self.said, self.note, self.error = True, self.what, "", ""
        self.rows: dict[Row, tuple[str, str]] = dict.fromkeys(titles(notebook), ("waiting", ""))
        self._began, self._ended = time.monotonic(), 0.0
        self._runner: Runner | None = None
        self._stopped, self._drawing = threading.Event(), threading.Lock()

    def start(self) -> None:
        for task in (self._run, self._tick):
            threading.Thread(target=task, daemon=True).start()

    def stop(self) -> None:
        """End it as Ctrl-C ends `up`: the commands under way are ended, what was done is kept."""
        self._stopped.set()
        if self._runner:
            self._runner.stopping.set()

    @property
    def seconds(self) -> float:
        return (self._ended or time.monotonic()) - self._began

    def tail(self, lines: int = 12) -> str:
        """The last lines of its commands' output."""
        run: Any = getattr(self._runner, "current", None)
        try:
            with open(run.folder / "logs" / f"{self.notebook.path.stem}.log", errors="replace") as f:
                return "".join(deque(f, lines))
        except (OSError, AttributeError):  # it has not begun
            return ""

    # -- what the runner tells ---------------------------------------------------------------------

    def say(self, text: str) -> None:
        self.note = text

    def state(self, label: str, state: str, note: str = "") -> None:
        self.note = note

    def event(self, label: str, event: Mapping[str, Any]) -> None:
        kind, title = event["kind"], event.get("title", "")
        begins = kind == "step" and event["state"] == "begin"
        if begins and title.startswith("check: "):
            kind, title = "check", title[len("check: ") :]
        if kind in ("step", "check"):
            note = event.get("note") or event.get("seen") or ""
            self.rows[kind, title] = ("running" if begins else event["state"], "" if begins else note)
            self.note = title if begins else ""
        elif kind == "wait":
            self.note = event["text"]

    # -- its threads -------------------------------------------------------------------------------

    def _tick(self) -> None:
        while self.busy:
            self._draw()
            time.sleep(0.5)

    def _draw(self) -> None:
        with self._drawing:  # else an older table could come last
            self.changed()

    def _run(self) -> None:
        try:
            said = self._chapter()
        except Exception as e:  # whatever refuses it: the form shows why
            said, self.error = "refused", words(e)
        for row, (state, note) in self.rows.items():
            if state == "running":
                self.rows[row] = ("waiting", note)
        self.said, self.note, self._ended, self.busy = said, "", time.monotonic(), False
        self._draw()

    def _chapter(self) -> str:
        """Run it; its state in the record."""
        n = self.notebook
        where, given = apart(n, self.values)
        plan = Plan(where, self.mode, only=[n.id], given={n.id: given})
        with target_locks(plan.hosts().values(), f"{self.mode} of chapter {n.id} by hand"), reached(plan, self.say):
            runner = self._runner = Runner(plan, 1, self)
            runner.step = self.step
            if self._stopped.is_set():
                runner.stopping.set()
            self.said = "running: " + self.what
            chapter = runner.run().chapters[n.id]
        self.error = chapter.error
        return f"{self.what}: {chapter.state}"
