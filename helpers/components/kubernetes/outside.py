"""What of the cluster answers from outside: asked from the operator's machine, straight to the host's address."""

from __future__ import annotations

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
    shut, by_choice = [READ_ONLY], kube.ch.host.ask(NODE_PORTS_ARE_OPEN)[0]
    if not by_choice:
        shut += sorted({int(port) for port in kube.kubectl(_NODE_PORTS).split() if port != "0"})
    address = kube.ch.host.address
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda port: _answers(address, port), shut))
    found = [str(port) for port, answer in zip(shut, answers) if answer]
    if found:
        raise Unmet(f"no answer at {address} from the ports {', '.join(map(str, shut))}", "open: " + ", ".join(found))
    return "none answers at the host's address" + (", NodePorts left out: node_ports_on = network" if by_choice else "")


def _answers(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
