"""GitLab's stand-in and its pipelines, against tests/recordings/gitlab-13.12-pipelines.md, row by row.

What was read of the real one, not recorded. The runner here is a few requests of the real one's protocol; no sandbox.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import sqlite3
import time
import zipfile

import pytest
import requests
import yaml
from facts import Facts
from serving import serving, until
from test_gitlab_double import PASSWORD, TOKEN, Host

from tests.certificates import self_signed

FACTS = Facts("gitlab-13.12-pipelines.md")
row = FACTS.row


wait = functools.partial(until, "the test's condition")


def values(job):
    """{variable: value} of a job, as its scripts would see them."""
    return {v["key"]: v["value"] for v in job["variables"]}


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

        def taken():
            answer = self.ask()
            return answer.status_code == 201 and answer.json()

        return until("a job", taken)

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

        def there():
            found = self.api("GET", "/pipelines" + (f"?sha={sha}" if sha else "")).json()
            return found and status in (None, found[0]["status"]) and found[0]["id"]

        number = until(f"a pipeline that is {status or 'there'}", there)
        return self.api("GET", f"/pipelines/{number}").json()

    def jobs(self):
        """{name: status} of the newest pipeline."""
        return {
            job["name"]: job["status"] for job in self.api("GET", f"/pipelines/{self.pipeline()['id']}/jobs").json()
        }

    def number_of(self, name):
        """The number of the newest job of this name."""
        return next(j["id"] for j in self.api("GET", "/jobs").json() if j["name"] == name)


@pytest.fixture
def project(host):
    """One of the test's own; with it go its jobs, such that no other test gets them."""
    project = Project(host)
    yield project
    project.api("DELETE")


def test_every_row_has_a_test():
    assert FACTS.untested == set() and len(FACTS.rows) > 60


# -- .gitlab-ci.yml ----------------------------------------------------------------------------------------


def lint(host, content, token=TOKEN):
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    said = host.api("POST", "/ci/lint", token, json={"content": text})
    assert said.status_code == 200, said.text
    assert said.json()["status"] == ("invalid" if said.json()["errors"] else "valid")
    return said.json()["errors"]


@row("lint", "project lint", "empty file", "broken YAML", "several errors")
def test_lint(host, project):
    assert lint(host, SHORT) == []
    assert lint(host, " ") == ["Please provide content of .gitlab-ci.yml"]
    assert lint(host, "just text") == ["Invalid configuration format"]
    assert re.match(r"\(<unknown>\): .+ line 2", lint(host, "a: b\n  c: d")[0])
    assert lint(host, "a: *b") == ["Unknown alias: b"]
    wrong = {"a": {"script": "x", "b": 1, "rules": {"if": "y"}}}
    both = ["jobs:a config contains unknown keys: b", "jobs:a rules should be an array of hashes"]
    assert lint(host, wrong) == both
    assert host.api("POST", "/ci/lint", json={}).json() == {"error": "content is missing"}
    assert lint(host, SHORT, None) == []
    host.api("PUT", "/application/settings", json={"signup_enabled": False})
    assert host.api("POST", "/ci/lint", None, json={"content": "a"}).status_code == 401
    said = project.api("POST", "/ci/lint", json={"content": "a: {}"}).json()
    assert (said["valid"], len(said["errors"]), said["merged_yaml"]) == (False, 2, "a: {}")
    project.push(ci=SHORT)
    assert project.api("GET", "/ci/lint").json()["valid"] is True


def job(**more):
    return {"a": {"script": "x", **more}}


NESTED = "config should be a string or a nested array of strings up to 10 levels deep"
ALL = "variables config should be a hash of key value pairs, value can be a hash"
PLACES = "available stages are .pre, build, test, deploy, .post"


@row("no script", "no job", "script", "unknown key", "values", "artifacts", "variables", "stages", "rules", "extends")
@pytest.mark.parametrize(
    "content, told",
    [
        ({"a": "text"}, "jobs a config should implement a script: or a trigger: keyword"),
        ({"a": {"before_script": "x"}}, "jobs a config should implement a script: or a trigger: keyword"),
        ({".a": {"script": "x"}}, "jobs config should contain at least one visible job"),
        ({"a": {"script": []}}, "jobs:a:script " + NESTED),
        ({"a": {"script": [1]}}, "jobs:a:script " + NESTED),
        (job(nonsense=1), "jobs:a config contains unknown keys: nonsense"),
        (job(tags="x"), "jobs:a:tags config should be an array of strings"),
        (job(image=["x"]), "jobs:a:image config should be a hash or a string"),
        (job(services="x"), "jobs:a:services config should be a array"),
        (job(services=[10]), "jobs:a:services:service config should be a hash or a string"),
        (job(when=1), "jobs:a when should be one of: on_success, on_failure, always, manual, delayed"),
        (job(dependencies="x"), "jobs:a dependencies should be an array of strings"),
        (job(allow_failure="x"), "jobs:a allow failure should be a hash or a boolean value"),
        (job(artifacts={"path": ["x"]}), "jobs:a:artifacts config contains unknown keys: path"),
        (job(artifacts={"paths": "x"}), "jobs:a:artifacts paths should be an array of strings"),
        (job(artifacts={"when": 1}), "jobs:a:artifacts when should be on_success, on_failure or always"),
        (job(artifacts={"expire_in": "7 elephants"}), "jobs:a:artifacts expire in should be a duration"),
        ({**SHORT, "variables": {"A": False}}, ALL),
        (job(variables="x"), "jobs:a:variables config should be a hash of key value pairs"),
        (job(stage="x"), f"a job: chosen stage does not exist; {PLACES}"),
        ({**SHORT, "stages": "x"}, "stages config should be an array of strings"),
        (job(rules=[], only=["x"]), "jobs:a config key may not be used with `rules`: only"),
        (job(rules=[{"if": "$A =="}]), "jobs:a:rules:rule if invalid expression syntax"),
        (job(only={"variables": ["== null"]}), "jobs:a:only variables invalid expression syntax"),
        (job(extends="b"), "a: unknown keys in `extends` (b)"),
    ],
)
def test_a_file_that_is_refused(host, content, told):
    assert told in lint(host, content)


@row("needs and dependencies")
@pytest.mark.parametrize("key, word", [("needs", "need"), ("dependencies", "dependency")])
def test_needs_that_are_refused(host, key, word):
    two = {"a": {"script": "x", key: ["b"]}, "b": {"script": "x", "stage": "deploy"}}
    assert lint(host, two) == [f"a job: {word} b is not defined in prior stages"]
    assert lint(host, {"a": two["a"]}) == [f"a job: undefined {word}: b"]


