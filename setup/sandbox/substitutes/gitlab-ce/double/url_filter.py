"""Which addresses GitLab may call: what "Outbound requests" in the settings allow."""

from __future__ import annotations

import ipaddress
import socket
import urllib.parse

LOCAL = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


def _is_own(address: str) -> bool:
    """Is it an address of this host? One can listen on it, then."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _listed(entry: str, host: str, port: int, addresses: list[str]) -> bool:
    """Is it this entry of the allow-list: an address, a range or a name, each with or without a port?"""
    name, _, said = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    if said and said != str(port):
        return False
    try:
        allowed = ipaddress.ip_network(name, strict=False)
    except ValueError:
        return name.lower() == host
    return all(ipaddress.ip_address(a) in allowed for a in addresses)


def _why_local(addresses: list[str]) -> str | None:
    found = [ipaddress.ip_address(a) for a in addresses]
    if any(map(_is_own, addresses)):
        return "Requests to localhost are not allowed"
    if any(a.is_loopback for a in found):
        return "Requests to loopback addresses are not allowed"
    if any(a in network for a in found for network in LOCAL):
        return "Requests to the local network are not allowed"
    if any(a.is_link_local for a in found):
        return "Requests to the link local network are not allowed"
    return None


def blocked(url: str, settings: dict, own_url: str) -> str | None:
    """Why GitLab would not call this address; None when it would."""
    try:
        said = urllib.parse.urlsplit(url.strip())
        port = said.port or (443 if said.scheme == "https" else 80)
    except ValueError:
        return "URI is invalid"
    if said.scheme not in ("http", "https"):
        return "Only allowed schemes are http, https"
    host = (said.hostname or "").lower()
    try:
        found = socket.getaddrinfo(host or "", port, type=socket.SOCK_STREAM) if host else []
    except OSError:
        found = []
    if not host or not host[0].isalnum() and ":" not in host:
        return "Hostname or IP address invalid"
    if not found:
        return None  # a name that cannot be resolved is kept: it fails when it is called
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    entries = settings["outbound_local_requests_allowlist_raw"].split()
    own = urllib.parse.urlsplit(own_url)
    is_ours = (said.scheme, host, port) == (
        own.scheme,
        own.hostname,
        own.port or (443 if own.scheme == "https" else 80),
    )
    if is_ours or any(_listed(entry, host, port, addresses) for entry in entries):
        return None
    return None if settings["allow_local_requests_from_web_hooks_and_services"] else _why_local(addresses)
