"""The regression test: nbval replays the last run's notebooks in verify mode and compares every output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from papermill.parameterize import parameterize_notebook

from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO, SETUP

#: the one rule file: what may vary between two runs
RULES = SETUP / "nbval-sanitize.cfg"


def replay(run, only=()):
    """Replay the record's notebooks against its target; prints pytest's report, returns its exit code (0: all as recorded)."""
    chosen = [
        c
        for c in run.chapters.values()
        if c.notebook and c.state in ("ok", "skipped", "failed") and (not only or c.id in only)
    ]
    if not chosen:
        raise RunbookError(
            f"replay run {run.id}",
            saw="it has no executed notebook{}".format(" of " + ", ".join(only) if only else ""),
            do="./runbook up first: in install mode it leaves them.",
        )
    with tempfile.TemporaryDirectory(prefix="runbook-regress-") as folder:
        for c in chosen:
            notebook = nbformat.read(run.folder / c.notebook, as_version=4)
            parameters = dict(c.parameters, mode="verify")
            notebook = parameterize_notebook(notebook, parameters, kernel_name="python3")
            for cell in notebook.cells:  # the new parameters have no output to compare, but they did run
                if "injected-parameters" in cell.metadata.get("tags", []):
                    cell.execution_count = 1
            nbformat.write(notebook, Path(folder) / notebooks.find(c.id).path.name)
        env = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")])),
            NO_COLOR="1",
        )
        env.pop("RUNBOOK_EVENTS", None)
        return subprocess.call(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "--nbval",
                "--nbval-current-env",
                "--nbval-sanitize-with",
                str(RULES),
                "--nbval-cell-timeout",
                "300",
                "-p",
                "no:cacheprovider",
                "--color=no",
                "--tb=short",
                "--rootdir",
                folder,
                "-c",
                os.devnull,
                folder,
            ],
            env=env,
            cwd=folder,
        )
