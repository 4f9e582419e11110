"""The stand-in for GitLab, and the chapter on it."""

from __future__ import annotations

import gitlab_server
import pytest
import stand_in
from gitlab_server import ROOT

from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.layout import PASSWORD
from helpers.core.secrets import SecretStore
from helpers.core.waiting import wait

server = gitlab_server.server


@pytest.fixture
def git(server, monkeypatch, own_home):
    """The GitLab, whose root has our password and no token yet."""
    SecretStore("local").keep(PASSWORD, ROOT)
    ch = stand_in.chapter(monkeypatch, "gitlab", server.answer, mode="install")
    git = GitLab(ch, server.url)
    wait("the stand-in", lambda: git.why_not_ready() is None, every=0.1)
    yield git
    ch.close()


@pytest.fixture
def account(git):
    """Its root, as install leaves it."""
    account = Account(git)
    for action in (account.token(), account.settings(), account.proof_project()):
        if action.probe() is not None:
            action.apply()
    return account
