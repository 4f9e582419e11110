"""`./runbook regress`: is every output as it was? And what changed can be taken as the new truth, with a reason."""

from __future__ import annotations

import sys

import click

from helpers.command import record
from helpers.command.accept import accept
from helpers.command.base import console, examples, say, target_option
from helpers.command.reach import target_locks
from helpers.core import notebooks
from helpers.core.errors import BadInput, RunbookError
from helpers.core.target import Target


@click.command(
    epilog=examples("""
./runbook regress
./runbook regress --only minio
./runbook regress --accept postgres --reason "security update of 2026-11-20"
""")
)
@target_option
@click.option("--only", multiple=True, metavar="CHAPTER", help="Only this chapter (may be given again).")
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    metavar="CHAPTER",
    help="Take what the last report shows of it as the new truth (may be given again). Nothing is run.",
)
@click.option("--reason", metavar="TEXT", help="Why it is accepted; it stands in the record.")
def regress(target: str | None, only: tuple[str, ...], accepted: tuple[str, ...], reason: str | None) -> None:
    """Replay the last run's notebooks in verify mode and compare every output with what was recorded.

    It tells what changed, since which run, by chapter, and leaves the same as report.html and junit.xml in drift/ of
    the run's folder. With --target only chapters that ran there. Ends with 0 when all is as recorded, else with 1.
    """
    reason = (reason or "").strip()
    if bool(accepted) != bool(reason) or (accepted and only):
        saw = "--only goes with neither" if accepted and only else "one is without the other"
        do = './runbook regress --accept CHAPTER --reason "why"'
        raise BadInput("accept a change: --accept and --reason", saw=saw, do=do)
    if target:
        Target.parse(target)
    names = [notebooks.find(name).id for name in accepted or only]
    run = record.latest(target)
    if run is None:
        raise RunbookError("replay the last run", saw="there is none yet", do="./runbook up")
    with target_locks([target] if target else run.hosts.values(), "regress"):
        if accepted:
            for line in accept(run, list(dict.fromkeys(names)), reason):
                say(line)
            return
        _compare(run, names, target)


def _compare(run: record.Run, names: list[str], target: str | None) -> None:
    from helpers.command import replay  # pytest and papermill take more than a second to import

    chapters = replay.chosen(run, names, target)
    report = replay.replay(run, chapters, say)
    folder = run.folder / record.DRIFT
    say(f"report  {folder / 'report.html'}\n        {folder / 'junit.xml'}")
    console.print(report.closing, style="red" if report.red else "green", markup=False, soft_wrap=True)
    if any(c.holds for c in report.red):
        say('accept  ./runbook regress --accept CHAPTER --reason "why" takes a change as the new truth')
    sys.exit(1 if report.red else 0)
