"""The command line behind ./runbook."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click
import yaml
from rich.console import Console

from helpers.command import progress, record
from helpers.command.plan import Plan
from helpers.command.runner import Runner, check_reachable, target_lock
from helpers.core import catalogue, notebooks
from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import REPO, runs
from helpers.core.secrets import SecretStore
from helpers.core.target import Target

console = progress.new_console()


class _Group(click.Group):
    """Errors for people: one screen, exit code 2 for bad input, 1 for the rest, 130 for Ctrl-C."""

    def main(self, *args, **kwargs):
        debug = "--debug" in sys.argv
        try:
            sys.exit(super().main(*args, standalone_mode=False, **kwargs) or 0)
        except RunbookError as e:
            if debug:
                raise
            for label, text in e.lines():
                colour = {"error": "red", "do": "green"}.get(label)
                Console(stderr=True, highlight=False).print(
                    f"{label:<6} " + text.replace("\n", "\n       "), style=colour, markup=False, soft_wrap=True
                )
            sys.exit(2 if isinstance(e, BadInput) else 1)
        except click.exceptions.Exit as e:
            sys.exit(e.exit_code)
        except (click.exceptions.Abort, KeyboardInterrupt):
            click.echo("stopped", err=True)
            sys.exit(130)
        except click.ClickException as e:
            e.show()
            sys.exit(e.exit_code)
        except OSError as e:  # the operator's own disk: full, read-only, another user's
            if debug or not e.filename:
                raise
            click.echo(
                f"error  use {e.filename}\nsaw    {e.strerror}\ndo     Check its owner, its mode, and df -h there.",
                err=True,
            )
            sys.exit(1)


def _examples(text):
    """--help with examples below the options."""
    return "\b\nExamples:\n" + "\n".join("  " + l for l in text.strip().splitlines())


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_examples("""
./runbook up                                  a sandbox host, all chapters, the site
./runbook up --target ssh://ubuntu@10.0.0.5   the same on a real host
./runbook up --mode verify                    does it still work? changes nothing
./runbook status                              what the last run found
"""),
)
@click.option("--debug", is_flag=True, help="Show Python tracebacks.")
def main(debug):
    """Make a host a machine-learning platform, prove it works, and write it down."""


target_option = click.option(
    "--target",
    "-t",
    default=None,
    metavar="T",
    help="ssh://user@host[:port], local, sandbox or sandbox:NAME.  [default: sandbox]",
)


def _split(pairs):
    """-p k=v and -p chapter.k=v -> ({k: text}, {chapter: {k: text}})."""
    everywhere, given = {}, {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadInput(f"read -p {pair!r}", saw="no = in it", do="For example: -p minio.port=9010")
        chapter, dot, key = name.partition(".")
        if dot:
            given.setdefault(chapter, {})[key] = value
        else:
            everywhere[name] = value
    return everywhere, given


def _typed(values, known):
    """Texts of the command line as the type of the chapter's example."""
    typed = {}
    for key, text in values.items():
        default = known.get(key)
        try:
            typed[key] = text if default is None or isinstance(default.default, str) else yaml.safe_load(text)
        except yaml.YAMLError:
            typed[key] = text
    return typed


