"""The run record: runs/<id>/run.json. Resume, the status page, the site and the regression test all read it."""

from __future__ import annotations

import datetime
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import click
from pydantic import BaseModel, ValidationError

from helpers.core.errors import BadInput, RunbookError
from helpers.core.files import write_whole
from helpers.core.notebooks import PLATFORM
from helpers.core.paths import runs

FORMAT = 1

#: the folder of a run's drift report
DRIFT = "drift"

#: A chapter's states. It ended as it should; of these, it is on the target as the runbook left it:
GOOD, INSTALLED = frozenset({"ok", "skipped", "planned", "removed"}), frozenset({"ok", "skipped"})
#: it did not; it has not ended
BAD, OPEN = frozenset({"failed", "interrupted", "not run"}), frozenset({"waiting", "running"})
#: A check's states that say that it holds
HELD = frozenset({"ok", "proved"})


class Step(BaseModel):
    title: str
    state: str  # ok, failed, plan, left out (the note says why)
    note: str = ""
    seconds: float = 0.0


class Check(BaseModel):
    title: str
    state: str  # ok, proved (it changed the target), left out (seen says why), failed
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


class Accepted(BaseModel):
    """What `regress --accept` took as the new truth of a chapter, and why."""

    at: str
    by: str
    run: str  # the run in whose notebook it stands
    reason: str
    changes: list[str] = []  # lines of the drift report


class Compared(BaseModel):
    """The last `regress` on a run: its report is in the folder DRIFT. states: {chapter: same, drift or failed}."""

    at: str
    seconds: float
    states: dict[str, str] = {}


class ChapterRun(BaseModel):
    """One chapter in one run. state: one of GOOD, BAD and OPEN; skipped means unchanged and verified.

    Times are ISO 8601 in UTC, durations seconds.
    """

    id: str
    number: str
    title: str
    host: str = PLATFORM  # by name
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
    accepted: list[Accepted] = []  # of the outputs in `notebook`


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
    """One run on the targets of its chapters. state: running, ok, failed, interrupted."""

    format: int = FORMAT
    id: str
    target: str  # of the platform's host; another one where no chapter of the run is there
    mode: str
    state: str = "running"
    started: str
    finished: str = ""
    seconds: float = 0.0
    chapters: dict[str, ChapterRun] = {}
    first: TimeLine | None = None  # carried from run to run
    compared: Compared | None = None

    @property
    def folder(self) -> Path:
        return runs() / self.id

    def target_of(self, c: ChapterRun) -> str:
        """Where a chapter of it ran."""
        return c.parameters.get("target") or self.target

    @property
    def hosts(self) -> dict[str, str]:
        """{host: its target}, of all chapters in it."""
        return {c.host: self.target_of(c) for c in self.chapters.values()} or {PLATFORM: self.target}

    @property
    def several(self) -> bool:
        """Is it on more than one target?"""
        return len(set(self.hosts.values())) > 1

    def where(self, mark: str = "") -> str:
        """Its targets in words, each between two marks."""
        return " and ".join(mark + target + mark for target in dict.fromkeys(self.hosts.values()))

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
    """The latest published record, one that has that target when one is given; None when there is none.

    Where older ones have to be looked through, those that are unreadable are left out, with a warning.
    """
    link = runs() / "latest"
    if link.exists():
        run = read(link.resolve())
        if target is None or _has(run, target):
            return run
    if target is None or not runs().is_dir():
        return None
    for folder in sorted((p for p in runs().iterdir() if p.is_dir() and not p.is_symlink()), reverse=True):
        found = _old(folder) if (folder / "run.json").exists() else None
        if found and _has(found, target) and found.mode != "plan" and found.state != "running":
            return found
    return None


def history(run: Run | None) -> list[Run]:
    """The runs before this one on its target, newest first; those that ended."""
    if run is None or not runs().is_dir():
        return []
    older = sorted((p for p in runs().iterdir() if (p / "run.json").is_file() and p.name < run.id), reverse=True)
    found = (_old(folder) for folder in older if not folder.is_symlink())
    return [r for r in found if r and _has(r, run.target) and r.state != "running" and r.mode != "plan"]


def _has(run: Run, target: str) -> bool:
    return target in (run.target, *run.hosts.values())


class Old(NamedTuple):
    """What an earlier run left of a chapter."""

    run: Run
    chapter: ChapterRun


def last(places: Mapping[str, str]) -> dict[str, Old]:
    """What the last record of its target says of each chapter. places: {chapter: its target, empty: unknown}."""
    runs = {target: latest(target) for target in dict.fromkeys(places.values()) if target}
    found = {name: (runs[target], target) for name, target in places.items() if target}
    return {
        name: Old(run, run.chapters[name])
        for name, (run, target) in found.items()
        if run and name in run.chapters and run.target_of(run.chapters[name]) == target
    }


def installed(old: Mapping[str, Old]) -> dict[str, dict[str, Any]]:
    """{chapter: its parameters} of what is there, or half there."""
    there = [o.chapter for o in old.values() if o.chapter.state != "removed"]
    return {c.id: c.installed or c.parameters for c in there}


def standing(old: Mapping[str, Old]) -> set[str]:
    """Chapters of which something is there."""
    there = [o.chapter for o in old.values() if o.chapter.state != "removed" and o.chapter.installed]
    return {c.id for c in there if c.verified or any(step.note == "applied" for step in c.steps)}


@functools.cache  # one warning for each
def _unreadable(folder: Path, why: str) -> None:
    click.echo(f"{folder / 'run.json'} is unreadable ({why}): it is left out. Move {folder} away.", err=True)


def _old(folder: Path) -> Run | None:
    try:
        return read(folder)
    except Unreadable as e:
        return _unreadable(folder, e.saw or "")
