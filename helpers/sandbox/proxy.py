"""The proxy beside a host that has no other way out: Debian's tinyproxy, on the gateway's address."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from . import builds, kinds, machine, processes
from .processes import Report

PORT = 3128


class Proxy:
    """One sandbox's proxy; recipe: the folder with its packages.txt and tinyproxy.conf."""

    def __init__(self, folder: Path, address: str):
        self.dir, self.address = folder, address
        self.pid, self.log, self.config = folder / "pids/proxy", folder / "logs/proxy.log", folder / "proxy/proxy.conf"

    def start(self, recipe: Path, values: Mapping[str, str], builder: Path, report: Report) -> None:
        """Start it when it does not answer."""
        if self.answers():
            return
        processes.kill(self.pid)
        builds.with_packages(recipe, builder, report)
        machine.write(self.config, kinds.filled((recipe / "tinyproxy.conf").read_text(), values))
        argv = ["tinyproxy", "-d", "-c", "/srv/proxy/proxy.conf"]
        argv = processes.entered(builder, argv, {self.config.parent: "/srv/proxy"})
        processes.start(self.pid, argv, self.log, env=processes.MINIMAL)
        processes.wait("the sandbox's proxy", self.answers, self.log)

    def answers(self) -> bool:
        """Does its process run, and take connections?"""
        if processes.alive(self.pid) is None:
            return False
        try:
            socket.create_connection((self.address, PORT), timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self) -> bool:
        return processes.kill(self.pid)
