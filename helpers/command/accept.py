"""`regress --accept`: what the last report shows of a chapter becomes what was recorded, with a reason."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from helpers.command import drift, drift_report, record
from helpers.command.drift_report import Report
from helpers.command.record import Run
from helpers.core import host_lock
from helpers.core.errors import BadInput
from helpers.core.files import write_whole


def accept(run: Run, names: Collection[str], reason: str) -> list[str]:
    """Take what the last report shows of these chapters as what was recorded. BadInput before anything is touched.

    Returns a line for each.
    """
    found = drift_report.read(run.folder / record.DRIFT)
    if found is None:
        saw = f"run {run.id} has no drift report"
        raise BadInput("accept what changed", saw=saw, do="./runbook regress first, and read what it shows.")
    report, outputs = found
    for name in names:
        _check_acceptable(report, name)
    new = {name: _with_outputs(run.folder / run.chapters[name].notebook, name, outputs[name]) for name in names}
    for name, content in new.items():
        c = run.chapters[name]
        lines = [line for change in report.chapters[name].changes for line in change.lines()]
        c.accepted.append(
            record.Accepted(at=record.now(), by=host_lock.operator(), run=run.id, reason=reason, changes=lines)
        )
        write_whole(run.folder / c.notebook, content, 0o644)
        report.chapters[name].state, report.chapters[name].cells = drift.SAME, []
    run.compared = record.Compared(
        at=report.at, seconds=report.seconds, states={name: c.state for name, c in report.chapters.items()}
    )
    run.save()
    drift_report.write(run.folder / record.DRIFT, report, outputs)
    return [f"{run.chapters[name].number} {name}: accepted in run {run.id}: {reason}" for name in names]


def _check_acceptable(report: Report, name: str) -> None:
    what, c = f"accept what changed in chapter {name}", report.chapters.get(name)
    if c is None or c.state == drift.SAME:
        saw = "the last report has no change of it" if c else "the last report does not have it"
        raise BadInput(what, saw=saw, do=f"./runbook regress --only {name}")
    if not c.holds:
        saw = "it does not hold: " + (c.changes[0].lines()[-1] if c.changes else c.error)
        do = f"Mend it: ./runbook up --target {c.target} --only {name}. What is broken cannot be the new truth."
        raise BadInput(what, saw=saw, do=do)


def _with_outputs(path: Path, name: str, new: dict[str, list[Any]]) -> str:
    """The executed notebook, with these outputs in place of its own."""
    nbformat = import_module("nbformat")
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if any(int(number) >= len(cells) for number in new):
        raise BadInput(
            f"accept what changed in chapter {name}",
            saw="its notebook is another one than the report's",
            do=f"./runbook regress --only {name}",
        )
    for number, outputs in new.items():
        cells[int(number)].outputs = [nbformat.from_dict(output) for output in outputs]
    nbformat.validate(notebook)
    return nbformat.writes(notebook)
