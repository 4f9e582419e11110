"""The project: its labelling config, its two storages on Pachyderm's gateway, and a task for each file."""

from __future__ import annotations

import re
import urllib.parse

from helpers.components.label_studio import config as configs
from helpers.core.actions import Action
from helpers.core.errors import RunbookError, Unmet

_SOURCES, _TARGETS = "/api/storages/s3", "/api/storages/export/s3"
#: how the titles of our storages begin
_TITLE = "Pachyderm "
_NOT_IN_1_0 = ("recursive_scan", "can_delete_objects")


class Project:
    """One project that shows the files of a bucket and keeps what people say about them in another.

    ls: its LabelStudio.  gateway: the Gateway with the buckets.  title, config: its name and labelling config.
    source, labels: buckets, <branch>.<repository>.
    """

    def __init__(self, ls, gateway, *, title, config, source, labels):  # noqa: PLR0913 - its keywords are its face
        self.ls, self.gateway, self.title, self.config = ls, gateway, title, config
        self.source, self.labels = source, labels
        self._id = None

    def exists(self):
        """Action: the project exists, with this labelling config."""
        lines = len(self.config.splitlines())
        return Action(
            f"POST /api/projects/   (title {self.title}, labelling config of {lines} lines)",
            self._why_not_as_wanted,
            self._make,
        )

    def _why_not_as_wanted(self):
        found = self._find()
        if found is None:
            return "there is no project " + self.title
        return None if configs.same(found["label_config"], self.config) else "its labelling config is another"

    def _make(self):
        found, wanted = self._find(), {"label_config": self.config}
        if found is None:
            self.ls.api("POST", "/api/projects/", dict(wanted, title=self.title))
        else:
            self.ls.api("PATCH", f"/api/projects/{found['id']}/", wanted)
        self._id = None

    def _find(self):
        said = self.ls.api("GET", "/api/projects/?page_size=1000")
        every = said if isinstance(said, list) else said["results"]
        return next((project for project in every if project["title"] == self.title), None)

    @property
    def id(self):
        """The project's number. Unmet when it is not there."""
        if self._id is None:
            found = self._find()
            if found is None:
                raise Unmet("project " + self.title, "there is none")
            self._id = found["id"]
        return self._id

    def source_storage(self):
        """Action: it has one source storage of ours, the source bucket. Storages of others stay."""
        # presign: a browser does not reach the gateway, so Label Studio hands the pictures on itself.
        pattern = configs.file_pattern(self.config)
        wanted = {"use_blob_urls": True, "regex_filter": pattern, "presign": False, "recursive_scan": True}
        return self._storage("source", _SOURCES, self.source, wanted)

    def target_storage(self):
        """Action: it has one target storage of ours, the labels' bucket. Storages of others stay."""
        return self._storage("target", _TARGETS, self.labels, {"can_delete_objects": True})

    def _storage(self, kind, path, bucket, settings):
        wanted = dict({"title": _TITLE + bucket, "bucket": bucket}, **settings)
        if self.ls.old:
            wanted = {key: value for key, value in wanted.items() if key not in _NOT_IN_1_0}
        shown = ", ".join(f"{key}: {_shown(value)}" for key, value in wanted.items() if key != "title")
        return Action(
            f"POST {path}   ({shown})",
            lambda: self._why_no_storage(kind, path, wanted),
            lambda: self._set_storage(path, wanted),
        )

    def _storages(self, path):
        return self.ls.api("GET", f"{path}?project={self.id}")

    def _ours(self, path, wanted):
        """Ours by their titles, or by what they lead to."""
        found = self._storages(path)
        return [s for s in found if str(s.get("title")).startswith(_TITLE) or s.get("bucket") == wanted["bucket"]]

    def _why_no_storage(self, kind, path, wanted):
        found = self._ours(path, wanted)
        if not found:
            return f"the project has no {kind} storage"
        if len(found) > 1:
            return f"{len(found)} {kind} storages lead to {wanted['bucket']}: with each, a file is a task once more"
        other = sorted(key for key in wanted if found[0].get(key) != wanted[key])
        if found[0].get("prefix"):  # the gateway knows no newer way of listing, which one with a prefix needs
            other.append("prefix")
        return f"another {', '.join(other)} than ours" if other else None

    def _set_storage(self, path, wanted):
        found, content = self._ours(path, wanted), dict(wanted, project=self.id)
        if not found:
            self.ls.api("POST", path, content)
            return
        if found[0].get("prefix"):
            content["prefix"] = None
        self.ls.api("PATCH", f"{path}/{found[0]['id']}", content)
        for surplus in found[1:]:  # its tasks stay
            self.ls.api("DELETE", f"{path}/{surplus['id']}")

    def synced(self):
        """Action: each file of the source is a task."""
        return Action(f"POST {_SOURCES}/<id>/sync", self._why_not_synced, self._sync)

    def _why_not_synced(self):
        tasks = self._tasks_of_keys()
        missing = sorted(set(self.keys()) - set(tasks))
        if missing:
            return f"{len(missing)} files are no task yet, like {missing[0]}"
        twice = sorted(key for key, found in tasks.items() if _surplus(found))
        return f"{len(twice)} files are a task more than once, like {twice[0]}" if twice else None

    def _sync(self):
        if set(self.keys()) - set(self.tasks()):
            self._ask_for_tasks()
        for found in self._tasks_of_keys().values():
            for task in _surplus(found):
                self.ls.api("DELETE", f"/api/tasks/{task['id']}/")
        self.ls.ch.wait("the tasks", lambda: self._why_not_synced() is None)

    def _ask_for_tasks(self):
        for storage in self._storages(_SOURCES):
            said = self.ls.api("POST", f"{_SOURCES}/{storage['id']}/sync", timeout=600)
            if said and said.get("status") == "failed":
                why = (said.get("traceback") or "failed").strip().split("\n")[-1]
                do = "See the chapter's Troubleshooting."
                raise RunbookError("sync the source storage", self.ls.ch.host.name, why, do)
        self.ls.ch.wait("the tasks", lambda: set(self.keys()) <= set(self.tasks()))

    def keys(self):
        """The keys in the source that Label Studio would show. Unmet when there is no bucket, or nothing in it."""
        pattern = configs.file_pattern(self.config)
        found = [key for key in self.gateway.keys(self.source) if re.match(pattern, key)]
        if not found:
            raise Unmet(f"files in {self.source}", "none that this labelling config can show")
        return found

    def tasks(self):
        """{key in the source: task}, each with its annotations."""
        return {key: found[0] for key, found in self._tasks_of_keys().items()}

    def _tasks_of_keys(self):
        """{key in the source: its tasks}, the first one the one that was annotated, or made, first."""
        # Not by an export: that leaves a file on the host each time, and 1.0.1's leaves out what was just annotated.
        tasks = {}
        for task in self.every_task():
            for key in keys_of(task):
                tasks.setdefault(key, []).append(task)
        return {key: sorted(found, key=_annotated_first) for key, found in tasks.items()}

    def every_task(self):
        """All tasks, also those that are no file of the source, each with its annotations."""
        path = f"/api/projects/{self.id}/tasks/?page_size=1000000"
        try:
            return self.ls.api("GET", path, timeout=300)
        except Unmet as e:
            if not e.saw.startswith("404"):
                raise
            return []  # the project is there: a page of no tasks is not found (1.23.2)

    def task(self, key):
        """The task of a file. Unmet when there is none."""
        task = self.tasks().get(key)
        if task is None:
            raise Unmet("a task for " + key, "there is none")
        return task


def keys_of(task):
    """The keys of the files of a bucket that a task shows; none for what somebody uploaded."""
    values = [value for value in task["data"].values() if isinstance(value, str) and value.startswith("s3://")]
    return [urllib.parse.urlsplit(value).path.lstrip("/") for value in values]


def _annotated_first(task):
    return not task.get("annotations"), task["id"]


def _surplus(tasks):
    """Tasks of a file that two syncs at once, or two storages, made beside the first; never one with annotations."""
    return [task for task in tasks[1:] if not task.get("annotations")]


def _shown(value):
    return str(value).lower() if isinstance(value, bool) else value