@row("what the stand-in does not know")
@pytest.mark.parametrize(
    "content",
    [
        {**SHORT, "include": "x.yml"},
        *(job(**{key: "x"}) for key in ("trigger", "parallel", "resource_group", "inherit", "release")),
        job(rules=[{"changes": ["x"]}]),
        job(only={"changes": ["x"]}),
        job(when="delayed"),
    ],
)
def test_what_it_does_not_do_it_refuses_by_name(host, content):
    assert any(error.startswith("this stand-in for GitLab does not do ") for error in lint(host, content))


def made(project, ci, **variables):
    """The names of the jobs that a pipeline of this file has; or why there is none."""
    project.push(ci=ci)
    given = [{"key": key, "value": value} for key, value in variables.items()]
    said = project.api("POST", "/pipeline", json={"ref": "master", "variables": given})
    if said.status_code == 400:
        return said.json()["message"]["base"][0]
    return {j["name"] for j in project.api("GET", f"/pipelines/{said.json()['id']}/jobs?per_page=100").json()}


def test_rules_decide_which_jobs_there_are(project):
    """Each job has one case; its name tells whether it is there."""
    cases = [
        ("there", {"if": '$CI_COMMIT_BRANCH == "master"'}),
        ("not", {"if": "$CI_COMMIT_BRANCH != 'master'"}),
        ("there", {"if": "$CI_COMMIT_BRANCH =~ /^ma/ && $CI_PIPELINE_SOURCE == 'api'"}),
        ("not", {"if": "$CI_COMMIT_BRANCH !~ /^ma/ || $NONE"}),
        ("there", {"if": "$NONE == null"}),
        ("not", {"if": '$NONE == ""'}),
        ("there", {"if": "$NONE || ($CI && $CI_COMMIT_REF_PROTECTED == 'true')"}),
        ("there", {"if": "$A == 'given'"}),
        ("not", {"if": "$NONE && $CI || $NONE"}),
        ("not", {"if": "$CI", "when": "never"}, {"when": "always"}),
        ("not",),
    ]
    jobs = {f"{n} {there}": {"script": "x", "rules": list(rules)} for n, (there, *rules) in enumerate(cases)}
    assert made(project, jobs, A="given") == {name for name in jobs if name.endswith("there")}


@row("only and except")
def test_only_and_except(project):
    cases = [
        ("there", "only", ["master"]), ("not", "only", ["tags"]), ("there", "only", ["/^mas/"]),
        ("there", "only", ["api"]), ("not", "only", ["pushes"]), ("not", "except", ["branches"]),
        ("there", "except", ["other"]), ("there", "only", {"variables": ["$CI"]}),
        ("not", "only", {"refs": ["tags"], "variables": ["$CI"]}), ("not", "except", {"variables": ["$CI"]}),
    ]  # fmt: skip
    jobs = {f"{n} {there}": {"script": "x", key: value} for n, (there, key, value) in enumerate(cases)}
    assert made(project, jobs) == {name for name in jobs if name.endswith("there")}
    assert made(project, {"a": {"script": "x", "only": ["tags"]}}) == "No stages / jobs for this pipeline."


@row("defaults")
def test_what_a_job_inherits(project, runner):
    below = {".base": {"variables": {"A": "1", "B": "1"}, "image": "base"}, "image": "top", "before_script": ["first"]}
    project.push(ci={**below, "a": {"extends": ".base", "script": ["x"], "variables": {"B": "2"}},
                     "b": {"script": ["y"], "before_script": ["own"]}})  # fmt: skip
    first, second = runner.take(), runner.take()
    assert [first["image"]["name"], second["image"]["name"]] == ["base", "top"]
    assert [first["steps"][0]["script"], second["steps"][0]["script"]] == [["first", "x"], ["own", "y"]]
    assert (values(first)["A"], values(first)["B"]) == ("1", "2")


def test_a_need_that_rules_took_out(project):
    ci = {"a": {"stage": "build", "script": "x", "rules": [{"if": "$NONE"}]}, "b": {"script": "x", "needs": ["a"]}}
    assert made(project, ci) == "'b' job needs 'a' job, but it was not added to the pipeline"
    assert made(project, {**ci, "b": {"script": "x", "needs": [{"job": "a", "optional": True}]}}) == {"b"}


# -- pipelines -------------------------------------------------------------------------------------------


@row("push", "no file")
def test_a_push_starts_a_pipeline(host, project):
    first = project.push(README="a")
    time.sleep(0.3)
    assert project.api("GET", "/pipelines").json() == []
    said = project.api("POST", "/pipeline", json={"ref": "master"})
    assert (said.status_code, said.json()) == (400, {"message": {"base": ["Missing CI config file"]}})
    host.ctl("stop", "sidekiq")
    sha = project.push(ci=SHORT)
    time.sleep(0.3)
    assert project.api("GET", "/pipelines").json() == []
    host.ctl("start", "sidekiq")
    assert project.pipeline(sha)["before_sha"] == first
    host.git("-C", project.work, "tag", "v1")
    host.git("-C", project.work, "push", "-q", project.remote("root", TOKEN), "v1")
    wait(lambda: [p["ref"] for p in project.api("GET", "/pipelines?scope=tags").json()] == ["v1"])
    assert project.pipeline()["tag"] is True and project.pipeline()["before_sha"] == "0" * 40
    several = [f"master:refs/heads/b{number}" for number in range(5)]
    host.git("-C", project.work, "push", "-q", project.remote("root", TOKEN), *several)
    time.sleep(0.3)
    assert len(project.api("GET", "/pipelines").json()) == 2


def test_a_pipeline_that_could_not_be_made_is_made_later(host, project):
    """A full disk, for one, or a repository that is away."""
    project.push(README="a")
    (bare,) = sorted((host.root / "var/opt/gitlab/git-data").rglob("*.git"), key=lambda p: p.stat().st_mtime)[-1:]
    host.ctl("stop", "sidekiq")
    sha = project.push(ci=SHORT)
    away = bare.rename(bare.with_suffix(".away"))
    host.ctl("start", "sidekiq")
    log = host.root / "var/log/gitlab/nginx/current"
    wait(lambda: "Traceback" in log.read_text())
    away.rename(bare)
    assert project.pipeline(sha, "pending")


