"""Asks a GitLab by python-gitlab 2.9.0, and prints each call with its result as a row. Runs in the client's own venv.

python gitlab_calls.py URL TOKEN REGISTRATION_TOKEN
"""

from __future__ import annotations

import itertools
import sys
import time

import gitlab

FILE = {"file_path": "d/a.txt", "branch": "master", "content": "hello", "commit_message": "one"}
ACTIONS = [{"action": "create", "file_path": "b.txt", "content": "more"}]
PERSON = {"email": "calls@example.org", "name": "C", "username": "caller", "password": "long-enough"}


def project(gl, p):
    yield "projects.create, taken", lambda: gl.projects.create({"name": "calls"})
    yield "projects.get by path", lambda: gl.projects.get("root/calls").path_with_namespace
    yield "projects.list(as_list=False).total", lambda: gl.projects.list(as_list=False, search="calls").total
    yield "files.create", lambda: p.files.create(FILE).file_path
    yield "files.create, there", lambda: p.files.create(FILE)
    yield "files.get().decode()", lambda: p.files.get("d/a.txt", ref="master").decode()
    yield "files.raw", lambda: p.files.raw("d/a.txt", ref="master")
    commit = {"branch": "master", "commit_message": "two", "actions": ACTIONS}
    yield "commits.create", lambda: p.commits.create(commit).title
    yield "commits.list", lambda: [c.title for c in p.commits.list()]
    yield "branches.create", lambda: p.branches.create({"branch": "dev", "ref": "master"}).name
    yield "branches.list", lambda: [b.name for b in p.branches.list()]
    yield "branches.delete", lambda: p.branches.delete("dev")
    yield "variables.create", lambda: p.variables.create({"key": "A", "value": "b"}).environment_scope


def pipelines(gl, p):
    yield "pipelines.list, none", lambda: p.pipelines.list()
    yield "pipelines.create, no file", lambda: p.pipelines.create({"ref": "master"})
    ci = {"file_path": ".gitlab-ci.yml", "branch": "master", "content": CI, "commit_message": "three [skip ci]"}
    yield "files.create, .gitlab-ci.yml", lambda: p.files.create(ci).file_path
    yield "pipelines.create, no such ref", lambda: p.pipelines.create({"ref": "nonsense"})
    given = {"ref": "master", "variables": [{"key": "A", "value": "b"}]}
    yield "pipelines.create", lambda: p.pipelines.create(given).ref

    def pending():
        return until("a pipeline", lambda: p.pipelines.list(status="pending"))

    yield "pipelines.list(status=pending)", lambda: [x.ref for x in pending()]
    run = newest(p)
    yield "pipeline.variables.list", lambda: [(v.key, v.value) for v in run.variables.list()]
    yield "pipeline.jobs.list", lambda: [(j.name, j.status) for j in run.jobs.list()]
    yield "jobs.list(scope=manual)", lambda: [j.name for j in p.jobs.list(scope="manual")]
    yield "job.trace, none yet", lambda: named(p, "one").trace()
    yield "job.artifacts, none", lambda: named(p, "one").artifacts()
    yield "job.retry, pending", lambda: named(p, "one").retry()
    yield "job.play, pending", lambda: named(p, "one").play()
    yield "job.play", lambda: (named(p, "by-hand").play(), named(p, "by-hand").status)[1]
    yield "job.cancel", lambda: (named(p, "one").cancel(), named(p, "one").status)[1]
    yield "pipeline.cancel", lambda: (run.cancel(), p.pipelines.get(run.id).status)[1]
    yield "pipeline.retry", lambda: (run.retry(), p.pipelines.get(run.id).status)[1]
    yield "pipeline.delete", lambda: run.delete()
    yield "lint", lambda: gl.lint("job: {script: 'true'}")
    yield "lint, invalid", lambda: gl.lint("job: {image: a}")


CI = "one: {script: echo}\nby-hand: {script: echo, when: manual}\n"


