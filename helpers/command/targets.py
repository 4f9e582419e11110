"""Which target a chapter runs on: chapters name a host, and a run gives each host a target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from helpers.core.errors import BadInput
from helpers.core.notebooks import PLATFORM, Notebook
from helpers.core.parameters import nearest
from helpers.core.target import Target


def default(host: str) -> str:
    """A host's target where nobody gave any."""
    return "sandbox" if host == PLATFORM else "sandbox:" + host


class Targets(NamedTuple):
    """everywhere: the target of hosts that are not named.  named: {host: target}."""

    everywhere: str | None = None
    named: Mapping[str, str] = {}

    def of(self, host: str) -> str:
        """A host's target; empty where some are given, and none for this one."""
        if self.everywhere is None and not self.named:
            return default(host)
        return self.named.get(host, self.everywhere or "")

    def over(self, others: Targets) -> Targets:
        """These before the others; one for all hosts leaves nothing of the others."""
        if self.everywhere is not None:
            return self
        return Targets(others.everywhere, {**others.named, **self.named})

    def words(self, hosts: Iterable[str]) -> str:
        """The options that give these hosts their targets."""
        found = {host: target for host in hosts if (target := self.of(host))}
        if len(set(found.values())) == 1:
            return f"--target {next(iter(found.values()))}"
        return " ".join(f"--target {host}={target}" for host, target in found.items())


def apart(n: Notebook, values: Mapping[str, Any]) -> tuple[Targets, dict[str, Any]]:
    """Where a chapter's values say that it and its other hosts are, and the values that are its own."""
    hosts = {"target": n.host, **n.others}
    named = {host: str(values[p]) for p, host in hosts.items() if p in values}
    return Targets(None, named), {p: value for p, value in values.items() if p not in hosts and p != "mode"}


def given(words: Iterable[str], known: Mapping[str, Notebook]) -> Targets:
    """The command line's --target T and --target HOST=T; BadInput for one that is wrong or given twice."""
    found: dict[str, str] = {}
    for word in words:
        pair = re.fullmatch(r"(\w+)=(.*)", word)
        host, target = (pair[1], pair[2]) if pair else ("", word)
        if host in found:
            what = f"the host {host}" if host else "all hosts"
            raise BadInput(f"read --target {word}", saw=f"{what} has {found[host]} already", do="Give one of them.")
        found[host] = target
    everywhere = found.pop("", None)
    return checked(everywhere, found, known)


def checked(everywhere: Any, named: Mapping[str, Any], known: Mapping[str, Notebook]) -> Targets:
    """As Targets; BadInput names a host that no chapter has, or a target that is none."""
    hosts = list(dict.fromkeys([PLATFORM, *(n.host for n in known.values())]))
    for host in named:
        if host not in hosts:
            do = nearest(host, hosts) or "Hosts: " + ", ".join(hosts)
            raise BadInput(f"use the host {host!r}", saw="no chapter runs on a host of that name", do=do)
    for target in ([] if everywhere is None else [everywhere]) + list(named.values()):
        Target.parse(target)
    return Targets(everywhere, dict(named))
