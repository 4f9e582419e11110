"""What of the cluster answers from outside: asked from the operator's machine, straight to the host's address."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.components.kubernetes.microk8s import NODE_PORTS_ARE_OPEN
from helpers.core import notebooks
from helpers.core.actions import Action
from helpers.core.errors import Unmet
from helpers.core.listening import LISTENING, from_here, ports_of, why_left_out
from helpers.core.notes import STATE
from helpers.core.shell import script

#: on the host, what listened before the cluster came: lines of PORT PROGRAM
NOTE = f"{STATE}/ports"
_SCRIPTS = Path(__file__).with_name("scripts")
#: a port that a system gives to who asks for none: another one after each boot
_ANY = 32768
#: the kubelet's port that lists all pods to whoever asks
READ_ONLY = 10255
_NODE_PORTS = "get services -A -o jsonpath='{range .items[*].spec.ports[*]}{.nodePort} {end}'"


def nothing_answers(kube):
    """No NodePort, and no port of the kubelet's without a login, answers at the host's address.

    NodePorts are left out where chapter 03 was asked to open them: what kube-proxy is started with tells.
    """
    address = kube.ch.host.address
    left_out = why_left_out(address)
    if left_out:
        return left_out
    shut, by_choice = [READ_ONLY], kube.ch.host.ask(NODE_PORTS_ARE_OPEN)[0]
    if not by_choice:
        shut += sorted({int(port) for port in kube.kubectl(_NODE_PORTS).split() if port != "0"})
    said = _none_answers(address, shut)
    return said + (", NodePorts left out: node_ports_on = network" if by_choice else "")


def before_us():
    """Action: what listens now is noted: it is the host's own, and no chapter's."""
    return Action(
        f"ss -Hltnp, into {NOTE}",
        f"[ -e {NOTE} ] || {{ echo 'not noted yet'; exit 1; }}",
        f"listening() {{\n{LISTENING}\n}}\n{script(_SCRIPTS / 'ports_noted.sh', NOTE)}",
        f"rm -f {NOTE}; rmdir {STATE} 2>/dev/null || true",
        f"[ ! -e {NOTE} ]",
    )


def only_meant_answers(ch, allowed):
    """Of all that listens on the host only this answers here: what its chapters open, what was before, `allowed`."""
    address, said = ch.host.address, ch.run(f"cat {NOTE} 2>/dev/null || echo none")
    left_out = why_left_out(address)
    if left_out:
        return left_out
    if said.strip() == "none":
        return "left out: what listened before is not noted; mode install notes it"
    before = ports_of(said)
    open_by_us = OpenByUs(notebooks.load_all(), ch.run(script(_SCRIPTS / "chapters_ports.sh", STATE)))
    listening = ports_of(ch.run(LISTENING)).items()
    strange = {port: who for port, who in listening if port not in allowed and not open_by_us.has(port, who)}
    strange = {port: who for port, who in strange.items() if not _was(before, port, who)}
    found = [f"{port} {strange[port]}" for port, answer in from_here(address, strange).items() if answer == "open"]
    if found:
        raise Unmet(f"no answer at {address} from what no chapter of the host opens", "open: " + ", ".join(found))
    own = ", ".join(f"{port} {who}" for port, who in before.items() if not open_by_us.has(port, who))
    return f"the host's own were there before: {own or 'none'}"


class OpenByUs:
    """What the chapters of one host open to the network, as pairs of a port and a program; None is any.

    known: all chapters, by id.  noted: lines of chapters_ports.sh, a chapter of the host each.
    """

    def __init__(self, known, noted):
        self.pairs = set()
        for name, *ports in map(str.split, noted.splitlines()):
            if name in known:
                self.pairs.update(self._of(known[name], ports))

    def _of(self, chapter, noted):
        """Its table's ports, which are its program's where it names one alone; and what it noted, or any port."""
        rows = [row for row in chapter.tables.get("ports", []) if row[2].startswith("all addresses")]
        program = chapter.processes[0] if len(chapter.processes) == 1 else None
        yield from ((int(port), program) for row in rows for port in re.findall(r"\d+", row[0]))
        yield from ((int(port), program) for port, _, program in (each.partition("/") for each in noted))
        if not noted:  # as chapter 03's, whose NodePorts nothing_answers asks for, and what an older runbook noted
            yield from ((None, program) for program in chapter.processes)

    def has(self, port, program):
        """Is it meant that this program listens there?"""
        return not self.pairs.isdisjoint([(port, program), (port, None), (None, program)])


def _was(before, port, who):
    return port in before or (port >= _ANY and who in before.values())


def _none_answers(address, shut):
    answers = from_here(address, shut)
    found = [str(port) for port, answer in answers.items() if answer == "open"]
    if found:
        raise Unmet(f"no answer at {address} from the ports {', '.join(map(str, shut))}", "open: " + ", ".join(found))
    if set(answers.values()) == {"silent"}:
        return f"{address} is silent from here: a firewall is between, or SSH goes another way"
    return "none answers at the host's address"
