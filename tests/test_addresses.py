"""Address pools: what is refused, and what a pool collides with."""
import pytest

from helpers import addresses


@pytest.mark.parametrize("text, said", [
    ("10.0.0.5", None), ("10.64.140.43-10.64.140.49", None), ("10.0.0.0/28,10.0.1.5-10.0.1.9", None),
    ("10.0.0.9-10.0.0.5", "reversed"), ("10.0.0.5-10.0.0.9,10.0.0.9-10.0.0.12", "overlap"),
    ("10.0.0.300-10.0.0.301", "300"), ("", ""), ("a-b", "a"), ("fd00::1-fd00::9", "fd00"),
])
def test_ranges(text, said):
    if said is None:
        assert addresses.parse_ranges(text)
    else:
        with pytest.raises(ValueError, match=said):
            addresses.parse_ranges(text)


def test_inside():
    assert addresses.inside("10.64.140.43", addresses.EXAMPLE) and not addresses.inside("10.64.140.50", addresses.EXAMPLE)


@pytest.mark.parametrize("pool, said", [
    ("10.0.0.1-10.0.0.9", "contains the host's own address 10.0.0.5"), ("10.152.183.200-10.152.183.220", "overlaps the cluster's network 10.152.183.0/24"),
    ("10.1.0.0/16", "overlaps"), ("192.168.7.1-192.168.7.9", None),
])
def test_collisions(pool, said):
    seen = addresses.collision(pool, ["10.0.0.5", "fd00::5"], ["10.152.183.0/24", "10.1.0.0/16"])
    assert seen is None if said is None else said in seen
