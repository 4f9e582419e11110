"""The command line behind ./runbook."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from helpers.command import (
    doctor,
    given,
    kernels,
    looks,
    pages,
    printed,
    progress,
    record,
    site,
    supplies,
    targets,
    timeline,
)
from helpers.command.artifacts import artifacts
from helpers.command.base import (
    CHAPTER,
    console,
    examples,
    json_option,
    only_json,
    print_json,
    say,
    target_option,
    targets_option,
)
from helpers.command.chapter_commands import ChapterGroup
from helpers.command.lab import lab
from helpers.command.lint import lint
from helpers.command.new import new
from helpers.command.plan import Plan
from helpers.command.reach import reached, target_locks
from helpers.command.record import Run
from helpers.command.regress import regress
from helpers.command.runner import Runner
from helpers.command.sandbox import sandbox
from helpers.command.troubles import explain
from helpers.command.watch import watch
from helpers.core import notebooks
from helpers.core.errors import BadInput, RunbookError
from helpers.core.installed_secrets import TAKE_OVER
from helpers.core.paths import REPO, absolute_environment, runs
from helpers.core.secrets import SecretStore
from helpers.core.target import Target
from helpers.sandbox import Sandbox
from helpers.sandbox.supply import Supply


@click.group(
    cls=ChapterGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("""
./runbook up                                  a sandbox host, all chapters, the site
./runbook up --target ssh://ubuntu@10.0.0.5   the same on a real host
./runbook up --mode verify                    does it still work? changes nothing
./runbook status                              what the last run found
"""),
)
@click.option("--debug", is_flag=True, help="Show Python tracebacks.")
def main(debug: bool) -> None:
    """Make a host a machine-learning platform, prove it works, and write it down."""
    absolute_environment()


@main.command(
    epilog=examples("""
./runbook up
./runbook up --target ssh://ubuntu@10.0.0.5 -f platform.yaml
./runbook up --target ssh://ubuntu@10.0.0.5 --target gitlab=ssh://ubuntu@10.0.0.6   GitLab on a host of its own
./runbook up --only minio -p minio.port=9010
./runbook up --from postgres --mode verify
./runbook up --mode plan          what would run; nothing is changed
./runbook up --mode remove        take everything away again
""")
)
@targets_option
@click.option("--only", multiple=True, type=CHAPTER, help="Only this chapter (may be given again).")
@click.option("--from", "first", type=CHAPTER, help="Start at this chapter.")
@click.option("--until", "last", type=CHAPTER, help="Stop after this chapter.")
@click.option("--mode", default=None, metavar="MODE", help="install, verify, plan or remove.  [default: install]")
@click.option(
    "--jobs",
    "-j",
    default=4,
    type=click.IntRange(1),
    metavar="N",
    show_default=True,
    help="Chapters at the same time.",
)
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Parameters from a platform.yaml.",
)
@click.option(
    "-p",
    "pairs",
    multiple=True,
    metavar="K=V",
    help="A parameter: minio.port=9010, or port=... for all chapters that have it.",
)
@click.option("--force", is_flag=True, help="Run the chapters that are unchanged, too.")
@click.option("--no-book", is_flag=True, help="Do not build the site afterwards.")
@click.option("--take-over", is_flag=True, help="Replace secrets on the host that another operator installed.")
@click.option(
    "--yes", "-y", is_flag=True, help="Do not ask: before remove, and before system packages are installed here."
)
@json_option
def up(**words: Any) -> None:
    """Install the platform on a target, or on several, prove it, and build the site."""
    options, clock = Options(**words), timeline.Clock()
    if options.as_json:
        only_json()
    if options.take_over:
        os.environ[TAKE_OVER] = "yes"
    if options.yes:
        os.environ["RUNBOOK_YES"] = "yes"
    plan = _plan_from(options)
    places = list(dict.fromkeys(plan.hosts().values()))
    where = " and ".join(places)
    if plan.mode == "remove" and not options.yes and any(Target.parse(t).kind != "sandbox" for t in places):
        click.confirm(
            f"This deletes the chapters' programs AND DATA on {where}. Go on?", abort=True, err=options.as_json
        )
    with target_locks(places, f"up --mode {plan.mode}"):
        for target in places:
            record.latest(target)  # an unreadable record is refused before anything is touched
        coming = supplies.of_sandboxes(plan, clock, say)
        started = time.monotonic()
        run, before = _run(plan, options, coming)
    clock.keep(run, before, coming.values())
    progress.report(console, run)
    if not options.no_book and plan.mode != "plan" and run.state != "interrupted":
        with clock.span("site", "the site"):
            index = site.build(main, say)
        clock.keep(run, before, coming.values())
        timeline.fill(index.parent, run)
        say(f"site    {index}")
    say(f"record  {run.folder / 'run.json'}")
    console.print(
        f"{run.state}: {plan.mode} on {where} in {time.monotonic() - started:.0f} s",
        style="green" if run.state == "ok" else "red",
    )
    if options.as_json:
        print_json(looks.told(run))
    sys.exit({"ok": 0, "interrupted": 130}.get(run.state, 1))


@dataclass(frozen=True)
class Options:
    """The options of `up`, as its --help explains them."""

    targets: tuple[str, ...]
    only: tuple[str, ...]
    first: str | None
    last: str | None
    mode: str | None
    jobs: int
    file: str | None
    pairs: tuple[str, ...]
    force: bool
    no_book: bool
    take_over: bool
    yes: bool
    as_json: bool


def _plan_from(options: Options) -> Plan:
    """The command line's words go over the platform file's."""
    known = notebooks.load_all()
    where = targets.given(options.targets, known)
    said = given.platform_file(options.file) if options.file else given.NOTHING
    where, mode = where.over(said.targets), options.mode or said.mode or "install"
    old = record.last({n.id: where.of(n.host) for n in known.values()})
    said = given.with_pairs(said, options.pairs)
    return Plan(
        where,
        mode,
        only=options.only,
        first=options.first,
        last=options.last,
        given=said.chapters,
        everywhere=said.parameters,
        installed=record.installed(old) if mode == "remove" else None,
        standing=record.standing(old) if mode == "remove" else (),
    )


def _run(plan: Plan, options: Options, coming: Mapping[str, Supply]) -> tuple[Run, list[Run]]:
    """The record, and those that were there before. What chapters wait for is built behind them, and ends here."""
    with contextlib.ExitStack() as stack:
        stack.callback(supplies.stop, coming)
        kernels.prepare(plan.chapters)
        stack.enter_context(reached(plan, say))
        shown = stack.enter_context(progress.Progress(console))
        runner = Runner(plan, options.jobs, shown, options.force)
        runner.supplies = coming
        return runner.run(), [old.run for old in runner.before.values()]


@main.command(epilog=examples("./runbook logs minio\n./runbook logs 05 --follow"))
@click.argument("chapter", type=CHAPTER)
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows; Ctrl-C ends it.")
def logs(chapter: str, follow: bool) -> None:
    """The whole output of a chapter's commands in the last run."""
    n = notebooks.find(chapter)
    path = next((path for path in _logs(n.path.stem) if path.exists()), None)
    if path is None:
        what = f"show the log of chapter {n.id}"
        raise RunbookError(what, saw="it has not run yet", do=f"./runbook up --only {n.id}")
    with open(path) as f:
        click.echo(f.read(), nl=False)
        while follow:
            time.sleep(0.5)
            click.echo(f.read(), nl=False)


