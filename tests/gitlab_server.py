"""The stand-in for GitLab as plain processes on loopback, and a runner that runs nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest

from helpers.core.paths import SETUP, home
from helpers.core.ssh import free_port
from helpers.core.waiting import wait

RECIPE = SETUP / "sandbox/substitutes/gitlab-ce"
ROOT = "not-a-real-password"
#: where Python keeps what it compiled of the package: not beside its files, which are a recipe's
COMPILED = {"PYTHONPYCACHEPREFIX": str(home("cache", "pyc"))}


def double_at(folder, ports):
    """The environment of a stand-in below a folder. ports: of nginx' status, and of Alertmanager's gossip."""
    return {"GITLAB_DOUBLE_ROOT": str(folder), "GITLAB_DOUBLE_PORTS": " ".join(map(str, ports)), **COMPILED}


class Server:
    """GitLab's commands and its server below a folder of the test."""

    def __init__(self, folder):
        self.folder, self.url, self.token = folder, f"http://127.0.0.1:{free_port()}", None
        self.away = False  # is it gone from its host?
        self.ports = free_port(), free_port()
        (folder / "opt/gitlab/etc").mkdir(parents=True)
        (folder / "opt/gitlab/etc/gitlab.rb.template").write_text((RECIPE / "gitlab.rb.template").read_text())

    def run(self, program, *argv, stdin="", **env):
        """gitlab-ctl or gitlab-rails, and how it ended."""
        whole = {**os.environ, **double_at(self.folder, self.ports), **env}
        command = [sys.executable, RECIPE / f"double/gitlab_{program}.py", *argv]
        return subprocess.run(command, env=whole, input=stdin, capture_output=True, text=True, timeout=240)

    def answer(self, script, stdin):
        """What a host would say to the chapter's commands."""
        for program, words in (("rails", "gitlab-rails runner -"), ("ctl", "gitlab-ctl restart")):
            if script == words:
                given = stdin.decode() if isinstance(stdin, bytes) else stdin or ""
                done = self.run(program, *words.split()[1:], stdin=given)
                return done.returncode, done.stdout, done.stderr
        if script.startswith("[ ! -e /var/opt/gitlab/bootstrapped"):
            return "there\n"
        if script == "[ ! -e /opt/gitlab ]":
            return 0 if self.away else 1, "", ""
        if script.startswith("set -- /var/lib/mlops-runbook list\n"):
            return ""  # no secret is installed there yet
        raise AssertionError(script)

    def started(self):
        """The same, running: root has the password ROOT."""
        done = self.run("ctl", "package", EXTERNAL_URL=self.url, GITLAB_ROOT_PASSWORD=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def end(self):
        lock = self.folder / "var/opt/gitlab/double/run/lock"
        if lock.exists() and lock.read_text():
            os.kill(int(lock.read_text()), signal.SIGTERM)
            lock.unlink()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One that runs, for the tests of a module."""
    server = Server(tmp_path_factory.mktemp("gitlab")).started()
    yield server
    server.end()


def run_a_job(git, token, log_of, state="success"):
    """Take one job from GitLab by the runner's protocol; log_of(its variables) is its log."""
    with httpx.Client(base_url=git.url + "/api/v4", trust_env=False) as client:
        job = wait("a job", lambda: _taken(client, token), every=0.1)
        log = log_of({v["key"]: v["value"] for v in job["variables"]}).encode()
        about = {"JOB-TOKEN": job["token"], "Content-Range": f"0-{len(log) - 1}", "Content-Type": "text/plain"}
        client.patch(f"/jobs/{job['id']}/trace", content=log, headers=about).raise_for_status()
        end = {"token": job["token"], "state": state, "failure_reason": "runner_system_failure"}
        client.put(f"/jobs/{job['id']}", json=end).raise_for_status()


def _taken(client, token):
    said = client.post("/jobs/request", json={"token": token, "info": {"features": {}}})
    return said.json() if said.status_code == 201 else None
