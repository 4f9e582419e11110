"""The regression test: nbval replays the last run's notebooks in verify mode and compares every output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from importlib import import_module
from pathlib import Path

from helpers.command import record
from helpers.command.record import ChapterRun, Run
from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO, SETUP

#: the one rule file: what may vary between two runs
RULES = SETUP / "nbval-sanitize.cfg"


def replay(run: Run, only: Collection[str] = (), target: str | None = None) -> int:
    """Replay the record's notebooks where they ran, on one target when it is given; prints pytest's report.

    Returns pytest's exit code: 0 when all is as recorded.
    """
    there = [c for c in run.chapters.values() if c.notebook and c.state in record.INSTALLED | {"failed"}]
    chosen = [c for c in there if (not only or c.id in only) and target in (None, run.target_of(c))]
    if not chosen:
        saw = "it has no executed notebook{}".format(" of " + ", ".join(only) if only else "")
        raise RunbookError(f"replay run {run.id}", saw=saw, do="./runbook up first: in install mode it leaves them.")
    with tempfile.TemporaryDirectory(prefix="runbook-regress-") as folder:
        for c in chosen:
            _lay_out(run.folder / c.notebook, c, Path(folder))
        return _nbval(folder)


def _lay_out(executed: Path, c: ChapterRun, folder: Path) -> None:
    nbformat, papermill = import_module("nbformat"), import_module("papermill.parameterize")
    notebook = nbformat.read(executed, as_version=4)
    notebook = papermill.parameterize_notebook(notebook, {**c.parameters, "mode": "verify"}, kernel_name="python3")
    for cell in notebook.cells:  # the new parameters have no output to compare, but they did run
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.execution_count = 1
    nbformat.write(notebook, folder / notebooks.find(c.id).path.name)


def _nbval(folder: str) -> int:
    path = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"}
    env.pop("RUNBOOK_EVENTS", None)
    words = "-q --nbval --nbval-current-env --nbval-cell-timeout 300 -p no:cacheprovider --color=no --tb=short"
    rules = ["--nbval-sanitize-with", str(RULES), "--rootdir", folder, "-c", os.devnull]
    return subprocess.call([sys.executable, "-m", "pytest", *words.split(), *rules, folder], env=env, cwd=folder)
