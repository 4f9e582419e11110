"""System packages that the runbook installs on this machine: asked for before, noted, and taken back.

The note is `packages` in the runbook's home: a line for each package that came, as the note of a host has it. The
script `runbook`, which may need Python's first, writes such lines as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from helpers.core import shell
from helpers.core.errors import RunbookError
from helpers.core.files import write_whole
from helpers.core.paths import home
from helpers.sandbox.needs import install_command

#: set, they say yes in place of a person: by `up --yes`, by `./runbook test`, by whoever runs a pipeline
YES = ("RUNBOOK_YES", "CI")

_SCRIPTS = Path(shell.__file__).with_name("scripts")
_LINE = '{{"kind": "package", "name": "{}", "before": "away"}}\n'

Report = Callable[[str], None]


def install(packages: list[str], report: Report) -> None:
    """Install these, and what they need, after naming them to a person. RunbookError with apt's words when it fails."""
    _agree(packages)
    report("installing with apt-get: " + " ".join(packages))
    # None of these packages brings a service that starts.
    install = ["install", "--no-install-recommends", *packages]
    coming = _apt("-s", *install)
    if coming.returncode:  # lists that are missing or old
        report("apt-get update")
        _apt("update")
        coming = _apt("-s", *install)
    _note(re.findall(r"^Inst (\S+) \(", coming.stdout, re.M))  # one that was here has its old version before this
    done = _apt(*install)
    if done.returncode:
        saw = (done.stdout + done.stderr)[-800:]
        raise RunbookError("install " + " ".join(packages), "this machine", saw, install_command(*packages))


def _agree(packages: list[str]) -> None:
    """A person's yes, or one that was given before; RunbookError where there is neither."""
    if any(os.environ.get(name, "").lower() not in ("", "0", "no", "false") for name in YES):
        return
    if not sys.stdin.isatty():
        do = f"--yes, or RUNBOOK_YES=1, lets it install them. Or by hand: {install_command(*packages)}"
        saw = "nobody is here to be asked: there is no terminal"
        raise RunbookError("install system packages: " + " ".join(packages), "this machine", saw, do)
    click.confirm(
        f"This machine lacks {' '.join(packages)}. Install them with apt-get, and what they need?",
        default=True,
        abort=True,
        err=True,
    )


def _note(coming: list[str]) -> None:
    here = noted()
    lines = [_LINE.format(name) for name in [*here, *(name for name in coming if name not in here)]]
    write_whole(_file(), "".join(lines))


def noted() -> list[str]:
    """The packages that came by the runbook and were not taken back."""
    file = _file()
    return re.findall(r'"name": "([^"]+)"', file.read_text()) if file.is_file() else []


def take_back(report: Report) -> None:
    """Purge what the note has, but for what another package needs by now, and forget it."""
    before = noted()
    if not before:
        return report("nothing to take back: the runbook installed no system package here")
    script = shell.script(_SCRIPTS / "apt.sh") + "\n" + shell.script(_SCRIPTS / "packages_go.sh", _file())
    done = subprocess.run(["bash", "-ec", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=_env())
    if done.returncode:
        do = "apt-get purge " + " ".join(before)
        raise RunbookError("take system packages back", "this machine", (done.stdout + done.stderr)[-800:], do)
    left = [name for name in before if _is_installed(name)]
    _file().unlink(missing_ok=True)
    report("taken back: " + (" ".join(name for name in before if name not in left) or "nothing"))
    if left:
        report("left, since other packages need or suggest them: " + " ".join(left))
        _note(left)


def _is_installed(name: str) -> bool:
    argv = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name]
    return "ii" in subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def _file() -> Path:
    return home() / "packages"


def _apt(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["apt-get", "-qy", "-o", "DPkg::Lock::Timeout=120", *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=_env())


def _env() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
