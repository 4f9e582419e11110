"""What a step does in each mode: install makes it so, verify asks, plan tells, remove undoes at the verdict."""

from __future__ import annotations

from typing import Callable, Sequence

from helpers.core import show
from helpers.core.actions import Action, Probe
from helpers.core.errors import OutOfReach, RunbookError
from helpers.core.steps import Answer, Steps

#: the variable that names the only step which an install applies; the others are asked, and checks are left out
ONLY_STEP = "RUNBOOK_STEP"


def install(steps: Steps, title: str, todo: Sequence[Action], timeout: float) -> None:
    """Probe, apply what is missing, probe again."""
    steps.begin(title)
    before = _ask(steps, [a.probe for a in todo])
    steps.own.passes(t for a in todo for t in a.makes)
    applied = False
    if not all(answer.ok for answer in before):
        _note(steps, [t for a, answer in zip(todo, before) if not answer.ok or a.after_changes for t in a.makes])
        for action, answer in zip(todo, before):
            if not answer.ok or (applied and action.after_changes):
                steps.apply(action, action.apply, timeout)
                applied = True
        _holds_now(steps, title, todo)
    steps.end("ok", "applied" if applied else "already so")


def _note(steps: Steps, things: Sequence[str]) -> None:
    """On the host, what is about to be made or changed; a step whose things cannot be noted does not begin."""
    try:
        steps.own.before(things)
        steps.before_changes()
    except RunbookError as e:
        steps.end("failed", e.saw or e.what)
        raise


def _holds_now(steps: Steps, title: str, todo: Sequence[Action]) -> None:
    bad = [answer.seen for answer in _ask(steps, [a.probe for a in todo], fresh=True) if not answer.ok]
    if bad:
        steps.end("failed", "applied, but it does not hold")
        do = "Its commands ended without an error, and yet the probe says no. See the log: ./runbook logs "
        raise RunbookError("make it so: " + title, steps.host.name, "\n".join(bad), do + steps.chapter)


def _ask(steps: Steps, probes: Sequence[Probe], fresh: bool = False) -> list[Answer]:
    """The answers; a host that goes away while it is asked ends the step as failed."""
    try:
        return steps.prober.ask(probes, fresh)
    except OutOfReach:
        raise
    except RunbookError as e:
        steps.end("failed", e.saw or e.what)
        raise


def verify(steps: Steps, title: str, todo: Sequence[Action], timeout: float) -> None:
    """Probe only; what is not so is collected for the verdict."""
    steps.begin(title)
    try:
        bad = [answer.seen for answer in _ask(steps, [a.probe for a in todo]) if not answer.ok]
    except OutOfReach as e:
        steps.end("left out", e.saw or e.what)
        return
    steps.end("failed" if bad else "ok", "; ".join(bad) or "already so")


def plan(steps: Steps, title: str, todo: Sequence[Action], timeout: float) -> None:
    """Show what install would run."""
    steps.begin(title)
    answers = _ask(steps, [a.probe for a in todo])
    if all(answer.ok for answer in answers):
        steps.end("ok", "already so")
        return
    would = [line for a, answer in zip(todo, answers) if not answer.ok or a.after_changes for line in a.shown]
    steps.end("plan", "would run:\n" + "\n".join("    " + line for line in would))


def remove(steps: Steps, title: str, todo: Sequence[Action], timeout: float) -> None:
    """Note what is to be undone when the verdict is asked for."""
    steps.own.names(t for a in todo for t in a.makes)
    steps.undo.extend((title, a) for a in todo if a.undo is not None)
    show.display(*show.line("plan", title, "will be undone below"))


MODES: dict[str, Callable[[Steps, str, Sequence[Action], float], None]] = {
    "install": install,
    "verify": verify,
    "plan": plan,
    "remove": remove,
}


def undo_all(steps: Steps) -> None:
    """Undo in reverse order. One that stays does not keep the others; an error does.

    BadInput before the first one, when what the chapter made has other names than these parameters have.
    """
    steps.own.refuse_other_names()
    steps.prober.something_changes()
    steps.own.settle(thing for _, action in steps.undo for thing in action.makes)
    try:
        _undo_each(steps)
        if not steps.failed:
            _finish(steps)
    except BaseException:  # Ctrl-C as well: it leaves nobody's service stopped
        steps.own.resume()
        raise
    if steps.failed:
        steps.own.resume()


def _undo_each(steps: Steps) -> None:
    for title, action in reversed(steps.undo):
        steps.begin("undo: " + title)
        work, done, words = steps.own.undoing(action)
        if _is_so(steps, done):
            steps.end("ok", "already gone" if words == "undone" else words)
        elif work is None:
            steps.end("ok", words)
        else:
            steps.apply(action, work, 1800)
            gone = _is_so(steps, done)
            steps.end("ok" if gone else "failed", words if gone else words + ", and yet still there")


def _finish(steps: Steps) -> None:
    """The note goes at last, when nothing that it names is left."""
    why = steps.own.finish()
    if why is not None:
        steps.begin("undo: the note of what this chapter made")
        steps.end("failed", why)


def _is_so(steps: Steps, probe: Probe | None) -> bool:
    return probe is not None and _ask(steps, [probe], fresh=True)[0].ok
