"""The host's networks against those that the cluster takes on it: the pods', the services', the address for pods."""

from __future__ import annotations

import contextlib
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

from helpers.core.shell import script

_SCRIPT = Path(__file__).with_name("scripts") / "host_networks.sh"

#: MicroK8s 1.20's own (default-args/kube-proxy, kube-apiserver; Calico's pool)
PODS, SERVICES = "10.1.0.0/16", "10.152.183.0/24"
TAKEN = {PODS: "the pods' network", SERVICES: "the services' network"}
_LABEL = "lo:microk8s"  # what host-access calls its address
#: links and kinds of routes that a cluster makes: Calico's, and those of plug-ins that are like it
_LINK_OF_PODS = re.compile(r"cali|vxlan\.calico|tunl0|cni0|flannel|veth")
_NO_WAY = ("blackhole", "unreachable", "prohibit", "throw")


class HostNetworks(NamedTuple):
    """What a host said. needed: {address: who that is}; routes: [(network, link)] but the default and the cluster's.

    pods: networks of a cluster that runs; for_pods: addresses that host-access gave; answering: somebody is there.
    """

    needed: dict
    routes: list
    pods: list
    for_pods: list
    answering: list


def look(ch, address=""):
    """Ask the host, in one round trip. address: one that it is to have, asked whether somebody answers there.

    Not as root: sudo forgets who is connected.
    """
    return read(ch.run(script(_SCRIPT, "" if why_bad(address) else address), sudo=False))


def read(text):
    """What host_networks.sh printed."""
    found = HostNetworks({}, [], [], [], [])
    for kind, *words in (line.split() for line in text.splitlines()):
        if kind == "route":
            _route(found, words)
        elif kind == "address":
            _address(found, *words)
        elif kind == "answers":
            found.answering.append(IPv4Address(words[0]))
        else:
            _need(found, words[0], "the machine that you are connected from" if kind == "client" else "a name server")
    return found


def _need(found, text, who):
    """IPv4 only: the cluster takes no other. sshd says UNKNOWN of a connection that has no address."""
    with contextlib.suppress(ValueError):
        found.needed.setdefault(IPv4Address(text), who)


def _address(found, address, label):
    address, label = address.partition("/")[0], label.rstrip("\\")
    if label == _LABEL:
        found.for_pods.append(IPv4Address(address))
    elif not _LINK_OF_PODS.match(label):
        _need(found, address, "the host's own address on " + label)


def _route(found, words):
    no_way = words[0] in _NO_WAY
    target, *rest = words[1:] if no_way else words
    said = dict(zip(rest, rest[1:]))
    link = said.get("dev", "")
    if not _LINK_OF_PODS.match(link):
        _need(found, said.get("via", ""), "a gateway")
    network = IPv4Network("0.0.0.0/0" if target in ("default", "nexthop") else target)
    if no_way or _LINK_OF_PODS.match(link):
        found.pods.append(network)
    elif network.prefixlen >= 8:  # wider ones are a VPN's way to take the default route: 0.0.0.0/1, 128.0.0.0/1
        found.routes.append((network, link))


def why_taken(found, network):
    """None when this network (of pods, of services) is the host's to give: nothing that it needs lies there.

    Nor is it asked where pods have it already: whoever is connected still, or is a pod, was not cut off.
    """
    ours = IPv4Network(network)
    if any(pods.overlaps(IPv4Network(PODS)) for pods in found.pods):
        return None
    where = f"lies in {network}, {TAKEN[network]}"
    for address, who in found.needed.items():
        if address in ours:
            return f"{address}, {who}, {where}"
    for other, link in found.routes:
        if other.subnet_of(ours):
            return f"{other}, which {link} leads to, {where}"
    return None


def why_any_taken(found):
    """None when the host has nothing where the cluster's two networks will be."""
    return "; ".join(filter(None, (why_taken(found, network) for network in TAKEN))) or None


def why_not_free(ch, address=None):
    """For a precondition, in one round trip: why_any_taken, and why_no_address with an address for pods."""
    wrong = address and why_bad(address)
    found = None if wrong else look(ch, address or "")
    return wrong or why_any_taken(found) or (address and why_no_address(found, address))


def why_bad(text):
    """None when this text is an address that the loopback can have for pods."""
    try:
        address = IPv4Address(text)
    except ValueError as e:
        return f"{text!r} is no IPv4 address: {e}"
    if address.is_loopback or address.is_multicast or address.is_unspecified or address.is_reserved:
        return f"{text} cannot be an address of the host's loopback that pods reach"
    return next((f"{text} lies in {name} {net}" for net, name in TAKEN.items() if address in IPv4Network(net)), None)


def why_no_address(found, text):
    """None when this address for pods is nobody's, and the default route's only; or when it is there already."""
    address = IPv4Address(text)
    if address in found.needed:
        return f"{address} is {found.needed[address]}"
    if address in found.for_pods:
        return None
    for network, link in found.routes:
        if address in network:
            return f"{network} leads to {link}: {address} may be somebody there"
    return f"somebody answers at {address}" if address in found.answering else None
