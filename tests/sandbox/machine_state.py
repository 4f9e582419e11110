"""All of this machine that a sandbox touches, for comparing before and after."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from helpers.core.paths import home
from helpers.sandbox import processes, rootfs


def find_iptables() -> str:
    """The command, this machine's or the builder's; "" when there is none."""
    builder = rootfs.builder_path()
    return shutil.which("iptables") or (f"chroot {builder} /usr/sbin/iptables" if builder.is_dir() else "")


#: settings that the kernel moves by itself. What nobody may write is a count, not a setting
_MOVING = re.compile(r"/(ns_last_pid|tainted|.*_max_sample_rate)$")
#: of `ip`: numbers that count up, and what a link makes of itself
_NUMBERS = re.compile(
    r"^\d+: |@if\d+|\b(qlen|expires|valid_lft|hoplimit|state|master) \S+|preferred_lft \S+|tentative ?"
)
#: in a line that can be a sandbox's
_OURS = re.compile(
    r"\b(rb|vb)-|\b10\.99\.|/mlops-runbook\b|/sandbox/|nspawn|^-P FORWARD|^(kernel|vm|fs)/|^net/ipv4/ip_forward "
)


def state(iptables=(), tables=("raw", "mangle", "nat", "filter"), settings=True):
    """{what: lines}. iptables: the command; without one the rules are left out. settings: of /proc/sys, a second."""
    return {
        "settings": _settings() if settings else [],
        "rules": [line for table in tables for line in _rules(iptables, table)],
        "routes": _said("ip", "rule") + _said("ip", "route", "show", "table", "all"),
        "links": _said("ip", "-o", "addr"),
        "mounts": sorted(line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "groups": sorted(_groups()),
    }


def difference(before, after):
    """Lines that came or went. A setting that came is its module's, and that stays loaded."""
    gone = [f"- {kind}: {line}" for kind in before for line in before[kind] if line not in after[kind]]
    new = [f"+ {kind}: {line}" for kind in before for line in after[kind] if line not in before[kind]]
    known = {line.partition(" = ")[0] for line in before["settings"]}
    return gone + [line for line in new if not (m := re.match(r"\+ settings: (\S+) =", line)) or m[1] in known]


def of_sandboxes(found):
    """Of a state the lines that can be a sandbox's: on a machine where others are at work as well."""
    return {kind: [line for line in lines if _OURS.search(line)] for kind, lines in found.items()}


def without_others(mounts, *names):
    """These mounts but those of sandboxes with other names: hosts of other tests come and go in a whole run."""
    theirs, ours = f"{home('sandbox')}/", [f"/{name}/" for name in names]
    return [line for line in mounts if theirs not in line or any(name in line for name in ours)]


def zombies():
    """The children of this process that have ended, and that nobody has asked for."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in children if (processes._stat(int(pid)) or "?")[0] == "Z"]


def _groups():
    """Of sandboxes. Others vanish meanwhile, which os.walk passes over."""
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"{folder}/{name}" for name in names if name.startswith("rb-"))


def _settings():
    found = []
    for path in sorted(Path(folder, name) for folder, _, names in os.walk("/proc/sys") for name in names):
        name = str(path.relative_to("/proc/sys"))
        with contextlib.suppress(OSError, UnicodeDecodeError):  # some are for writing only, some vanish meanwhile
            if path.stat().st_mode & 0o200 and not _MOVING.search("/" + name):
                found.append(f"{name} = {path.read_text().strip()}")
    return found


def _rules(iptables, table):
    return _said(*iptables, "-w", "-t", table, "-S") if iptables else []


def _said(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return sorted(_NUMBERS.sub("", line).strip() for line in done.stdout.splitlines())
