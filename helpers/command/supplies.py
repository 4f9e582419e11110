"""What chapters on a sandbox wait for: their artifacts' substitutes, built in the order in which they need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from helpers.command import doctor
from helpers.command.plan import Plan
from helpers.command.timeline import Clock
from helpers.core.notebooks import Notebook
from helpers.core.target import Target
from helpers.sandbox import Sandbox, builds
from helpers.sandbox.supply import Supply, recipes_for


def in_order(chapters: Iterable[Notebook], known: Mapping[str, Notebook]) -> list[Notebook]:
    """The chapters with the longest way to the run's end first, then by number.

    The way is counted in chapters that stand on one another: what it begins with holds up the most.
    """

    def way(n: Notebook) -> int:
        return 1 + max((way(above) for above in known.values() if n.id in above.requires), default=0)

    return sorted(chapters, key=lambda n: (-way(n), n.number))


def of_sandboxes(plan: Plan, clock: Clock, say: Callable[[str], None]) -> dict[str, Supply]:
    """{slug: what is on its way} for each sandbox that the plan uses: its host stands, the rest is built behind it."""
    targets = {Target.parse(target).slug: target for target in plan.hosts().values()}
    boxes = {slug: Sandbox(name) for slug, target in targets.items() if (name := _sandbox(target))}
    if not boxes:
        return {}
    proving = plan.chapters if plan.mode in ("install", "verify") else []
    programs = [lack for n in proving for lack in doctor.chapter_lacks(n, plan.parameters[n.id])]
    with clock.span("set-up", "programs on this machine"):
        doctor.install([lack for box in boxes.values() for lack in box.missing()] + programs, say)
    found: dict[str, Supply] = {}
    try:
        for slug, box in boxes.items():
            with clock.span("set-up", "the sandbox host" if box.name == "sandbox" else f"the host {box.name}"):
                found[slug] = begin(box, plan, say)
            say(f"sandbox {box.name}: running at {box.address}")
    except BaseException:
        stop(found)
        raise
    return found


def stop(supplies: Mapping[str, Supply]) -> None:
    """End what is under way; each has its sandbox's lock until then."""
    for supply in supplies.values():
        supply.stop()


def _sandbox(target: str) -> str | None:
    parsed = Target.parse(target)
    return (parsed.name or "sandbox") if parsed.kind == "sandbox" else None


def begin(box: Sandbox, plan: Plan, report: Callable[[str], None]) -> Supply:
    """The host, and behind it the supply of what its chapters need.

    What others of the chapters that could run there need is served where it is built.
    """
    here = [n for n in plan.known.values() if _sandbox(plan.target(n) or "local") == box.name]
    chosen = [n for n in plan.chapters if n in here]
    wanted = [r for n in in_order(chosen, plan.known) for r in recipes_for(n.artifacts)]
    others = [r for n in here for r in recipes_for(n.artifacts) if builds.place(r).is_dir()]
    return box.begin(report, list(dict.fromkeys([*wanted, *others])), quiet=True)
