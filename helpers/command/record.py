"""The run record: runs/<id>/run.json. Resume, the status page, the site and the regression test all read it."""

from __future__ import annotations

import datetime
import functools
import json
import os
from pathlib import Path
from typing import Any, cast

import click
from pydantic import BaseModel, ValidationError

from helpers.core.errors import BadInput, RunbookError
from helpers.core.files import write_whole
from helpers.core.paths import runs

FORMAT = 1

#: A chapter's states. It ended as it should; of these, it is on the target as the runbook left it:
GOOD, INSTALLED = frozenset({"ok", "skipped", "planned", "removed"}), frozenset({"ok", "skipped"})
#: it did not; it has not ended
BAD, OPEN = frozenset({"failed", "interrupted", "not run"}), frozenset({"waiting", "running"})
#: A check's states that say that it holds
HELD = frozenset({"ok", "proved"})


class Step(BaseModel):
    title: str
    state: str  # ok, failed, plan
    note: str = ""
    seconds: float = 0.0


class Check(BaseModel):
    title: str
    state: str  # ok, proved (it changed the target), left out (verify), failed
    expected: str = ""
    seen: str = ""
    entry: str | None = None


class ArtifactUse(BaseModel):
    name: str
    version: str
    origin: str
    fidelity: str  # original, equivalent, double
    program: str = ""
    sha256: str = ""


class ChapterRun(BaseModel):
    """One chapter in one run. state: one of GOOD, BAD and OPEN; skipped means unchanged and verified.

    Times are ISO 8601 in UTC, durations seconds.
    """

    id: str
    number: str
    title: str
    state: str = "waiting"
    reason: str = ""
    key: str = ""  # see Plan.key
    parameters: dict[str, Any] = {}
    installed: dict[str, Any] = {}  # the parameters of the last install that was begun
    notebook: str = ""  # the last executed install (or its failure), relative to the run's folder
    verify_notebook: str = ""
    log: str = ""
    began: str = ""
    seconds: float = 0.0
    verified: str = ""  # when its checks last held
    artifacts: list[ArtifactUse] = []
    versions: dict[str, str] = {}
    steps: list[Step] = []
    checks: list[Check] = []
    error: str = ""
    run: str = ""  # the run that this state is from


class Span(BaseModel):
    """One part of a time line. kind: set-up, build, chapter, site; began: seconds after the line's start."""

    kind: str
    name: str
    state: str = "ok"
    began: float
    seconds: float


class TimeLine(BaseModel):
    """The run that built the substitutes, from its first command on."""

    run: str
    started: str
    seconds: float
    processors: int
    spans: list[Span] = []


class Run(BaseModel):
    """One run on one target. state: running, ok, failed, interrupted."""

    format: int = FORMAT
    id: str
    target: str
    mode: str
    state: str = "running"
    started: str
    finished: str = ""
    seconds: float = 0.0
    chapters: dict[str, ChapterRun] = {}
    first: TimeLine | None = None  # carried from run to run

    @property
    def folder(self) -> Path:
        return runs() / self.id

    def save(self) -> None:
        """Write run.json whole or not at all."""
        write_whole(self.folder / "run.json", json.dumps(self.model_dump(), indent=1, ensure_ascii=False), 0o644)

    def publish(self) -> None:
        """Make this run runs/latest."""
        link = runs() / "latest.part"
        if link.is_symlink():
            link.unlink()
        link.symlink_to(self.id)
        os.replace(link, runs() / "latest")


def now(precision: str = "seconds") -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision)


def new(target: str, mode: str) -> Run:
    """A new, empty record with a folder of its own."""
    base = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for n in range(100):
        run = Run(id=base if not n else f"{base}-{n}", target=target, mode=mode, started=now())
        try:
            run.folder.mkdir(parents=True)
            (run.folder / "logs").mkdir()
            run.save()
            return run
        except FileExistsError:
            continue
    raise RunbookError("make a folder for the run", saw=str(runs()), do="Remove old runs.")


class Unreadable(BadInput):
    """A record that was cut off, or is none."""


def read(folder: Path) -> Run:
    """The record in a run's folder. Unreadable when it is so, BadInput when it is of a newer format."""
    path = folder / "run.json"
    try:
        content = json.loads(path.read_text())
        fields = cast("dict[str, Any]", content if isinstance(content, dict) else {})
        if not isinstance(fields.get("format"), int):
            raise ValueError("it is no run record")
        if fields["format"] > FORMAT:
            raise BadInput(
                f"read the run record {path}",
                saw="its format is {}, this runbook knows up to {}".format(fields["format"], FORMAT),
                do="It was written by a newer runbook: update this one, or move runs/ away to start afresh.",
            )
        return Run(**fields)
    except (ValueError, ValidationError, OSError) as e:
        raise Unreadable(
            f"read the run record {path}",
            saw=str(e).split("\n")[0],
            do=f"Move {folder} away; the next run writes a new record.",
        ) from None


def latest(target: str | None = None) -> Run | None:
    """The latest published record, of that target when one is given; None when there is none.

    Where older ones have to be looked through, those that are unreadable are left out, with a warning.
    """
    link = runs() / "latest"
    if link.exists():
        run = read(link.resolve())
        if target in (None, run.target):
            return run
    if target is None or not runs().is_dir():
        return None
    for folder in sorted((p for p in runs().iterdir() if p.is_dir() and not p.is_symlink()), reverse=True):
        found = _old(folder) if (folder / "run.json").exists() else None
        if found and found.target == target and found.mode != "plan" and found.state != "running":
            return found
    return None


def history(run: Run | None) -> list[Run]:
    """The runs before this one on its target, newest first; those that ended."""
    if run is None or not runs().is_dir():
        return []
    older = sorted((p for p in runs().iterdir() if (p / "run.json").is_file() and p.name < run.id), reverse=True)
    found = (_old(folder) for folder in older if not folder.is_symlink())
    return [r for r in found if r and r.target == run.target and r.state != "running" and r.mode != "plan"]


def installed(target: str) -> dict[str, dict[str, Any]]:
    """{chapter: its parameters} of what the last record of this target says to be there, or half there."""
    return {c.id: c.installed or c.parameters for c in _not_removed(target)}


def standing(target: str) -> set[str]:
    """Chapters of which the last record of this target says that something of them is there."""
    begun = [c for c in _not_removed(target) if c.installed]
    return {c.id for c in begun if c.verified or any(step.note == "applied" for step in c.steps)}


def _not_removed(target: str) -> list[ChapterRun]:
    run = latest(target)
    return [c for c in run.chapters.values() if c.state != "removed"] if run else []


@functools.cache  # one warning for each
def _unreadable(folder: Path, why: str) -> None:
    click.echo(f"{folder / 'run.json'} is unreadable ({why}): it is left out. Move {folder} away.", err=True)


def _old(folder: Path) -> Run | None:
    try:
        return read(folder)
    except Unreadable as e:
        return _unreadable(folder, e.saw or "")
