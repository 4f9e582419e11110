"""Where things lie on the operator's machine."""

from __future__ import annotations

import os
from pathlib import Path

#: The repository: notebooks/, setup/ and runs/ are below it.
REPO = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPO / "notebooks"
SETUP = REPO / "setup"


def runs() -> Path:
    """Run records; `RUNBOOK_RUNS` puts them elsewhere."""
    return Path(os.environ.get("RUNBOOK_RUNS") or REPO / "runs")


def build() -> Path:
    """What is made for the site: _build/, or below RUNBOOK_RUNS when that is set."""
    return runs() / "_build" if os.environ.get("RUNBOOK_RUNS") else REPO / "_build"


def home(*parts: str) -> Path:
    """A directory below the runbook's home (`RUNBOOK_HOME`, else ~/.mlops-runbook), made 0700 when missing.

    It holds what must not lie in the repository: secrets/, ssh/, locks/, cache/, sandbox/.
    """
    base = Path(os.environ.get("RUNBOOK_HOME") or Path.home() / ".mlops-runbook")
    path = base.joinpath(*parts)
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        base.chmod(0o700)
    return path
