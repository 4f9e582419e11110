"""ufw on the host: whether its rules let pods in, and through.  The lines for it are chapter 03's table "firewall"."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

from helpers.components.kubernetes.networks import PODS
from helpers.components.kubernetes.probes import NOT_INSTALLED
from helpers.core import notebooks
from helpers.core.errors import Unmet
from helpers.core.shell import script

_SCRIPT = Path(__file__).with_name("scripts") / "ufw.sh"

#: of the policies (/etc/default/ufw) and of the rules, which concern what pods send to the host, and what beyond it
_POLICIES, _KINDS = ("INPUT", "FORWARD"), ("", "route ")
#: as `ufw show added` writes a rule for all that pods send: of Calico's links, or of their network
_FOR_PODS = r"allow (?:log |log-all )?(?:in )?(?:on cali\+(?: from (?P<a>\S+))?|from (?P<b>\S+)|to any)(?: comment .*)?"


def lines():
    """What lets pods through, to be typed on the host: a line for what they send to it, one for what beyond it."""
    rows = notebooks.find("kubernetes").tables["firewall"]
    return [row[0].strip("`") for row in rows]


def look(ch):
    """Ask the host; see read()."""
    return ch.run(script(_SCRIPT))


def is_on(said):
    """Is ufw on, by what ufw.sh printed?"""
    return said.startswith("on")


def why_shut(said):
    """None unless ufw, by what ufw.sh printed, is on and lacks rules for pods, which are named; or nobody knows."""
    if said.startswith("unknown"):
        return "ufw does not say whether it is on: " + said.strip()[8:]
    missing = [line for line, open_ in zip(lines(), _open(said.splitlines())) if not open_]
    return "ufw is on, and shuts pods out. On the host: " + "; ".join(missing) if is_on(said) and missing else None


def _open(said):
    """Whether pods' packets get to the host, and beyond it: by a policy or by a rule."""
    return [
        f"policy {policy} ACCEPT" in said or any(_lets(line, kind) for line in said)
        for policy, kind in zip(_POLICIES, _KINDS)
    ]


def _lets(line, kind):
    found = re.fullmatch(f"rule {kind}{_FOR_PODS}", line)
    if found is None:
        return False
    network = ip_network(found.group("a") or found.group("b") or PODS)
    return network.version == 4 and ip_network(PODS).subnet_of(network)


def why_shuts_pods_out(ch):
    """For a precondition: why_shut of a host without a cluster. One that is there is asked by a pod instead."""
    return why_shut(look(ch)) if ch.host.ask(NOT_INSTALLED)[0] else None


def lets_pods_in(proofs):
    """A pod connects to the API, as all that runs in the cluster does: the host answers, behind its firewall."""
    proofs.hello()
    ask = "nc -w 5 $KUBERNETES_SERVICE_HOST 443 </dev/null >/dev/null 2>&1 && echo in || echo out"
    if proofs.in_pod(ask) != "in":
        raise Unmet("a pod's connection to the API", "no answer of the host" + told(proofs.ch))


def told(ch):
    """What there is to say of ufw where a pod does not reach the host; "" where it is off."""
    said = look(ch)
    before = ". ufw is on: a rule before those for pods may shut them out" if is_on(said) else ""
    why = why_shut(said)
    return f". {why}" if why else before
