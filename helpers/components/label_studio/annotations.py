"""What people say about the pictures: annotations in Label Studio, and each as an object in the labels' repository."""

from __future__ import annotations

import json
import re

from helpers.components.label_studio.config import answer, chosen
from helpers.core.actions import Action
from helpers.core.errors import Unmet


class Annotations:
    """The annotations of a Project, there and in its labels' bucket."""

    def __init__(self, project):
        self.project, self.ls, self.gateway = project, project.ls, project.gateway

    def add(self, key, n):
        """Give a file the config's n-th label, as a person's browser does; returns the annotation."""
        path = "/api/tasks/{}/annotations/".format(self.project.task(key)["id"])
        result = answer(self.project.config, n)
        return self.ls.api("POST", path, {"result": result, "was_cancelled": False, "lead_time": 1.0})

    def delete(self, annotation):
        """Delete it in Label Studio; later versions than 1.0 delete its object, too."""
        self.ls.api("DELETE", "/api/annotations/{}/".format(annotation["id"]))

    def first(self):
        """Action: the first file has the config's first label, and the labels' repository has that annotation."""
        label = ", ".join(self._first_label()) or "no label"
        shown = f"POST /api/tasks/<id>/annotations/   (the first file: {label})"
        return Action(shown, self._why_not_landed, self._make_first)

    def first_has_landed(self):
        """The first file's annotation is in the labels' repository as Label Studio has it."""
        key, label = self.project.keys()[0], ", ".join(self._first_label())
        ours = self._first_of(key)
        if not ours:
            raise Unmet(f"{key} is labelled {label}", "it is not")
        self.stored(max(ours, key=lambda a: a["id"]))
        return f"{key}: {label}"

    def _why_not_landed(self):
        self.first_has_landed()  # an error says why not

    def _make_first(self):
        # One more, and the newest counts: what stands there may be a person's.
        self.add(self.project.keys()[0], 0)

    def _first_label(self):
        return chosen(answer(self.project.config, 0))

    def _first_of(self, key):
        """The file's annotations that say the config's first label; where it has none, those that say nothing."""
        label = self._first_label()
        there = self.project.task(key)["annotations"]
        return [a for a in there if (chosen(a["result"]) == label if label else not a["result"])]

    def stored(self, annotation):
        """(key, content) of the object that holds this annotation. Unmet when there is none, or it differs."""
        labels, number = self.project.labels, str(annotation["id"])
        # Its name tells its annotation's number, in one way or another: that one first.
        for key in sorted(self.gateway.keys(labels), key=lambda key: re.sub("[^0-9]", "", key) != number):
            content = self._content(key)
            if content.get("id") != annotation["id"]:
                continue
            if not _same(content, annotation):
                saw = f"another in {key}: {json.dumps(content['result'])[:80]}"
                raise Unmet("the annotation as Label Studio has it", saw)
            return key, content
        raise Unmet(f"annotation {number} in {labels}", "it is not there")

    def _content(self, key):
        """The JSON object in an object of the labels' bucket; {} when it is none."""
        try:
            content = json.loads(self.gateway.read(self.project.labels, key).decode())
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def _same(content, annotation):
    task = content.get("task")
    number = task["id"] if isinstance(task, dict) else task
    return content["result"] == annotation["result"] and annotation.get("task") in (None, number)
