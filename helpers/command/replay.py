"""The regression test's work: nbval replays the last run's notebooks in verify mode and compares every output."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from helpers.command import drift, drift_report, nbval_plugin, record
from helpers.command.drift import RULES, ChapterDrift
from helpers.command.drift_report import Report
from helpers.command.execution import mask_of, masked
from helpers.command.markdown import when
from helpers.command.record import ChapterRun, Run
from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO

RESULT = "cells.json"
Say = Callable[[str], None]
_PLUGINS = "-p nbval.plugin -p helpers.command.nbval_plugin -p no:cacheprovider"
_WORDS = f"-q {_PLUGINS} --nbval --nbval-current-env --nbval-cell-timeout 3600"


def chosen(run: Run, only: Collection[str] = (), target: str | None = None) -> list[ChapterRun]:
    """Chapters whose executed notebooks can be replayed, on one target when it is given. RunbookError: none."""
    there = [c for c in run.chapters.values() if c.notebook and c.state in record.INSTALLED | {"failed"}]
    found = [c for c in there if (not only or c.id in only) and target in (None, run.target_of(c))]
    known = notebooks.load_all()
    found = [c for c in found if c.id in known and (run.folder / c.notebook).is_file()]
    if not found:
        saw = "it has no executed notebook{}".format(" of " + ", ".join(only) if only else "")
        raise RunbookError(f"replay run {run.id}", saw=saw, do="./runbook up first: in install mode it leaves them.")
    return found


def replay(run: Run, chapters: Collection[ChapterRun], say: Say, jobs: int = 0) -> Report:
    """Replay them where they ran, several at a time; tells of each as it ends, and leaves the report in the record."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="runbook-regress-") as folder, _Replays(Path(folder)) as replays:
        done = replays.run(run, chapters, jobs or min(4, os.cpu_count() or 1), say)
    found = {c.id: done[c.id][0] for c in chapters}
    report = Report(
        run=run.id, where=run.where(), at=record.now(), seconds=round(time.monotonic() - started, 1), chapters=found
    )
    drift_report.write(run.folder / record.DRIFT, report, {c.id: done[c.id][1] for c in chapters})
    states = {name: c.state for name, c in found.items()}
    run.compared = record.Compared(at=report.at, seconds=report.seconds, states=states)
    run.save()
    return report


def since(run: Run, c: ChapterRun) -> str:
    """The run whose outputs a chapter's recorded ones are, in words."""
    if c.accepted:
        last = c.accepted[-1]
        return f"what was accepted {when(last.at)} UTC in run {last.run}: {last.reason}"
    made = (run.folder / c.notebook).stat().st_mtime_ns  # a later run's copy keeps it
    origin = run
    for older in record.history(run):
        path = older.folder / c.notebook
        if path.is_file() and path.stat().st_mtime_ns == made:
            origin = older
    return f"run {origin.id} of {when(origin.started)} UTC"


class _Replays:
    """pytest with nbval, a process for each chapter. None outlives it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._running: set[subprocess.Popen[str]] = set()
        self._stopping = threading.Event()

    def __enter__(self) -> _Replays:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for number, seconds in ((signal.SIGINT, 10), (signal.SIGKILL, 5)):
            left = [process for process in list(self._running) if process.poll() is None]
            for process in left:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, number)
            until = time.monotonic() + seconds
            while time.monotonic() < until and any(process.poll() is None for process in left):
                time.sleep(0.05)

    def run(self, run: Run, chapters: Collection[ChapterRun], jobs: int, say: Say) -> dict[str, Any]:
        """{chapter: (what differs, what its cells gave)}. The longest begins first."""
        done: dict[str, Any] = {}
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            order = sorted(chapters, key=lambda c: -c.seconds)
            going = {pool.submit(self._one, run, c): c.id for c in order}
            for ended in concurrent.futures.as_completed(going):
                done[going[ended]] = ended.result()
                for line in drift_report.lines(done[going[ended]][0]):
                    say(line)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return done

    def _one(self, run: Run, c: ChapterRun) -> tuple[ChapterDrift, dict[str, Any]]:
        folder, begin = self.folder / c.id, time.monotonic()
        folder.mkdir()
        recorded = lay_out(run.folder / c.notebook, c, folder)
        code, said = self._nbval(folder)
        mask = mask_of(c.parameters)
        cells = _cells(folder / RESULT, mask)
        found = ChapterDrift(
            id=c.id, number=c.number, title=c.title, target=run.target_of(c), since=since(run, c), state=drift.SAME
        )
        if not cells:
            found.error = f"pytest ended with {code}:\n" + mask("\n".join(said.splitlines()[-8:]))
        drift.compare(found, recorded, cells)
        found.seconds = round(time.monotonic() - begin, 1)
        return found, {str(cell["cell"]): cell["now"] for cell in cells if cell.get("differs")}

    def _nbval(self, folder: Path) -> tuple[int, str]:
        rules = ["--nbval-sanitize-with", str(RULES), "--rootdir", str(folder), "-c", os.devnull]
        argv = [sys.executable, "-m", "pytest", *_WORDS.split(), "--color=no", "--tb=short", *rules, str(folder)]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        if self._stopping.is_set():
            return 2, "stopped"
        env = _environment(folder / RESULT)
        # a session of its own: Ctrl-C is for us alone, who pass it on once
        process = subprocess.Popen(argv, env=env, cwd=folder, start_new_session=True, **streams)
        self._running.add(process)
        try:
            said = process.communicate()[0]
            return process.returncode, said
        finally:
            self._running.discard(process)


def _cells(path: Path, mask: Callable[[str], str]) -> list[dict[str, Any]]:
    """What nbval_plugin wrote, without secrets; empty when the process was ended before."""
    found: list[dict[str, Any]] = masked(json.loads(path.read_text()), mask) if path.exists() else []
    return found


def _environment(result: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", nbval_plugin.RESULT: str(result)}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # each plugin that is installed takes its time to import
    env.pop("RUNBOOK_EVENTS", None)
    return env


def lay_out(executed: Path, c: ChapterRun, folder: Path) -> Any:
    """Write the notebook as it is replayed: in verify mode. Returns it."""
    nbformat, papermill = import_module("nbformat"), import_module("papermill.parameterize")
    notebook = nbformat.read(executed, as_version=4)
    notebook = papermill.parameterize_notebook(notebook, {**c.parameters, "mode": "verify"}, kernel_name="python3")
    for cell in notebook.cells:  # the new parameters have no output to compare, but they did run
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.execution_count = 1
    nbformat.write(notebook, folder / notebooks.find(c.id).path.name)
    return notebook
