"""The stand-in for GitLab as plain processes on loopback, and the chapter on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import stand_in

from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.layout import PASSWORD
from helpers.core.host import free_port
from helpers.core.paths import SETUP
from helpers.core.secrets import SecretStore
from helpers.core.waiting import wait

RECIPE = SETUP / "sandbox/substitutes/gitlab-ce"
ROOT = "not-a-real-password"


class Server:
    """GitLab's commands and its server below a folder of the test."""

    def __init__(self, folder):
        self.folder, self.url = folder, f"http://127.0.0.1:{free_port()}"
        (folder / "opt/gitlab/etc").mkdir(parents=True)
        (folder / "opt/gitlab/etc/gitlab.rb.template").write_text((RECIPE / "gitlab.rb.template").read_text())

    def run(self, program, *argv, stdin="", **env):
        """(exit code, output, error output) of gitlab-ctl or gitlab-rails."""
        whole = {**os.environ, "GITLAB_DOUBLE_ROOT": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **env}
        command = [sys.executable, RECIPE / f"double/gitlab_{program}.py", *argv]
        done = subprocess.run(command, env=whole, input=stdin, capture_output=True, text=True, timeout=90)
        return done.returncode, done.stdout, done.stderr

    def answer(self, script, stdin):
        """What a host would say to the chapter's commands."""
        for program, words in (("rails", "gitlab-rails runner -"), ("ctl", "gitlab-ctl restart")):
            if script == words:
                given = stdin.decode() if isinstance(stdin, bytes) else stdin or ""
                return self.run(program, *words.split()[1:], stdin=given)
        if script.startswith("[ ! -e /var/opt/gitlab/bootstrapped"):
            return "there\n"
        if script.startswith("set -- /var/lib/mlops-runbook list\n"):
            return ""  # no secret is installed there yet
        raise AssertionError(script)

    def end(self):
        lock = self.folder / "var/opt/gitlab/double/run/lock"
        if lock.exists() and lock.read_text():
            os.kill(int(lock.read_text()), signal.SIGTERM)
            lock.unlink()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("gitlab"))
    code, out, err = server.run("ctl", "package", EXTERNAL_URL=server.url, GITLAB_ROOT_PASSWORD=ROOT)
    assert code == 0, out + err
    yield server
    server.end()


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
