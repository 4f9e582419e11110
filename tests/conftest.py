"""What every test stands on: run records in a folder of the tests' own, and none of this shell's settings."""

import functools
import os
import re
import signal
from pathlib import Path

import programs
import pytest

TESTS = Path(__file__).parent
STORY = "sandbox/test_runbook.py"
#: {lane: what a test has in its text that boots hosts with a cluster, or any other}: the first that is found counts
BOOTS = {"cluster": re.compile("microk8s_host|on_a_fresh_host"), "host": re.compile(r"\bSandbox\(|\bbox\b")}


def pytest_configure(config):
    """Ctrl-C reaches what tests start, also where a shell in the background gave them a process that ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_runs(tmp_path_factory):
    """RUNBOOK_RUNS for this test process and for all that it starts; RUNBOOK_HOME stays, the caches lie there."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [
            n
            for n in os.environ
            if n.startswith(("RUNBOOK_SECRET_", "RUNBOOK_EVENTS", "RUNBOOK_LOG", "RUNBOOK_SSH_CONFIG"))
        ]:
            patch.delenv(name)
        patch.setenv("RUNBOOK_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A RUNBOOK_HOME of this test's own: no secrets, locks or connections of others."""
    folder = tmp_path / "home"
    monkeypatch.setenv("RUNBOOK_HOME", str(folder))
    return folder


@pytest.fixture
def program(tmp_path, monkeypatch):
    """program(name, script): what is called by this name is this script, in sh; returns its file."""
    folder = tmp_path / "programs"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return functools.partial(programs.put, folder)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A RUNBOOK_RUNS of this test's own, empty."""
    folder = tmp_path / "own-runs"
    folder.mkdir()
    monkeypatch.setenv("RUNBOOK_RUNS", str(folder))
    return folder


def pytest_xdist_make_scheduler(config, log):
    """A whole run's three processes: the story, what boots clusters, what boots other hosts, each one by one; then the
    rest, for whoever is free. The story waits for its host more than for a processor.
    """
    from xdist.scheduler import LoadFileScheduling  # only `./runbook test` of everything runs by several

    class Lanes(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return _lane(super()._split_scope(nodeid))

    return Lanes(config, log)


def pytest_collection_modifyitems(config, items):
    """By several processes: the story first, it is the longest; then the other lanes; then all else."""
    if hasattr(config, "workerinput"):
        place = {lane: number for number, lane in enumerate([STORY, *BOOTS])}
        items.sort(key=lambda item: place.get(_lane(item.nodeid.partition("::")[0]), len(place)))


@functools.cache  # asked for every test, and the answer is the file's
def _lane(file):
    if file == STORY:
        return file
    text = (TESTS / file).read_text()
    return next((lane for lane, boots in BOOTS.items() if boots.search(text)), file)
