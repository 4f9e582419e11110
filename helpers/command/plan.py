"""A plan: which chapters run where, how and with what; what each depends on. Refused here, before anything starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from helpers.command.depends import digest
from helpers.command.targets import Targets
from helpers.core import catalogue, notebooks, stands
from helpers.core.errors import BadInput
from helpers.core.notebooks import Notebook
from helpers.core.parameters import MODES, check_names

Values = Mapping[str, Any]


class Plan:
    """The chosen chapters on their targets, in a mode, with their parameters. BadInput names the first that is wrong.

    target: one for all chapters, or Targets.
    only, first, last: chapters by id, number or file name; without them all are chosen.
    given: {chapter: {parameter: value}}.  everywhere: {parameter: value} for every chapter that has it.
    installed: {chapter: its parameters at the last install}, which go before the defaults.
    standing: ids of the chapters that are on the target: what one of them needs is not removed under it.
    """

    def __init__(  # noqa: PLR0913  its keywords are the options of `up`
        self,
        target: str | Targets,
        mode: str = "install",
        *,
        only: Iterable[str] = (),
        first: str | None = None,
        last: str | None = None,
        given: Mapping[str, Values] | None = None,
        everywhere: Values | None = None,
        installed: Mapping[str, Values] | None = None,
        standing: Iterable[str] = (),
    ):
        self.known: dict[str, Notebook] = notebooks.load_all()
        self.targets, self.mode = Targets(target) if isinstance(target, str) else target, mode
        given, everywhere = given or {}, everywhere or {}
        _check_mode(mode)
        self._check_not_common([everywhere, *given.values()])
        self.chapters = self._chosen(only, first, last)
        self.parameters = self._parameters(given, everywhere, _of_install(installed or {}))
        self._check_hosts()
        check_graph(self.known)
        if mode == "remove":
            self.check_nothing_stands_on(standing)

    def check_nothing_stands_on(self, standing: Iterable[str]) -> None:
        """BadInput when a chapter that is there and stays requires one that is to be removed."""
        going, standing = [n.id for n in self.chapters], set(standing)
        given_up = [name for name in going if self.parameters[name].get("delete_data")]
        hosts = dict.fromkeys(n.host for n in self.known.values() if n.id in standing.union(going))
        stands.check(self.known, going, standing, self.targets.words(hosts), given_up)

    # -- where -------------------------------------------------------------------------------------

    def target(self, n: Notebook) -> str:
        """The target that a chapter runs on; empty for one that is not chosen, when nobody said where its host is."""
        return self.targets.of(n.host)

    def hosts(self) -> dict[str, str]:
        """{host: its target} of all that the chosen chapters use: their own, and those that a parameter leads to."""
        names = dict.fromkeys(host for n in self.chapters for host in [n.host, *n.others.values()])
        return {host: self.targets.of(host) for host in names}

    def _check_hosts(self) -> None:
        """BadInput when targets were given, and none for a host that a chosen chapter uses."""
        for host, target in self.hosts().items():
            if not target:
                using = ", ".join(n.label for n in self.chapters if host in [n.host, *n.others.values()])
                do = f"Add --target {host}=ssh://user@host, or choose other chapters. --target T is for all hosts."
                raise BadInput(f"run {using}", saw=f"no target is given for the host {host}", do=do)

    def _chosen(self, only: Iterable[str], first: str | None, last: str | None) -> list[Notebook]:
        ids = {notebooks.find(name, self.known).id for name in only} or set(self.known)
        low = notebooks.find(first, self.known).number if first else "00"
        high = notebooks.find(last, self.known).number if last else "99"
        chosen = [n for n in self.known.values() if n.id in ids and low <= n.number <= high]
        if not chosen:
            labels = ", ".join(n.label for n in self.known.values())
            raise BadInput("choose chapters", saw="none is left", do="Chapters: " + labels)
        return chosen

    def _parameters(
        self, given: Mapping[str, Values], everywhere: Values, installed: Mapping[str, Values]
    ) -> dict[str, dict[str, Any]]:
        named: dict[str, dict[str, Any]] = {}  # one chapter may be named in several ways: minio, 05
        for name, values in given.items():
            named.setdefault(notebooks.find(name, self.known).id, {}).update(values)
        found: dict[str, dict[str, Any]] = {}
        for n in self.known.values():
            known = [installed.get(n.id, {}), everywhere]
            mine = {name: value for values in known for name, value in values.items() if name in n.parameters}
            mine.update(named.get(n.id, {}), target=self.target(n), mode=self.mode)
            mine.update({p: self.targets.of(host) for p, host in n.others.items()})
            found[n.id] = n.check(mine)
        check_names(everywhere, {name: 1 for n in self.known.values() for name in n.parameters}, "any chapter")
        return found

    def key(self, notebook: Notebook) -> str:
        """Hash of a chapter's cells, its parameters but the mode, its artifacts' entries, its code and files of setup/.

        An artifact's entry counts with those of all that it needs in turn.
        """
        entries = catalogue.load()
        asked = [name for name in catalogue.with_needs(notebook.artifacts) if name in entries]
        given = {name: value for name, value in self.parameters[notebook.id].items() if name != "mode"}
        listed = {name: entries[name].entry for name in asked}
        depends = [notebook.content["cells"], given, listed, digest(notebook)]
        text = json.dumps(depends, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def needs(self, notebook: Notebook) -> list[str]:
        """Ids of the chosen chapters that must end before this one starts; turned round for remove."""
        ids = {n.id for n in self.chapters}
        if self.mode == "remove":
            return [n.id for n in self.chapters if notebook.id in n.requires]
        return [name for name in notebook.requires if name in ids]

    def _check_not_common(self, given: Iterable[Values]) -> None:
        """target and mode are those of the run, and no parameters of one chapter."""
        options = {"target": "--target", "mode": "--mode"}
        options.update({p: f"--target {host}=" for n in self.known.values() for p, host in n.others.items()})
        for name in (name for values in given for name in values if name in options):
            raise BadInput(
                f"set the parameter {name!r}",
                saw="it is the same for all chapters of a run",
                do=f"Use {options[name]}, or the top of the platform file.",
            )


def _of_install(installed: Mapping[str, Values]) -> dict[str, dict[str, Any]]:
    """What remove takes from the last install; that data may go is said anew each time."""
    return {
        chapter: {name: value for name, value in values.items() if name != "delete_data"}
        for chapter, values in installed.items()
    }


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        modes = ", ".join(MODES)
        raise BadInput(f"run in the mode {mode!r}", saw="there is no such mode", do="Modes: " + modes)


def check_graph(known: Mapping[str, Notebook]) -> None:
    """BadInput when a chapter requires one that is none, or chapters require each other."""
    for n in known.values():
        for need in n.requires:
            if need not in known:
                saw = f"it requires {need!r}, which is no chapter"
                raise BadInput(f"read the chapter {n.id}", saw=saw, do="Mend the notebook's metadata.")
    left = dict(known)
    while left:
        free = [name for name, n in left.items() if not any(need in left for need in n.requires)]
        if not free:
            saw = "they require each other: " + ", ".join(left)
            raise BadInput("put the chapters in order", saw=saw, do="Mend the notebooks' metadata.")
        for name in free:
            del left[name]
