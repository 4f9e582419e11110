"""Chapters that a chapter's command had run elsewhere: told as those of a run, and kept as a record beside them."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.command import progress, record
from helpers.command.base import console, say
from helpers.command.record import ChapterRun, Run
from helpers.command.runner import WELL, fill
from helpers.core import notebooks
from helpers.core.files import write_whole
from helpers.core.outcome import Outcome


def keep(came: Sequence[Outcome], where: str) -> int:
    """Tell them and keep their record; returns the exit code. where: the target whose platform it was.

    It is not the latest of its target: there, every check can be made.
    """
    given = came[0].parameters
    run = record.new(given["target"], given["mode"])
    for outcome in came:
        run.chapters[outcome.id] = _entry(run, outcome, where)
    run.state = "ok" if all(c.state in record.GOOD for c in run.chapters.values()) else "failed"
    run.finished, run.seconds = record.now(), round(sum(c.seconds for c in run.chapters.values()), 1)
    run.save()
    _tell(run, came)
    return 0 if run.state == "ok" else 1


def _entry(run: Run, outcome: Outcome, where: str) -> ChapterRun:
    n = notebooks.load_all()[outcome.id]
    c = ChapterRun(id=n.id, number=n.number, title=n.title, host=n.host, run=run.id, seconds=outcome.seconds)
    c.parameters, c.error = dict(outcome.parameters), outcome.error
    c.state = "failed" if outcome.error else WELL[run.mode]
    c.reason = outcome.error.splitlines()[0] if outcome.error else f"in the cluster of {where}"
    c.verified = "" if outcome.error else record.now()
    fill(c, [dict(event) for event in outcome.events])
    if outcome.notebook:
        c.verify_notebook = f"{n.path.stem}.{run.mode}.ipynb"
        write_whole(run.folder / c.verify_notebook, outcome.notebook, 0o644)
    return c


def _tell(run: Run, came: Sequence[Outcome]) -> None:
    with progress.Progress(console) as shown:
        for outcome in came:
            label, c = notebooks.load_all()[outcome.id].label, run.chapters[outcome.id]
            shown.state(label, "running")
            for event in outcome.events:
                shown.event(label, event)
            shown.state(label, c.state, c.reason)
    progress.report(console, run)
    say(f"record  {run.folder / 'run.json'}")
