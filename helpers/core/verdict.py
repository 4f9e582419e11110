"""The verdict of a chapter: one table of all steps and checks, then one error when any does not hold."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from helpers.core import show
from helpers.core.advice import aimed
from helpers.core.errors import RunbookError
from helpers.core.notebooks import Entry, Notebook
from helpers.core.steps import Result, Steps

_WORDS = {
    "install": "installed and proved",
    "verify": "verified",
    "plan": "planned: nothing was changed",
    "remove": "removed",
}


#: why verify leaves out a check
CHANGES = "it would change the target"


class Verdict(RunbookError):
    """The one error of a chapter whose steps or checks do not hold."""


def judge(steps: Steps, mode: str, notebook: Notebook, values: Mapping[str, Any]) -> None:
    """Show the table and the closing line; Verdict when something failed."""
    results, failed = steps.results, steps.failed
    if results:
        rows = [(r.kind, r.title, _seen(r)) for r in results]
        show.display(*show.table(("", "what", "seen"), rows, [r.state for r in results]))
    steps.events.tell("verdict", ok=not failed, failed=[r.title for r in failed])
    if failed:
        what = f"{mode}: {len(failed)} of {len(results)} do not hold in chapter {notebook.id}"
        saw = "\n".join(_failure(r, notebook.entries) for r in failed)
        entry = next((r.entry for r in failed if r.entry in notebook.entries), None)
        raise Verdict(what, steps.host.name, saw, aimed(_mend(steps, mode, notebook), notebook, values), entry)
    show.display(*show.line("ok", "chapter " + notebook.id, _from_inside(results, notebook) or _WORDS[mode]))


def _from_inside(results: Sequence[Result], notebook: Notebook) -> str:
    """What of a chapter was verified where not all can be reached; "" where it can. Verdict when it is nothing."""
    away = [r for r in results if r.state == "left out" and r.seen != CHANGES]
    held = [r for r in results if r.state == "ok"]
    if away and not any(r.kind == "check" for r in held):
        saw = f"none of its checks could be made from here; {len(away)} steps and checks were left out"
        do = "Run it from the operator's machine: ./runbook up --mode verify --only " + notebook.id
        raise Verdict(f"verify chapter {notebook.id}", None, saw, do)
    return f"{len(held)} steps and checks verified; {len(away)} left out, which need what is not here" if away else ""


def _seen(result: Result) -> str:
    shown = result.kind == "check" or result.state == "left out"
    return show.varying(show.shortened(result.seen)) if shown and result.seen else ""


def _failure(result: Result, entries: Mapping[str, Entry]) -> str:
    text = "✗ " + result.title + ("\n    expected: " + result.expected if result.expected != result.title else "")
    text += "\n    saw: " + (result.seen or "nothing").replace("\n", "\n         ")
    found = entries.get(result.entry or "")
    return text + (f"\n    because: {found.because} ({found.id})" if found else "")


def _mend(steps: Steps, mode: str, notebook: Notebook) -> str:
    failed = steps.failed
    mends = [notebook.entries[r.entry].do for r in failed if r.entry and r.entry in notebook.entries]
    if mode == "verify" and len(mends) < len(failed):
        inside = f"On the operator's machine: ./runbook up --only {notebook.id}"
        again = inside if steps.host.in_cluster else "Run again with mode=install"
        mends.append(again + ": it makes what is missing.")
    return "\n".join(dict.fromkeys(mends)) or ("See the chapter's Troubleshooting, and ./runbook logs " + notebook.id)
