"""Tables of what may be changed by hand and no step asks for: it fails nothing, and `./runbook regress` names it."""

from __future__ import annotations

import shlex
from typing import Any, Callable, Iterable, Sequence

from helpers.core import show as cells
from helpers.core.errors import FAULTS_OF_OURS, OutOfReach, words

Rows = Iterable[Sequence[object]]


def show(ch: Any, what: str, headers: Sequence[str], ask: Callable[..., Rows], *arguments: Any) -> None:
    """Show the rows that ask(*arguments) returns, in install and verify; where they cannot be had, one row says why.

    what: these rows in words, for the line that says that they cannot be asked from here.
    """
    if not ch.proving:
        return
    try:
        rows = [list(map(str, row)) for row in ask(*arguments)]
    except OutOfReach as e:
        ch.skip(what, e.saw or e.what)
        return
    except FAULTS_OF_OURS:
        raise
    except Exception as e:  # of any library: the steps name what is broken, this only says that it cannot be told
        why = cells.varying(ch.masker.mask(words(e, 100)))
        rows = [["cannot tell " + cells.shortened(why), *[""] * (len(headers) - 1)]]
    ch.table(headers, rows)


#: headers for accounts()
ACCOUNT = ("user of the host", "groups", "home", "shell")


def accounts(ch: Any, *names: str) -> list[list[str]]:
    """Rows of these users of the host: groups, home and shell. An error when there is no such user."""
    return [_account(ch, name) for name in names]


def _account(ch: Any, name: str) -> list[str]:
    user = shlex.quote(name)
    entry, groups = ch.run(f"getent passwd {user} && id -nG {user}", sudo=False).strip().split("\n")
    return [name, " ".join(sorted(groups.split())), *entry.split(":")[5:7]]
