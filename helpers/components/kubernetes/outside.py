"""What of the cluster answers from outside: asked from the operator's machine, straight to the host's address."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Callable, NamedTuple

from helpers.components.kubernetes.microk8s import NODE_PORTS_ARE_OPEN
from helpers.core import notebooks
from helpers.core.actions import Action
from helpers.core.errors import RunbookError, Unmet
from helpers.core.listening import LISTENING, asked, ports_of, why_left_out
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


def before_us():
    """Action: what listens now is noted: it is the host's own, and no chapter's."""
    return Action(
        f"ss -Hltnp, into {NOTE}",
        f"[ -e {NOTE} ] || {{ echo 'not noted yet'; exit 1; }}",
        f"listening() {{\n{LISTENING}\n}}\n{script(_SCRIPTS / 'ports_noted.sh', NOTE)}",
        f"rm -f {NOTE}; rmdir {STATE} 2>/dev/null || true",
        f"[ ! -e {NOTE} ]",
    )


def nothing_answers(kube, meanwhile=dict):
    """No NodePort, and no port of the kubelet's without a login, answers at the host's address.

    NodePorts are left out where chapter 03 was asked to open them: what kube-proxy is started with tells.
    meanwhile: called while the answers come; what it cannot do is for its own caller to tell.
    """
    address = kube.ch.host.address
    left_out = why_left_out(address)
    if left_out:
        return left_out
    shut, by_choice = [READ_ONLY], kube.ch.host.ask(NODE_PORTS_ARE_OPEN)[0]
    if not by_choice:
        shut += sorted({int(port) for port in kube.kubectl(_NODE_PORTS).split() if port != "0"})
    answers = asked(address, shut)
    with contextlib.suppress(RunbookError):
        meanwhile()
    said = _none_of(answers(), address)
    return said + (", NodePorts left out: node_ports_on = network" if by_choice else "")


class Outside:
    """What answers here of the host's ports. Both questions are asked when the first is: ten seconds each where a
    firewall is silent.

    allowed: ports of others that may answer.
    """

    def __init__(self, kube, allowed):
        self.kube, self.ch, self.allowed, self._known = kube, kube.ch, allowed, None

    def nothing_answers(self):
        """See the function of this name."""
        return nothing_answers(self.kube, meanwhile=self._listeners)

    def only_meant_answers(self):
        """Of all that listens there only this answers: what the host's chapters open, what was before, `allowed`."""
        left_out = why_left_out(self.ch.host.address)
        if left_out:
            return left_out
        listeners = self._listeners()
        if listeners.before is None:
            return "left out: what listened before is not noted; mode install notes it"
        found = [f"{port} {listeners.strange[port]}" for port, a in listeners.answers().items() if a == "open"]
        if found:
            to = f"no answer at {self.ch.host.address} from what no chapter of the host opens"
            raise Unmet(to, "open: " + ", ".join(found))
        own = [f"{port} {who}" for port, who in listeners.before.items() if not listeners.meant.has(port, who)]
        return f"the host's own were there before: {', '.join(own) or 'none'}"

    def _listeners(self):
        """Looked up once; what failed is looked up again."""
        if self._known is None:
            said = self.ch.run(f"cat {NOTE} 2>/dev/null || echo none")
            if said.strip() == "none":
                return Listeners(None, None, {}, dict)
            before = ports_of(said)
            meant = OpenByUs(notebooks.load_all(), self.ch.run(script(_SCRIPTS / "chapters_ports.sh", STATE)))
            now = ports_of(self.ch.run(LISTENING)).items()
            strange = {port: who for port, who in now if port not in self.allowed and not meant.has(port, who)}
            strange = {port: who for port, who in strange.items() if not _was(before, port, who)}
            self._known = Listeners(before, meant, strange, asked(self.ch.host.address, strange))
        return self._known


class Listeners(NamedTuple):
    """before, strange: {port: program}; before is None where nobody noted it. answers: waits for those of strange."""

    before: dict | None
    meant: OpenByUs | None
    strange: dict
    answers: Callable


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


def _none_of(answers, address):
    """answers: {port: its answer} of ports that should give none."""
    found = [str(port) for port, answer in answers.items() if answer == "open"]
    if found:
        ports = ", ".join(map(str, answers))
        raise Unmet(f"no answer at {address} from the ports {ports}", "open: " + ", ".join(found))
    if set(answers.values()) == {"silent"}:
        return f"{address} is silent from here: a firewall is between, or SSH goes another way"
    return "none answers at the host's address"
