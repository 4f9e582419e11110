"""What chapters on a sandbox wait for: their artifacts' substitutes, built in the order in which they need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from helpers.core.notebooks import Notebook
from helpers.sandbox import Sandbox, builds
from helpers.sandbox.supply import Supply, recipes_for


def in_order(chapters: Iterable[Notebook], known: Mapping[str, Notebook]) -> list[Notebook]:
    """The chapters as soon as they can start: those that stand on fewer others first, then by number."""

    def depth(n: Notebook) -> int:
        return 1 + max((depth(known[i]) for i in n.requires if i in known), default=0)

    return sorted(chapters, key=lambda n: (depth(n), n.number))


def begin(
    box: Sandbox, chapters: Iterable[Notebook], known: Mapping[str, Notebook], report: Callable[[str], None]
) -> Supply:
    """The host, and behind it the supply of what these chapters need; what others need is served where it is built."""
    wanted = [r for n in in_order(chapters, known) for r in recipes_for(n.artifacts)]
    others = [r for n in known.values() for r in recipes_for(n.artifacts) if builds.place(r).is_dir()]
    return box.begin(report, list(dict.fromkeys([*wanted, *others])), quiet=True)
