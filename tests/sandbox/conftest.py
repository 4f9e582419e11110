"""A sandbox of the tests' own: target sandbox:test, or sandbox:$RUNBOOK_TEST_SANDBOX where another one is wanted."""

import contextlib
import os
from pathlib import Path

import pytest
from machine_state import difference, find_iptables, of_sandboxes, state
from serving import until

from helpers.core.host import Host
from helpers.core.paths import home
from helpers.core.waiting import TimedOut
from helpers.sandbox import Sandbox, builds, needs, rootfs

NAME = os.environ.get("RUNBOOK_TEST_SANDBOX", "test")


@pytest.fixture(scope="session", autouse=True)
def _machine_as_it_was():
    """After the last sandbox of all these tests, the story's cluster among them. Where no other one is up."""
    argv = find_iptables().split()
    before = None if needs.sandbox_lacks() or _sandboxes() else of_sandboxes(state(argv))
    yield
    found = ["nothing could be told"]

    def as_it_was():
        """What ends late goes meanwhile; where another's sandbox is up nothing can be told."""
        found[:] = [] if _sandboxes() else difference(before, of_sandboxes(state(argv)))
        return not found

    if before:
        with contextlib.suppress(TimedOut):
            until("this machine to be as it was", as_it_was, timeout=120)
        assert not found, found


def _sandboxes():
    return list(Path("/sys/class/net").glob("rb-*"))


@pytest.fixture(scope="session")
def _stopped_at_the_end():
    yield
    if not os.environ.get("RUNBOOK_KEEP"):
        Sandbox(NAME).down()


@pytest.fixture(scope="session")
def can_host():
    """Skip what boots a host where this machine cannot."""
    lacks = needs.sandbox_lacks()
    if lacks:
        pytest.skip("this machine cannot host a sandbox: " + lacks[0].what)


@pytest.fixture(scope="session")
def builder(can_host):
    """The root in which recipes are built, made where there is none yet."""
    return rootfs.builder(print)


@pytest.fixture(scope="session")
def iptables(builder):
    """The command of this machine, or the builder's."""
    return find_iptables()


@pytest.fixture(scope="module")
def box(can_host, _stopped_at_the_end):
    """The running sandbox. Asked for again by every module: one before may have stopped or wiped it."""
    box = Sandbox(NAME)
    box.up(artifacts=["minio"])
    return box


@pytest.fixture(scope="session")
def target():
    """The target's text, for a command line."""
    return "sandbox:" + NAME


@pytest.fixture
def host(box, target):
    """The sandbox as a Host of this test's own connection."""
    host = Host(target)
    yield host
    host.close()


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """recipes(name, script): a recipe in a folder in place of the project's, $NAME its name; returns its folder."""
    monkeypatch.setattr(builds, "RECIPES", tmp_path)
    made = []

    def write(name, script):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "build.sh").write_text(f"set -eu; NAME={name}\n{script}")
        (folder / "fidelity.toml").write_text(f'[{name}]\nfidelity = "double"\nprogram = "none"\ndiffers = []\n')
        made.append(name)
        return folder

    yield write
    for name in made:
        rootfs.remove(home("cache", "substitutes") / name)
