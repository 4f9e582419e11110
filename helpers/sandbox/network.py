"""The sandbox's network: a bridge with NAT, and IP forwarding shared with other sandboxes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

from helpers.core import files
from helpers.core.errors import RunbookError

SHARED = Path("/run/mlops-runbook")  # as short-lived as the kernel settings it remembers
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
SETTINGS = Path("/proc/sys")
# The kernel is shared: what the guest's kubelet sets holds for this machine, and without them a kubelet does not start.
# Kubernetes 1.20, pkg/util/sysctl/sysctl.go.
KUBELET = {
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

# As Docker does it, for the same reason: who switches forwarding on for himself does not make this machine a router
# between its other networks. At the end of the chain: whoever comes later puts his own rules before it.
NO_ROUTER = ["filter", "FORWARD", "!", "-i", "rb-+", "!", "-o", "rb-+", "-j", "DROP"]


def ip(*args: str, check: bool = True) -> str:
    """Run ip(8)."""
    done = subprocess.run(["ip", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        raise RunbookError("ip " + " ".join(args), host="this machine", saw=done.stderr, do="./runbook doctor")
    return done.stdout


class Network:
    """A bridge with NAT. The bridge, not the guest's link, holds the address: it outlives a reboot of the guest."""

    def __init__(self, bridge: str, prefix: str, owner: Path):
        self.bridge, self.gateway, self.cidr, self.owner = bridge, prefix + ".1", prefix + ".0/24", str(owner)
        self.door: tuple[int, str, int] | None = None  # (port of the gateway, guest's address, its port): the way in

    def _rules(self) -> list[list[str]]:
        """Mirror and registry, at the gateway's address, are for this guest and this machine: they ask for no login."""
        others = ["filter", "INPUT", "-d", self.gateway, "!", "-i", self.bridge, "!", "-s", self.gateway, "-j", "DROP"]
        return [others, *(self._closed(*self.door) if self.door else self._open())]

    def _open(self) -> list[list[str]]:
        return [
            ["nat", "POSTROUTING", "-s", self.cidr, "!", "-d", self.cidr, "-j", "MASQUERADE"],
            ["filter", "FORWARD", "-i", self.bridge, "-j", "ACCEPT"],
            [
                "filter",
                "FORWARD",
                "-o",
                self.bridge,
                "-m",
                "conntrack",
                "--ctstate",
                "RELATED,ESTABLISHED",
                "-j",
                "ACCEPT",
            ],
            # Hosts of one platform reach each other, whichever came up first; who is beside this machine does not.
            ["filter", "FORWARD", "!", "-i", "rb-+", "-o", self.bridge, "-j", "DROP"],
        ]

    def _outdated(self) -> list[list[str]]:
        """Rules of older runbooks: one let anybody beside this machine in, one kept sandboxes from each other."""
        return [["filter", "FORWARD", "-o", self.bridge, "-j", target] for target in ("ACCEPT", "DROP")]

    def _closed(self, outside: int, guest: str, inside: int) -> list[list[str]]:
        """A company's network: packets to the outside vanish, and so does what asks for more than the one port."""
        there = ["-d", guest, "-p", "tcp", "--syn", "!", "--dport", str(inside)]
        to = ["--to-destination", f"{guest}:{inside}"]
        return [
            ["nat", "OUTPUT", "-d", self.gateway, "-p", "tcp", "--dport", str(outside), "-j", "DNAT", *to],
            ["filter", "OUTPUT", *there, "-j", "DROP"],
            ["filter", "FORWARD", "-i", self.bridge, "-j", "DROP"],
        ]

    def _iptables(self, root: Path | None, action: str, rule: list[str]) -> bool:
        """False: there is no such rule. RunbookError when iptables cannot tell, or there is none. root None: this
        machine's own.
        """
        table, chain, *rest = rule
        program = ["chroot", str(root), "/usr/sbin/iptables"] if root else ["iptables"]
        argv = [*program, "-w", "-t", table, action, chain, *rest]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except OSError as e:
            raise self._no_rules(action, rule, str(e)) from e
        if done.returncode > 2:  # iptables(8): 1 and 2 are of the rule, the others of the kernel; 125 and on of chroot
            raise self._no_rules(action, rule, done.stderr.strip())
        return done.returncode == 0

    def _no_rules(self, action: str, rule: list[str], saw: str) -> RunbookError:
        what = f"ask iptables for the sandbox's rules ({action} {' '.join(rule)})"
        do = "apt-get install iptables, then once more: the sandbox's rules are still in this machine's kernel"
        return RunbookError(what, host="this machine", saw=saw, do=do)

    def _remove(self, root: Path | None, rule: list[str]) -> None:
        while self._iptables(root, "-D", rule):
            pass

    def exists(self) -> bool:
        return Path("/sys/class/net", self.bridge).exists()

    def check(self) -> None:
        """Refuse an address range or a bridge that belongs to something else."""
        if self.exists():
            owner = Path("/sys/class/net", self.bridge, "ifalias").read_text().strip()
            if owner not in ("", self.owner) and Path(owner).exists():  # a folder deleted by hand owns nothing
                raise RunbookError(
                    f"use the bridge {self.bridge}",
                    host="this machine",
                    saw=f"it belongs to the sandbox in {owner}",
                    do="stop that sandbox first, or give this one another name",
                )
            return
        first = self.cidr.rpartition(".")[0] + "."
        for line in ip("-4", "-o", "addr", "show").splitlines() + ip("-4", "route", "show").splitlines():
            if re.search(r"(^| )" + re.escape(first), line) and self.bridge not in line:
                raise RunbookError(
                    f"use the network {self.cidr}",
                    host="this machine",
                    saw="already in use: " + line.strip(),
                    do="give the sandbox another name: sandbox:NAME has a network of its own",
                )

    def up(self, root: Path) -> None:
        """Make what is missing of it, with root's iptables."""
        self.check()
        if not self.exists():
            ip("link", "add", self.bridge, "type", "bridge")
        ip("link", "set", self.bridge, "alias", self.owner)
        ip("addr", "replace", self.gateway + "/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        with _shared():
            _forward()
            _remember()
        for rule in self._outdated():
            self._remove(root, rule)
        for rule in self._rules() + [NO_ROUTER] * (SHARED / "ip_forward").is_file():
            if not self._iptables(root, "-C", rule) and not self._iptables(root, "-A", rule):
                raise RunbookError(
                    "add the sandbox's network rule", host="this machine", saw=" ".join(rule), do="./runbook doctor"
                )

    def down(self, root: Path | None) -> None:
        """Remove it; the last sandbox to go puts IP forwarding back as it was, unless others may need it by now.

        root: where an iptables is; None: this machine's, where it has one or a sandbox was up.
        """
        asked = bool(root or shutil.which("iptables") or self.exists())
        for rule in [*self._rules(), *self._outdated()] * asked:
            self._remove(root, rule)
        if self.exists():
            ip("link", "del", self.bridge)
        with _shared():
            others = [p for p in Path("/sys/class/net").glob("rb-*") if (p / "bridge").is_dir()]
            before = SHARED / "ip_forward"
            if not others and before.is_file():
                known = SHARED / "links"
                if known.is_file() and _links() <= set(known.read_text().split()):
                    FORWARD.write_text(before.read_text())
                before.unlink()
                (SHARED / "links").unlink(missing_ok=True)
            if not others:
                for rule in [NO_ROUTER] * asked:
                    self._remove(root, rule)
                _put_back()
        if not others:
            with contextlib.suppress(OSError):
                (SHARED / "lock").unlink()
                SHARED.rmdir()


def _forward() -> None:
    if FORWARD.read_text().strip() != "1":
        (SHARED / "links").write_text("\n".join(_links()))
        (SHARED / "ip_forward").write_text(FORWARD.read_text())
        FORWARD.write_text("1\n")


def _remember() -> None:
    """Once, by the first sandbox: a later one, or one after a kill -9, would find the kubelet's values."""
    known = SHARED / "kernel"
    if not known.is_file():
        there = [name for name in KUBELET if (SETTINGS / name).exists()]
        files.write_whole(known, json.dumps({name: (SETTINGS / name).read_text().strip() for name in there}), 0o644)


def _put_back() -> None:
    """What still is as a kubelet sets it; a value that somebody else chose since stays."""
    known = SHARED / "kernel"
    if not known.is_file():
        return
    for name, before in json.loads(known.read_text()).items():
        now = (SETTINGS / name).read_text().strip()
        if now != before and now == KUBELET[name]:
            (SETTINGS / name).write_text(before + "\n")
    known.unlink()


def _links() -> set[str]:
    """Links that no sandbox made. One that came since (docker0, virbr0, tun0) found forwarding on."""
    return {p.name for p in Path("/sys/class/net").iterdir() if not p.name.startswith(("rb-", "vb-"))}


@contextlib.contextmanager
def _shared() -> Generator[None]:
    SHARED.mkdir(mode=0o700, exist_ok=True)
    with files.lock(SHARED / "lock"):
        yield