def _logs(stem: str) -> Iterator[Path]:
    """Where a chapter's log would be, the newest run first."""
    folders = [p for p in runs().iterdir() if p.is_dir() and not p.is_symlink()] if runs().is_dir() else []
    return (folder / "logs" / f"{stem}.log" for folder in sorted(folders, reverse=True))


@main.command(
    epilog=examples(
        "./runbook secrets                 the names\n./runbook secrets minio-root      the value, for a person's eyes"
    )
)
@click.argument("name", required=False)
@target_option
def secrets(name: str | None, target: str | None) -> None:
    """Names of the secrets of a target, or the value of one."""
    parsed = Target.parse(target or "sandbox")
    store = SecretStore(parsed.slug)
    names = store.names()
    if name is None:
        for n in names:
            click.echo(n)
    elif name in names:
        click.echo(store.get(name).reveal())
    else:
        raise BadInput(
            f"show the secret {name!r} of {parsed}",
            saw="there is none of that name",
            do="Names: " + (", ".join(names) or "none yet"),
        )


for each in (
    sandbox,
    artifacts,
    explain,
    lab,
    lint,
    new,
    regress,
    watch,
    looks.status,
    looks.examine,
    looks.completion,
):
    main.add_command(each)


@main.command(epilog=examples("./runbook book\n./runbook book --open\n./runbook book --pdf\n./runbook book --readme"))
@click.option("--open", "open_it", is_flag=True, help="Show it in a browser.")
@click.option("--pdf", "as_pdf", is_flag=True, help="Print all of it into one PDF, too (needs Chromium).")
@click.option("--readme", is_flag=True, help="Write the README's table of chapters from the record, too.")
def book(open_it: bool, as_pdf: bool, readme: bool) -> None:
    """Build the site from the last run's executed notebooks."""
    if readme:
        say("readme  " + ("written" if pages.refresh_readme() else "already so"))
    index = site.build(main, say)
    say(f"site    {index}")
    if as_pdf:
        say(f"pdf     {printed.pdf(say)}")
    if open_it:
        click.launch(str(index))


@main.command(
    context_settings={"ignore_unknown_options": True},
    epilog=examples("""
./runbook test
./runbook test -k minio
./runbook test --faults tests/sandbox/test_runbook.py   the whole story of a host, with every fault
./runbook test --faults tests/sandbox/test_somebodys_cluster.py   a cluster that is somebody's
./runbook test --kinds tests/sandbox/test_kinds.py      a host of every kind, and chapters on each
"""),
)
@click.option(
    "--faults", is_flag=True, help="Break the platform in all the ways that the tests know, not only in some."
)
@click.option("--kinds", is_flag=True, help="Boot hosts of all kinds, not only of some.")
@click.argument("pytest_arguments", nargs=-1)
def test(faults: bool, kinds: bool, pytest_arguments: tuple[str, ...]) -> None:
    """The project's own tests, the real sandbox included. System packages that they need are installed unasked."""
    os.environ["RUNBOOK_YES"] = "yes"
    proved = [lack for n in notebooks.load_all().values() for lack in doctor.chapter_lacks(n, n.check({}))]
    doctor.install(Sandbox("test").missing() + doctor.test_lacks() + proved, say)
    if faults:
        os.environ["RUNBOOK_FAULTS"] = "all"
    if kinds:
        os.environ["RUNBOOK_KINDS"] = "all"
    chosen = any((REPO / a.split("::")[0]).exists() for a in pytest_arguments if not a.startswith("-"))
    # in the order that tests/conftest.py gives, not by the number of tests in a file
    by_three = [] if pytest_arguments else ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    argv = [sys.executable, "-m", "pytest", *([] if chosen else ["tests"]), *by_three, *pytest_arguments]
    sys.exit(subprocess.call(argv, cwd=REPO))
