"""What a host and the operator's machine have, against what the platform needs."""

from __future__ import annotations

import collections
import platform
import re
import shutil
import subprocess
import sys
import time

from helpers.core import notebooks
from helpers.core.errors import Unmet
from helpers.core.show import varying

_ASK = r"""
echo "cpus=$(nproc)"
echo "memory_kib=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
echo "disk_kib=$(df -Pk /var | awk 'NR==2 {print $4}')"
. /etc/os-release; echo "release=$NAME ${VERSION_ID:-}"
echo "kernel=$(uname -r)"; echo "machine=$(uname -m)"
echo "init=$(cat /proc/1/comm)"
echo "cgroup=$(case $(stat -fc %T /sys/fs/cgroup) in cgroup2fs) echo v2;; *) echo v1;; esac)"
gpu=$(command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1 || true)
card=$( (command -v lspci >/dev/null && lspci 2>/dev/null || true) | grep -i nvidia | head -1 || true)
echo "gpu=${gpu:-${card:+a card, but no driver}}"
echo "name_ok=$(getent hosts "$(hostname)" >/dev/null && echo yes || echo no)"
echo "dns_ok=$(getent hosts localhost >/dev/null && grep -q '^nameserver' /etc/resolv.conf && echo yes || echo no)"
echo "clock=$(date +%s.%N)"
ss -Hltnp | awk '{n=split($4,a,":"); who=$6; sub(/.*\(\("/,"",who); sub(/".*/,"",who); print "port=" a[n] " " who}'
"""

Row = collections.namedtuple("Row", "title found enough recommended state entry problem")
Row.prove = lambda self: _prove(self)


def _prove(row):
    if row.state == "failed":
        raise Unmet(row.enough, row.problem)
    return row.problem if row.state == "warn" else None


def look_at_host(ch):
    """The host's facts as a dict of texts, in one round trip; "ports" is {number: program}, "skew" seconds."""
    before = time.time()
    out = ch.run(_ASK, quiet=True)
    after = time.time()
    facts = {"ports": {}}
    for line in out.splitlines():
        key, _, value = line.partition("=")
        if key == "port":
            number, _, who = value.partition(" ")
            facts["ports"][int(number)] = who
        else:
            facts[key] = value.strip()
    # The host's clock was read between the two; what is outside of that is skew.
    clock = float(facts["clock"])
    facts["skew"] = max(before - clock, clock - after, 0.0)
    return facts


def judge_machine(facts, min_cpus, min_memory_gib, min_disk_gib):
    """Rows for the host. Sizes in GiB."""
    memory, disk = int(facts["memory_kib"]) / 2.0**20, int(facts["disk_kib"]) / 2.0**20
    rows = [
        _size("processors", int(facts["cpus"]), "", min_cpus, 16, 32, "req-cpu"),
        _size("memory", memory, " GiB", min_memory_gib, 64, 128, "req-memory"),
        _size("free disk", disk, " GiB", min_disk_gib, 100, 500, "req-disk"),
        _fact(
            "release",
            facts["release"],
            facts["release"].startswith("Ubuntu 18.04"),
            "Ubuntu or Debian",
            "Ubuntu 18.04",
            re.match("Ubuntu|Debian", facts["release"]),
            "req-system",
            "the platform of 2021 ran on Ubuntu 18.04; other versions of packages come with this release",
        ),
        _fact("kernel", facts["kernel"], True, "Linux", "4.15 (Ubuntu 18.04's)", True, "req-system", ""),
        _fact(
            "architecture", facts["machine"], True, "x86_64", "x86_64", facts["machine"] == "x86_64", "req-system", ""
        ),
        _fact("init", facts["init"], True, "systemd", "systemd", facts["init"] == "systemd", "req-system", ""),
        _fact(
            "cgroups",
            facts["cgroup"],
            facts["cgroup"] == "v1",
            "v1 (chapter 03)",
            "v1",
            True,
            "req-cgroup",
            "Kubernetes 1.20 needs v1: switch before chapter 03",
        ),
        _fact(
            "GPU",
            facts["gpu"] or "none",
            bool(facts["gpu"]) and "no driver" not in facts["gpu"],
            "one, with its driver (chapter 04)",
            "NVIDIA T4, CUDA 10.2",
            True,
            "req-gpu",
            "no GPU with a driver: chapter 04 leaves the add-on out, training runs on processors",
        ),
        _fact("own name", facts["name_ok"], True, "resolves", "resolves", facts["name_ok"] == "yes", "req-dns", ""),
        _fact(
            "name service", facts["dns_ok"], True, "configured", "configured", facts["dns_ok"] == "yes", "req-dns", ""
        ),
    ]
    skew = facts["skew"]
    rows.append(
        Row(
            "clock",
            varying(f"{skew:.0f} s off"),
            "60 s",
            "1 s",
            "failed" if skew > 60 else "warn" if skew > 1 else "ok",
            "req-clock",
            f"it differs from this machine's by {skew:.0f} s",
        )
    )
    return rows