def until(what, ask):
    """As serving.until, of which this environment has nothing: python-gitlab alone is there."""
    for _ in range(300):
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("waited 30 s for " + what)


class newest:
    """The newest pipeline, when it is asked for something."""

    def __init__(self, project):
        self.project = project

    def __getattr__(self, name):
        return getattr(self.project.pipelines.list()[0], name)


def named(project, name):
    return project.jobs.get(next(j.id for j in project.jobs.list() if j.name == name))


def runners(gl, p, registration):
    new = {"token": registration, "description": "calls", "info": {"name": "calls"}, "tag_list": "a,b"}
    made = gl.runners.create(new)
    yield "runners.create", lambda: sorted(made.attributes)
    yield "runners.create, wrong token", lambda: gl.runners.create({**new, "token": "wrong"})
    yield "runners.verify", lambda: gl.runners.verify(made.token)
    yield "runners.verify, wrong token", lambda: gl.runners.verify("wrong")
    yield "runners.list", lambda: gl.runners.list()
    yield "runners.all", lambda: [(r.description, r.status) for r in gl.runners.all()]
    runner = gl.runners.get(made.id)
    yield "runner.save", lambda: saved(runner, "tag_list", ["c"])
    p.pipelines.create({"ref": "master"})
    job = until("a job", lambda: asked(gl, made.token))
    yield "http_post, jobs/request", lambda: job["job_info"]["name"]
    yield "job.status", lambda: p.jobs.get(job["id"]).status
    done = {"token": job["token"], "state": "success"}
    yield "http_put, jobs/ID", lambda: gl.http_put(f"/jobs/{job['id']}", post_data=done)
    yield "job.status, ended", lambda: p.jobs.get(job["id"]).status
    yield "http_put, jobs/ID, ended", lambda: gl.http_put(f"/jobs/{job['id']}", post_data=done)
    yield "runner.delete", lambda: runner.delete()


def asked(gl, token):
    """A job; None for an empty answer, which python-gitlab leaves as it is."""
    said = gl.http_post("/jobs/request", post_data={"token": token})
    return said if isinstance(said, dict) else None


def administration(gl):
    masked = {"key": "CALLS", "value": "long-enough", "masked": True}
    yield "auth, wrong token", lambda: gitlab.Gitlab(gl.url, private_token="wrong").auth()
    yield "version", lambda: gl.version()[0]
    yield "variables.create, masked", lambda: gl.variables.create(masked).masked
    yield "variables.create, not maskable", lambda: gl.variables.create({**masked, "key": "B", "value": "a b"})
    yield "variables.delete", lambda: gl.variables.delete("CALLS")
    yield "settings.save", lambda: saved(gl.settings.get(), "signup_enabled", False)
    yield "users.create", lambda: gl.users.create(PERSON).username
    yield "users.create, taken", lambda: gl.users.create(PERSON)
    yield "users.block", lambda: gl.users.list(username="caller")[0].block()
    yield "users.delete", lambda: gl.users.list(username="caller")[0].delete()
    yield "http_get, clusters", lambda: gl.http_get("/admin/clusters")


def saved(thing, name, value):
    setattr(thing, name, value)
    thing.save()
    return getattr(thing, name)


def result(call):
    try:
        return repr(call())
    except gitlab.exceptions.GitlabError as error:
        return f"{type(error).__name__}: {error}"


def main(url, token, registration):
    gl = gitlab.Gitlab(url, private_token=token)
    gl.auth()
    made = gl.projects.create({"name": "calls"})
    parts = project(gl, made), pipelines(gl, made), runners(gl, made, registration), administration(gl)
    for name, call in itertools.chain(*parts):
        print(f"| {name} | {result(call)} |")
    print(f"| projects.delete | {result(made.delete)} |")
    print(f"| projects.get, deleted | {result(lambda: gl.projects.get(made.id))} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
