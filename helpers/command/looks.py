"""What there is, for people and for scripts: status, doctor, completion. `--json` of these is in book/reference.md."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import click
from click.shell_completion import get_completion_class

from helpers.command import doctor, progress, record, system_packages, upstream
from helpers.command.base import console, examples, json_option, only_json, print_json, say, target_option
from helpers.core.errors import BadInput, RunbookError
from helpers.core.target import Target
from helpers.sandbox.needs import Missing


def told(run: record.Run) -> dict[str, Any]:
    """A run, as `status --json` and `up --json` print it. The whole of it is in the file `record`."""
    result = run.model_dump(include={"id", "target", "mode", "state", "started", "finished", "seconds"})
    chapters = [{**_chapter(c), "target": run.target_of(c)} for c in run.chapters.values()]
    return {**result, "record": str(run.folder / "run.json"), "chapters": chapters}


def _chapter(c: record.ChapterRun) -> dict[str, Any]:
    fields = c.model_dump(include={"id", "number", "title", "state", "reason", "seconds", "verified", "versions"})
    checks = {
        "held": len([k for k in c.checks if k.state in record.HELD]),
        "failed": [k.title for k in c.checks if k.state == "failed"],
        "left_out": [k.title for k in c.checks if k.state == "left out"],
    }
    return {**fields, "steps": len(c.steps), "checks": checks, "error": c.error}


@click.command(epilog=examples("./runbook status\n./runbook status --target ssh://ubuntu@10.0.0.5 --json"))
@target_option
@json_option
def status(target: str | None, as_json: bool) -> None:
    """What the last run found, from its record."""
    if target:
        Target.parse(target)
    run = record.latest(target)
    if run is None:
        raise RunbookError("show the last run", saw="there is none yet", do="./runbook up")
    if as_json:
        print_json(told(run))
    else:
        _show(run)
    sys.exit(0 if run.state == "ok" else 1)


def _show(run: record.Run) -> None:
    ended = run.finished or "not finished"
    console.print(f"run {run.id} on {run.where()}: {run.state} ({run.mode}, {ended})")
    progress.closing(console, run)


@click.command(
    "doctor",
    epilog=examples(
        "./runbook doctor\n./runbook doctor --install\n./runbook doctor --take-back\n"
        "./runbook doctor --upstream\n./runbook doctor --json"
    ),
)
@click.option("--install", is_flag=True, help="Install what is missing (root on Debian or Ubuntu).")
@click.option("--take-back", is_flag=True, help="Purge the system packages that the runbook installed here.")
@click.option("--upstream", "ask", is_flag=True, help="Ask every address of the catalogue whether it still answers.")
@json_option
def examine(install: bool, take_back: bool, ask: bool, as_json: bool) -> None:
    """What this machine lacks, with the command that mends it."""
    if as_json:
        only_json()
    if take_back:
        system_packages.take_back(say)
        return
    sys.exit(_ask_upstream(as_json) if ask else _examine(install, as_json))


def _examine(install: bool, as_json: bool) -> int:
    found = doctor.lacks()
    for lack in found:
        say(f"{lack.what}\n    why: {lack.why}\n    mend: {lack.mend}")
    if install and found:
        os.environ["RUNBOOK_YES"] = "yes"
        doctor.install(found, say)
        found = doctor.lacks()
    say(f"{len(found)} missing" if found else "nothing is missing")
    if as_json:
        print_json({"missing": [_lack(lack) for lack in found]})
    return 1 if found else 0


def _lack(lack: Missing) -> dict[str, Any]:
    return {"what": lack.what, "why": lack.why, "mend": lack.mend, "packages": list(lack.packages)}


def _ask_upstream(as_json: bool) -> int:
    """Tell of each address as it answers; the exit code is 1 when one does not."""
    found = upstream.addresses()
    with upstream.client() as client:
        for address in upstream.ask_all(found, client):
            said = f"no: {address.why_not}" if address.why_not else "ok"
            say(f"{address.artifact:<22} {said:<6} {address.url}")
    silent = [address for address in found if address.why_not]
    say(f"{len(silent)} of {len(found)} addresses do not answer" if silent else f"all {len(found)} addresses answer")
    if as_json:
        fields = ("artifact", "url", "why_not")
        print_json({"addresses": [{name: getattr(address, name) for name in fields} for address in found]})
    return 1 if silent else 0


@click.command(
    epilog=examples("""
eval "$(./runbook completion bash)"     for this shell; in ~/.bashrc with the whole path, for all
./runbook completion zsh > ~/.zfunc/_runbook
./runbook completion fish > ~/.config/fish/completions/runbook.fish
""")
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which a shell completes ./runbook's words."""
    kind = get_completion_class(shell)
    if kind is None:
        raise BadInput(f"complete in {shell}", saw="click knows no such shell")
    main = click.get_current_context().find_root().command
    click.echo(_by_its_path(kind(main, {}, "runbook", "_RUNBOOK_COMPLETE").source()), nl=False)


def _by_its_path(script: str) -> str:
    """click's script calls a program on PATH; ours is called as it was typed, ./runbook or by its whole path."""
    script = re.sub(r"(?m)^ *\(\( ! \$\+commands\[runbook\] \)\) && return 1\n", "", script)
    script = script.replace("zsh_complete runbook)", "zsh_complete $words[1])")
    return script.replace("COMP_CWORD=(commandline -t) runbook)", "COMP_CWORD=(commandline -t) (commandline -opc)[1])")
