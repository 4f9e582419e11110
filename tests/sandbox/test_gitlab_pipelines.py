"""GitLab's stand-in and its pipelines, against tests/recordings/gitlab-13.12-pipelines.md, row by row.

What was read of the real one, not recorded. The runner here is a few requests of the real one's protocol; no sandbox.
"""

from __future__ import annotations

import re
import time

import pytest
import requests
import yaml
from test_gitlab_double import PASSWORD, TOKEN, Host

SHORT = {"build": {"script": ["echo hello"]}}
FEATURES = {"upload_multiple_artifacts": True, "refspecs": True, "artifacts_exclude": True, "return_exit_code": True}


class Runner:
    """Asks for jobs as gitlab-runner 13.12 does."""

    def __init__(self, host, **more):
        self.host = host
        self.asked = host.rails("puts Gitlab::CurrentSettings.current_application_settings.runners_registration_token")
        about = {"token": self.asked.stdout.strip(), "description": "a runner", "info": {"name": "gitlab-runner"}}
        made = host.api("POST", "/runners", None, json={**about, **more})
        assert made.status_code == 201, made.text
        self.token, self.number = made.json()["token"], made.json()["id"]

    def ask(self, **more):
        info = {"name": "gitlab-runner", "version": "13.12.0", "features": FEATURES}
        return self.host.api("POST", "/jobs/request", None, json={"token": self.token, "info": info, **more})

    def take(self):
        """The next job."""
        for _ in range(100):
            answer = self.ask()
            if answer.status_code == 201:
                return answer.json()
            assert answer.status_code == 204, answer.text
            time.sleep(0.05)
        raise AssertionError("no job")

    def log(self, job, text, start=0, **more):
        headers = {"JOB-TOKEN": job["token"], "Content-Type": "text/plain",
                   "Content-Range": f"{start}-{start + len(text) - 1}", **more}  # fmt: skip
        place = f"{self.host.url}/api/v4/jobs/{job['id']}/trace"
        return requests.patch(place, data=text, headers=headers, timeout=30)

    def end(self, job, state="success", **more):
        said = {"token": job["token"], "state": state, **more}
        return self.host.api("PUT", f"/jobs/{job['id']}", None, json=said)

    def run(self, state="success", **more):
        job = self.take()
        assert self.end(job, state, **more).status_code == 200
        return job["job_info"]["name"]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("gitlab"))
    assert host.install(GITLAB_ROOT_PASSWORD=PASSWORD).returncode == 0
    make = "token = User.find_by_username('root').personal_access_tokens.create(scopes: [:api], name: 'runbook')"
    done = host.rails(f"{make}\ntoken.set_token('{TOKEN}')\ntoken.save!")
    assert (done.returncode, done.stderr) == (0, "")
    yield host
    host.end()


@pytest.fixture(scope="module")
def runner(host):
    return Runner(host)


NAMES = iter(range(1000))


class Project:
    """A new project, pushed to by the real git."""

    def __init__(self, host):
        self.host, self.path = host, f"p{next(NAMES)}"
        said = host.api("POST", "/projects", json={"name": self.path})
        self.number = said.json()["id"]
        self.work = host.root / self.path
        host.git("init", "-q", "-b", "master", self.work)

    def push(self, branch="master", text="a commit", options=(), **files):
        """Commit these files (a dict is YAML) and push them; the commit's sha."""
        for name, content in files.items():
            target = self.work / {"ci": ".gitlab-ci.yml"}.get(name, name)
            target.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        self.host.git("-C", self.work, "checkout", "-q", "-B", branch)
        self.host.git("-C", self.work, "add", ".")
        self.host.git("-C", self.work, "commit", "-q", "--allow-empty", "-m", text)
        given = [word for option in options for word in ("-o", option)]
        self.host.git("-C", self.work, "push", *given, self.remote("root", TOKEN), branch)
        return self.host.git("-C", self.work, "rev-parse", "HEAD").stdout.strip()

    def remote(self, name, password):
        return self.host.remote(name, password, "root/" + self.path)

    def api(self, method, path="", **more):
        return self.host.api(method, f"/projects/{self.number}{path}", **more)

    def pipeline(self, sha=None, status=None):
        """The newest pipeline, when it is there (and in this state)."""
        for _ in range(100):
            found = self.api("GET", "/pipelines" + (f"?sha={sha}" if sha else "")).json()
            if found and status in (None, found[0]["status"]):
                return self.api("GET", f"/pipelines/{found[0]['id']}").json()
            time.sleep(0.05)
        raise AssertionError(found)

    def jobs(self):
        """{name: status} of the newest pipeline."""
        return {
            job["name"]: job["status"] for job in self.api("GET", f"/pipelines/{self.pipeline()['id']}/jobs").json()
        }


@pytest.fixture
def project(host):
    return Project(host)


def test_a_push_to_a_log(project, runner):
    sha = project.push(ci=SHORT)
    made = project.pipeline(sha, "pending")
    assert (made["ref"], made["before_sha"], "source" in made) == ("master", "0" * 40, False)
    job = runner.take()
    assert job["git_info"]["sha"] == sha and job["steps"][0]["script"] == ["echo hello"]
    assert project.pipeline(sha, "running")["id"] == made["id"]
    answer = runner.log(job, "hello\n")
    assert (answer.status_code, answer.headers["Range"], answer.headers["Job-Status"]) == (202, "0-6", "running")
    assert runner.log(job, "x", 3).headers["Range"] == "0-6"
    assert runner.end(job).text == "200"
    assert project.pipeline(sha, "success")["detailed_status"]["text"] == "passed"
    log = project.api("GET", f"/jobs/{job['id']}/trace")
    assert (log.text, log.headers["Content-Type"]) == ("hello\n", "text/plain")
    assert re.fullmatch(r"\d+\.\d+", str(project.api("GET", f"/jobs/{job['id']}").json()["duration"]))


# -- clusters --------------------------------------------------------------------------------------------


def cluster(name="c", url="https://192.0.2.7:16443", **more):
    return {"name": name, "platform_kubernetes_attributes": {"api_url": url, "token": "a-token", **more}}


def test_clusters(host):
    place = "/admin/clusters/add"
    said = host.api("POST", place, json=cluster(url="https://10.1.2.3:16443"))
    blocked = {"platform_kubernetes.api_url": ["is blocked: Requests to the local network are not allowed"]}
    assert (said.status_code, said.json()) == (400, {"message": blocked})
