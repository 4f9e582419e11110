"""What was found against what the platform needs: rows of a table, each with its verdict."""

from __future__ import annotations

import re
from typing import NamedTuple

from helpers.components.kubernetes import firewall, networks
from helpers.core import notebooks
from helpers.core.errors import Unmet
from helpers.core.show import varying


class Row(NamedTuple):
    """One line of the table. state: ok, warn or failed; problem: the words for a warning or a failure."""

    title: str
    found: str
    enough: str
    recommended: str
    state: str
    entry: str
    problem: str = ""

    def prove(self):
        """For a check: the warning, if there is one. Unmet when it is not enough."""
        if self.state == "failed":
            raise Unmet(self.enough, self.problem)
        return self.problem if self.state == "warn" else None


def judge_machine(facts, min_cpus, min_memory_gib, min_disk_gib):
    """Rows for the host. Sizes in GiB."""
    memory, disk = int(facts["memory_kib"]) / 2.0**20, int(facts["disk_kib"]) / 2.0**20
    return [
        _size("processors", int(facts["cpus"]), "", (min_cpus, 16, 32), "req-cpu"),
        _size("memory", memory, " GiB", (min_memory_gib, 64, 128), "req-memory"),
        _size("free disk", disk, " GiB", (min_disk_gib, 100, 500), "req-disk"),
        _release(facts["release"]),
        Row("kernel", facts["kernel"], "Linux", "4.15 (Ubuntu 18.04's)", "ok", "req-system"),
        _is("architecture", facts["machine"], "x86_64", "req-system"),
        _is("init", facts["init"], "systemd", "req-system"),
        _cgroups(facts["cgroup"]),
        _gpu(facts["gpu"]),
        _yes("own name", facts["name_ok"], "resolves"),
        _yes("name service", facts["dns_ok"], "configured"),
        _clock(facts["skew"]),
    ]


def _size(title, found, unit, sizes, entry):
    """sizes: the least that this run asks for, enough for the platform, and what it had."""
    least, enough, recommended = sizes
    seen = 0.95 if entry == "req-memory" else 1  # the kernel keeps some of what a machine is sold with
    text = f"{found:.0f}{unit}"
    row = Row(title, varying(text), f"{enough}{unit}", f"{recommended}{unit}", "ok", entry)
    if found < least * seen:
        return row._replace(state="failed", problem=f"{text}: fewer than the {least} that this run asks for")
    if found < enough * seen:
        return row._replace(state="warn", problem="enough for MinIO and PostgreSQL, not for the whole platform")
    return row


def _is(title, found, wanted, entry):
    return Row(title, found, wanted, wanted, "ok" if found == wanted else "failed", entry, found)


def _yes(title, answer, wanted):
    return Row(title, answer, wanted, wanted, "ok" if answer == "yes" else "failed", "req-dns", answer)


def _release(found):
    row = Row("release", found, "Ubuntu or Debian", "Ubuntu 18.04", "ok", "req-system", found)
    if not re.match("Ubuntu|Debian", found):
        return row._replace(state="failed")
    if found.startswith("Ubuntu 18.04"):
        return row
    why = "the platform of 2021 ran on Ubuntu 18.04; other versions of packages come with this release"
    return row._replace(state="warn", problem=why)


def _cgroups(found):
    row = Row("cgroups", found, "v1 (chapter 03)", "v1", "ok", "req-cgroup")
    if found == "v1":
        return row
    return row._replace(state="warn", problem="Kubernetes 1.20 needs v1: switch before chapter 03")


def _gpu(found):
    row = Row("GPU", found or "none", "one, with its driver (chapter 04)", "NVIDIA T4, CUDA 10.2", "ok", "req-gpu")
    if found and "no driver" not in found:
        return row
    why = "no GPU with a driver: chapter 04 leaves the add-on out, training runs on processors"
    return row._replace(state="warn", problem=why)


def _clock(skew):
    state = "failed" if skew > 60 else "warn" if skew > 1 else "ok"
    problem = f"it differs from this machine's by {skew:.0f} s"
    return Row("clock", varying(f"{skew:.0f} s off"), "60 s", "1 s", state, "req-clock", problem)


def judge_ports(facts, wanted):
    """Rows for the ports that chapters will take: free, ours, or taken (a warning: the chapter itself refuses)."""
    ours = {name for chapter in notebooks.load_all().values() for name in chapter.processes}
    return [_port(port, facts["ports"].get(port), ours) for port in wanted]


def _port(port, who, ours):
    """who: the program that listens there; "" when it has no name, None when nothing listens."""
    free, found = "free or ours", varying("free" if who is None else who or "somebody")
    state = "ok" if who is None or who in ours else "warn"
    return Row(f"port {port}", found, free, free, state, "req-port", "taken by {}".format(who or "somebody"))


def judge_networks(found, address):
    """Rows for what the cluster will take of the host's networks; address: the one for pods. A warning, as a port's.

    found: networks.HostNetworks.
    """
    whys = [(f"{what} {network}", networks.why_taken(found, network)) for network, what in networks.TAKEN.items()]
    whys.append((f"address for pods {address}", networks.why_bad(address) or networks.why_no_address(found, address)))
    return [_network(title, why) for title, why in whys]


def _network(title, why):
    row = Row(title, "free or ours", "free or ours", "free or ours", "ok", "req-network")
    return row._replace(found=varying("taken"), state="warn", problem=why) if why else row


def judge_firewall(said):
    """A row for ufw. A warning, as a network's. said: firewall.look()."""
    why, state = firewall.why_shut(said), "on" if firewall.is_on(said) else "none, or off"
    row = Row("ufw", state, "off, or lets pods pass", "lets pods pass", "ok", "req-firewall")
    return row._replace(state="warn", problem=why) if why else row


def judge_tools(found):
    """Rows for the operator's machine: what is only needed by later chapters warns."""
    return [
        _tool(
            Row("this machine", found["system"], "Linux or macOS", "Linux or macOS", "ok", "req-tools"),
            found["system"].split()[0] in ("Linux", "Darwin"),
        ),
        _tool(
            Row("python", found["python"], "3.7 in a notebook", "3.11", "ok", "req-tools"),
            _between(found["python"], (3, 7), (3, 99)),
        ),
        _tool(
            Row("ssh", found["ssh"], "any", "8 or later", "ok", "req-tools", "OpenSSH's client is missing"),
            bool(found["ssh"]),
        ),
        _later("helm", found["helm"], "3.5 or later (chapter 08)", "3.5.4", ((3, 5), (3, 99))),
        _later("kubectl", found["kubectl"], "1.17 to 1.21 (chapter 03)", "1.17.17", ((1, 17), (1, 21))),
    ]


def _tool(row, good):
    return row if good else row._replace(state="failed", problem=row.problem or row.found)


def _later(name, found, enough, best, versions):
    """A tool that only a later chapter needs. versions: the first and the last that do."""
    if _between(found, *versions):
        return Row(name, found, enough, best, "ok", "req-tools")
    problem = "{}: needed from the chapter named on".format(found or "not installed")
    return Row(name, found or "none", enough, best, "warn", "req-tools", problem)


def _between(text, low, high):
    numbers = tuple(int(n) for n in re.findall(r"\d+", text)[:2])
    return bool(numbers) and low <= numbers <= high


def show(ch, rows):
    """One table of found against needed."""
    ch.table(
        ("", "found", "enough", "recommended"),
        [(r.title, r.found, r.enough, r.recommended) for r in rows],
        [r.state for r in rows],
    )