def _platform_file(path):
    """(target, mode, {chapter: {parameter: value}}, {parameter: value}) of a platform.yaml."""
    try:
        content = yaml.safe_load(Path(path).read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise BadInput(f"read {path}", saw=" ".join(str(e).split()), do="It must be YAML: see book/reference.")
    known = {"target", "mode", "chapters", "parameters"}
    if (
        not isinstance(content, dict)
        or set(content) - known
        or not all(isinstance(content.get(k) or {}, dict) for k in ("chapters", "parameters"))
    ):
        wrong = (
            ", ".join(sorted(str(k) for k in set(content) - known))
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise BadInput(
            f"read {path}",
            saw="not known there: {}".format(wrong or "chapters and parameters must be maps"),
            do="A platform file has: target, mode, parameters (for all chapters), chapters (by id).",
        )
    chapters = content.get("chapters") or {}
    for name, values in chapters.items():
        if not isinstance(values or {}, dict):
            raise BadInput(f"read {path}", saw=f"chapters.{name} is not a map", do="chapters: {minio: {port: 9010}}")
    return (
        content.get("target"),
        content.get("mode"),
        {k: v or {} for k, v in chapters.items()},
        content.get("parameters") or {},
    )


@main.command(
    epilog=_examples("""
./runbook up
./runbook up --target ssh://ubuntu@10.0.0.5 -f platform.yaml
./runbook up --only minio -p minio.port=9010
./runbook up --from postgres --mode verify
./runbook up --mode plan          what would run; nothing is changed
./runbook up --mode remove        take everything away again
""")
)
@target_option
@click.option("--only", multiple=True, metavar="CHAPTER", help="Only this chapter (may be given again).")
@click.option("--from", "first", metavar="CHAPTER", help="Start at this chapter.")
@click.option("--until", "last", metavar="CHAPTER", help="Stop after this chapter.")
@click.option("--mode", default=None, metavar="MODE", help="install, verify, plan or remove.  [default: install]")
@click.option(
    "--jobs",
    "-j",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="Chapters at the same time.  [default: as many as processors, 4 at most]",
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
@click.option("--yes", "-y", is_flag=True, help="Do not ask before remove.")
def up(target, only, first, last, mode, jobs, file, pairs, force, no_book, yes):
    """Install the platform on a target, prove it, and build the site."""
    in_file, file_mode, given, everywhere = _platform_file(file) if file else (None, None, {}, {})
    target, mode = target or in_file or "sandbox", mode or file_mode or "install"
    parsed = Target.parse(target)
    known = notebooks.load_all()
    flat, by_chapter = _split(pairs)
    every = {p.name: p for n in known.values() for p in n.parameters.values()}
    everywhere = dict(everywhere, **_typed(flat, every))
    for name, values in by_chapter.items():
        chapter = notebooks.find(name, known)
        given.setdefault(chapter.id, {}).update(_typed(values, chapter.parameters))
    plan = Plan(target, mode, only, first, last, given, everywhere)
    if mode == "remove" and parsed.kind != "sandbox" and not yes:
        click.confirm(f"This deletes the chapters' programs AND DATA on {target}. Go on?", abort=True)
    with target_lock(parsed.slug, "up --mode " + mode):
        record.latest(target)  # an unreadable record is refused before anything is touched
        if parsed.kind == "sandbox":
            _sandbox_up(
                parsed.name,
                any(plan.parameters[n.id].get("screenshot") for n in plan.chapters) and mode in ("install", "verify"),
            )
        host = check_reachable(target)
        started = time.monotonic()
        try:
            with progress.Progress(console) as shown:
                run = Runner(plan, jobs or min(4, os.cpu_count() or 1), shown, force).run()
        finally:
            host.close()
    console.print()
    progress.closing(console, run)
    for c in run.chapters.values():
        if c.run == run.id and c.error:
            console.print(f"\n{c.number} {c.id}", style="bold")
            console.print(c.error, markup=False, soft_wrap=True)
    if not no_book and mode != "plan" and run.state != "interrupted":
        from helpers.command import site as book

        site = book.build(lambda text: console.print(text, markup=False))
        console.print(f"site    {site}", markup=False, soft_wrap=True)
    console.print("record  {}".format(run.folder / "run.json"), markup=False, soft_wrap=True)
    console.print(
        f"{run.state}: {mode} on {target} in {time.monotonic() - started:.0f} s",
        style="green" if run.state == "ok" else "red",
    )
    sys.exit({"ok": 0, "interrupted": 130}.get(run.state, 1))


def _sandbox_up(name, with_browser=False):
    from helpers.command import doctor
    from helpers.sandbox import Sandbox, builds

    box = Sandbox(name)
    say = lambda text: console.print(text, markup=False, soft_wrap=True)  # noqa: E731
    doctor.install(box.missing() + (doctor.browser_lacks() if with_browser else []), say)
    # Only what the chapters ask for is built: a substitute can take minutes.
    wanted = [a for n in notebooks.load_all().values() for a in n.artifacts]
    box.up(say, [a for a in catalogue.with_needs(wanted) if a in builds.recipes()])


@main.command(epilog=_examples("./runbook status\n./runbook status --target ssh://ubuntu@10.0.0.5"))
@target_option
def status(target):
    """What the last run found, from its record."""
    if target:
        Target.parse(target)
    run = record.latest(target)
    if run is None:
        raise RunbookError("show the last run", saw="there is none yet", do="./runbook up")
    console.print(
        "run {} on {}: {} ({}, {})".format(run.id, run.target, run.state, run.mode, run.finished or "not finished")
    )
    progress.closing(console, run)
    sys.exit(0 if run.state == "ok" else 1)


@main.command(epilog=_examples("./runbook logs minio\n./runbook logs 05 --follow"))
@click.argument("chapter")
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows; Ctrl-C ends it.")
def logs(chapter, follow):
    """The whole output of a chapter's commands in the last run."""
    n = notebooks.find(chapter)
    folders = (
        sorted((p for p in runs().iterdir() if p.is_dir() and not p.is_symlink()), reverse=True)
        if runs().is_dir()
        else []
    )
    for folder in folders:
        path = folder / "logs" / (n.path.stem + ".log")
        if path.exists():
            with open(path) as f:
                while True:
                    click.echo(f.read(), nl=False)
                    if not follow:
                        return
                    time.sleep(0.5)
    raise RunbookError(f"show the log of chapter {n.id}", saw="it has not run yet", do=f"./runbook up --only {n.id}")


@main.command(
    epilog=_examples(
        "./runbook secrets                 the names\n./runbook secrets minio-root      the value, for a person's eyes"
    )
)
@click.argument("name", required=False)
@target_option
def secrets(name, target):
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


@main.group(epilog=_examples("./runbook sandbox up\n./runbook sandbox ssh -- uptime\n./runbook sandbox down --wipe"))
def sandbox():
    """The disposable host on this machine."""


name_option = click.option("--name", default="sandbox", metavar="NAME", help="Which sandbox.  [default: sandbox]")


def _box(name):
    from helpers.sandbox import Sandbox

    return Sandbox(Target.parse("sandbox:" + name).name)


@sandbox.command("up")
@name_option
def sandbox_up(name):
    """Make the host and its mirror, or start them."""
    _sandbox_up(_box(name).name)


@sandbox.command("down")
@name_option
@click.option("--wipe", is_flag=True, help="Delete its disk, too.")
def sandbox_down(name, wipe):
    """Stop the host and the mirror, and take back what they changed on this machine."""
    box = _box(name)
    with target_lock(Target.parse("sandbox" if name == "sandbox" else "sandbox:" + name).slug, "sandbox down"):
        box.down(wipe=wipe, report=lambda text: console.print(text, markup=False, soft_wrap=True))
        if wipe:
            SecretStore(Target.parse("sandbox" if name == "sandbox" else "sandbox:" + name).slug).forget_all()


@sandbox.command("ssh", context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("command", nargs=-1)
def sandbox_ssh(name, command):
    """Log in to the host, or run a command there."""
    box = _box(name)
    if box.status()["state"] != "running":
        raise RunbookError("log in to the sandbox", saw="it does not run", do="./runbook sandbox up")
    argv = box.ssh(*command)
    os.execvp(argv[0], argv)


@sandbox.command("status")
@name_option
def sandbox_status(name):
    """Is it running, where, and how large is it?"""
    found = _box(name).status()
    for key, value in found.items():
        if key == "disk":
            value = f"{value / 2**30:.1f} GiB"
        console.print(f"{key:<8} {value}", markup=False)
    sys.exit(0 if found["state"] == "running" else 1)


@main.command(
    epilog=_examples("""
./runbook notebook                    a notebook in the cluster, with the helpers in it; prints its address
./runbook notebook --tunnel           the same at a port of this machine, until Ctrl-C
./runbook notebook --context ~/work   with your files, too
./runbook notebook --stop""")
)
@target_option
@click.option("--tunnel", is_flag=True, help="Open a port of this machine that leads there, until Ctrl-C.")
@click.option("--stop", is_flag=True, help="End it. What is not saved elsewhere is lost.")
@click.option(
    "--context", "folder", metavar="FOLDER", help="Send this folder's files as well, except what its .detignore names."
)
def notebook(target, tunnel, stop, folder):
    """JupyterLab in the cluster's network, started by Determined (chapter 08)."""
    from helpers.components.determined import task_files as context
    from helpers.components.determined.master import Determined
    from helpers.core.chapter import Chapter

    n, target = notebooks.find("determined"), str(Target.parse(target or "sandbox"))
    run = record.latest(target)
    if run is None or n.id not in run.chapters or not run.chapters[n.id].parameters:
        raise RunbookError("start a notebook", target, "chapter 08 has not run there", "./runbook up --only determined")
    files = {} if stop else dict(context.runbooks() + (context.files(Path(folder).expanduser()) if folder else []))
    files = context.packed(sorted(files.items()))
    ch = Chapter(n, n.check(dict(run.chapters[n.id].parameters, target=target, mode="verify")))
    try:
        values = ch.values
        det, user = Determined(ch, values["release"], values["namespace"], values["port"]), values["user"]
        running = det.notebooks(user)
        if stop:
            for task in running:
                det.stop_notebook(task, user)
            console.print("stopped" if running else "none is running")
            return
        if not running:
            console.print("starting; the first time its image is pulled, which is several GB")
        task = running[0] if running else det.start_notebook(user, files=files)
        console.print(
            "notebook   http://{}:{}{}".format(det.address, det.port, task["serviceAddress"]),
            markup=False,
            soft_wrap=True,
        )
        if not tunnel:
            console.print(
                "           for a browser behind the SOCKS proxy of chapter 02; without one: ./runbook notebook --tunnel"
            )
            return
        console.print(
            "from here  http://127.0.0.1:{}{}   until Ctrl-C, which leaves the notebook".format(
                det.http.base_url.port, task["serviceAddress"]
            ),
            markup=False,
            soft_wrap=True,
        )
        while True:
            time.sleep(60)
    finally:
        ch.close()


@main.command(epilog=_examples("./runbook book\n./runbook book --open\n./runbook book --readme"))
@click.option("--open", "open_it", is_flag=True, help="Show it in a browser.")
@click.option("--readme", is_flag=True, help="Write the README's table of chapters from the record, too.")
def book(open_it, readme):
    """Build the site from the last run's executed notebooks."""
    from helpers.command import site as builder

    if readme:
        console.print("readme  " + ("written" if builder.refresh_readme() else "already so"), markup=False)
    site = builder.build(lambda text: console.print(text, markup=False))
    console.print(f"site    {site}", markup=False, soft_wrap=True)
    if open_it:
        click.launch(str(site))


@main.command(epilog=_examples("./runbook regress\n./runbook regress --only minio"))
@target_option
@click.option("--only", multiple=True, metavar="CHAPTER", help="Only this chapter (may be given again).")
def regress(target, only):
    """Replay the last run's notebooks in verify mode and compare every output with what was recorded."""
    if target:
        Target.parse(target)
    chosen = [notebooks.find(n).id for n in only]
    run = record.latest(target)
    if run is None:
        raise RunbookError("replay the last run", saw="there is none yet", do="./runbook up")
    from helpers.command import regress as replayer

    with target_lock(Target.parse(run.target).slug, "regress"):
        sys.exit(replayer.replay(run, chosen))


@main.command(
    context_settings={"ignore_unknown_options": True},
    epilog=_examples("""
./runbook test
./runbook test -k minio
./runbook test --faults tests/sandbox/test_runbook.py   the whole story of a host, with every fault
"""),
)
@click.option(
    "--faults", is_flag=True, help="Break the platform in all the ways that the tests know, not only in some."
)
@click.argument("pytest_arguments", nargs=-1)
def test(faults, pytest_arguments):
    """The project's own tests, the real sandbox included."""
    _install_missing()
    if faults:
        os.environ["RUNBOOK_FAULTS"] = "all"
    chosen = any((REPO / a.split("::")[0]).exists() for a in pytest_arguments if not a.startswith("-"))
    sys.exit(
        subprocess.call(
            [sys.executable, "-m", "pytest", *([] if chosen else ["tests"]), *pytest_arguments], cwd=str(REPO)
        )
    )


def _install_missing():
    from helpers.command import doctor

    doctor.install(
        _box("test").missing() + doctor.browser_lacks(), lambda text: console.print(text, markup=False, soft_wrap=True)
    )


@main.command(epilog=_examples("./runbook doctor\n./runbook doctor --install"))
@click.option("--install", is_flag=True, help="Install what is missing (root on Debian or Ubuntu).")
def doctor(install):
    """What this machine lacks, with the command that mends it."""
    from helpers.command import doctor as doc

    found = doc.lacks()
    for lack in found:
        console.print(f"{lack.what}\n    why: {lack.why}\n    mend: {lack.mend}", markup=False, soft_wrap=True)
    if install and found:
        doc.install(found, lambda text: console.print(text, markup=False, soft_wrap=True))
        found = doc.lacks()
    console.print("nothing is missing" if not found else f"{len(found)} missing")
    sys.exit(1 if found else 0)
