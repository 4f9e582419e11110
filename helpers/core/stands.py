"""What stands on what: a chapter is not removed under one that needs it and stays."""

from __future__ import annotations

from typing import Iterable, Mapping

from helpers.core.errors import BadInput
from helpers.core.notebooks import Notebook


def check(
    known: Mapping[str, Notebook],
    going: Iterable[str],
    standing: Iterable[str],
    where: str,
    given_up: Iterable[str] = (),
) -> None:
    """BadInput when a chapter that stays requires one that is to be removed: its data would go, too.

    going: ids of those that are to be removed.  standing: of those that are there.  given_up: of those that may lose
    what others have in them.  where: the options of `up` that name the targets.
    """
    stay, guarded = set(standing) - set(going), set(going) - set(given_up)
    for n in [n for n in known.values() if n.id in guarded]:
        above = [m for m in known.values() if m.id in stay and n.id in m.requires]
        if above:
            saw = ", ".join(m.label for m in above) + (" stand on it" if above[1:] else " stands on it")
            only = "".join(f" --only {m.id}" for m in known.values() if m.id in _with_above(known, n.id, set(standing)))
            do = f"Remove them together: ./runbook up {where} --mode remove{only}"
            do += f"\nOr give up what they have in it: -p {n.id}.delete_data=true" if _has_data(n) else ""
            raise BadInput(f"remove chapter {n.label}", saw=saw, do=do)


def _has_data(n: Notebook) -> bool:
    return "delete_data" in n.parameters


def _with_above(known: Mapping[str, Notebook], name: str, standing: set[str]) -> set[str]:
    """A chapter, and all that stand on it at first or at second hand."""
    above = [n.id for n in known.values() if n.id in standing and name in n.requires]
    return {name}.union(*(_with_above(known, other, standing) for other in above))
