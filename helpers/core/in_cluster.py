"""The target incluster: a notebook in a pod, which reaches the services of cluster and host, and no shell there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Callable, Generator, NoReturn

from helpers.core.errors import BadInput, OutOfReach
from helpers.core.host import Host
from helpers.core.process import Result
from helpers.core.secrets import Masker
from helpers.core.target import Target

#: where `./runbook notebook --verify` puts what a pod must know, as files: the host's address, and secrets.json
PLACE = Path("/run/runbook-incluster")
#: the host's address as pods reach it: chapter 04's host_ip
ADDRESS = "RUNBOOK_HOST_ADDRESS"
_START = "On the operator's machine: ./runbook notebook --stop; ./runbook notebook --verify"


class InCluster(Host):
    """The chapter's host as a pod has it: its ports, at its own address. All else raises OutOfReach."""

    in_cluster = True

    @property
    def address(self) -> str:
        """What a chapter asks of it is asked from the network, and a pod is not there."""
        raise OutOfReach("see what the network reaches", self.name, "needs a machine outside the cluster")

    def connect(self) -> InCluster:
        """BadInput when this is no pod, or nobody said where the host is."""
        if not os.environ.get("KUBERNETES_SERVICE_HOST"):
            do = "This target is for a notebook in the cluster (./runbook notebook --verify); from here: ssh://user@host."
            raise BadInput("use the target incluster", saw="this is no pod of a cluster", do=do)
        if not _address():
            do = f"{_START}\nOr set {ADDRESS} to the host's address as pods reach it, chapter 04's host_ip."
            raise BadInput("use the target incluster", saw="the host's address is not known here", do=do)
        return self

    def require_root(self) -> None:
        """Nothing runs there."""

    def close(self) -> None:
        """Nothing is open."""

    def run(self, script: str, **how: Any) -> Result:
        raise self._no_host(str(how.get("what") or "run a command"))

    def root_command(self, script: str) -> NoReturn:
        raise self._no_host("run a command")

    @contextlib.contextmanager
    def forward(self, port: int, address: str = "127.0.0.1") -> Generator[int, None, None]:
        raise self._no_host(f"forward port {port}")
        yield 0

    @contextlib.contextmanager
    def socks(self, port: int = 0) -> Generator[int, None, None]:
        raise self._no_host("open a SOCKS proxy")
        yield 0

    @contextlib.contextmanager
    def way(self, port: int, address: str = "127.0.0.1") -> Generator[tuple[str, int], None, None]:
        """A service of the host's is at the host's address, one of the cluster's at its own."""
        yield (_address() if address == "127.0.0.1" else address), port

    def _no_host(self, what: str) -> OutOfReach:
        return OutOfReach(what, self.name, "needs the host")


def host(target: Target, masker: Masker | None = None, on_line: Callable[[str, str], None] | None = None) -> Host:
    """The Host of a target of any kind."""
    return (InCluster if target.kind == "incluster" else Host)(target, masker, on_line)


def require_mode(target: Target, mode: str) -> None:
    """BadInput when a chapter is to do more than look, and cannot."""
    if target.kind == "incluster" and mode != "verify":
        do = 'mode = "verify", or run it from the operator\'s machine.'
        raise BadInput(f"run a chapter in mode {mode}", str(target), "from here nothing reaches the host's shell", do)


def require_secret(target: Target, name: str, known: bool) -> None:
    """BadInput when a secret was not given: one made up here would make every check fail."""
    if target.kind == "incluster" and not known:
        raise BadInput(f"use the secret {name}", str(target), "this notebook was not given it", _START)


def _address() -> str:
    with contextlib.suppress(OSError):
        return os.environ.get(ADDRESS) or (PLACE / "address").read_text("utf-8").strip()
    return ""
