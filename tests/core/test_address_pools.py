"""Address pools: what is refused, and what a pool collides with."""

import pytest

from helpers.core import address_pools as addresses
from helpers.core import notebooks
from helpers.core.errors import BadInput


@pytest.mark.parametrize(
    "text, ranges",
    [
        ("10.64.140.43-10.64.140.49", [("10.64.140.43", "10.64.140.49")]),
        ("10.0.0.0/28,10.0.1.5-10.0.1.9", [("10.0.0.0", "10.0.0.15"), ("10.0.1.5", "10.0.1.9")]),
        ("10.0.0.5-10.0.0.5", [("10.0.0.5", "10.0.0.5")]),
        (" 10.0.0.5 - 10.0.0.6 ", [("10.0.0.5", "10.0.0.6")]),
        ("10.0.0.5-10.0.0.9,10.0.0.10-10.0.0.12", [("10.0.0.5", "10.0.0.9"), ("10.0.0.10", "10.0.0.12")]),
    ],
)
def test_ranges(text, ranges):
    assert [(str(a), str(b)) for a, b in addresses.parse_ranges(text)] == ranges


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "it is empty"),
        (" , ", "it is empty"),
        ("10.0.0.1-10.0.0.2,", "a range is missing"),
        ("10.0.0.300-10.0.0.301", "10.0.0.300-10.0.0.301 is no range"),
        ("a-b", "a-b is no range"),
        ("10.0.0.1-", "10.0.0.1- is no range"),
        ("10.0.0.5", "for one address write 10.0.0.5-10.0.0.5"),
        ("192.168.1.240/24", "192.168.1.240/24 has host bits set"),
        ("10.0.0.9-10.0.0.5", "reversed: 10.0.0.9 comes after 10.0.0.5"),
        ("10.0.0.5-10.0.0.9,10.0.0.9-10.0.0.12", "10.0.0.5-10.0.0.9 and 10.0.0.9-10.0.0.12 overlap"),
        ("10.0.0.0/24,10.0.0.7-10.0.0.8", "10.0.0.0/24 and 10.0.0.7-10.0.0.8 overlap"),
        ("fd00::1-fd00::9", "is IPv6"),
        ("10.0.0.1-fd00::9", "is IPv6"),
        ("10.0.0.1-10.0.0.2-10.0.0.3", "is no range"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(BadInput) as e:
        addresses.parse_ranges(text)
    assert said in e.value.saw and repr(text) in e.value.what and addresses.EXAMPLE in e.value.do


def test_inside():
    assert addresses.inside("10.64.140.43", addresses.EXAMPLE) and not addresses.inside(
        "10.64.140.50", addresses.EXAMPLE
    )


@pytest.mark.parametrize(
    "pool, said",
    [
        ("10.0.0.1-10.0.0.9", "the range 10.0.0.1-10.0.0.9 contains the host's own address 10.0.0.5"),
        ("10.152.183.200-10.152.183.220", "overlaps the cluster's network 10.152.183.0/24"),
        ("10.152.182.250-10.152.183.0", "overlaps"),
        ("10.152.183.255-10.152.184.1", "overlaps"),
        ("10.0.0.6-10.9.9.9", "overlaps the cluster's network 10.1.0.0/16"),
        ("10.1.0.0/16", "overlaps"),
        ("192.168.7.1-192.168.7.9", None),
        ("10.0.0.6-10.0.0.9,10.0.0.1-10.0.0.4", None),
    ],
)
def test_collisions(pool, said):
    given = (pool, ["10.0.0.5", "fd00::5"], ["10.152.183.0/24", "10.1.0.0/16"])
    seen = addresses.collision(*given)
    assert seen is None if said is None else said in seen


@pytest.mark.parametrize(
    "chapter, given, said",
    [
        ("addons", {"metallb_pool": "10.0.0.9-10.0.0.5"}, "reversed"),
        ("addons", {"metallb_pool": ""}, "it is empty"),
        ("addons", {"dns_servers": ["8.8.8.8", "dns.example"]}, "'dns.example' does not appear"),
        ("addons", {"dns_servers": [8]}, "'8' does not appear"),
        ("kubernetes", {"channel": "latest/stable"}, "like 1.20/stable"),
        ("kubernetes", {"channel": "1.20/safe"}, "like 1.20/stable"),
    ],
)
def test_a_chapter_refuses_it_as_a_parameter(chapter, given, said):
    with pytest.raises(BadInput) as e:
        notebooks.find(chapter).check(given)
    assert said in e.value.saw and "For example" in e.value.do
