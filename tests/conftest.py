"""What every test stands on: run records in a folder of the tests' own, and none of this shell's settings."""

import os
from pathlib import Path

import pytest

STORY = "test_runbook.py"


def pytest_collection_modifyitems(items):
    """Two processes share the tests: the story of a host has one to itself, from the start; it waits a lot.

    What uses the other sandboxes stays together, since these tests share them; the rest goes by files.
    """
    for item in items:
        path = Path(str(item.path))
        group = "sandbox" if path.parent.name == "sandbox" and path.name != STORY else str(path)
        item.add_marker(pytest.mark.xdist_group(group))
    order = {"sandbox": 1, "benchmarks": 3}
    items.sort(key=lambda item: 0 if item.path.name == STORY else order.get(item.path.parent.name, 2))


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
