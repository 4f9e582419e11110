"""What a machine lacks for a sandbox, why it matters, and the exact command that mends it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from helpers.core.paths import home

SANDBOX_DISK = 26 << 30  # bytes: a host with all chapters (10), the caches while builds are under way (16; 8 later)
NEXT_DISK = 12 << 30  # bytes: for another sandbox, when the caches are there
RESTART_DISK = 1 << 30  # bytes: for a sandbox that is there already
KERNEL = (5, 12)
ELSEWHERE = "Use a host that you have: ./runbook up --target ssh://user@host"

# program: (Debian package, what it is for); the sandbox runs them on this machine.
SANDBOX_PROGRAMS = {
    "mmdebstrap": ("mmdebstrap", "makes the sandbox's Debian"),
    "systemd-nspawn": ("systemd-container", "boots the sandbox's host"),
    "ip": ("iproute2", "makes the sandbox's network"),
    "unshare": ("util-linux", "keeps the sandbox's mounts and processes apart"),
    "setpriv": ("util-linux", "ends builds together with the runbook"),
    "tar": ("tar", "unpacks the sandbox's Debian"),
    "losetup": ("mount", "attaches the sandbox's disk"),
    "mkfs.btrfs": ("btrfs-progs", "makes the sandbox's disk, which can be saved and restored"),
}

BREW = {"venv": "python@3.11", "ssh": "openssh", "ssh-keygen": "openssh", "shellcheck": "shellcheck"}


@dataclass(frozen=True)
class Missing:
    """One thing that is missing. part: runbook, sandbox or later. packages: the Debian packages, where they mend it."""

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


def install_command(*packages: str) -> str:
    """The command line that installs Debian packages here."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y --no-install-recommends {' '.join(packages)}"


def from_debian(what: str, why: str, part: str, *packages: str) -> Missing:
    """Something that Debian packages mend, with the command for this system."""
    if platform.system() == "Darwin":
        return Missing(what, why, f"brew install {BREW[what]}", part)
    command = install_command(*packages)
    if not is_debian():
        command = f"install {what} with this system's package manager; on Debian or Ubuntu: {command}"
    return Missing(what, why, command, part, packages)


def sandbox_lacks(folder: Path | None = None, need: int = SANDBOX_DISK) -> list[Missing]:
    """What this machine lacks to host a sandbox with its files in folder and `need` bytes free; empty when it can."""
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
    found: list[Missing] = []
    if not shutil.which("chroot"):
        return [
            Missing(
                "/usr/sbin in PATH", "the sandbox's programs lie there", "export PATH=$PATH:/usr/sbin:/sbin", "sandbox"
            )
        ]
    for program, (package, why) in SANDBOX_PROGRAMS.items():
        if not shutil.which(program):
            found.append(from_debian(program, why, "sandbox", package))
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        found.append(
            from_debian("Debian's keys", "to check the sandbox's Debian packages", "sandbox", "debian-archive-keyring")
        )
    found += kernel_lacks() + _old_kernel() + _disk_lacks(folder or home(), need)
    return found


def _old_kernel(release: str | None = None) -> list[Missing]:
    """What others' builds are kept apart by: idmapped mounts, which btrfs has since 5.15 and others since 5.12."""
    found = re.match(r"(\d+)\.(\d+)", release or platform.release())
    if not found or (int(found[1]), int(found[2])) >= KERNEL:
        return []
    why = f"this is {release or platform.release()}, and keeps the programs that it builds not apart from this machine"
    return [Missing("Linux {}.{}".format(*KERNEL), why, ELSEWHERE, "sandbox")]


def kernel_lacks(mounts: Path = Path("/proc/mounts")) -> list[Missing]:
    """What the kernel refuses here: namespaces, bridges, cgroups."""
    found: list[Missing] = []
    if shutil.which("unshare"):
        # A bridge in a network of its own: nothing of the machine's is touched.
        bridge = ["ip", "link", "add", "probe", "type", "bridge"] if shutil.which("ip") else ["true"]
        argv = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--mount-proc", *bridge]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            found.append(
                Missing(
                    "namespaces",
                    f"the kernel refuses them here ({done.stderr.strip()}): "
                    "this looks like a container without privileges",
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
    found: list[Missing] = []
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
