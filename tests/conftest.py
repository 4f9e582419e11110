"""What every test stands on: run records in a folder of the tests' own, and none of this shell's settings."""

import os

import pytest

#: what boots hosts, the story of one first; two at once are too much for two cores
HOSTS = ["runbook", "microk8s_substitute", "sandbox", "host", "network", "chapter", "chapter_on_python37", "supply"]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Two processes share the tests: one boots hosts and waits a lot, the other has the rest, a file at a time."""

    def rank(item):
        name = item.path.stem[len("test_") :]
        return HOSTS.index(name) if item.path.parent.name == "sandbox" and name in HOSTS else len(HOSTS)

    for item in items:
        item.add_marker(pytest.mark.xdist_group("hosts" if rank(item) < len(HOSTS) else item.path.stem))
    items.sort(key=rank)


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
def runs(tmp_path, monkeypatch):
    """A RUNBOOK_RUNS of this test's own, empty."""
    folder = tmp_path / "own-runs"
    folder.mkdir()
    monkeypatch.setenv("RUNBOOK_RUNS", str(folder))
    return folder
