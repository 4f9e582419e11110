"""GitLab's stand-in as plain processes, as chapter 11's tests have it, and the chapter's repository in it."""

import gitlab_server
import pytest
import stand_in
from gitlab_server import ROOT
from serving import until

from helpers.components.end_to_end.others import Lent
from helpers.components.end_to_end.repository import Repository
from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.layout import PASSWORD
from helpers.core.secrets import SecretStore

server = gitlab_server.server


@pytest.fixture
def repo(server, monkeypatch, own_home):
    """The Repository, with its project made and nothing pushed."""
    SecretStore("local").keep(PASSWORD, ROOT)
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
