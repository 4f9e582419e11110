"""A Python 3.7 with what a chapter needs, as an old Jupyter has it. Made once, kept in the cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.core.paths import REPO, SETUP, home

REQUIREMENTS = SETUP / "requirements-notebook.txt"
_LISTS = sorted(SETUP.glob("requirements-notebook*.txt"))  # it includes the other


def interpreter():
    """A Python 3.7 on this machine, of pyenv or on PATH; None when there is none."""
    roots = [os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"]
    if shutil.which("pyenv"):
        roots.append(subprocess.run(["pyenv", "root"], stdout=subprocess.PIPE, text=True).stdout.strip())
    found = [p for root in roots for p in sorted(Path(root).glob("versions/3.7*/bin/python3.7"))]
    return str(found[-1]) if found else shutil.which("python3.7")


def python37():
    """The python of a 3.7 environment with setup/requirements-notebook.txt; skips where there is no 3.7."""
    base = interpreter()
    if not base or subprocess.run([base, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 7))"]).returncode:
        pytest.skip("no Python 3.7 on this machine: pyenv install 3.7")
    folder = home("cache") / "py37"
    stamp, wanted = (
        folder / "stamp",
        hashlib.sha256(b"".join(p.read_bytes() for p in _LISTS) + base.encode()).hexdigest(),
    )
    with open(str(home("locks") / "py37"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run(
                [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
                check=True,
            )
            stamp.write_text(wanted)
    return str(folder / "bin" / "python")


def environment(**more):
    return dict(
        {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        PYTHONPATH=str(REPO),
        **more,
    )