@row("invalid file", "skip", "commit by the API")
def test_pipelines_that_do_not_run(project):
    sha = project.push(ci="a: b")
    failed = project.pipeline(sha, "failed")
    assert failed["yaml_errors"] == "jobs a config should implement a script: or a trigger: keyword"
    said = project.api("POST", "/pipeline", json={"ref": "master"})
    assert (said.status_code, said.json()["message"]["base"]) == (400, [failed["yaml_errors"]])
    assert project.pipeline(project.push(text="more [ci skip]", ci=SHORT), "skipped")
    assert project.pipeline(project.push(options=["ci.skip"]), "skipped")
    assert project.api("POST", "/pipeline", json={"ref": "master"}).status_code == 201
    new = {"branch": "master", "commit_message": "a", "content": "text"}
    assert project.api("POST", "/repository/files/new", json=new).status_code == 201
    sha = project.api("GET", "/repository/commits").json()[0]["id"]
    assert project.pipeline(sha, "pending")["user"]["username"] == "root"
    commit = project.api("GET", f"/repository/commits/{sha}").json()
    assert (commit["status"], commit["last_pipeline"]["sha"]) == ("pending", sha)


@row("pipeline", "pipeline shown", "pipelines listed", "variables of a pipeline", "deleted")
def test_pipelines_by_the_api(project, runner):
    sha = project.push(text="one [skip ci]", ci=SHORT)
    project.pipeline(sha, "skipped")
    for given, told in (
        ({}, {"error": "ref is missing"}),
        ({"ref": "none"}, {"message": {"base": ["Reference not found"]}}),
    ):
        said = project.api("POST", "/pipeline", json=given)
        assert (said.status_code, said.json()) == (400, told)
    given = [{"key": "A", "value": "given"}]
    made = project.api("POST", "/pipeline", json={"ref": "master", "variables": given})
    assert made.status_code == 201 and made.json()["status"] == "created"
    number = made.json()["id"]
    whole = project.pipeline(sha, "pending")
    brief = project.api("GET", "/pipelines").json()[0]
    assert set(brief) == {"id", "project_id", "sha", "ref", "status", "created_at", "updated_at", "web_url"}
    assert {"before_sha", "tag", "yaml_errors", "user", "duration", "detailed_status"} <= set(whole) - set(brief)
    assert brief["web_url"].endswith(f"/root/{project.path}/-/pipelines/{number}")
    assert project.api("GET", f"/pipelines/{number}/variables").json() == [{"variable_type": "env_var", **given[0]}]
    assert values(runner.take())["A"] == "given"
    for query, count in (("status=skipped", 1), ("ref=none", 0), (f"sha={sha}", 2), ("scope=running", 1),
                         ("username=root", 2), ("username=x", 0), ("yaml_errors=true", 0),
                         ("updated_after=2021-01-01", 2), ("updated_before=2021-01-01", 0)):  # fmt: skip
        assert len(project.api("GET", f"/pipelines?{query}").json()) == count, query
    assert project.api("GET", "/pipelines?status=x").json() == {"error": "status does not have a valid value"}
    assert project.api("GET", "/pipelines/latest").json()["id"] == number
    assert project.api("DELETE", f"/pipelines/{number}").status_code == 204
    said = project.api("GET", f"/pipelines/{number}")
    assert (said.status_code, said.json()) == (404, {"message": "404 Not found"})


@row("cancel", "retry")
def test_a_pipeline_is_cancelled_and_tried_again(project, runner):
    project.push(
        ci={"a": {"stage": "build", "script": "x"}, "b": {"script": "x"}, "c": {"stage": "deploy", "script": "x"}}
    )
    number = project.pipeline(status="pending")["id"]
    job = runner.take()
    said = project.api("POST", f"/pipelines/{number}/cancel")
    assert (said.status_code, said.json()["status"]) == (200, "canceled")
    for answer in (runner.log(job, "x"), runner.end(job)):
        assert (answer.status_code, answer.headers["Job-Status"]) == (403, "canceled")
        assert answer.json() == {"message": "403 Forbidden - Job is not running"}
    assert set(project.jobs().values()) == {"canceled"}
    said = project.api("POST", f"/pipelines/{number}/retry")
    assert (said.status_code, said.json()["status"]) == (201, "pending")
    assert project.jobs() == {"a": "pending", "b": "created", "c": "created"}
    assert runner.run("failed", failure_reason="script_failure") == "a"
    project.pipeline(status="failed")
    assert project.jobs() == {"a": "failed", "b": "skipped", "c": "skipped"}
    project.api("POST", f"/pipelines/{number}/retry")
    assert [runner.run() for _ in "abc"] == ["a", "b", "c"]
    project.pipeline(status="success")
    every = project.api("GET", f"/pipelines/{number}/jobs?include_retried=true").json()
    assert [j["name"] for j in every].count("a") == 3


@row("redundant")
def test_a_newer_commit_cancels_what_has_not_begun(project, runner):
    first, second = project.push(ci=SHORT), None
    project.pipeline(first, "pending")
    second = project.push()
    project.pipeline(second, "pending")
    assert project.pipeline(first, "canceled")
    job = runner.take()
    assert job["git_info"]["sha"] == second
    project.pipeline(project.push(), "pending")
    assert project.pipeline(second)["status"] == "running"


# -- jobs ------------------------------------------------------------------------------------------------


STAGED = {"a": {"stage": "build", "script": "x"}, "b": {"script": "x"},
          "mend": {"stage": "deploy", "script": "x", "when": "on_failure"},
          "last": {"stage": ".post", "script": "x", "when": "always"}}  # fmt: skip


@row("stages in order", "allowed failure")
def test_stages(project, runner):
    sha = project.push(ci=STAGED)
    project.pipeline(sha, "pending")
    assert project.jobs() == {"a": "pending", "b": "created", "mend": "created", "last": "created"}
    runner.run()
    wait(lambda: project.jobs()["b"] == "pending")
    runner.run("failed")
    wait(lambda: project.jobs() == {"a": "success", "b": "failed", "mend": "pending", "last": "created"})
    assert [runner.run(), runner.run()] == ["mend", "last"]
    assert project.pipeline(sha, "failed")["finished_at"]
    sha = project.push(ci={**STAGED, "b": {"script": "x", "allow_failure": True}})
    assert [runner.run(), runner.run("failed"), runner.run()] == ["a", "b", "last"]
    assert project.pipeline(sha, "success")["detailed_status"]["label"] == "passed with warnings"
    assert project.jobs() == {"a": "success", "b": "failed", "mend": "skipped", "last": "success"}


@row("needs")
def test_needs(project, runner):
    project.push(ci={"a": {"stage": "build", "script": "x"}, "slow": {"stage": "build", "script": "x"},
                     "b": {"script": "x", "needs": ["a"]}, 
                     "c": {"stage": "deploy", "script": "x", "needs": []}})  # fmt: skip
    project.pipeline(status="pending")
    assert project.jobs() == {"a": "pending", "slow": "pending", "b": "created", "c": "pending"}
    assert runner.run() == "a"
    wait(lambda: project.jobs() == {"a": "success", "slow": "pending", "b": "pending", "c": "pending"})


