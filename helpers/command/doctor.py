"""What this machine lacks, why it matters, and the exact command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.components.label_studio import browser
from helpers.core.errors import RunbookError
from helpers.sandbox.needs import Missing, from_debian, install_command, is_debian, sandbox_lacks

PYTHON = (3, 11)


def is_ubuntu(release: Path = Path("/etc/os-release")) -> bool:
    """Ubuntu's package chromium is a word that stands for a snap."""
    return release.exists() and bool(re.search("^ID(_LIKE)?=.*ubuntu", release.read_text(), re.M))


def lacks(version: tuple = tuple(sys.version_info)) -> list[Missing]:
    """Everything this machine lacks: for the runbook itself, for the sandbox, and for later chapters."""
    return runbook_lacks(version) + sandbox_lacks() + later_lacks()


def runbook_lacks(version: tuple = tuple(sys.version_info)) -> list[Missing]:
    """What the runbook itself needs, with a target of any kind."""
    found = []
    if tuple(version[:2]) < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        mend = (
            "brew install python@" + wanted
            if platform.system() == "Darwin"
            else f"install Python {wanted} or newer beside it (Debian 12: {install_command('python3', 'python3-venv')}), then RUNBOOK_PYTHON=python{wanted} ./runbook doctor"
        )
        found.append(Missing(f"Python {wanted}", f"this is Python {version[0]}.{version[1]}", mend))
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        found.append(
            from_debian(
                "venv", "the runbook installs its libraries in an environment of its own", "runbook", "python3-venv"
            )
        )
    for program in ("ssh", "ssh-keygen"):
        if not shutil.which(program):
            found.append(
                from_debian(program, "every target but local is reached by OpenSSH", "runbook", "openssh-client")
            )
    return found


def later_lacks() -> list[Missing]:
    """What only the chapters from Kubernetes on need here."""
    found = browser_lacks()
    if not shutil.which("kubectl"):
        found.append(
            from_debian("kubectl", "to use the cluster from this machine (1.17 to 1.21)", "later", "kubernetes-client")
        )
    if not shutil.which("helm"):
        found.append(
            Missing(
                "helm",
                "to install charts from this machine (3.5 or newer)",
                "brew install helm" if platform.system() == "Darwin" else "see helm.sh/docs/intro/install",
                "later",
            )
        )
    return found


def browser_lacks() -> list[Missing]:
    """What a chapter lacks here to look at a page as a person does; without it, it leaves that proof out."""
    missing = [
        name
        for name, there in (("chromium", browser.program()), ("chromedriver", shutil.which("chromedriver")))
        if not there
    ]
    if platform.system() == "Darwin":
        missing = missing[:1] if "chromium" in missing else []  # Selenium fetches Chrome's driver by itself
    why = "to see Label Studio's pages in a browser"
    if is_debian() and not is_ubuntu():
        packages = {"chromium": "chromium", "chromedriver": "chromium-driver"}
        return [Missing(name, why, install_command(packages[name]), "later", (packages[name],)) for name in missing]
    mend = (
        "brew install --cask google-chrome"
        if platform.system() == "Darwin"
        else "snap install chromium"
        if is_debian()
        else "install Chromium and its driver with this system's package manager"
    )
    return [Missing(name, why, mend, "later") for name in missing]


def install(found: list[Missing], report) -> None:
    """Install what Debian packages mend, after naming them; RunbookError with the commands where that cannot be done here."""
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
    report("installing with apt-get: " + " ".join(packages))
    # None of these packages brings a service that starts.
    argv = ["apt-get", "-qy", "-o", "DPkg::Lock::Timeout=120", "install", "--no-install-recommends", *packages]
    done = _apt(argv)
    if done.returncode:  # lists that are missing or old
        report("apt-get update")
        _apt(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "update"])
        done = _apt(argv)
    if done.returncode:
        raise RunbookError(
            "install " + " ".join(packages),
            host="this machine",
            saw=(done.stdout + done.stderr)[-800:],
            do=install_command(*packages),
        )


def _apt(argv: list[str]) -> subprocess.CompletedProcess:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
