"""A target's state, for comparing before and after."""

from __future__ import annotations

import re
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_COMPONENTS = "components/*/host_state.sh"


def script():
    """The script that tells a host's state: each component's part stands in the place of the line that names them."""
    parts = [path.read_text() for path in sorted(_TESTS.glob(_COMPONENTS))]
    return Path(__file__).with_suffix(".sh").read_text().replace(f"# tests/{_COMPONENTS}\n", "".join(parts))


def state(host):
    """The host's files, users, packages, units, main processes, the cluster's objects and the databases, as lines."""
    return host.run(script(), timeout=600, quiet=True).out.splitlines()


def difference(before, after):
    """Lines that came or went, for an assertion's message."""
    gone, new = set(before) - set(after), set(after) - set(before)
    return sorted("- " + line for line in gone) + sorted("+ " + line for line in new)


def without_times(lines):
    """The same lines without the files' modification times, for comparing two disks made by the same recipe."""
    return [re.sub(r"^(\w \d+ \S+ \d+) \d+\.\d+ ", r"\1 ", line) for line in lines]
