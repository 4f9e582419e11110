"""What must be so before a chapter touches anything, and before remove takes what others have."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from helpers.core import parameters, show
from helpers.core.actions import Probe
from helpers.core.errors import BadInput, OutOfReach
from helpers.core.steps import Result, Steps


class Precondition(NamedTuple):
    """See Chapter.require. given_up: what others have may go, by the parameter delete_data."""

    title: str
    probe: Probe
    do: str
    modes: str | Iterable[str]
    given_up: bool = False


def require(steps: Steps, mode: str, wanted: Precondition) -> None:
    """BadInput, with what to do, when it does not hold in a mode in which it is asked."""
    asked, do, title = _modes(wanted.modes), wanted.do, wanted.title
    if mode not in asked:
        show.display(*show.line("left out", title, "asked in " + " and ".join(asked)))
        return
    if wanted.modes == "guard" and wanted.given_up:
        show.display(*show.line("warn", title, "not asked: delete_data = True"))
        return
    try:
        ok, seen = steps.prober.ask([wanted.probe])[0]
    except OutOfReach as e:
        show.display(*show.line("left out", title, e.saw or e.what))
        return
    if ok:
        show.display(*show.line("proved", title))
    elif mode == "plan":  # an earlier chapter may yet make it so
        steps.add(Result("plan", "precondition", title))
        steps.events.tell("step", title=title, state="plan", note=f"install would stop here now: {seen}. {do}")
        show.display(*show.line("warn", title, "install would stop here now: " + seen))
    else:
        do += f"\nOr give up what is there: -p {steps.chapter}.delete_data=true" if wanted.modes == "guard" else ""
        entry = f"before-{steps.chapter}"  # the rows that the site makes of all preconditions of a chapter
        raise BadInput(f"start chapter {steps.chapter}: {title}", steps.host.name, seen, do, entry)


def _modes(named: str | Iterable[str]) -> tuple[str, ...]:
    return {"any": parameters.MODES, "guard": ("remove",)}.get(named, ()) if isinstance(named, str) else tuple(named)
