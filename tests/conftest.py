"""What every test stands on: run records in a folder of the tests' own, and none of this shell's settings."""

import functools
import os
import re
import signal
from pathlib import Path

import light
import programs
import pytest

TESTS = Path(__file__).parent
STORY = "sandbox/test_runbook.py"
#: what a test with a cluster of its own has in its text, and one that boots another host
CLUSTER = re.compile(r"microk8s_host|on_a_fresh_host")
BOOTS = re.compile(r"\bSandbox\(|\bbox\b")
#: whether a process of several has its weight, from its first test on
WEIGHED = pytest.StashKey[bool]()


def pytest_configure(config):
    """Ctrl-C reaches what tests start, also where a shell in the background gave them a process that ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(NamesAtOnce(config))


@pytest.hookimpl(tryfirst=True)  # what a fixture starts is in the group, too
def pytest_runtest_setup(item):
    """Of several processes, the one that gets the story, whichever it is, keeps its weight: all others wait for it."""
    if hasattr(item.config, "workerinput") and not item.config.stash.get(WEIGHED, False):
        item.config.stash[WEIGHED] = True
        if _lane(item.nodeid.partition("::")[0]) != STORY:
            light.join()


class NamesAtOnce:
    """By several processes, pytest names what failed at its end alone: a run that is ended before it never would."""

    def __init__(self, config):
        self.config = config

    def pytest_runtest_logreport(self, report):
        if report.failed:
            terminal = self.config.pluginmanager.getplugin("terminalreporter")
            error = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
            first = error.strip().partition("\n")[0]  # of some there is no word
            terminal.write_line(f"\nFAILED {report.nodeid} ({report.when}) - {first}"[:200])


def pytest_unconfigure(config):
    if config.getoption("numprocesses", None):  # who started them; a run of a few tests beside them is none of theirs
        light.leave()


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
    """A whole run's processes: one has the story, one the other clusters, one boots all other hosts and has the rest.

    Hosts of one lane are booted one after another: see book/contributing.md, where a cold run's time goes.
    """
    from xdist.scheduler import LoadFileScheduling  # only `./runbook test` of everything runs by three

    class Lanes(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return _lane(super()._split_scope(nodeid))

    return Lanes(config, log)


def pytest_collection_modifyitems(config, items):
    """By several processes: the story first, it is the longest; then what boots hosts; then all else, for each."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: {STORY: 0, "cluster": 1, "host": 2}.get(_lane(item.nodeid.partition("::")[0]), 3))


@functools.cache  # asked for every test, and the answer is the file's
def _lane(file):
    text = "" if file == STORY else (TESTS / file).read_text()
    return "cluster" if CLUSTER.search(text) else "host" if BOOTS.search(text) else file