@row("manual", "play")
def test_jobs_by_hand(project, runner):
    project.push(ci={"free": {"stage": "build", "script": "x", "when": "manual"}, "b": {"script": "x"}})
    project.pipeline(status="pending")
    assert project.jobs() == {"free": "manual", "b": "pending"}
    runner.run()
    assert project.pipeline(status="success")
    said = project.api("POST", f"/jobs/{project.number_of('free')}/play")
    assert (said.status_code, said.json()["status"]) == (200, "pending")
    said = project.api("POST", f"/jobs/{project.number_of('free')}/play")
    assert (said.status_code, said.json()) == (400, {"message": "400 Bad request - Unplayable Job"})
    assert values(runner.take())["CI_JOB_MANUAL"] == "true"
    gate = {"stage": "build", "script": "x", "rules": [{"when": "manual"}]}
    sha = project.push(ci={"gate": gate, "b": {"script": "x"}})
    assert project.pipeline(sha, "manual")["detailed_status"]["text"] == "blocked"
    assert project.jobs() == {"gate": "manual", "b": "created"}
    project.api("POST", f"/jobs/{project.number_of('gate')}/play")
    assert [runner.run(), runner.run()] == ["gate", "b"]


@row("job retry", "job cancel", "jobs listed", "retry by the file")
def test_single_jobs(project, runner):
    project.push(ci={"a": {"script": "x"}, "b": {"script": "x", "retry": 1}})
    project.pipeline(status="pending")
    number = project.number_of("a")
    said = project.api("POST", f"/jobs/{number}/retry")
    assert (said.status_code, said.json()) == (403, {"message": "403 Forbidden - Job is not retryable"})
    said = project.api("POST", f"/jobs/{number}/cancel")
    assert (said.status_code, said.json()["status"]) == (201, "canceled")
    again = project.api("POST", f"/jobs/{number}/retry")
    assert again.status_code == 201 and again.json()["id"] > number and again.json()["status"] == "pending"
    assert project.api("POST", f"/jobs/{number}/retry").status_code == 403
    told = project.api("GET", "/jobs?scope=canceled").json()
    assert [j["id"] for j in told] == [number] and "failure_reason" not in told[0]
    assert project.api("GET", "/jobs?scope=x").json() == {"error": "scope does not have a valid value"}
    assert [j["id"] for j in project.api("GET", "/jobs").json()] == sorted((number, number + 1, again.json()["id"]))[
        ::-1
    ]
    assert runner.run("failed") == "b"
    assert [runner.run(), runner.run("failed")] == ["a", "b"]
    project.pipeline(status="failed")
    assert runner.ask().status_code == 204
    assert project.api("GET", "/jobs/0").json() == {"message": "404 Not found"}


@row("stuck", "own job")
def test_a_job_that_is_not_heard_of(host, project, runner):
    project.push(ci={"a": {"script": "x"}, "b": {"script": "x"}, "c": {"script": "x"}})
    job, heard = runner.take(), runner.take()
    own = functools.partial(requests.get, host.url + "/api/v4/job", timeout=30)
    assert own(headers={"JOB-TOKEN": job["token"]}).json()["id"] == job["id"]
    assert own(headers={"JOB-TOKEN": "nonsense"}).status_code == own().status_code == 401
    said = own(headers={"PRIVATE-TOKEN": TOKEN})
    assert (said.status_code, said.json()) == (404, {"message": "404 Job Not Found"})
    assert own(headers={"JOB-TOKEN": heard["token"]}).status_code == 200
    last = project.number_of("c")
    silent(host, 4000, job["id"], last)
    wait(lambda: project.jobs() == {"a": "failed", "b": "running", "c": "pending"})
    silent(host, 90000, last)
    wait(lambda: project.jobs() == {"a": "failed", "b": "running", "c": "failed"})


def silent(host, seconds, *jobs):
    """These jobs were last heard of so long ago, and the server begins to look."""
    update = "UPDATE records SET body = json_set(body, '$.updated', ?) WHERE kind = 'job' AND id = ?"
    with sqlite3.connect(host.root / "var/opt/gitlab/double/store.sqlite") as store:
        for number in jobs:
            store.execute(update, [time.time() - seconds, number])
    host.ctl("restart", "nginx")
    host.wait()


@row("job log", "erase")
def test_a_jobs_log(project, runner):
    project.push(ci=SHORT)
    job = runner.take()
    place = f"/jobs/{job['id']}"
    assert project.api("GET", place + "/trace").content == b""
    said = project.api("POST", place + "/erase")
    assert (said.status_code, said.json()) == (403, {"message": "403 Forbidden - Job is not erasable!"})
    text = f"clone with {job['token']} é\n"
    assert runner.log(job, text.encode()).status_code == 202
    log = project.api("GET", place + "/trace")
    assert log.content.decode() == text.replace(job["token"], "x" * 20)
    assert log.headers["Content-Disposition"] == f'infile; filename="{job["id"]}.log"'
    runner.end(job)
    shown = project.api("GET", place).json()
    assert [a["file_type"] for a in shown["artifacts"]] == ["trace"] and shown["runner"]["description"] == "a runner"
    assert project.api("POST", place + "/erase").status_code == 201
    assert project.api("GET", place + "/trace").content == b""


