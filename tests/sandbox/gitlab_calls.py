"""Asks a GitLab by python-gitlab 2.9.0, and prints each call with its result as a row. Runs in the client's own venv.

python gitlab_calls.py URL TOKEN
"""

from __future__ import annotations

import sys

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
    yield "pipelines.list", lambda: p.pipelines.list()
    yield "jobs.list", lambda: p.jobs.list()


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
    yield "runners.all", lambda: gl.runners.all()
    yield "lint", lambda: gl.lint("job: {script: 'true'}")


def saved(thing, name, value):
    setattr(thing, name, value)
    thing.save()
    return getattr(thing, name)


def result(call):
    try:
        return repr(call())
    except gitlab.exceptions.GitlabError as error:
        return f"{type(error).__name__}: {error}"


def main(url, token):
    gl = gitlab.Gitlab(url, private_token=token)
    gl.auth()
    made = gl.projects.create({"name": "calls"})
    for name, call in [*project(gl, made), *administration(gl)]:
        print(f"| {name} | {result(call)} |")
    print(f"| projects.delete | {result(made.delete)} |")
    print(f"| projects.get, deleted | {result(lambda: gl.projects.get(made.id))} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
