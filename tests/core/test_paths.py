"""The runbook's home: what is made is its owner's alone, what was there stays as it was."""

import os
import stat

import pytest

from helpers.command.main import main
from helpers.components.kubernetes import kubeconfig
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


def test_relative_paths_lead_from_where_the_command_was_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "lab.conf:/etc/other:../up")
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", "ssh/config")
    monkeypatch.delenv("RUNBOOK_RUNS", raising=False)
    main.callback(False)
    monkeypatch.chdir("/")  # as a kernel of the regression test
    assert os.environ["KUBECONFIG"] == f"{tmp_path}/lab.conf:/etc/other:{tmp_path.parent}/up"
    assert str(kubeconfig.default_path()) == f"{tmp_path}/lab.conf"
    assert os.environ["RUNBOOK_SSH_CONFIG"] == f"{tmp_path}/ssh/config" and "RUNBOOK_RUNS" not in os.environ
