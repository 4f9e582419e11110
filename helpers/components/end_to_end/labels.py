"""Stage 2: people's labels, by Label Studio, back into a repository of Pachyderm. Ten of them are wrong at first."""

from __future__ import annotations

import json
import urllib.parse

from helpers.components.end_to_end import pictures
from helpers.components.label_studio.config import answer, chosen
from helpers.components.label_studio.gateway import Gateway
from helpers.components.label_studio.project import Project, keys_of
from helpers.components.pachyderm import dataset
from helpers.components.pachyderm.repositories import BRANCH
from helpers.core.actions import Action

TITLE, OURS = "clothes", "the runbook's pictures of clothes"
#: who labels mixes these up: {what is on the picture: (what is said, of how many of its pictures)}
_MIXED_UP = {"Pullover": ("Coat", 4), "Sandal": ("Sneaker", 4), "Shirt": ("T-shirt/top", 2)}


def true_label(path):
    """The class of a picture, as its folder tells."""
    return dataset.LABELS[int(path.partition("_")[0])]


def wrong_labels():
    """{path: label} of the ten that are labelled wrongly at first."""
    found = {}
    for label, (said, many) in _MIXED_UP.items():
        of_it = [path for path in sorted(pictures.learnt()) if true_label(path) == label]
        found.update(dict.fromkeys(of_it[:many], said))
    return found


def made(ls, pach, config):
    """The Labels in the project that shows the pictures. ls: a LabelStudio; pach: a Pachyderm."""
    source, target = f"{BRANCH}.{pictures.REPOSITORY}", f"{BRANCH}.{pictures.LABELS}"
    return Labels(Project(ls, Gateway(pach), title=TITLE, config=config, source=source, labels=target))


