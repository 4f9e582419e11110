"""The double of gitlab-runner and that of GitLab, with each other: what each was held to alone must fit together."""

from __future__ import annotations

import re

import pytest
from test_gitlab_double import PASSWORD, TOKEN, Host
from test_gitlab_pipelines import Project
from test_gitlab_runner_double import REGISTER, api, died, image, pytestmark, runner

from tests.serving import until

__all__ = ["api", "image", "pytestmark", "runner"]

SECRET = "a-secret-of-mine"
BUILD = {"script": ["cat model.txt > out.txt", "echo the key is $KEY"], "artifacts": {"paths": ["out.txt"]}}


@pytest.fixture
def host(tmp_path):
    (tmp_path / "gitlab").mkdir()
    host = Host(tmp_path / "gitlab")
    assert host.install(GITLAB_ROOT_PASSWORD=PASSWORD).returncode == 0
    make = "token = User.find_by_username('root').personal_access_tokens.create(scopes: [:api], name: 'runbook')"
    assert host.rails(f"{make}\ntoken.set_token('{TOKEN}')\ntoken.save!").returncode == 0
    masked = {"key": "KEY", "value": SECRET, "masked": True}
    assert host.api("POST", "/admin/ci/variables", json=masked).status_code == 201
    yield host
    host.end()


@pytest.fixture
def working(host, runner):
    """A runner that is registered at this GitLab, and runs."""
    asked = host.rails("puts Gitlab::CurrentSettings.current_application_settings.runners_registration_token")
    words = ("--url", host.url, "--kubernetes-image", "an-image:1", "--kubernetes-namespace", "jobs")
    code, said = runner.run(*REGISTER, *words, REGISTRATION_TOKEN=asked.stdout.strip())
    assert code == 0, said
    config = runner.folder / "config.toml"
    config.write_text(re.sub("check_interval = 0", "check_interval = 1", config.read_text()))
    assert "is alive" in runner.run("verify")[1]
    with runner:
        yield runner


def log(project, name):
    return project.api("GET", f"/jobs/{project.number_of(name)}/trace").text


def test_a_push_runs_in_pods_and_its_log_comes_back(host, working):
    project = Project(host)
    after = {"stage": "deploy", "script": ["cat out.txt", "exit 3"]}
    sha = project.push(**{"model.txt": "a model\n"}, ci={"build": BUILD, "after": after})
    until("the pipeline's end", lambda: project.pipeline(sha)["status"] == "failed", lambda: died(working), 60)
    assert project.jobs() == {"build": "success", "after": "failed"}
    built = log(project, "build")
    assert "the key is [MASKED]" in built and "Job succeeded" in built and SECRET not in built
    assert project.api("GET", f"/jobs/{project.number_of('build')}/artifacts/out.txt").text == "a model\n"
    assert "a model" in log(project, "after") and "exit code 3" in log(project, "after")
    (seen,) = host.api("GET", "/runners/all").json()
    assert (seen["status"], seen["description"]) == ("online", "a runner")
    assert "succeeded" in working.run("unregister", "--all-runners")[1]
    assert host.api("GET", "/runners/all").json() == []
