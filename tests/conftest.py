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
#: what a test that boots a host has in its text
BOOTS = re.compile(r"\bSandbox\(|\bbox\b|microk8s_host|on_a_fresh_host")


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
    """A whole run's two processes: one has the story, the other all else, and boots its hosts one after another.

    Three take the processors from the story, the longest: on two, 40 minutes became more than 43.
    """
    from xdist.scheduler import LoadFileScheduling  # only `./runbook test` of everything runs by two

    class TwoLanes(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return _lane(super()._split_scope(nodeid))

    return TwoLanes(config, log)


def pytest_collection_modifyitems(config, items):
    """By two processes: the story first, it is the longest; then what boots hosts; then all else, for both."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: {STORY: 0, "host": 1}.get(_lane(item.nodeid.partition("::")[0]), 2))


@functools.cache  # asked for every test, and the answer is the file's
def _lane(file):
    return "host" if file != STORY and BOOTS.search((TESTS / file).read_text()) else file
