"""The runbook's home: what is made is its owner's alone, what was there stays as it was."""

import stat

import pytest

from helpers.core.paths import home


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_all_that_is_made_is_the_owners_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "new" / "home"))
    path = home("cache", "builds")
    assert path == tmp_path / "new/home/cache/builds"
    assert {mode(p) for p in (path, *list(path.parents)[:3])} == {0o700}


@pytest.mark.parametrize("before", (0o755, 0o777, 0o750))
def test_a_folder_that_was_there_keeps_its_mode(tmp_path, monkeypatch, before):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(before)
    monkeypatch.setenv("RUNBOOK_HOME", str(shared))
    assert home() == shared and mode(home("secrets")) == 0o700 and mode(shared) == before
