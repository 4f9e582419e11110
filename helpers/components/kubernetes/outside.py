"""What of the cluster answers from outside: asked from the operator's machine, straight to the host's address."""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

from helpers.components.kubernetes.microk8s import NODE_PORTS_ARE_OPEN
from helpers.core.errors import Unmet

#: the kubelet's port that lists all pods to whoever asks
READ_ONLY = 10255
_NODE_PORTS = "get services -A -o jsonpath='{range .items[*].spec.ports[*]}{.nodePort} {end}'"


def nothing_answers(kube):
    """No NodePort, and no port of the kubelet's without a login, answers at the host's address.

    NodePorts are left out where chapter 03 was asked to open them: what kube-proxy is started with tells.
    """
    address = kube.ch.host.address
    if _is_loopback(address):
        return f"left out: {address} is this machine's own way to itself, which is open"
    shut, by_choice = [READ_ONLY], kube.ch.host.ask(NODE_PORTS_ARE_OPEN)[0]
    if not by_choice:
        shut += sorted({int(port) for port in kube.kubectl(_NODE_PORTS).split() if port != "0"})
    said = _none_answers(address, shut)
    return said + (", NodePorts left out: node_ports_on = network" if by_choice else "")


def _none_answers(address, shut):
    answers = _asked(address, shut)
    found = [str(port) for port, answer in answers.items() if answer == "open"]
    if found:
        raise Unmet(f"no answer at {address} from the ports {', '.join(map(str, shut))}", "open: " + ", ".join(found))
    if set(answers.values()) == {"silent"}:
        return f"{address} is silent from here: a firewall is between, or SSH goes another way"
    return "none answers at the host's address"


def _is_loopback(address):
    """Does the address, or the first that the name has here, lead back to this machine's loopback?"""
    try:
        return ipaddress.ip_address(socket.getaddrinfo(address, None)[0][4][0].partition("%")[0]).is_loopback
    except OSError:  # a name that only a jump host knows
        return False


def _asked(address, ports):
    """{port: open, refused or silent}, all asked at once."""
    with ThreadPoolExecutor(16) as pool:
        return dict(zip(ports, pool.map(lambda port: _answer(address, port), ports)))


def _answer(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"
    return "open"
