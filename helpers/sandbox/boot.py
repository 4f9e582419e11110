"""The sandbox host's life: its cgroups, its keys, boot, reboot and stop."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from helpers.core import files
from helpers.core.errors import RunbookError
from helpers.core.shell import filled

from . import kinds, machine, processes, rehearsal
from .disk import Disk
from .network import Network, ip
from .processes import Report

# One signal asks the guest to power off, a second makes systemd-nspawn end it.
STOP: processes.Steps = ((signal.SIGTERM, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5))

STUB = "../run/systemd/resolve/stub-resolv.conf"  # where /etc/resolv.conf leads on a host with systemd-resolved


def cgroups(name: str) -> list[Path]:
    """Make a group of this name below our own in every hierarchy, and return them.

    Where cgroup v1 controllers are, the machine's limits on us (a container's, say) hold for the guest as well. In
    cgroup v2 only the root may hold processes and groups with controllers together, so there the group is at the top.
    """
    where: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split()
        if kind == "cgroup2":
            where[""] = Path(head.split()[4])
        elif kind == "cgroup":
            for option in options.split(","):
                where[option] = Path(head.split()[4])
    made: list[Path] = []
    # Read once: the answer changes as a process moves.
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mount = where.get(controllers.split(",")[0])
        if mount is None:
            continue
        group = mount / path.strip("/") / name if controllers else mount / name
        group.mkdir(exist_ok=True)
        if "cpuset" in controllers.split(","):
            for file in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group, and then no process may enter
                (group / file).write_text((group.parent / file).read_text())
        if not controllers:
            enabled = (mount / "cgroup.controllers").read_text().split()
            with contextlib.suppress(OSError):
                (mount / "cgroup.subtree_control").write_text(" ".join("+" + c for c in enabled))
        _weigh(group)
        made.append(group)
    return made


def _weigh(group: Path) -> None:
    """Give it the weight of a machine with as many processors: by default a whole host weighs as much as one session.

    That is what kubelet and Docker give for a processor each: 1024 shares, a weight of 100.
    """
    for file, one, most in (("cpu.shares", 1024, 262144), ("cpu.weight", 100, 10000)):
        if (group / file).is_file():
            (group / file).write_text(str(min(one * (os.cpu_count() or 1), most)))


def remove_cgroups(listing: Path) -> bool:
    """End what still runs in the groups named in listing and remove them; True when something ran.

    A guest outlives its systemd-nspawn when that is killed, and only its groups tell that it is ours.
    """
    if not listing.is_file():
        return False
    groups = [Path(line) for line in listing.read_text().split()]
    limit, ran = time.monotonic() + 10, False
    while (members := _members(groups)) and time.monotonic() < limit:
        ran = True
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    listing.unlink()
    return ran


def _members(groups: list[Path]) -> set[int]:
    """The processes in these groups and below."""
    found: set[int] = set()
    for group in groups:
        for folder, _, _ in os.walk(group):
            with contextlib.suppress(OSError):
                found.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return found


def key(path: Path, comment: str) -> str:
    """An SSH key pair at path, made when missing; returns the public line."""
    if not path.with_suffix(".pub").is_file():
        path.unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    return path.with_suffix(".pub").read_text().strip()


class Guest:
    """The host inside systemd-nspawn."""

    def __init__(self, disk: Disk, name: str, address: str, network: Network):
        self.disk, self.dir = disk, disk.dir
        self.name, self.address, self.network = name, address, network
        self.kind = kinds.PLAIN
        # systemd-nspawn names the link after the machine, cut at 15 characters.
        self.machine = network.bridge.removeprefix("rb-")
        self.link = "vb-" + self.machine
        self.supervisor, self.nspawn, self.groups = (
            self.dir / "pids/supervisor",
            self.dir / "pids/nspawn",
            self.dir / "pids/cgroups",
        )

    @property
    def root(self) -> Path:
        return self.disk.root

    @property
    def way(self) -> tuple[str, int]:
        """The address and the port at which this machine reaches its SSH server."""
        return (self.network.gateway, self.kind.outside_port) if self.kind.closed else (self.address, 22)

    @property
    def values(self) -> dict[str, str]:
        """What @NAME@ means in the files of its kind."""
        dashed = self.address.replace(".", "-")
        return {
            "ADDRESS": self.address,
            "GATEWAY": self.network.gateway,
            "NETWORK": self.network.cidr,
            "DASHED": dashed,
        }

    @property
    def place(self) -> str:
        return f"--directory={self.root}"

    def configure(self) -> None:
        """Names, keys and network of the guest, before it boots."""
        root, ours = self.root, self.dir
        login, host = key(ours / "id", f"sandbox-{self.name}"), key(ours / "host_key", self.name)
        machine.write(root / "etc/ssh/ssh_host_ed25519_key", (ours / "host_key").read_text(), 0o600)
        machine.write(root / "etc/ssh/ssh_host_ed25519_key.pub", host + "\n")
        address, port = self.way
        where = address if port == 22 else f"[{address}]:{port}"
        machine.write(ours / "known_hosts", f"{where} {' '.join(host.split()[:2])}\n", 0o600)
        machine.write(root / "home/ubuntu/.ssh/authorized_keys", login + "\n", 0o600)
        owner = (root / "home/ubuntu").stat()
        for path in (root / "home/ubuntu/.ssh", root / "home/ubuntu/.ssh/authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)
        (root / "home/ubuntu/.ssh").chmod(0o700)
        self._name()
        machine.apply(root, self.kind.suite)
        self._connect()

    def _name(self) -> None:
        hostname = kinds.filled(self.kind.hostname, self.values) or self.name
        machine.write(self.root / "etc/hostname", hostname + "\n")
        hosts, own = self.root / "etc/hosts", f"{self.address} {hostname}\n" if self.kind.name_in_hosts else ""
        known = hosts.read_text() if hosts.is_file() else ""
        if "localhost" not in known or own not in known:
            ours = [line for line in known.splitlines(keepends=True) if rehearsal.MARK in line]
            machine.write(hosts, f"127.0.0.1 localhost\n::1 localhost\n{own}" + "".join(ours))

    def _connect(self) -> None:
        """Its network, and where it looks names up."""
        names = ""
        if self.kind.stub_resolver:
            resolv = self.root / "etc/resolv.conf"
            servers = re.findall(r"^nameserver\s+(\S+)", resolv.read_text(), re.M)
            names = "".join(f"DNS={server}\n" for server in servers)
            resolv.unlink()
            resolv.symlink_to(STUB)
        # Without LinkLocalAddressing=no networkd may pick 169.254.x first.
        text = filled(Path(__file__).with_name("host0.network"), ADDRESS=self.address, GATEWAY=self.network.gateway)
        machine.write(self.root / "etc/systemd/network/10-host0.network", text + names)

    def _environment(self, groups: list[Path]) -> dict[str, str]:
        # SYSTEMD_SECCOMP=0: else runc in the guest fails on keyctl.
        # SYSTEMD_NSPAWN_TMPFS_TMP=0: /tmp on disk, as on a VM.
        env = {**processes.MINIMAL, "SYSTEMD_SECCOMP": "0", "SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
        has_v1 = len(groups) > 1  # a machine with v2 only has one hierarchy
        if self.kind.cgroup == "v2" or (self.kind.cgroup == "v1" and has_v1):
            env["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1" if self.kind.cgroup == "v2" else "0"
        return env

    def running(self) -> bool:
        # Both: a supervisor outlives a killed nspawn by a moment, in which the guest still answers.
        return processes.alive(self.supervisor) is not None and processes.alive(self.nspawn) is not None

    def boot(self) -> None:
        """Start the guest; it may take seconds until SSH answers."""
        self.halt()  # what a kill -9 left: a guest without its supervisor, groups
        self.configure()
        groups = cgroups(self.network.bridge)
        self.groups.parent.mkdir(exist_ok=True)
        self.groups.write_text("".join(f"{g}\n" for g in groups))
        log = self.dir / "logs/host.log"
        log.unlink(missing_ok=True)
        processes.start(
            self.supervisor,
            [
                "unshare",
                "--mount",
                "bash",
                processes.HERE / "launch.sh",
                self.root,
                self.nspawn,
                self.groups,
                "--quiet",
                "--register=no",
                "--keep-unit",
                self.place,
                f"--machine={self.machine}",
                f"--network-bridge={self.network.bridge}",
                "--capability=all",
                "--resolv-conf=off",
                "--timezone=off",
                *self._binds(),
                "--link-journal=no",
                "--boot",
            ],
            log,
            env=self._environment(groups),
        )

    def _binds(self) -> list[str]:
        """The kubelet (1.20) looks for its folder's device by mountinfo and by name. It cannot where / is a btrfs
        (google/cadvisor#2752): there /var is a mount point of the same disk, and the device has its node."""
        device = self.disk.device()
        return [f"--bind={device}", f"--bind={self.root / 'var'}:/var"] if device else []

    def halt(self, steps: processes.Steps = STOP) -> bool:
        """End the guest in order (KILL: as a power cut does), and its groups; True when it ran."""
        ran = processes.stop(self.supervisor, steps)
        ran = processes.stop(self.nspawn, steps) or ran
        while processes.adopt(self.place, self.nspawn):
            ran = processes.stop(self.nspawn, steps) or ran
        ran = remove_cgroups(self.groups) or ran
        if Path("/sys/class/net", self.link).exists():  # the kernel removes a killed guest's link only after a while
            ip("link", "del", self.link, check=False)
        return ran

    def ssh(self, *command: str) -> list[str]:
        """The ssh command line; the host's key is ours, so another one is refused."""
        address, port = self.way
        return [
            "ssh",
            *(["-p", str(port)] if port != 22 else []),
            "-F",
            "/dev/null",
            "-i",
            str(self.dir / "id"),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            f"UserKnownHostsFile={self.dir / 'known_hosts'}",
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "ConnectTimeout=5",
            f"ubuntu@{address}",
            *command,
        ]

    def tell_endpoint(self, mirror_url: str, authority: str) -> None:
        """What the engine needs to reach this host, where Target.endpoint() reads it: the whole file or none."""
        address, port = self.way
        known = {
            "user": "ubuntu",
            "address": address,
            "port": port,
            "key": str(self.dir / "id"),
            "known_hosts": str(self.dir / "known_hosts"),
            "mirror_url": mirror_url,
            "authority": authority,
        }
        files.write_whole(self.dir / "endpoint.json", json.dumps(known, indent=1) + "\n")

    def answers(self) -> bool:
        """Does its SSH server greet?"""
        try:
            with socket.create_connection(self.way, timeout=5) as link:
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def run(self, *command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """One short command in the guest, as ubuntu."""
        return subprocess.run(
            self.ssh(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )

    def wait(self, report: Report, seconds: float = 60, other_than: str = "") -> str:
        """Wait until a login works, in a boot other than the named one; returns the boot's id."""
        began = told = time.monotonic()
        saw = f"no answer on port {self.way[1]}"
        while time.monotonic() - began < seconds:
            if processes.alive(self.supervisor) is None:
                saw = "it ended: " + " / ".join(
                    (self.dir / "logs/host.log").read_text(errors="replace").split("\n")[-6:]
                )
                break
            if self.answers():
                try:
                    done = self.run("cat /proc/sys/kernel/random/boot_id")
                except subprocess.TimeoutExpired as e:
                    saw = f"a login takes more than {e.timeout:.0f} s"
                    continue
                if done.returncode == 0 and done.stdout != other_than:
                    return done.stdout
                saw = done.stderr.strip() or "still the old boot"
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                report(f"host: waiting for SSH at {self.address} … {told - began:.0f} s")
            time.sleep(0.1)
        raise RunbookError("boot the sandbox host", host=self.address, saw=saw, do=f"see {self.dir / 'logs/host.log'}")
