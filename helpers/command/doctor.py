"""What this machine lacks, why it matters, and the exact command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from helpers.command import system_packages
from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.core.notebooks import Notebook
from helpers.sandbox.needs import Missing, from_debian, install_command, is_debian, sandbox_lacks

PYTHON = (3, 11)
Version = tuple[Any, ...]


def is_ubuntu(release: Path = Path("/etc/os-release")) -> bool:
    """Ubuntu's package chromium is a word that stands for a snap."""
    return release.exists() and bool(re.search("^ID(_LIKE)?=.*ubuntu", release.read_text(), re.M))


def lacks(version: Version = sys.version_info) -> list[Missing]:
    """Everything this machine lacks: for the runbook itself, for the sandbox, and for what chapters name."""
    named = [lack for n in notebooks.load_all().values() for lack in chapter_lacks(n)]
    return runbook_lacks(version) + sandbox_lacks() + named


def runbook_lacks(version: Version = sys.version_info) -> list[Missing]:
    """What the runbook itself needs, with a target of any kind."""
    found = [] if version[:2] >= PYTHON else [_old_python(version)]
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        why = "the runbook installs its libraries in an environment of its own"
        found.append(from_debian("venv", why, "runbook", "python3-venv"))
    for program in ("ssh", "ssh-keygen"):
        if not shutil.which(program):
            why = "every target but local is reached by OpenSSH"
            found.append(from_debian(program, why, "runbook", "openssh-client"))
    return found


def test_lacks() -> list[Missing]:
    """What only the project's own tests need here."""
    why = "the project's tests read its shell scripts with it"
    return [] if shutil.which("shellcheck") else [from_debian("shellcheck", why, "later", "shellcheck")]


def _old_python(version: Version) -> Missing:
    wanted = ".".join(map(str, PYTHON))
    debian = install_command("python3", "python3-venv")
    mend = (
        f"install Python {wanted} or newer beside it (Debian 12: {debian}), "
        f"then RUNBOOK_PYTHON=python{wanted} ./runbook doctor"
    )
    if platform.system() == "Darwin":
        mend = "brew install python@" + wanted
    return Missing(f"Python {wanted}", f"this is Python {version[0]}.{version[1]}", mend)


def chapter_lacks(n: Notebook, values: Mapping[str, Any] | None = None) -> list[Missing]:
    """What a chapter names in its metadata (`programs`) and this machine lacks.

    values: the chapter's parameters; with them, only what these ask for (a program's `when` names the parameter).
    """
    asked = {name: p for name, p in n.programs.items() if values is None or values.get(p.get("when", ""))}
    if platform.system() == "Darwin":
        asked = {name: p for name, p in asked.items() if p.get("macos")}  # the others are not needed there
    return [_missing(name, p) for name, p in asked.items() if not any(map(shutil.which, p.get("names", [name])))]


def _missing(name: str, program: Mapping[str, str]) -> Missing:
    """A chapter's program, with what its metadata say for this system: `macos`, `ubuntu`, `debian`, `elsewhere`."""
    mend = program.get("elsewhere", "")
    if platform.system() == "Darwin":
        mend = program["macos"]
    elif is_ubuntu() and "ubuntu" in program:
        mend = program["ubuntu"]
    elif "debian" in program and (is_debian() or not mend):
        return from_debian(name, program["why"], "later", program["debian"])
    return Missing(name, program["why"], mend or f"install {name}", "later")


def install(found: list[Missing], report: Callable[[str], None]) -> None:
    """Install what Debian packages mend, after asking (see system_packages).

    RunbookError with the commands where that cannot be done here.
    """
    packages = sorted({package for lack in found for package in lack.packages})
    if not packages:
        return
    if os.geteuid() != 0 or not is_debian():
        raise RunbookError(
            "install what is missing: " + ", ".join(lack.what for lack in found if lack.packages),
            host="this machine",
            saw="only root on Debian or Ubuntu can install it from here",
            do="\n".join(dict.fromkeys(lack.mend for lack in found if lack.packages)),
        )
    system_packages.install(packages, report)
