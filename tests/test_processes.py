"""How a whole run's processes share the processors, and what they say."""

from types import SimpleNamespace

import conftest
import light
import pytest

STORY, OTHER = f"{conftest.STORY}::test_up", "core/test_waiting.py::test_a_wait"


def first_tests(monkeypatch, worker, *names):
    """How often a process is made light by its first tests; worker: its name, or None for a run by one process."""
    config = SimpleNamespace(stash=pytest.Stash(), **({"workerinput": {"workerid": worker}} if worker else {}))
    joined = []
    monkeypatch.setattr(light, "join", lambda: joined.append(worker))
    for name in names:
        conftest.pytest_runtest_setup(SimpleNamespace(config=config, nodeid=name))
    return len(joined)


@pytest.mark.parametrize("worker", ["gw0", "gw1", "gw2"])
def test_the_process_that_gets_the_story_keeps_its_weight_and_no_other_one_does(monkeypatch, worker):
    """xdist gives it to the process that is ready first."""
    assert first_tests(monkeypatch, worker, STORY, OTHER) == 0
    assert first_tests(monkeypatch, worker, OTHER, OTHER, STORY) == 1


def test_a_run_by_one_process_keeps_its_weight(monkeypatch):
    assert first_tests(monkeypatch, None, OTHER) == 0


@pytest.mark.parametrize("message, shown", [("AssertionError: why\nassert 1 == 2", "AssertionError: why"), ("", "")])
def test_what_fails_is_named_when_it_does(capsys, message, shown):
    terminal = SimpleNamespace(write_line=print)
    config = SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=lambda name: terminal))
    crash = SimpleNamespace(reprcrash=SimpleNamespace(message=message))
    for failed in (False, True):
        report = SimpleNamespace(failed=failed, nodeid=OTHER, when="call", longrepr=crash)
        conftest.NamesAtOnce(config).pytest_runtest_logreport(report)
    assert capsys.readouterr().out == f"\nFAILED {OTHER} (call) - {shown}\n"
