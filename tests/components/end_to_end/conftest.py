"""GitLab's stand-in as plain processes, as chapter 11's tests have it, and the chapter's repository in it."""

import importlib.util
from pathlib import Path

import pytest
import stand_in
from serving import until

from helpers.components.end_to_end.others import Lent
from helpers.components.end_to_end.repository import Repository
from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.layout import PASSWORD
from helpers.core.secrets import SecretStore

_spec = importlib.util.spec_from_file_location("gitlab_conftest", Path(__file__).parents[1] / "gitlab" / "conftest.py")
_theirs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_theirs)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = _theirs.Server(tmp_path_factory.mktemp("gitlab"))
    code, out, err = server.run("ctl", "package", EXTERNAL_URL=server.url, GITLAB_ROOT_PASSWORD=_theirs.ROOT)
    assert code == 0, out + err
    yield server
    server.end()


@pytest.fixture
def repo(server, monkeypatch, own_home):
    """The Repository, with its project made and nothing pushed."""
    SecretStore("local").keep(PASSWORD, _theirs.ROOT)
    ch = stand_in.chapter(monkeypatch, "end_to_end", server.answer, mode="install")
    git = GitLab(Lent(ch), server.url)
    until("the stand-in", lambda: git.why_not_ready() is None)
    Account(git).token().apply()
    repo = Repository(git)
    repo.project().apply()
    repo.server = server
    yield repo
    repo._delete()
    ch.close()
