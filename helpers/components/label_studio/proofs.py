"""What chapter 10 proves of Label Studio, through the SSH connection."""

from __future__ import annotations

import base64
import contextlib
import json

from helpers.components.label_studio.client import NotLetIn
from helpers.components.label_studio.config import chosen
from helpers.core.errors import Unmet


class Proofs:
    """Proofs of a Service and of a project's Annotations."""

    def __init__(self, annotations, service):
        self.annotations, self.service = annotations, service
        self.project, self.ls, self.gateway = annotations.project, annotations.ls, annotations.gateway

    def wrong_token_is_refused(self):
        """No token, a made-up one of either kind: 401 for each."""
        with self.ls.talk() as client:
            for headers in ({}, {"Authorization": "Token " + "0" * 40}, {"Authorization": "Bearer x.y.z"}):
                said = client.get("/api/projects/", headers=headers)
                if said.status_code != 401:
                    raise Unmet("401 without our token", str(said.status_code))

    def wrong_password_is_refused(self):
        """Our user with another password is not let in."""
        try:
            self.ls.session("not-the-password").close()
        except NotLetIn:
            return
        raise Unmet("refused", "it was let in")

    def strangers_cannot_sign_up(self):
        """The sign-up form makes no user without an invitation's link."""
        with self.ls.talk() as client:
            client.get("/user/login/")
            # Without a password: where sign-up is open, the form is shown again, and no account is made either.
            form = {"email": "stranger@example.com", "csrfmiddlewaretoken": client.cookies.get("csrftoken", "")}
            said = client.post("/user/signup/", data=form)
        if said.status_code != 403:
            raise Unmet("403 for a stranger's sign-up", str(said.status_code))

    def every_file_is_a_task(self):
        """Each file of the source is a task. Returns how many."""
        keys, tasks = self.project.keys(), self.project.tasks()
        missing = sorted(set(keys) - set(tasks))
        if missing:
            raise Unmet(f"{len(keys)} tasks", f"{len(missing)} of them missing, like {missing[0]}")
        return f"{len(keys)} files, {len(tasks)} tasks"

    def picture_arrives(self):
        """A browser that is logged in gets the last task's file, byte for byte as Pachyderm has it."""
        key = self.project.keys()[-1]
        wanted, number = self.gateway.read(self.project.source, key), self.project.task(key)["id"]
        with contextlib.closing(self.ls.session()) as client:
            task = client.get(f"/api/tasks/{number}/").raise_for_status().json()
            status, got = _fetched(client, next(iter(task["data"].values())))
        if got != wanted:
            other = "others" if got else f"status {status}"
            raise Unmet(f"{len(wanted)} bytes of {key}", f"{other} ({len(got)} bytes)")
        return f"{key}, {len(got)} bytes"

    def annotation_lands(self):
        """Give the last file the config's last label: a new commit of the labels' repository holds it.

        It is deleted again, in both.
        """
        key, before = self.project.keys()[-1], self.gateway.head(self.project.labels)
        made, name = self.annotations.add(key, -1), None
        try:
            name, content = self.annotations.stored(made)
            commit = self._new_commit(before, name, content)
        finally:
            self.annotations.delete(made)
            if name:
                self.gateway.delete(self.project.labels, name)  # 1.0.1 deletes nothing there
        return "{}: {}, in commit {}".format(key, ", ".join(chosen(made["result"])), commit[:8])

    def _new_commit(self, before, name, content):
        """The labels' newest commit: another than before, with this JSON in the file of that name."""
        bucket = self.project.labels
        commit = self.gateway.head(bucket)
        if commit == before:
            raise Unmet("a new commit in " + bucket.split(".")[1], "the same as before")
        if json.loads(self.gateway.read_committed(bucket, commit, name).decode()) != content:
            raise Unmet("what the S3 gateway has", "another in commit " + commit[:8])
        return commit

    def survives_restart(self):
        """Tasks and labels are still there when the service was restarted."""
        self.service.restart()
        return self.every_file_is_a_task()


def _fetched(client, value):
    """(status code, bytes) of a task's picture as the page gets it. Unmet when it would go elsewhere for it."""
    if value.startswith("data:"):
        return 200, base64.b64decode(value.partition(",")[2])
    if not value.startswith("/"):
        raise Unmet("a file handed on by Label Studio", "a link elsewhere: " + value.split("?")[0])
    said = client.get(value)
    return said.status_code, said.content if said.status_code == 200 else b""