class Labels:
    """The labels in a label_studio Project, and in its labels' repository."""

    def __init__(self, project):
        self.project, self.ls, self.gateway = project, project.ls, project.gateway
        self._stored = {}

    def why_others(self):
        """None when no project of our title is somebody's, else that it is."""
        found = self._found()
        return f"there is a project {TITLE} of somebody's" if found and found["description"] != OURS else None

    def why_peoples(self):
        """For remove: None when the project's labels are all as install gave them; else how many are people's."""
        found = self._found()
        if not found or found["description"] != OURS:
            return None  # it stays
        theirs = [task for task in self.project.every_task() if _is_peoples(task)]
        named = ", ".join((keys_of(task) or [f"task {task['id']}"])[0] for task in theirs[:3])
        return f"{len(theirs)} pictures of project {TITLE} have labels of people: {named}" if theirs else None

    def _found(self):
        """The project of our title; None when there is none."""
        if self.ls.away():
            return None
        said = self.ls.api("GET", "/api/projects/?page_size=1000")
        every = said if isinstance(said, list) else said["results"]
        return next((project for project in every if project["title"] == TITLE), None)

    def exists(self):
        """Action: the project exists, and says that it is ours. Remove deletes it."""
        made = self.project.exists()
        return made.but(
            probe=lambda: made.probe() or self.why_others(),
            apply=lambda: (made.apply(), self._mark()),
            undo=lambda: self.ls.api("DELETE", "/api/projects/{}/".format(self._found()["id"])),
            absent=lambda: f"project {TITLE} is there" if (self._found() or {}).get("description") == OURS else None,
        )

    def _mark(self):
        self.ls.api("PATCH", f"/api/projects/{self.project.id}/", {"description": OURS})

    def newest(self):
        """{path: the newest annotation} of the pictures that are labelled."""
        found = {key: task["annotations"] for key, task in self.project.tasks().items()}
        return {key: max(said, key=lambda a: a["id"]) for key, said in found.items() if said}

    def labelled(self):
        """Action: each picture has a label, ten of them a wrong one, as a person's browser would send them."""
        many = len(pictures.learnt())
        shown = f"POST /api/tasks/<id>/annotations/   ({many} pictures, {len(wrong_labels())} of them wrong on purpose)"
        return Action(shown, self._why_not_labelled, self._label)

    def _why_not_labelled(self):
        bare = sorted(set(pictures.learnt()) - set(self.newest()))
        return f"{len(bare)} pictures have no label, like {bare[0]}" if bare else self._why_not_landed()

    def _label(self):
        tasks, there, wrong = self.project.tasks(), self.newest(), wrong_labels()
        for path in sorted(set(pictures.learnt()) - set(there)):
            content = {"result": self._result(wrong.get(path, true_label(path))), "lead_time": 1.0}
            self.ls.api("POST", "/api/tasks/{}/annotations/".format(tasks[path]["id"]), content)
        self.ls.ch.wait("the labels in their repository", lambda: self._why_not_landed() is None)

    def _result(self, label):
        return answer(self.project.config, dataset.LABELS.index(label))

    def corrected(self):
        """Action: the ten wrong labels are made right."""
        shown = f"PATCH /api/annotations/<id>/   ({len(wrong_labels())} labels)"
        return Action(shown, self.why_not_corrected, self._correct)

    def why_not_corrected(self):
        """None when each of the ten says what is on the picture, here and in the repository."""
        bad = self._still_wrong()
        return f"{len(bad)} labels are wrong, like that of {min(bad)}" if bad else self._why_not_landed()

    def _still_wrong(self):
        there = self.newest()
        return {
            path: there.get(path)
            for path in wrong_labels()
            if path not in there or chosen(there[path]["result"]) != [true_label(path)]
        }

    def _correct(self):
        for path, annotation in sorted(self._still_wrong().items()):
            content = {"result": self._result(true_label(path))}
            self.ls.api("PATCH", "/api/annotations/{}/".format(annotation["id"]), content)
        self.ls.ch.wait("the labels in their repository", lambda: self._why_not_landed() is None)

    def _why_not_landed(self):
        """None when the repository has each annotation as Label Studio has it."""
        kept = {each["id"]: each["result"] for each in self.stored(self.head()).values()}
        late = [a["id"] for a in self.newest().values() if kept.get(a["id"]) != a["result"]]
        return f"annotation {late[0]} is not in the repository" if late else None

    def head(self):
        """The id of the labels' newest commit; "" while there is none."""
        return self.gateway.head(self.project.labels)

    def stored(self, commit):
        """{file: annotation} as they are in a commit of the labels' repository, which never changes."""
        if commit not in self._stored:
            self._stored[commit] = self._read(commit) if commit else {}
        return self._stored[commit]

    def _read(self, commit):
        client, repo = self.gateway.pach.client, pictures.LABELS
        names = [f.file.path for f in client.walk_file((repo, commit), "/") if f.file_type == 1]
        return {name.lstrip("/"): json.loads(client.get_file((repo, commit), name).read().decode()) for name in names}

    def wrong_in(self, commit):
        """Which of the ten a commit of the labels' repository has wrong, sorted."""
        said = {}
        for each in sorted(self.stored(commit).values(), key=lambda a: a["id"]):
            said[picture_of(each)] = chosen(each["result"])
        return sorted(path for path in wrong_labels() if said.get(path) != [true_label(path)])


def _is_peoples(task):
    """Has somebody labelled it, other than install does, or uploaded it? Install gives one label a picture."""
    said = [chosen(annotation["result"]) for annotation in task.get("annotations") or []]
    path = next(iter(keys_of(task)), None)
    if path not in pictures.learnt():
        return path is None or bool(said)  # that of somebody's picture: Pictures.why_peoples
    return len(said) > 1 or any(each not in ([true_label(path)], [wrong_labels().get(path)]) for each in said)


def picture_of(annotation):
    """The path of the picture that an annotation in the repository is about."""
    value = next(iter(annotation["task"]["data"].values()))
    return urllib.parse.urlsplit(value).path.lstrip("/")
