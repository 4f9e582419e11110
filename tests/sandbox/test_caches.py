"""The caches of builds: what goes first, what stays, and what another runbook at work keeps."""

import fcntl
import os
import time

import pytest

from helpers.core.errors import BadInput
from helpers.core.paths import home
from helpers.sandbox import builds, caches

MIB = 1 << 20


def fill(path, mib=1, age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(mib * MIB))
    then = time.time() - age
    for p in (path, path.parent):
        os.utime(p, (then, then))
    return path


@pytest.fixture
def cache(own_home):
    """A cache with 2 MiB of everything that only makes builds quicker, and a build that a recipe asks for."""
    folder = home("cache")
    fill(builds.place("busybox") / "out/busybox")
    fill(folder / "build/go-mod/example.org/a@v1/a.go", 2)
    fill(folder / "build/go-mod/cache/download/a.zip", 2)
    fill(folder / "build/pip/wheel", 2)
    fill(folder / "build/go-build/00/unused", 1, age=7200)
    fill(folder / "build/go-build/01/used", 1)
    return folder


def left(cache):
    return sorted(p.name for p in cache.rglob("*") if p.is_file())


def slack(mib):
    """Folders take some room, too."""
    return mib * MIB + MIB // 2


def test_nothing_goes_while_the_caches_are_small(cache):
    said, before = [], left(cache)
    caches.trim(said.append, slack(9))
    assert left(cache) == before and said == []


@pytest.mark.parametrize(
    "limit, stay",
    [
        (7, ["a.zip", "busybox", "unused", "used", "wheel"]),
        (5, ["a.zip", "busybox", "unused", "used"]),
        (4, ["a.zip", "busybox", "used"]),
        (3, ["a.zip", "busybox"]),
        (1, ["busybox"]),
        (0, ["busybox"]),
    ],
)
def test_what_is_cheapest_to_get_back_goes_first_and_builds_stay(cache, limit, stay):
    said = []
    caches.trim(said.append, slack(limit))
    assert left(cache) == stay and said[-1].endswith(" left")


@pytest.mark.parametrize("limit, stay", [(3, ["busybox", "kubelet"]), (2, ["busybox"])])
def test_what_a_recipe_compiled_stays_longer_than_archives(cache, limit, stay):
    fill(cache / "build/kubernetes/kubelet", 2)
    caches.trim(lambda _: None, slack(limit))
    assert left(cache) == stay


def test_a_build_that_no_recipe_asks_for_stays_a_day(cache):
    other = fill(cache / "substitutes/busybox/0123456789abcdef/out/busybox-old")
    caches.trim(lambda _: None, slack(9))
    assert other.is_file(), "another checkout may want it"
    os.utime(other.parents[1], (0, 0))
    caches.trim(lambda _: None, slack(7))
    assert left(cache) == ["a.zip", "busybox", "unused", "used", "wheel"]


def test_prune_takes_old_builds_at_once_and_all_takes_all(cache):
    fill(cache / "substitutes/busybox/0123456789abcdef/out/busybox-old")
    fill(cache / "builder-0123456789abcdef/bin/sh")
    fill(cache / "build/gone-1/half")
    before = left(cache)
    caches.prune(lambda _: None)
    assert sorted(set(before) - set(left(cache))) == ["busybox-old", "half", "sh"]
    caches.prune(lambda _: None, everything=True)
    assert left(cache) == []


def test_a_build_under_way_is_let_be(cache):
    before = left(cache)
    with open(home("locks") / "builds-0.lock", "w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        caches.trim(lambda _: None, 0)
        with pytest.raises(BadInput, match="another runbook builds"):
            caches.prune(lambda _: None)
    assert left(cache) == before