def zipped(**files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


def sent(runner, job, data, **query):
    place = f"{runner.host.url}/api/v4/jobs/{job['id']}/artifacts"
    headers = {"JOB-TOKEN": job["token"]}
    files = {"file": ("artifacts.zip", data)} if data is not None else {"other": ("a", b"b")}
    return requests.post(place, params=query, headers=headers, files=files, timeout=30)


def in_pieces(runner, job, data):
    """As the real runner sends it: the length is not told before."""
    place = f"{runner.host.url}/api/v4/jobs/{job['id']}/artifacts"
    ready = requests.Request("POST", place, files={"file": ("artifacts.zip", data)}).prepare()
    headers = {"JOB-TOKEN": job["token"], "Content-Type": ready.headers["Content-Type"]}
    pieces = (ready.body[start : start + 100] for start in range(0, len(ready.body), 100))
    return requests.post(place, data=pieces, headers=headers, timeout=30)


@row("files", "artifacts of a job")
def test_artifacts(project, runner):
    keep = {"paths": ["out"], "expire_in": "1 week", "when": "always"}
    project.push(ci={"a": {"stage": "build", "script": "x", "artifacts": keep}, "b": {"script": "x"},
                     "c": {"script": "x", "dependencies": []}})  # fmt: skip
    job = runner.take()
    assert job["artifacts"] == [{"name": None, "untracked": None, **keep, "artifact_type": "archive",
                                 "artifact_format": "zip"}]  # fmt: skip
    data = zipped(out="\0result\r\n")
    place = f"/jobs/{job['id']}/artifacts"
    assert project.api("GET", place).json() == {"message": "404 Not Found"}
    assert runner.host.api("POST", place + "/authorize", None).status_code == 403
    assert sent(runner, job, None).status_code == 400
    assert in_pieces(runner, job, data).status_code == 201
    said = sent(runner, job, data, artifact_type="archive", artifact_format="zip", expire_in="1 week")
    assert (said.status_code, said.text) == (201, "201")
    runner.host.api("PUT", "/application/settings", json={"max_artifacts_size": 0})
    assert sent(runner, job, data).status_code == 413
    runner.host.api("PUT", "/application/settings", json={"max_artifacts_size": 100})
    runner.end(job)
    assert sent(runner, job, data).status_code == 403
    assert project.api("GET", place).content == data
    assert project.api("GET", place + "/out").content == b"\0result\r\n"
    assert project.api("GET", place + "/none").status_code == 404
    shown = project.api("GET", f"/jobs/{job['id']}").json()
    assert shown["artifacts_file"] == {"filename": "artifacts.zip", "size": len(data)}
    assert shown["artifacts_expire_at"] > shown["created_at"]
    second, third = runner.take(), runner.take()
    (needed,) = second["dependencies"]
    assert (needed["name"], needed["artifacts_file"]["size"], third["dependencies"]) == ("a", len(data), [])
    url = f"{runner.host.url}/api/v4/jobs/{needed['id']}/artifacts?direct_download=true"
    got = requests.get(url, headers={"JOB-TOKEN": needed["token"]}, timeout=30)
    assert (got.status_code, got.content) == (200, data)
    assert requests.get(url, headers={"JOB-TOKEN": second["token"]}, timeout=30).status_code == 403
    newest = "/jobs/artifacts/master/download?job=a"
    assert project.api("GET", newest).status_code == 404
    runner.end(second)
    runner.end(third)
    project.pipeline(status="success")
    assert project.api("GET", newest).content == data
    assert project.api("GET", "/jobs/artifacts/master/raw/out?job=a").content == b"\0result\r\n"


# -- the runner's side -----------------------------------------------------------------------------------


@row("job payload", "git_info", "steps", "predefined variables")
def test_the_payload(host, project, runner):
    ci = {"a": {"script": ["x", ["y"]], "before_script": ["first"], "after_script": ["then"], "timeout": "10 minutes",
                "image": {"name": "alpine", "entrypoint": [""]}, "services": ["postgres"], "tags": [],
                "cache": {"key": "k", "paths": ["p"]}, "variables": {"MINE": 1}}}  # fmt: skip
    sha = project.push(text="title\n\nmore", ci=ci)
    number = project.pipeline(sha)["id"]
    answer = wait(lambda: (said := runner.ask()).status_code == 201 and said)
    job = answer.json()
    assert "X-GitLab-Last-Update" not in answer.headers
    assert set(job) == PAYLOAD
    assert job["job_info"] == {"name": "a", "stage": "test", "project_id": project.number, "project_name": project.path}
    assert job["git_info"] == {
        "repo_url": project.remote("gitlab-ci-token", job["token"]), "ref": "master", "sha": sha,
        "before_sha": "0" * 40, "ref_type": "branch", "depth": 50,
        "refspecs": [f"+{sha}:refs/pipelines/{number}", "+refs/heads/master:refs/remotes/origin/master"],
    }  # fmt: skip
    step = {"timeout": 600, "when": "on_success", "allow_failure": False}
    assert job["steps"] == [
        {"name": "script", "script": ["first", "x", "y"], **step},
        {"name": "after_script", "script": ["then"], **step, "when": "always", "allow_failure": True},
    ]
    assert job["runner_info"] == {"timeout": 600, "runner_session_url": None}
    assert job["image"] == {"name": "alpine", "entrypoint": [""], "ports": []}
    assert [s["name"] for s in job["services"]] == ["postgres"] and job["artifacts"] is None
    (cache,) = job["cache"]
    assert (cache["key"], cache["paths"], cache["policy"]) == ("k", ["p"], "pull-push")
    known = values(job)
    assert {k: known[k] for k in EXPECTED} == {
        **EXPECTED, "CI_JOB_ID": str(job["id"]), "CI_COMMIT_SHA": sha, "CI_BUILD_REF": sha, "CI_SERVER_URL": host.url,
        "CI_COMMIT_SHORT_SHA": sha[:8], "CI_PROJECT_PATH": f"root/{project.path}", "CI_JOB_TOKEN": job["token"],
        "CI_PIPELINE_ID": str(number), "CI_REPOSITORY_URL": job["git_info"]["repo_url"],
    }  # fmt: skip
    assert all(isinstance(v["value"], str) for v in job["variables"])
    (token,) = [v for v in job["variables"] if v["key"] == "CI_JOB_TOKEN"]
    assert (token["public"], token["masked"]) == (False, True)
    assert [v["public"] for v in job["variables"] if v["key"] == "MINE"] == [True]
    runner.end(job)
    project.push(ci={"a": {"script": "x", "variables": {"GIT_DEPTH": "0"}}})
    git = runner.take()["git_info"]
    assert git["depth"] == 0 and git["refspecs"][1:] == [
        "+refs/heads/*:refs/remotes/origin/*",
        "+refs/tags/*:refs/tags/*",
    ]


PAYLOAD = {"id", "token", "allow_git_fetch", "job_info", "git_info", "runner_info", "variables", "steps", "image",
           "services", "artifacts", "cache", "credentials", "dependencies", "features"}  # fmt: skip
EXPECTED = {
    "CI": "true", "GITLAB_CI": "true", "CI_SERVER": "yes", "CI_SERVER_NAME": "GitLab", "CI_SERVER_URL": "",
    "CI_SERVER_VERSION": "13.12.15", "CI_JOB_ID": "", "CI_JOB_NAME": "a", "CI_JOB_STAGE": "test", "CI_JOB_TOKEN": "",
    "CI_COMMIT_SHA": "", "CI_COMMIT_SHORT_SHA": "", "CI_COMMIT_REF_NAME": "master", "CI_COMMIT_BRANCH": "master",
    "CI_COMMIT_TITLE": "title", "CI_COMMIT_DESCRIPTION": "more", "CI_COMMIT_REF_PROTECTED": "true",
    "CI_COMMIT_AUTHOR": "a <a@example.org>", "CI_PIPELINE_SOURCE": "push", "CI_PIPELINE_ID": "", "CI_BUILD_REF": "",
    "CI_PROJECT_PATH": "", "CI_DEFAULT_BRANCH": "master", "GITLAB_USER_LOGIN": "root", "CI_REPOSITORY_URL": "",
    "CI_REGISTRY_USER": "gitlab-ci-token", "CI_JOB_IMAGE": "alpine", "CI_NODE_TOTAL": "1", "MINE": "1",
}  # fmt: skip


@row("instance variables in a job", "order of variables")
def test_variables_reach_a_job(host, project, runner):
    place, own = "/admin/ci/variables", f"/projects/{project.number}/variables"
    for where, given in (
        (place, {"key": "HIDDEN", "value": "long-enough", "masked": True}),
        (place, {"key": "GUARDED", "value": "protected", "protected": True}),
        (place, {"key": "PAPER", "value": "text", "variable_type": "file"}),
        (place, {"key": "TWICE", "value": "instance"}),
        (own, {"key": "TWICE", "value": "project"}),
    ):
        assert host.api("POST", where, json=given).status_code == 201
    ci = {"a": {"script": "x", "variables": {"TWICE": "file", "HIDDEN": "file"}}}
    project.push(ci=ci)
    job = runner.take()
    found = {v["key"]: v for v in job["variables"]}
    assert found["HIDDEN"] == {"key": "HIDDEN", "value": "long-enough", "public": False, "masked": True}
    assert found["PAPER"] == {"key": "PAPER", "value": "text", "public": False, "masked": False, "file": True}
    assert (values(job)["TWICE"], values(job)["GUARDED"]) == ("project", "protected")
    runner.end(job)
    project.push("feature")
    other = values(runner.take())
    assert "GUARDED" not in other and other["HIDDEN"] == "long-enough"
    assert other["CI_COMMIT_REF_PROTECTED"] == "false"
    for key in ("HIDDEN", "GUARDED", "PAPER", "TWICE"):
        host.api("DELETE", f"{place}/{key}")


@row("nothing to do", "paused", "tags", "ref_protected", "runner shown", "runners filtered")
def test_who_gets_a_job(host, project, runner):
    idle = runner.ask()
    value = idle.headers["X-GitLab-Last-Update"]
    assert idle.status_code == 204 and re.fullmatch("[0-9a-f]{32}", value)
    assert runner.ask(last_update=value).headers["X-GitLab-Last-Update"] == value
    project.api("PUT", json={"shared_runners_enabled": False})
    project.push(ci=SHORT)
    project.pipeline(status="pending")
    value = runner.ask().headers["X-GitLab-Last-Update"]
    project.api("PUT", json={"shared_runners_enabled": True})
    assert runner.ask(last_update=value).status_code == 204  # nothing is looked up for it
    assert runner.run() == "build"
    value = runner.ask().headers["X-GitLab-Last-Update"]
    tagged = Runner(host, tag_list="docker, fast", run_untagged=False)
    careful = Runner(host, access_level="ref_protected", maximum_timeout=900, tag_list=["careful"])
    assert host.api(
        "POST", "/runners", None, json={"token": careful.asked.stdout.strip(), "maximum_timeout": 10}
    ).json() == {"message": {"maximum_timeout": ["needs to be at least 10 minutes"]}}
    project.push(ci={"a": {"script": "x"}, "b": {"script": "x", "tags": ["fast"]}})
    project.pipeline(status="pending")
    assert tagged.run() == "b" and tagged.ask().status_code == 204
    host.api("PUT", f"/runners/{runner.number}", json={"active": False})
    assert runner.ask().status_code == 204
    host.api("PUT", f"/runners/{runner.number}", json={"active": True})
    assert runner.ask(last_update=value).status_code == 201
    project.push("feature", ci={"a": {"script": "x", "tags": ["careful"]}})
    project.pipeline(status="pending")
    assert careful.ask().status_code == 204
    project.push("master")
    assert careful.take()["runner_info"]["timeout"] == 900
    shown = host.api("GET", f"/runners/{careful.number}").json()
    assert (shown["access_level"], shown["maximum_timeout"], shown["version"]) == ("ref_protected", 900, "13.12.0")
    every = functools.partial(host.api, "GET")
    for query, count in (("tag_list=careful", 1), ("status=online", 3), ("status=paused", 0), ("scope=specific", 0),
                         ("type=project_type", 0), ("status=not_connected", 0), ("scope=shared", 3)):  # fmt: skip
        assert len(every("/runners/all?" + query).json()) == count, query
    assert every("/runners/all?status=x").json() == {"error": "status does not have a valid value"}
    assert len(project.api("GET", "/runners").json()) == 3
    project.api("PUT", json={"shared_runners_enabled": False})
    assert project.api("GET", "/runners").json() == []
    assert shown["tag_list"] == ["careful"] and shown["contacted_at"] and shown["status"] == "online"


@row("feature missing", "exit codes")
def test_what_a_runner_must_be_able_to_do(host, project, runner):
    report = {"reports": {"junit": "r.xml"}}
    project.push(ci={"a": {"script": "x", "artifacts": report}})
    project.pipeline(status="pending")
    assert runner.ask(info={"features": {}}).status_code == 204
    project.pipeline(status="failed")
    project.push(
        ci={"a": {"script": "x", "artifacts": report}, "b": {"script": "x", "allow_failure": {"exit_codes": 7}}}
    )
    (wanted,) = runner.take()["artifacts"]
    assert (wanted["artifact_type"], wanted["artifact_format"], wanted["paths"]) == ("junit", "gzip", ["r.xml"])
    assert runner.run("failed", exit_code=7) == "b"
    jobs = project.api("GET", f"/pipelines/{project.pipeline()['id']}/jobs").json()
    assert {j["name"]: j["allow_failure"] for j in jobs} == {"a": False, "b": True}


@row("job ends", "log chunks")
def test_what_a_runner_tells(project, runner):
    sha = project.push(ci=SHORT)
    project.pipeline(sha, "pending")
    job = runner.take()
    assert project.pipeline(sha, "running")["started_at"]
    answer = runner.log(job, "hello\n")
    assert (answer.status_code, answer.headers["Range"], answer.headers["Job-Status"]) == (202, "0-6", "running")
    assert answer.headers["X-GitLab-Trace-Update-Interval"] == "60"
    for start in (0, 3, 99):
        answer = runner.log(job, "x", start)
        assert (answer.status_code, answer.headers["Range"]) == (416, "0-6")
        assert answer.json() == {"error": "416 Range Not Satisfiable"}
    assert runner.log(job, "more", 6).headers["Range"] == "0-10"
    answer = runner.log(job, "x", **{"Content-Range": None})
    assert (answer.status_code, answer.json()) == (400, {"error": "400 Missing header Content-Range"})
    for wrong in ({**job, "token": "nonsense"}, {**job, "id": 0}):
        for answer in (runner.end(wrong), runner.log(wrong, "x", 10)):
            assert (answer.status_code, answer.json()) == (403, {"message": "403 Forbidden"})
    answer = runner.end(job, "nonsense")
    assert (answer.status_code, answer.text) == (400, "400")
    assert runner.end(job, "running").text == "200" and project.pipeline(sha)["status"] == "running"
    assert runner.end(job).text == "200"
    assert project.pipeline(sha, "success")["detailed_status"]["text"] == "passed"
    for answer in (runner.end(job), runner.log(job, "x", 10)):
        assert (answer.status_code, answer.headers["Job-Status"]) == (403, "success")
    log = project.api("GET", f"/jobs/{job['id']}/trace")
    assert (log.text, log.headers["Content-Type"]) == ("hello\nmore", "text/plain")


def test_a_repository_of_an_older_program_is_served(host, project):
    (bare,) = sorted((host.root / "var/opt/gitlab/git-data").rglob("*.git"), key=lambda p: p.stat().st_mtime)[-1:]
    (bare / "hooks/post-receive").unlink()
    for name in ("receive.advertisePushOptions", "uploadpack.allowAnySHA1InWant"):
        host.git("-C", bare, "config", "--unset", name)
    assert project.pipeline(project.push(ci=SHORT, options=["ci.skip"]), "skipped")


@row("job token and git")
def test_a_jobs_token_clones(host, project, runner):
    sha = project.push(ci=SHORT)
    job = runner.take()
    work, git = host.root / f"clone{project.path}", job["git_info"]
    host.git("init", "-q", work)
    host.git("-C", work, "fetch", "-q", git["repo_url"], *git["refspecs"], "--depth", str(git["depth"]))
    host.git("-C", work, "checkout", "-q", sha)
    assert (work / ".gitlab-ci.yml").exists()
    old = ["-c", "protocol.version=0"]
    host.git(*old, "-C", work, "fetch", "-q", git["repo_url"], f"+{sha}:refs/pipelines/0")
    done = host.git("-C", work, "push", git["repo_url"], "HEAD:refs/heads/other", ok=False)
    assert done.returncode and "You are not allowed to upload code." in done.stderr
    runner.end(job)
    done = host.git("-C", work, "ls-remote", git["repo_url"], ok=False)
    assert done.returncode and "Authentication failed" in done.stderr


@row("registration token reset")
def test_the_registration_token_is_reset(host):
    before = Runner(host)
    assert host.rails("ApplicationSetting.current.reset_runners_registration_token!").returncode == 0
    assert before.ask().status_code in (201, 204)
    old = {"token": before.asked.stdout.strip()}
    assert host.api("POST", "/runners", None, json=old).status_code == 403
    assert Runner(host).asked.stdout != before.asked.stdout


# -- clusters --------------------------------------------------------------------------------------------


def cluster(name="c", url="https://192.0.2.7:16443", token="a-token", **more):
    platform = {"api_url": url, "token": token, **more.pop("platform", {})}
    return {"name": name, "platform_kubernetes_attributes": platform, **more}


@row("cluster added", "cluster's fields missing", "cluster refused", "cluster changed")
def test_clusters(host, project):
    add = functools.partial(host.api, "POST", "/admin/clusters/add")
    named = [f"platform_kubernetes_attributes[{name}]" for name in ("api_url", "token")]
    missing = f"name is missing, {named[0]} is missing, {named[1]} is missing"
    assert add(json={}).json() == {"error": missing}
    assert add(json=cluster(url="")).json() == {"error": f"{named[0]} is empty"}
    said = add(json=cluster())
    shown = said.json()
    assert said.status_code == 201 and "a-token" not in said.text
    assert shown["platform_kubernetes"] == {
        "api_url": "https://192.0.2.7:16443", "namespace": None, "authorization_type": "rbac", "ca_cert": None,
    }  # fmt: skip
    assert (shown["cluster_type"], shown["environment_scope"], shown["managed"]) == ("instance_type", "*", True)
    for given, key, told in (
        (cluster(), "environment_scope", "cannot add duplicated environment scope"),
        (cluster(" ", environment_scope="x"), "name", " has to be present"),
        (cluster(token="", environment_scope="x"), "platform_kubernetes.token", "can't be blank"),
        (cluster(platform={"ca_cert": "x"}), "platform_kubernetes.ca_cert", "must be a valid PEM certificate"),
        (cluster(platform={"namespace": "x"}), "platform_kubernetes.namespace", "only allowed for project cluster"),
    ):
        said = add(json=given)
        assert said.status_code == 400 and said.json()["message"][key] == [told]
    wrong = cluster(platform={"authorization_type": "x"})
    assert add(json=wrong).json()["error"].endswith("[authorization_type] does not have a valid value")
    place = f"/admin/clusters/{shown['id']}"
    change = {"name": "new", "platform_kubernetes_attributes": {"authorization_type": "abac", "token": "other"}}
    said = host.api("PUT", place, json=change).json()
    assert (said["name"], said["platform_kubernetes"]["authorization_type"]) == ("new", "rbac")
    assert [c["name"] for c in host.api("GET", "/admin/clusters").json()] == ["new"]
    form = {"name": "form", named[0]: "https://192.0.2.8", named[1]: "t"}
    said = project.api("POST", "/clusters/user", data=form)
    assert (said.status_code, said.json()["project"]["id"]) == (201, project.number)
    assert said.json()["cluster_type"] == "project_type"
    assert host.api("DELETE", place).status_code == 204
    assert host.api("GET", place).status_code == 404


@row("local address", "local address allowed")
def test_addresses_of_clusters(host):
    def why(url):
        said = host.api("POST", "/admin/clusters/add", json=cluster(url=url))
        if said.status_code == 201:
            host.api("DELETE", f"/admin/clusters/{said.json()['id']}")
            return None
        return said.json()["message"]["platform_kubernetes.api_url"][0].removeprefix("is blocked: ")

    local = "Requests to the local network are not allowed"
    for url, told in (
        ("https://10.1.2.3:16443", local),
        ("https://192.168.3.4", local),
        ("https://127.0.0.1:16443", "Requests to localhost are not allowed"),
        ("https://169.254.1.1", "Requests to the link local network are not allowed"),
        ("ftp://192.0.2.1", "Only allowed schemes are http, https"),
        ("https://-none.invalid", "Hostname or IP address invalid"),
        ("https://none.invalid", None),
        ("https://192.0.2.1:16443", None),
        (host.url, None),
    ):
        assert why(url) == told, url
    settings = functools.partial(host.api, "PUT", "/application/settings")
    settings(json={"outbound_local_requests_allowlist_raw": "10.1.2.3:16443, 192.168.0.0/16"})
    assert [why(f"https://{place}") for place in ("10.1.2.3:16443", "10.1.2.3:443", "192.168.3.4")] == [
        None,
        local,
        None,
    ]
    settings(json={"outbound_local_requests_allowlist_raw": ""})
    settings(json={"allow_local_requests_from_web_hooks_and_services": True})
    assert why("https://10.1.2.3:443") is None and why("https://127.0.0.1") is None
    settings(json={"allow_local_requests_from_web_hooks_and_services": False})


class Cluster:
    """Keeps the objects that it is given; fills in the token of a Secret, as Kubernetes does."""

    def __init__(self):
        self.objects, self.token = {}, "the-clusters-token"

    def answer(self, request):
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return 401, {"kind": "Status", "code": 401}
        if request.method == "GET":
            found = self.objects.get(request.path)
            return (200, found) if found else (404, {"kind": "Status", "code": 404})
        made = request.json()
        if request.path.endswith("/secrets"):
            made["data"] = {"token": base64.b64encode(b"the-accounts-token").decode()}
        self.objects[f"{request.path}/{made['metadata']['name']}"] = made
        return 201, made


@pytest.fixture
def kube(host):
    """A cluster on this machine, which may be called."""
    kube, allow = Cluster(), "allow_local_requests_from_web_hooks_and_services"
    host.api("PUT", "/application/settings", json={allow: True})
    with serving(kube.answer) as web:
        kube.url = web.url
        yield kube
    host.api("PUT", "/application/settings", json={allow: False})
    for joined in host.api("GET", "/admin/clusters").json():
        host.api("DELETE", f"/admin/clusters/{joined['id']}")


DEPLOY = {"a": {"script": "x", "environment": "production"}}


@row("environment, managed cluster", "cluster's variables")
def test_an_environment_in_a_managed_cluster(host, project, runner, kube):
    joined = host.api("POST", "/admin/clusters/add", json=cluster(url=kube.url, token=kube.token))
    assert joined.status_code == 201, joined.text
    project.push(ci={**DEPLOY, "b": {"script": "x"}})
    jobs = {job["job_info"]["name"]: job for job in (runner.take(), runner.take())}
    name = f"{project.path}-{project.number}-production"
    core, rbac = f"/api/v1/namespaces/{name}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
    assert set(kube.objects) == {
        core, f"{core}/serviceaccounts/{name}-service-account", f"{core}/secrets/{name}-token",
        f"{rbac}/rolebindings/gitlab-{name}",
        *(f"{rbac}/roles/gitlab-{kind}-role" for kind in ("knative-serving", "crossplane-database")),
        *(f"{rbac}/rolebindings/gitlab-{kind}-rolebinding" for kind in ("knative-serving", "crossplane-database")),
    }  # fmt: skip
    assert kube.objects[f"{rbac}/rolebindings/gitlab-{name}"]["roleRef"]["name"] == "admin"
    known = values(jobs["a"])
    assert (known["KUBE_URL"], known["KUBE_NAMESPACE"], known["KUBE_TOKEN"]) == (kube.url, name, "the-accounts-token")
    assert known["KUBE_SERVICE_ACCOUNT"] == f"{name}-service-account"
    assert yaml.safe_load(known["KUBECONFIG"])["users"][0]["user"] == {"token": "the-accounts-token"}
    found = {v["key"]: v for v in jobs["a"]["variables"]}
    assert found["KUBE_TOKEN"]["masked"] and not found["KUBE_TOKEN"]["public"] and found["KUBECONFIG"]["file"]
    assert not [key for key in values(jobs["b"]) if key.startswith("KUBE")]
    kube.token = "another"  # it is not asked again
    project.push(ci=DEPLOY)
    assert values(runner.take())["KUBE_TOKEN"] == "the-accounts-token"
    host.api("PUT", f"/admin/clusters/{joined.json()['id']}", json={"enabled": False})
    project.push(ci=DEPLOY)
    assert "KUBE_URL" not in values(runner.take())


@row("environment, it cannot")
@pytest.mark.parametrize(
    "wrong, told",
    [("token", "HTTP Error 401"), ("certificate", "SSL"), ("address", "Requests to localhost are not allowed")],
)
def test_an_environment_whose_namespace_cannot_be_made(host, project, kube, wrong, told):
    url = {"certificate": kube.url.replace("http:", "https:")}.get(wrong, kube.url)
    token = "wrong" if wrong == "token" else kube.token
    assert host.api("POST", "/admin/clusters/add", json=cluster(url=url, token=token)).status_code == 201
    if wrong == "address":
        host.api("PUT", "/application/settings", json={"allow_local_requests_from_web_hooks_and_services": False})
    project.push(ci=DEPLOY)
    assert project.pipeline(status="failed") and not kube.objects
    assert project.jobs() == {"a": "failed"}
    log = (host.root / "var/log/gitlab/nginx/current").read_text()
    (line,) = re.findall(rf"job {project.number_of('a')}: unmet prerequisites: (.*)", log)
    assert told in line and kube.token not in log


@row("environment, cluster not managed", "environment's name")
def test_an_environment_in_a_cluster_that_is_not_managed(host, project, runner, kube):
    pem = self_signed(host.root)[0].read_text()
    joined = cluster(
        url=kube.url, token=kube.token, managed=False, environment_scope="review/*", platform={"ca_cert": pem}
    )
    assert host.api("POST", "/admin/clusters/add", json=joined).status_code == 201
    project.push("b", ci={"a": {"script": "x", "environment": {"name": "review/$CI_COMMIT_REF_NAME"}}})
    known = values(runner.take())
    assert known["CI_ENVIRONMENT_NAME"] == "review/b" and re.fullmatch(
        "review-b-[0-9a-f]{6}", known["CI_ENVIRONMENT_SLUG"]
    )
    assert known["KUBE_NAMESPACE"] == f"{project.path}-{project.number}-{known['CI_ENVIRONMENT_SLUG']}"
    assert (known["KUBE_TOKEN"], known["KUBE_CA_PEM"], known["KUBE_CA_PEM_FILE"]) == (kube.token, pem, pem)
    assert not kube.objects and "KUBE_SERVICE_ACCOUNT" not in known
    project.push("b", ci=DEPLOY)
    assert "KUBE_URL" not in values(runner.take())
