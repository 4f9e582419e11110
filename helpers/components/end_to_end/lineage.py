"""From a prediction back to what it was made from: each link is looked up in the system that has it."""

from __future__ import annotations

from typing import NamedTuple

from helpers.components.end_to_end import checkpoints as kept
from helpers.components.end_to_end import labels as labelled
from helpers.components.end_to_end import pictures
from helpers.components.end_to_end.registered import Registered
from helpers.components.label_studio.config import chosen
from helpers.components.pachyderm.drawing import graph
from helpers.core import show
from helpers.core.errors import Unmet

_SHORT = 8
#: 0.15.3's terminatedDuration (master/internal/command/command.go) is 24 hours; it writes no command down
FORGOTTEN = "forgotten: the master keeps an ended command for a day, and none over its restart"


class Link(NamedTuple):
    """One link. what: its kind; name: which one; asked: the system that was asked; found: what that said."""

    what: str
    name: str
    asked: str
    found: str


class Lineage:
    """Looks up what a prediction of `serving` was made from.

    delivery: the pipelines; checkpoints: the bucket; det: Determined; labels, pictures: the stages' own.
    """

    def __init__(self, serving, delivery, checkpoints, det):
        self.serving, self.delivery, self.checkpoints, self.det = serving, delivery, checkpoints, det
        self.pictures, self.labels = delivery.pictures, delivery.labels
        self.registry = Registered(serving.kube.ch, "clothes")

    def of(self, picture):
        """The links of a prediction on one of pictures.unseen(), the prediction first. Unmet at a broken one."""
        path, label, rows = picture
        answer = self.serving.ask([rows])
        commit = answer.revision
        links = [Link("prediction", answer.classes()[0], "Seldon", f"{path}, which the model never saw")]
        links += [self._image(answer.image), self._commit(commit), self._pipeline(commit), self._checkpoint(answer)]
        note = self.checkpoints.note(commit)
        data = self._data(commit, note)
        links += [self._task(note["task"], commit), *self._labels(data["labels"]), *self._pictures(data["pictures"])]
        return links

    def _image(self, image):
        asked, runs = self.serving.image_that_runs()
        digest = asked.partition("@")[2]
        if not digest or asked != image or digest not in runs:
            raise Unmet(f"a pod that runs {image}", f"asked for {asked}, runs {runs}", "e2e-lineage")
        return Link("image", digest, "Kubernetes", asked)

    def _commit(self, commit):
        said = self.delivery.repo.api().http_get(self.delivery.repo.url(f"/repository/commits/{commit}"))
        return Link("commit", commit, "GitLab", "{}, {}".format(said["title"], said["author_name"]))

    def _pipeline(self, commit):
        found = self.delivery.newest(sha=commit, status="success")
        if not found:
            raise Unmet(f"a pipeline of commit {commit[:_SHORT]} that ended well", "there is none", "e2e-lineage")
        names = ", ".join(job["name"] for job in self.delivery.jobs(found["id"]))
        return Link("pipeline", str(found["id"]), "GitLab", names)

    def _checkpoint(self, answer):
        """In MinIO and in the image's layer: the same bytes, and the image says the same commit."""
        commit, digest = answer.revision, answer.image.partition("@")[2]
        there = self.checkpoints.bytes(commit)
        if self.registry.file(digest, "opt/model/checkpoint.json") != there:
            raise Unmet("the checkpoint of MinIO in the image", "another one", "e2e-lineage")
        built = self.registry.labels(digest).get("org.opencontainers.image.revision")
        if built != commit:
            raise Unmet(f"an image of commit {commit[:_SHORT]}", f"the registry says {built}", "e2e-lineage")
        right, many = kept.right_of(self.checkpoints.read(commit))
        return Link("checkpoint", kept.key_of(commit), "MinIO, registry", f"{right} of {many} unseen pictures")

    def _data(self, commit, note):
        """What the repository said to train on, and the checkpoint says that it was trained on."""
        data = self.delivery.repo.data(commit)
        wanted = (data["pictures"]["commit"], data["labels"]["commit"], commit)
        if (note["pictures"], note["labels"], note["revision"]) != wanted:
            raise Unmet("a checkpoint of what data.json names", "another one's", "e2e-lineage")
        return data

    def _task(self, task, commit):
        """Determined's master keeps an ended command for a day, in memory: then the checkpoint alone tells of it."""
        who = labelled.TITLE
        found = self.det.ask("GET", f"/commands/{task}", token=self.det.token(who))
        if found is None:
            return Link("task", task, "Determined", FORGOTTEN)
        if commit not in found["config"]["description"]:
            raise Unmet(f"a task of commit {commit[:_SHORT]}", found["config"]["description"], "e2e-lineage")
        return Link("task", task, "Determined", "{}: {}".format(found["state"].lower(), found.get("exit_status", "")))

    def _labels(self, source):
        """The labels' commit, and the label that it brought."""
        info = self.pictures.commit(source["repo"], source["commit"])
        stored = self.labels.stored(source["commit"])
        links = [Link("labels", info.commit.id, "Pachyderm", f"{len(stored)} labels at {_when(info.finished)}")]
        newest = self._brought(info, stored)
        said = self.labels.ls.api("GET", f"/api/annotations/{newest['id']}/")
        about = "{} on {}".format(", ".join(chosen(newest["result"])) or "nothing", labelled.picture_of(newest))
        now = "" if said["result"] == newest["result"] else "; changed since"
        return [*links, Link("label", str(newest["id"]), "Label Studio", about + now)]

    def _brought(self, info, stored):
        """The annotation that this commit changed or brought."""
        before = self.labels.stored(info.parent_commit.id) if info.parent_commit.id else {}
        new = [each for name, each in stored.items() if before.get(name) != each]
        return max(new or stored.values(), key=lambda a: a["id"])

    def _pictures(self, source):
        info = self.pictures.commit(source["repo"], source["commit"])
        origin = [p.commit for p in info.provenance if p.commit.repo.name == pictures.REPOSITORY]
        if not origin:
            raise Unmet(f"outlines of {pictures.REPOSITORY}", "of nothing", "e2e-lineage")
        many = len(self.pictures.names(pictures.REPOSITORY, origin[0].id))
        return [
            Link("outlines", info.commit.id, "Pachyderm", "drawn by the pipeline " + pictures.OUTLINES),
            Link("pictures", origin[0].id, "Pachyderm", f"{many} pictures"),
        ]