def _size(title, found, unit, least, enough, recommended, entry):
    text = f"{found:.0f}{unit}"
    state = "failed" if found < least else "warn" if found < enough else "ok"
    return Row(
        title,
        varying(text),
        f"{enough}{unit}",
        f"{recommended}{unit}",
        state,
        entry,
        f"{text}: fewer than the {least} that this run asks for"
        if state == "failed"
        else "enough for MinIO and PostgreSQL, not for the whole platform",
    )


def _fact(title, found, best, enough, recommended, good, entry, warning):
    state = "failed" if not good else "ok" if best else "warn"
    return Row(title, found, enough, recommended, state, entry, warning if state == "warn" else found)


def judge_ports(facts, wanted):
    """Rows for the ports that chapters will take: free, ours, or taken (a warning: the chapter itself refuses)."""
    rows, processes = [], {name for n in notebooks.load_all().values() for name in n.processes}
    for port in wanted:
        who = facts["ports"].get(port, None)
        ours = who in processes
        state = "ok" if who is None or ours else "warn"
        rows.append(
            Row(
                f"port {port}",
                varying("free" if who is None else who or "somebody"),
                "free or ours",
                "free or ours",
                state,
                "req-port",
                "taken by {}".format(who or "somebody"),
            )
        )
    return rows


def look_here():
    """Versions of the operator's tools as texts; "" when a tool is missing."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": "{}.{}".format(*sys.version_info[:2]),
        "helm": _version(["helm", "version", "--short"]),
        "kubectl": _version(["kubectl", "version", "--client", "--output=json"]),
        "ssh": _version(["ssh", "-V"]),
    }


def _version(argv):
    if not shutil.which(argv[0]):
        return ""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    found = re.search(r"(?:v|_)(\d+\.\d+(?:\.\d+)?)", done.stdout.decode("utf-8", "replace"))
    return found.group(1) if found else "unknown"


def judge_tools(found):
    """Rows for the operator's machine: what is only needed by later chapters warns."""

    def between(text, low, high):
        numbers = tuple(int(n) for n in re.findall(r"\d+", text)[:2])
        return bool(numbers) and low <= numbers <= high

    rows = [
        Row(
            "this machine",
            found["system"],
            "Linux or macOS",
            "Linux or macOS",
            "ok" if found["system"].split()[0] in ("Linux", "Darwin") else "failed",
            "req-tools",
            found["system"],
        ),
        Row(
            "python",
            found["python"],
            "3.7 in a notebook",
            "3.11",
            "ok" if between(found["python"], (3, 7), (3, 99)) else "failed",
            "req-tools",
            found["python"],
        ),
        Row(
            "ssh",
            found["ssh"],
            "any",
            "8 or later",
            "ok" if found["ssh"] else "failed",
            "req-tools",
            "OpenSSH's client is missing",
        ),
    ]
    for name, low, high, words, best in (
        ("helm", (3, 5), (3, 99), "3.5 or later (chapter 08)", "3.5.4"),
        ("kubectl", (1, 17), (1, 21), "1.17 to 1.21 (chapter 03)", "1.17.17"),
    ):
        good = between(found[name], low, high)
        rows.append(
            Row(
                name,
                found[name] or "none",
                words,
                best,
                "ok" if good else "warn",
                "req-tools",
                "" if good else "{}: needed from the chapter named on".format(found[name] or "not installed"),
            )
        )
    return rows


def show(ch, rows):
    """One table of found against needed."""
    ch.table(
        ("", "found", "enough", "recommended"),
        [(r.title, r.found, r.enough, r.recommended) for r in rows],
        [r.state for r in rows],
    )
