"""Where the shared connection's socket lies when the home's path is too long for one."""

import os
import stat
import tempfile

import pytest

from helpers.core.ssh import Connection
from helpers.core.target import Target


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that the fallback would take, in a temporary folder of this test's own; not made yet."""
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / ("long" * 20)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"runbook-{os.getuid()}"


def sockets_folder():
    path = os.path.dirname(Connection(Target.parse("ssh://somewhere")).socket)
    found = os.lstat(path)
    assert stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.geteuid()
    return path


def test_it_is_made_once_and_private(folder):
    assert sockets_folder() == sockets_folder() == str(folder)


def linked(folder):
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)


def open_to_all(folder):
    folder.mkdir()
    folder.chmod(0o777)


def a_strangers(folder):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    folder.mkdir(mode=0o700)
    os.chown(str(folder), 65534, 65534)


@pytest.mark.parametrize("taken", (linked, open_to_all, a_strangers, os.mknod))
def test_a_folder_that_others_may_have_made_is_not_used(folder, taken):
    taken(folder)
    assert sockets_folder() == sockets_folder() != str(folder), "one for all of this process's connections"
