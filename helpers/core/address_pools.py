"""Pools of IPv4 addresses, as MetalLB's add-on takes them: A-B or a network, several with commas."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address
from typing import Iterable

from helpers.core.errors import BadInput

EXAMPLE = "10.64.140.43-10.64.140.49"


class BadPool(BadInput, ValueError):
    """A pool that cannot be used; `.saw` says why."""

    def __init__(self, text: str, saw: str):
        BadInput.__init__(self, f"use the address pool {text!r}", saw=saw, do="For example: " + EXAMPLE)


def parse_ranges(text: str) -> list[tuple[IPv4Address, IPv4Address]]:
    """[(first, last)] of a pool. BadPool says what is wrong: no address, reversed, overlapping."""
    found: list[tuple[IPv4Address, IPv4Address, str]] = []
    for part in (p.strip() for p in text.split(",")):
        low, high = _range(text, part)
        for a, b, other in found:
            if low <= b and a <= high:
                raise BadPool(text, f"the ranges {other} and {part} overlap")
        found.append((low, high, part))
    return [(low, high) for low, high, _ in found]


def _range(text: str, part: str) -> tuple[IPv4Address, IPv4Address]:
    if not part:
        raise BadPool(text, "a range is missing" if text.strip(" ,") else "it is empty")
    if ":" in part:
        raise BadPool(text, f"{part} is IPv6; a pool is IPv4")
    first, dash, last = (p.strip() for p in part.partition("-"))
    try:
        if dash:
            low, high = IPv4Address(first), IPv4Address(last)
        elif "/" in part:
            network = ipaddress.IPv4Network(part)
            low, high = network[0], network[-1]
        else:  # MicroK8s refuses a bare address, after it has begun
            IPv4Address(part)
            raise BadPool(text, f"{part} is no range: for one address write {part}-{part}")
    except BadPool:
        raise
    except ValueError as e:
        raise BadPool(text, f"{part} is no range: {e}") from None
    if low > high:
        raise BadPool(text, f"the range {part} is reversed: {low} comes after {high}")
    return low, high


def inside(address: str, text: str) -> bool:
    """Whether an address belongs to the pool."""
    return any(low <= IPv4Address(address) <= high for low, high in parse_ranges(text))


def collision(text: str, addresses: Iterable[str] = (), networks: Iterable[str] = ()) -> str | None:
    """What a pool collides with: one of these addresses, or a part of these networks. None when with nothing."""
    for low, high in parse_ranges(text):
        for address in addresses:
            if ":" not in address and low <= IPv4Address(address) <= high:
                return f"the range {low}-{high} contains the host's own address {address}"
        for network in map(ipaddress.IPv4Network, networks):
            if low <= network[-1] and network[0] <= high:
                return f"the range {low}-{high} overlaps the cluster's network {network}"
    return None
