"""Many probes as one script, and their answers out of what it printed."""

from __future__ import annotations

import os
import shlex
from typing import Any, Mapping, NamedTuple, Sequence


class Probe(NamedTuple):
    """A probe's answer: did it hold, and what it printed (both streams, masked)."""

    ok: bool
    out: str


def new_mark() -> str:
    """What stands before each answer: no probe prints that by chance."""
    return "@@" + os.urandom(8).hex()


def script(probes: Mapping[Any, str], mark: str) -> str:
    """Each probe runs in a shell of its own; after it, a line with the mark and its exit code."""
    return "set +e\n" + "".join(
        f'( set -euo pipefail; eval {shlex.quote(probe)} ) 2>&1 </dev/null; echo "{mark} $?"\n'
        for probe in probes.values()
    )


def answers(printed: str, keys: Sequence[Any], mark: str) -> dict[Any, Probe]:
    """{key: its answer}, in order; fewer than keys when the script did not come to its end."""
    found: dict[Any, Probe] = {}
    text: list[str] = []
    for line in printed.splitlines():
        before, marked, code = line.rpartition(mark + " ")
        if not marked:
            text.append(line)
            continue
        found[keys[len(found)]] = Probe(code == "0", "\n".join([*text, before]).strip())
        text = []
    return found
