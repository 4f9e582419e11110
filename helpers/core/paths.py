"""Where things lie on the operator's machine."""

from __future__ import annotations

import os
from pathlib import Path

#: The repository: notebooks/, setup/ and runs/ are below it.
REPO = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPO / "notebooks"
SETUP = REPO / "setup"


def absolute_environment() -> None:
    """Relative paths in the environment lead from where the command was called: kernels run elsewhere."""
    for name in ("KUBECONFIG", "RUNBOOK_HOME", "RUNBOOK_RUNS", "RUNBOOK_SSH_CONFIG", "RUNBOOK_BUNDLE"):
        parts = [os.path.abspath(part) for part in os.environ.get(name, "").split(os.pathsep) if part]
        if parts:
            os.environ[name] = os.pathsep.join(parts)


def runs() -> Path:
    """Run records; `RUNBOOK_RUNS` puts them elsewhere."""
    return Path(os.environ.get("RUNBOOK_RUNS") or REPO / "runs")


def build() -> Path:
    """What is made for the site: _build/, or below RUNBOOK_RUNS when that is set."""
    return runs() / "_build" if os.environ.get("RUNBOOK_RUNS") else REPO / "_build"


def home(*parts: str) -> Path:
    """A directory below the runbook's home (`RUNBOOK_HOME`, else ~/.mlops-runbook), made 0700 when missing.

    It holds what must not lie in the repository: secrets/, ssh/, locks/, cache/, sandbox/. A folder that was there
    before keeps its mode: it may be a disk that others use, too.
    """
    path = Path(os.environ.get("RUNBOOK_HOME") or Path.home() / ".mlops-runbook").joinpath(*parts)
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path
