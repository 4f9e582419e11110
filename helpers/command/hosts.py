"""What chapters say on a host of each kind: tried on a sandbox made so, kept in book/hosts.json, shown on a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel

from helpers.command import record
from helpers.command.record import ChapterRun
from helpers.core import notebooks
from helpers.core.errors import BadInput
from helpers.core.files import write_whole
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO
from helpers.core.secrets import SecretStore
from helpers.core.target import Target
from helpers.sandbox import Sandbox
from helpers.sandbox.kinds import Kind
from helpers.sandbox.processes import Report

RECORD = REPO / "book" / "hosts.json"
#: what the chapter provides that makes what others call `where` they run
CLUSTER = "cluster"


class Said(BaseModel):
    """How a chapter ended on a host. state: ok, refused (before it changed the host), failed; words: why not ok."""

    state: str
    words: str = ""


class Tried(BaseModel):
    """What was tried on one kind of host. when: a date."""

    when: str
    chapters: dict[str, Said] = {}


def load(path: Path = RECORD) -> dict[str, Tried]:
    """What is recorded, by kind."""
    if not path.is_file():
        return {}
    return {name: Tried(**said) for name, said in json.loads(path.read_text()).items()}


def keep(kind: str, chapters: Mapping[str, Said], path: Path = RECORD) -> None:
    """Record what was tried on this kind; what else is recorded of it stays."""
    found = load(path)
    before = found[kind].chapters if kind in found else {}
    found[kind] = Tried(when=record.now()[:10], chapters={**before, **chapters})
    shown = {name: tried.model_dump() for name, tried in sorted(found.items())}
    write_whole(path, json.dumps(shown, indent=1, ensure_ascii=False) + "\n", 0o644)


def cheap(known: Mapping[str, Notebook]) -> list[str]:
    """The chapters of the platform's host that need no cluster: tried when none is named."""
    left_out = set[str]()
    for n in known.values():  # in the book's order: what one requires was asked before
        if n.host != notebooks.PLATFORM or CLUSTER in n.provides or left_out.intersection(n.requires):
            left_out.add(n.id)
    return [name for name in known if name not in left_out]


def attempt(kind: Kind, chapters: Iterable[str], name: str, report: Report) -> dict[str, Said]:
    """Make a sandbox of this kind, install these chapters on it, and remove it. BadInput when there is one already."""
    box = Sandbox(name)
    if box.status()["state"] != "absent":
        saw, do = "it is there already", f"Name another one, or: ./runbook sandbox down --wipe --name {name}"
        raise BadInput(f"try chapters on a new sandbox {name}", saw=saw, do=do)
    try:
        box.up(report, artifacts=[], like=kind.name)
        return on(f"sandbox:{name}", chapters)
    finally:
        box.down(wipe=True, report=report)
        SecretStore(Target.parse(f"sandbox:{name}").slug).forget_all()


def on(target: str, chapters: Iterable[str]) -> dict[str, Said]:
    """Install chapters on a target, and what each said. Record, kubeconfig and SSH file are of this call alone."""
    chosen = list(chapters)
    with tempfile.TemporaryDirectory() as folder:
        # an alias of its own: the person's stays
        words = ["--no-book", "--jobs", "1", "-p", "alias=tried", "-p", "socks_port=19999"]
        only = [word for name in chosen for word in ("--only", name)]
        env = {**os.environ, "RUNBOOK_RUNS": folder, "KUBECONFIG": f"{folder}/kubeconfig", "PYTHONPATH": str(REPO)}
        argv = [sys.executable, "-m", "helpers", "up", "--target", target, *only, *words]
        done = subprocess.run(argv, env=env, cwd=REPO, capture_output=True, text=True)
        runs = sorted(Path(folder).glob("*/run.json"))
        if not runs:
            said = Said(state="refused", words=_short(done.stderr or done.stdout))
            return dict.fromkeys(chosen, said)
        return {name: judge(c) for name, c in record.read(runs[-1].parent).chapters.items() if name in chosen}


def judge(c: ChapterRun) -> Said:
    """A chapter's end as the page says it."""
    if c.state in record.GOOD:
        return Said(state="ok")
    failed = [f"{check.title}: {check.seen}" for check in c.checks if check.state == "failed"]
    failed += [f"{step.title}: {step.note}" for step in c.steps if step.state == "failed"]
    if failed:
        return Said(state="failed", words=" · ".join(" ".join(text.split()) for text in failed))
    changed = any(step.note == "applied" for step in c.steps)
    return Said(state="failed" if changed else "refused", words=_short(c.error or c.reason))


def _short(error: str) -> str:
    """An error's first two parts on one line: what was tried, what came back."""
    parts = re.findall(r"(?ms)^(?:error|saw) +(.*?)(?=^(?:host|saw|do|more) |\Z)", error)
    return ": ".join(" ".join(part.split()) for part in parts) or " ".join(error.split())[:300]
