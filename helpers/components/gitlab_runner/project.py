"""The project whose pipeline proves the runner: root/runbook-runner."""

from __future__ import annotations

import base64

import gitlab

from helpers.components.gitlab_runner.layout import HERE, NAME, PROJECT
from helpers.core.actions import Action

PATH = "root/" + PROJECT


class Project:
    """The project, in a GitLab. image: of its job's container."""

    def __init__(self, git, image):
        self.git = git
        text = (HERE / "proof.yml").read_text("utf-8").replace("@IMAGE@", image).replace("@TAG@", NAME)
        self.files = {".gitlab-ci.yml": text, "proof.py": (HERE / "proof.py").read_text("utf-8")}

    def made(self):
        """Action: the project is there, with these files."""
        return Action(
            "POST /api/v4/projects   ({}: {})".format(PATH, ", ".join(sorted(self.files))),
            self.why_not,
            self._make,
            self._delete,
            self._why_still_there,
        )

    def found(self):
        """The project; None when there is none."""
        try:
            return self.git.api().projects.get(PATH)
        except gitlab.GitlabGetError as e:
            if e.response_code != 404:
                raise
            return None

    def why_not(self):
        """None when it is there with these files, else why not."""
        project = self.found()
        if project is None:
            return f"there is no project {PATH}"
        return next((why for why in (self._why_other(project, name) for name in sorted(self.files)) if why), None)

    def _why_other(self, project, name):
        text = self._text(project, name)
        if text is None:
            return f"{PATH} has no {name}"
        return None if text == self.files[name] else f"{name} of {PATH} has another text"

    def _text(self, project, name):
        try:
            found = project.files.get(name, ref=project.default_branch or "master")
        except gitlab.GitlabGetError as e:
            if e.response_code != 404:
                raise
            return None
        return base64.b64decode(found.content).decode("utf-8", "replace")

    def _make(self):
        project = self.found() or self.git.api().projects.create({"name": PROJECT, "visibility": "private"})
        there = {name: self._text(project, name) for name in self.files}
        actions = [
            {"action": "create" if there[name] is None else "update", "file_path": name, "content": text}
            for name, text in sorted(self.files.items())
            if there[name] != text
        ]
        said = "What proves the runner [ci skip]"
        branch = project.default_branch or "master"
        project.commits.create({"branch": branch, "commit_message": said, "actions": actions})

    def _delete(self):
        project = self.found()
        if project is not None:
            project.delete()

    def _why_still_there(self):
        return f"the project {PATH} is there" if not self.git.away() and self.found() else None
