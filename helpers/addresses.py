"""Pools of IPv4 addresses, as MetalLB's add-on takes them: A-B or a network, several with commas."""
from __future__ import annotations

import ipaddress

EXAMPLE = "10.64.140.43-10.64.140.49"


def parse_ranges(text):
    """[(first, last)] of a pool. ValueError says what is wrong: no address, reversed, overlapping."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if dash:
            low, high = ipaddress.IPv4Address(first.strip()), ipaddress.IPv4Address(last.strip())
        else:
            network = ipaddress.IPv4Network(part.strip())
            low, high = network[0], network[-1]
        if low > high:
            raise ValueError("the range {} is reversed: {} comes after {}".format(part.strip(), low, high))
        for a, b in found:
            if low <= b and a <= high:
                raise ValueError("the ranges {}-{} and {} overlap".format(a, b, part.strip()))
        found.append((low, high))
    return found


def inside(address, text):
    """Whether an address belongs to the pool."""
    return any(low <= ipaddress.IPv4Address(address) <= high for low, high in parse_ranges(text))


def collision(text, addresses=(), networks=()):
    """What a pool collides with: one of these addresses, or a part of these networks. None when with nothing."""
    for low, high in parse_ranges(text):
        for address in addresses:
            if ":" not in address and low <= ipaddress.IPv4Address(address) <= high:
                return "the range {}-{} contains the host's own address {}".format(low, high, address)
        for network in map(ipaddress.IPv4Network, networks):
            if low <= network[-1] and network[0] <= high:
                return "the range {}-{} overlaps the cluster's network {}".format(low, high, network)
    return None
