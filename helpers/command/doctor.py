"""What this machine lacks, why it matters, and the exact command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers.components.label_studio import browser
from helpers.core.errors import RunbookError
from helpers.core.paths import home

PYTHON = (3, 11)
SANDBOX_DISK = 20 << 30  # bytes: host, builder, caches and substitutes, with room for what chapters install
RESTART_DISK = 1 << 30  # bytes: for a sandbox that is there already
ELSEWHERE = "Use a host that you have: ./runbook up --target ssh://user@host"

# program: (Debian package, what it is for); the sandbox runs them on this machine.
SANDBOX_PROGRAMS = {
    "mmdebstrap": ("mmdebstrap", "makes the sandbox's Debian"),
    "systemd-nspawn": ("systemd-container", "boots the sandbox's host"),
    "ip": ("iproute2", "makes the sandbox's network"),
    "unshare": ("util-linux", "keeps the sandbox's mounts and processes apart"),
    "setpriv": ("util-linux", "ends builds together with the runbook"),
    "tar": ("tar", "unpacks the sandbox's Debian"),
}

BREW = {"venv": "python@3.11", "ssh": "openssh", "ssh-keygen": "openssh", "kubectl": "kubernetes-cli"}


@dataclass(frozen=True)
class Missing:
    """One thing that is missing: for which part (runbook, sandbox, later) and, where they mend it, the Debian packages."""

    what: str
    why: str
    mend: str
    part: str = "runbook"
    packages: tuple[str, ...] = ()


def is_debian(release: Path = Path("/etc/os-release")) -> bool:
    """Is this Debian, Ubuntu or a child of theirs, by os-release(5)?"""
    try:
        lines = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    except OSError:
        return False
    ids = (lines.get("ID", "") + " " + lines.get("ID_LIKE", "")).replace('"', "").split()
    return bool({"debian", "ubuntu"} & set(ids))


def is_ubuntu(release: Path = Path("/etc/os-release")) -> bool:
    """Ubuntu's package chromium is a word that stands for a snap."""
    return release.exists() and bool(re.search("^ID(_LIKE)?=.*ubuntu", release.read_text(), re.M))


def _install_command(*packages: str) -> str:
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y --no-install-recommends {' '.join(packages)}"


def _from_debian(what: str, why: str, part: str, *packages: str) -> Missing:
    if platform.system() == "Darwin":
        return Missing(what, why, f"brew install {BREW[what]}", part)
    command = _install_command(*packages)
    if not is_debian():
        command = f"install {what} with this system's package manager; on Debian or Ubuntu: {command}"
    return Missing(what, why, command, part, packages)


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
            else f"install Python {wanted} or newer beside it (Debian 12: {_install_command('python3', 'python3-venv')}), then RUNBOOK_PYTHON=python{wanted} ./runbook doctor"
        )
        found.append(Missing(f"Python {wanted}", f"this is Python {version[0]}.{version[1]}", mend))
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        found.append(
            _from_debian(
                "venv", "the runbook installs its libraries in an environment of its own", "runbook", "python3-venv"
            )
        )
    for program in ("ssh", "ssh-keygen"):
        if not shutil.which(program):
            found.append(
                _from_debian(program, "every target but local is reached by OpenSSH", "runbook", "openssh-client")
            )
    return found


def later_lacks() -> list[Missing]:
    """What only the chapters from Kubernetes on need here."""
    found = browser_lacks()
    if not shutil.which("kubectl"):
        found.append(
            _from_debian("kubectl", "to use the cluster from this machine (1.17 to 1.21)", "later", "kubernetes-client")
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
        return [Missing(name, why, _install_command(packages[name]), "later", (packages[name],)) for name in missing]
    mend = (
        "brew install --cask google-chrome"
        if platform.system() == "Darwin"
        else "snap install chromium"
        if is_debian()
        else "install Chromium and its driver with this system's package manager"
    )
    return [Missing(name, why, mend, "later") for name in missing]


def sandbox_lacks(folder: Path | None = None, need: int = SANDBOX_DISK) -> list[Missing]:
    """What this machine lacks to host a sandbox whose files lie in folder, with `need` bytes free; empty when it can."""
    if platform.system() != "Linux":
        return [
            Missing("Linux", f"the sandbox is a Linux container and this is {platform.system()}", ELSEWHERE, "sandbox")
        ]
    if os.geteuid() != 0:
        return [
            Missing(
                "root",
                "the sandbox boots a host of its own, with mounts and a network",
                f"sudo ./runbook up. {ELSEWHERE}",
                "sandbox",
            )
        ]
    found = []
    if not shutil.which("chroot"):
        return [
            Missing(
                "/usr/sbin in PATH", "the sandbox's programs lie there", "export PATH=$PATH:/usr/sbin:/sbin", "sandbox"
            )
        ]
    for program, (package, why) in SANDBOX_PROGRAMS.items():
        if not shutil.which(program):
            found.append(_from_debian(program, why, "sandbox", package))
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        found.append(
            _from_debian("Debian's keys", "to check the sandbox's Debian packages", "sandbox", "debian-archive-keyring")
        )
    found += kernel_lacks() + _disk_lacks(folder or home(), need)
    return found


def kernel_lacks(mounts: Path = Path("/proc/mounts")) -> list[Missing]:
    """What the kernel refuses here: namespaces, bridges, cgroups."""
    found = []
    if shutil.which("unshare"):
        # A bridge in a network of its own: nothing of the machine's is touched.
        bridge = ["ip", "link", "add", "probe", "type", "bridge"] if shutil.which("ip") else ["true"]
        argv = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--mount-proc", *bridge]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            found.append(
                Missing(
                    "namespaces",
                    f"the kernel refuses them here ({done.stderr.strip()}): this looks like a container without privileges",
                    ELSEWHERE,
                    "sandbox",
                )
            )
    groups = [line.split()[1] for line in mounts.read_text().splitlines() if line.split()[2] in ("cgroup", "cgroup2")]
    if not groups:
        found.append(
            Missing(
                "cgroups",
                "none are mounted at /sys/fs/cgroup",
                "mount -t cgroup2 cgroup2 /sys/fs/cgroup. Or: " + ELSEWHERE,
                "sandbox",
            )
        )
    elif any(os.statvfs(group).f_flag & os.ST_RDONLY for group in groups):
        found.append(
            Missing(
                "cgroups",
                "they are mounted read-only: this looks like a container without privileges",
                ELSEWHERE,
                "sandbox",
            )
        )
    return found


def _disk_lacks(folder: Path, need: int) -> list[Missing]:
    place = folder
    while not place.exists():
        place = place.parent
    found = []
    if os.statvfs(place).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC):
        found.append(
            Missing(
                "a disk for programs",
                f"{place} is mounted nosuid, nodev or noexec: a host on it has no sudo",
                f"put the runbook's files elsewhere: RUNBOOK_HOME=/other/disk ./runbook up. {ELSEWHERE}",
                "sandbox",
            )
        )
    free = shutil.disk_usage(place).free
    if free < need:
        found.append(_no_space(folder, need, free))
    return found


def _no_space(folder: Path, need: int, free: int) -> Missing:
    return Missing(
        "disk space",
        f"the sandbox needs {_size(need)} below {folder}, and {_size(free)} are free",
        f"free some, or put the runbook's files elsewhere: RUNBOOK_HOME=/other/disk ./runbook up. {ELSEWHERE}",
        "sandbox",
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


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
            do=_install_command(*packages),
        )


def _apt(argv: list[str]) -> subprocess.CompletedProcess:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
