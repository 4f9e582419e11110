"""`./runbook sandbox`: the disposable host on this machine, its saved states, and the builds' caches."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import click

from helpers.command import doctor, hosts, record, system_packages
from helpers.command.base import console, examples, say
from helpers.command.reach import target_lock
from helpers.core import asked, notebooks, ssh_entries
from helpers.core.errors import RunbookError
from helpers.core.secrets import SecretStore
from helpers.core.target import Target
from helpers.sandbox import Sandbox, caches, kinds
from helpers.sandbox.supply import recipes_for


@click.group(
    epilog=examples("""
./runbook sandbox up
./runbook sandbox up --like ubuntu --name test   a host of another kind, beside it
./runbook sandbox ssh -- uptime
./runbook sandbox save before-upgrade      the disk as it is now, and the secrets
./runbook sandbox restore before-upgrade   and back again, in seconds
./runbook sandbox down --wipe
""")
)
def sandbox() -> None:
    """The disposable host on this machine."""


name_option = click.option("--name", default="sandbox", metavar="NAME", help="Which sandbox.  [default: sandbox]")


def _target(name: str) -> Target:
    return Target.parse("sandbox" if name == "sandbox" else "sandbox:" + name)


def _box(name: str) -> Sandbox:
    return Sandbox(_target(name).name or name)


@contextmanager
def _alone(name: str, what: str) -> Generator[Sandbox]:
    """The sandbox, while no run is at work on it."""
    box = _box(name)
    with target_lock(_target(name).slug, f"sandbox {what}"):
        yield box


@sandbox.command(
    "up",
    epilog=examples("""
./runbook sandbox up
./runbook sandbox up --like ubuntu                     what a cloud's fresh Ubuntu is like
./runbook sandbox up --like corporate --name company   and a second one, behind a proxy
./runbook sandbox up --name online --upstream
"""),
)
@name_option
@click.option("--upstream", is_flag=True, default=None, help="A rehearsal of an installation from the Internet.")
@click.option("--like", metavar="KIND", help="Make a host of this kind; it keeps it. `sandbox kinds` lists them.")
def up(name: str, upstream: bool | None, like: str | None) -> None:
    """Make the host and its mirror, or start them.

    With --upstream the host finds the catalogue's hosts at their own names, with TLS: the mirror answers for them, and
    origin=upstream runs word for word.
    """
    box = _box(name)
    if like:
        kinds.kind(like)  # a misspelt one is refused before anything is installed
    doctor.install(box.missing(), say)
    box.up(say, recipes_for(a for n in notebooks.load_all().values() for a in n.artifacts), upstream, like)


@sandbox.command("kinds")
def list_kinds() -> None:
    """The kinds of hosts that `sandbox up --like` makes."""
    for kind in kinds.known().values():
        say(f"{kind.name:<10} {kind.what}")


@sandbox.command(
    "try",
    epilog=examples("""
./runbook sandbox try ubuntu
./runbook sandbox try new --chapter kubernetes    refused in which words?
./runbook sandbox try --record                    every kind, for the book's page
"""),
)
@click.option("--name", default="kind", metavar="NAME", help="The sandbox to make, and to remove.  [default: kind]")
@click.option("--chapter", "chapters", multiple=True, metavar="CHAPTER", help="[default: those that need no cluster]")
@click.option("--record", "recorded", is_flag=True, help="Keep what they say in book/hosts.json.")
@click.argument("chosen", nargs=-1, metavar="[KIND]...")
def try_kinds(name: str, chapters: tuple[str, ...], recorded: bool, chosen: tuple[str, ...]) -> None:
    """Install chapters on a new host of each kind, say how each ended, and remove it."""
    wanted = [kinds.kind(k) for k in chosen] or list(kinds.known().values())
    ids = [notebooks.find(c).id for c in chapters] or hosts.cheap(notebooks.load_all())
    box = _box(name)
    doctor.install(box.missing(), say)
    for kind in wanted:
        said = hosts.attempt(kind, ids, box.name, say)
        for chapter, end in said.items():
            say(f"{kind.name:<10} {chapter:<14} {end.state:<8} {end.words}".rstrip())
        if recorded:
            hosts.keep(kind.name, said)


@sandbox.command("down")
@name_option
@click.option("--wipe", is_flag=True, help="Delete its disk and its saved states, too.")
def down(name: str, wipe: bool) -> None:
    """Stop the host and the mirror, and take back what they changed on this machine."""
    with _alone(name, "down") as box:
        box.down(wipe=wipe, report=say)
        if wipe:
            SecretStore(_target(name).slug).forget_all()
            asked.forget(_target(name).slug)
            ssh_entries.forget(box.key)  # chapter 02's
    if wipe and system_packages.noted():
        say("system packages that came with it stay; ./runbook doctor --take-back purges them")


@sandbox.command("ssh", context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("command", nargs=-1)
def ssh(name: str, command: tuple[str, ...]) -> None:
    """Log in to the host, or run a command there."""
    box = _box(name)
    if box.status()["state"] != "running":
        raise RunbookError("log in to the sandbox", saw="it does not run", do="./runbook sandbox up")
    argv = box.ssh(*command)
    os.execvp(argv[0], argv)


@sandbox.command("status")
@name_option
def status(name: str) -> None:
    """Is it running, where, and how large is it?"""
    found = _box(name).status()
    for key, value in found.items():
        shown = f"{found['disk'] / 2**30:.1f} GiB" if key == "disk" else value
        console.print(f"{key:<8} {shown}", markup=False)
    sys.exit(0 if found["state"] == "running" else 1)


state_argument = click.argument("state", metavar="STATE")


@sandbox.command(
    "save", epilog=examples("./runbook sandbox save before-upgrade\n./runbook sandbox save ten --name test")
)
@name_option
@state_argument
@click.option("--force", is_flag=True, help="Replace a saved state of that name.")
def save(name: str, state: str, force: bool) -> None:
    """Put the host's disk aside as it is now, with the secrets. The host goes on running."""
    with _alone(name, "save") as box:
        box.save(state, say, force, chapters=_held(name))


def _held(name: str) -> list[str]:
    """The chapters that stand on the host, by the last run's record."""
    target = str(_target(name))
    run = record.latest(target)
    here = [c for c in run.chapters.values() if run.target_of(c) == target] if run else []
    return [c.id for c in here if c.state in record.INSTALLED]


@sandbox.command("restore")
@name_option
@state_argument
def restore(name: str, state: str) -> None:
    """Make the host what it was when it was saved, and boot it. What came after is lost."""
    with _alone(name, "restore") as box:
        box.restore(state, say)


@sandbox.command("forget")
@name_option
@state_argument
def forget(name: str, state: str) -> None:
    """Delete a saved state."""
    with _alone(name, "forget") as box:
        box.forget(state, say)


@sandbox.command("list")
@name_option
def list_saved(name: str) -> None:
    """The saved states: name, when, the size of the disk then, the chapters on it."""
    saved = _box(name).saved(say)
    for s in saved:
        size = f"{s.size / 2**30:.1f} GiB"
        say(f"{s.name:<20} {s.when[:16].replace('T', ' ')}  {size:>9}  {' '.join(s.chapters)}".rstrip())
    if not saved:
        say("no saved states")


@sandbox.command("prune")
@click.option("--all", "everything", is_flag=True, help="Empty the caches: all that no sandbox uses just now.")
def prune(everything: bool) -> None:
    """Trim the builds' caches to 8 GiB: old builds go, then what only makes building quicker."""
    caches.prune(say, everything)
