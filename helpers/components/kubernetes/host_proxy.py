"""A proxy in the host's /etc/environment, which snapd gives to MicroK8s' programs (EnvironmentFile of its units).

The API asks kubelet by the node's name, webhooks and pods by their addresses: a proxy that is asked for those cannot
get there, so logs, exec and webhooks fail while the node is Ready. no_proxy has to name them. Seen on a sandbox like
`corporate`; Go's ProxyFromEnvironment reads no_proxy with networks (net/http, golang.org/x/net/http/httpproxy).
"""

from __future__ import annotations

import ipaddress
import re

from helpers.components.kubernetes.networks import TAKEN

_ASK = "hostname; cat /etc/environment 2>/dev/null || true"


def why_asked(ch):
    """None unless a proxy for https would be asked for the node or for pods and services; else which, and the line."""
    name, _, settings = ch.run(_ASK, sudo=False).partition("\n")
    return why(name.strip(), settings)


def why(name, settings):
    """As above. name: the node's; settings: the text of /etc/environment."""
    found = dict(re.findall(r'^(\w+)=["\']?(.*?)["\']?\s*$', settings, re.M))
    if not (found.get("HTTPS_PROXY") or found.get("https_proxy")):
        return None
    but = found.get("NO_PROXY") or found.get("no_proxy") or ""
    without = [entry.strip() for entry in but.split(",") if entry.strip()]
    missing = {} if "*" in without else _missing(name, without)
    if not missing:
        return None
    line = ",".join([*without, *missing])
    told = ", ".join(f"{what} ({who})" for what, who in missing.items())
    return f'it would be asked for {told}. In /etc/environment: NO_PROXY="{line}" and no_proxy the same'


def _missing(name, without):
    known = [network for network in map(_network, without) if network]
    missing = {} if _names(without, name) else {name: "the node"}
    for network, who in TAKEN.items():
        if not any(ipaddress.ip_network(network).subnet_of(one) for one in known):
            missing[network] = who
    return missing


def _names(without, name):
    """An entry stands for its name and for all names below it."""
    return any(("." + name).endswith("." + entry.lstrip("*.")) for entry in without)


def _network(entry):
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
    return network if network.version == 4 else None