def _when(stamp):
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")


#: what is drawn: from what each kind of link was made
_MADE_FROM = [
    ("pictures", "outlines"),
    ("outlines", "task"),
    ("label", "labels"),
    ("labels", "task"),
    ("commit", "pipeline"),
    ("pipeline", "task"),
    ("task", "checkpoint"),
    ("checkpoint", "image"),
    ("image", "prediction"),
]
_PROGRAMS = ("task", "pipeline")


def show_links(ch, links):
    """The table of the links, and their picture."""
    rows = [(each.what, show.varying(short(each)), each.asked, show.varying(each.found)) for each in links]
    ch.table(("what", "which", "asked", "it says"), rows)
    nodes, edges = drawn(links)
    text = "\n".join(f"{a} -> {b}" for a, b in _MADE_FROM)
    show.display(text, f"<!--varies-->{graph(nodes, edges)}<!--/varies-->")


def short(link):
    """A link's name without what nobody reads."""
    name = link.name.rpartition("/")[2].replace("sha256:", "").replace(".json", "")
    return name[:12] if len(name) > 24 else name


def drawn(links):
    """(nodes, edges) for drawing.graph: what is kept as boxes, what runs as pills."""
    names = {each.what: ("pipeline:" if each.what in _PROGRAMS else "repo:") + each.what for each in links}
    nodes = {names[each.what]: short(each) for each in links}
    return nodes, [(names[a], names[b]) for a, b in _MADE_FROM if a in names and b in names]
