"""The batch runner: the chapters' graph, a kernel for each, in parallel, resumable, recorded."""

from __future__ import annotations

import concurrent.futures
import contextlib
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from helpers.command import record
from helpers.command.execution import Event, Execution
from helpers.command.plan import Plan
from helpers.command.progress import Progress
from helpers.command.record import ChapterRun, Old, Run
from helpers.core.notebooks import PLATFORM, Notebook
from helpers.core.target import Target

if TYPE_CHECKING:
    from helpers.sandbox.supply import Supply

#: how a chapter that ended well is called, by mode
WELL = {"install": "ok", "verify": "ok", "plan": "planned", "remove": "removed"}


class Runner:
    """Runs a Plan. `run()` returns the record; chapters that failed are in it, nothing is raised for them."""

    def __init__(self, plan: Plan, jobs: int, progress: Progress, force: bool = False):
        self.plan, self.jobs, self.progress, self.force = plan, jobs, progress, force
        self.before = record.last({n.id: plan.target(n) for n in plan.known.values()})
        self.stopping = threading.Event()
        self._executions: dict[str, Execution] = {}
        self._save = threading.Lock()
        self.step = ""  # the title of the only step that is applied; the others are asked
        self.supplies: Mapping[str, Supply] = {}  # {slug}: what chapters wait for on a sandbox that is being built

    def run(self) -> Run:
        started = time.monotonic()
        run = self.current = record.new(
            self.plan.targets.of(PLATFORM) or next(iter(self.plan.hosts().values())), self.plan.mode
        )
        for n in self.plan.known.values():  # the latest record is the whole picture of its targets
            self._enter(n)
        run.save()
        try:
            with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
                self._schedule(pool)
        except KeyboardInterrupt:
            run.state = "interrupted"
        self._close(time.monotonic() - started)
        if self.plan.mode != "plan":
            run.publish()
        return run

    def _enter(self, n: Notebook) -> None:
        """A chapter's place in the new record: what an earlier run left, or a fresh entry when it is chosen."""
        old = self.before.get(n.id)
        if old:
            self.current.chapters[n.id] = self._carry(old)
        if n in self.plan.chapters:
            fresh = ChapterRun(
                id=n.id,
                number=n.number,
                title=n.title,
                host=n.host,
                run=self.current.id,
                parameters=self.plan.parameters[n.id],
            )
            if old:
                for kept in ("notebook", "verify_notebook", "verified", "installed", "accepted"):
                    setattr(fresh, kept, getattr(old.chapter, kept))
            self.current.chapters[n.id] = fresh

    def _carry(self, old: Old) -> ChapterRun:
        """Keep the files of a chapter that an earlier run left, in this run's folder."""
        c = old.chapter
        for name in (c.notebook, c.verify_notebook, c.log):
            source, copy = old.run.folder / name, self.current.folder / name
            if name and source.is_file() and not copy.exists():
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(source, copy)
        return c.model_copy(deep=True)

    def _close(self, seconds: float) -> None:
        """The record's end: what never ended says so, and the run is as good as its chapters."""
        run = self.current
        mine = [c for c in run.chapters.values() if c.run == run.id]
        for c in mine:
            if c.state in record.OPEN:
                c.state, c.reason = "not run", c.reason or "the run was stopped"
        if run.state == "running":
            ended = "interrupted" if self.stopping.is_set() else "failed"
            run.state = "ok" if all(c.state in record.GOOD for c in mine) else ended
        run.finished, run.seconds = record.now(), round(seconds, 1)
        self._record()

    def _record(self) -> None:
        with self._save:
            self.current.save()

    def _schedule(self, pool: concurrent.futures.Executor) -> None:
        todo = list(self.plan.chapters)
        busy: dict[concurrent.futures.Future[None], Notebook] = {}
        done: dict[str, str] = {}
        for n in todo:
            self.progress.state(self._label(n), "waiting")
        try:
            while todo or busy:
                if self.stopping.is_set():  # by another thread, where there is no Ctrl-C
                    raise KeyboardInterrupt
                for n in list(todo):
                    needs = self.plan.needs(n)
                    # verify and plan look at every chapter: what is broken below does not hide what is broken above
                    bad = [
                        d
                        for d in needs
                        if d in done and done[d] not in record.GOOD and self.plan.mode in ("install", "remove")
                    ]
                    if bad:
                        self._finish(n, done, "not run", "it needs {}, which did not end well".format(", ".join(bad)))
                        todo.remove(n)
                    elif self._undeliverable(n, done):
                        todo.remove(n)
                    elif all(d in done for d in needs) and not self._waits(n):
                        todo.remove(n)
                        busy[pool.submit(self._chapter, n)] = n
                for f in _ended(busy):
                    n = busy.pop(f)
                    f.result()
                    done[n.id] = self.current.chapters[n.id].state
        except KeyboardInterrupt:
            self.progress.say(
                "stopping: the commands under way are ended, what was done is kept (Ctrl-C again: at once)"
            )
            self._stop(busy)
            raise

    def _label(self, n: Notebook) -> str:
        """How it is called while it runs; one that runs elsewhere than the platform says where."""
        elsewhere = self.plan.target(n) != self.plan.targets.of(PLATFORM)
        return f"{n.label} @{n.host}" if elsewhere else n.label

    def _supply(self, n: Notebook) -> Supply | None:
        return self.supplies.get(Target.parse(self.plan.target(n)).slug)

    def _waits(self, n: Notebook) -> bool:
        """Does it wait for what it installs?"""
        supply = self._supply(n)
        lacks = supply.lacks(n.artifacts) if supply else ""
        if lacks:
            self.progress.state(self._label(n), "waiting", lacks)
        return bool(lacks)

    def _undeliverable(self, n: Notebook, done: dict[str, str]) -> bool:
        """End a chapter here when what it installs could not be built."""
        supply = self._supply(n)
        error = supply.failure(n.artifacts) if supply else None
        if error:
            self.current.chapters[n.id].error = str(error)
            reason = f"{error.what} failed, and this chapter needs it. {error.do or ''}"
            self._finish(n, done, "not run", reason.strip())
        return bool(error)

    def _finish(self, n: Notebook, done: dict[str, str], state: str, reason: str) -> None:
        c = self.current.chapters[n.id]
        c.state, c.reason = state, reason
        done[n.id] = state
        self.progress.state(self._label(n), state, reason)

    def _stop(self, busy: dict[concurrent.futures.Future[None], Notebook]) -> None:
        """Interrupt the kernels, then end them: after 10 s, or at a second Ctrl-C."""
        self.stopping.set()
        for execution in list(self._executions.values()):
            execution.stop()
        with contextlib.suppress(KeyboardInterrupt):
            concurrent.futures.wait(busy, timeout=10)
        for execution in list(self._executions.values()):
            execution.kill()

    # -- one chapter, in a thread of the pool ------------------------------------------------------

    def _chapter(self, n: Notebook) -> None:
        c, start = self.current.chapters[n.id], time.monotonic()
        if self.stopping.is_set():
            return
        c.key, c.state, c.began = self.plan.key(n), "running", record.now("milliseconds")
        self.progress.state(self._label(n), "running")
        self._record()
        if not self._skipped(n, c):
            self._run(n, c)
        c.seconds = round(time.monotonic() - start, 1)
        self._record()
        self.progress.state(self._label(n), c.state, c.reason)

    def _run(self, n: Notebook, c: ChapterRun) -> None:
        """Run it in the plan's mode."""
        if not self.stopping.is_set() and self._execute(n, c, self.plan.mode):
            c.state = WELL[self.plan.mode]
            if self.step:
                c.state, c.reason = "interrupted", f"only one step was run: {self.step}"
            if c.state == "ok":
                c.verified = record.now()
        else:
            c.state = "interrupted" if self.stopping.is_set() else "failed"

    def _skipped(self, n: Notebook, c: ChapterRun) -> bool:
        """An install of a chapter that is unchanged: is it still so? Then its old outputs stay."""
        before = self.before.get(n.id)
        old = before.chapter if before else None
        unchanged = old and old.state in record.INSTALLED and old.key == c.key and old.notebook
        wanted = self.plan.mode == "install" and not (self.force or self.step)
        if not before or not old or not unchanged or not wanted:
            return False
        if self._execute(n, c, "verify") and not self._other_artifacts(n, c, old):
            self._carry(before)
            c.notebook, c.state = old.notebook, "skipped"
            c.reason = "unchanged, and verified: every step already so"
            c.run, c.verified = self.current.id, record.now()
            return True
        if c.error and not self.stopping.is_set():
            first = (c.error.splitlines() or [""])[0]
            self.progress.say(f"{self._label(n):<18} no longer as it was: {first}")
        return False

    def _other_artifacts(self, n: Notebook, c: ChapterRun, old: ChapterRun) -> bool:
        """Does the origin serve other ones by now than those that were installed?"""
        before = {a.name: a for a in old.artifacts}
        other = [a.name for a in c.artifacts if a.name in before and a != before[a.name]]
        if other:
            self.progress.say(
                f"{self._label(n):<18} not as it was installed: its origin serves another {', '.join(other)}"
            )
        return bool(other)

    def _execute(self, n: Notebook, c: ChapterRun, mode: str) -> bool:
        """Run the notebook once in this mode; fills the record, returns whether it ended well."""
        folder, given = self.current.folder, self.plan.parameters[n.id]
        execution = self._executions[n.id] = Execution(n, {**given, "mode": mode}, folder, self.step)
        if self.stopping.is_set():  # since it was decided to run it
            execution.stop()
        c.log = str(execution.log.relative_to(folder))
        if mode == "install":  # also when it is cut off: what it began with is what remove looks for
            c.installed = c.installed or given
        try:
            error = execution.run(lambda event: self.progress.event(self._label(n), event))
        finally:
            del self._executions[n.id]
        fill(c, execution.told())
        self._conclude(n, c, mode, error)
        if mode == "install":
            c.notebook, c.accepted = execution.out.name, []
        elif mode == "verify":
            c.verify_notebook = execution.out.name
        return not error

    def _conclude(self, n: Notebook, c: ChapterRun, mode: str, error: str) -> None:
        """How it ended, and what remove would look for."""
        if mode == "install":
            c.installed = self.plan.parameters[n.id] if c.steps else c.installed  # a refused one changed nothing
        elif mode == "remove" and not error:
            c.notebook = c.verify_notebook = ""
        c.error, c.reason = error, error.splitlines()[0] if error else ""


def fill(c: ChapterRun, told: list[Event]) -> None:
    """A chapter's events, as the record keeps them."""
    c.steps, c.checks, c.artifacts, c.versions = [], [], [], {}
    for e in told:
        texts = {name: value or "" for name, value in e.items() if name != "kind"}
        if e["kind"] == "step" and e["state"] != "begin":
            c.steps.append(record.Step(**e))
        elif e["kind"] == "check":
            c.checks.append(record.Check(**texts))
        elif e["kind"] == "artifact":
            c.artifacts.append(record.ArtifactUse(**texts))
        elif e["kind"] == "version":
            c.versions[e["name"]] = e["version"]


def _ended(busy: Iterable[concurrent.futures.Future[None]], wait: float = 0.2) -> set[concurrent.futures.Future[None]]:
    """Those that have ended, after a moment; also when all that is left waits for a build, and none runs."""
    going = list(busy)
    if not going:
        time.sleep(wait)  # a wait for nothing comes back at once, and would take the processor from the builds
        return set()
    return concurrent.futures.wait(going, wait, concurrent.futures.FIRST_COMPLETED).done
