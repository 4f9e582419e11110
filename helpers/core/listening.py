"""What listens on a host, and which of it answers here: asked straight at the host's address, not through SSH."""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterable

from helpers.core.shell import script

#: on the host: a line of PORT PROGRAM for each that listens to more than the loopback
LISTENING = script(Path(__file__).with_name("scripts") / "listening.sh")
#: seconds after which a port is silent, as behind a firewall, and not a busy host's: a connection that is lost on its
#: way, or comes to a full queue, is tried again by itself after 1, 3 and 7 s
PATIENCE = 10


def ports_of(lines: str) -> dict[int, str]:
    """{port: program} of what LISTENING prints."""
    return {int(port): who for port, who in (line.split(" ", 1) for line in lines.splitlines())}


def is_loopback(address: str) -> bool:
    """Does the address, or the first that the name has here, lead back to this machine's loopback?"""
    try:
        first = str(socket.getaddrinfo(address, None)[0][4][0])
        return ipaddress.ip_address(first.partition("%")[0]).is_loopback
    except OSError:  # a name that only a jump host knows
        return False


def why_left_out(address: str) -> str | None:
    """None when what is open to others can be asked at this address from here, else "left out: " and why not."""
    return f"left out: {address} is this machine's own way to itself, which is open" if is_loopback(address) else None


def from_here(address: str, ports: Iterable[int]) -> dict[int, str]:
    """{port: open, refused or silent}, all asked at once."""
    return asked(address, ports)()


def asked(address: str, ports: Iterable[int]) -> Callable[[], dict[int, str]]:
    """Ask all ports now; what is returned waits for their answers, which are those of from_here."""
    pool = ThreadPoolExecutor(64)  # they wait for each other otherwise, where a firewall is silent
    answers = {port: pool.submit(_answer, address, port) for port in ports}
    pool.shutdown(wait=False)
    return lambda: {port: answer.result() for port, answer in answers.items()}


def _answer(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"
    return "open"
