"""What people made of pictures and labels keeps remove from taking it: a small pachd, and what Label Studio answers."""

import pachd
import pytest
import stand_in

from helpers.components.end_to_end import labels, pictures
from helpers.components.label_studio import gateway
from helpers.components.label_studio.config import answer, default_config
from helpers.components.pachyderm import dataset
from helpers.core.errors import RunbookError

from python_pachyderm.proto.pfs import pfs_pb2 as pfs  # isort: skip - pachd sets grpc's environment first

OURS = sorted(pictures.learnt())


class LabelStudio:
    """Its API, with one project of our title and these tasks."""

    old, gone = False, False

    def away(self):
        return self.gone

    def __init__(self, tasks, description=labels.OURS):
        self.said = {
            "/api/projects/?page_size=1000": [{"id": 3, "title": "clothes", "description": description}],
            "/api/projects/3/tasks/?page_size=1000000": tasks,
        }

    def api(self, method, path, content=None, timeout=0):
        return self.said[path]


def task(number, path, *said):
    """A task of this picture with these labels."""
    results = ([{"value": {"choices": each}}] if each else [] for each in said)
    return {"id": number, "data": {"image": path}, "annotations": [{"id": 1, "result": each} for each in results]}


def shown(path):
    return f"s3://master.clothes/{path}"


def as_install_does():
    wrong = labels.wrong_labels()
    return [task(n, shown(path), [wrong.get(path, labels.true_label(path))]) for n, path in enumerate(OURS)]


def test_what_lay_in_a_label_studio_that_is_gone_went_with_it():
    """Remove once more, when chapter 10 is away too: there is no token that could be asked with."""
    ls = LabelStudio([])
    ls.gone, ls.said = True, {}
    made = labels.made(ls, None, default_config())
    assert made.why_peoples() is None and made.exists().absent() is None


def of(tasks, **project):
    return labels.made(LabelStudio(tasks, **project), None, default_config()).why_peoples()


def test_the_labels_that_install_gives_and_corrects_are_nobody_elses():
    tasks = as_install_does()
    assert len(labels.wrong_labels()) == 10 and of(tasks) is None and of([]) is None
    assert of([task(n, shown(path), [labels.true_label(path)]) for n, path in enumerate(OURS)]) is None
    assert of([task(n, shown(path)) for n, path in enumerate(OURS)]) is None, "cut off before it labelled"
    made = [labels.chosen(answer(default_config(), n)) for n in range(len(dataset.LABELS))]
    assert made == [[label] for label in dataset.LABELS], "as install sends them"


@pytest.mark.parametrize(
    "more, told",
    [
        (task(90, shown(OURS[0]), ["Bag"]), OURS[0]),
        (task(90, shown(OURS[0]), [labels.true_label(OURS[0])], [labels.true_label(OURS[0])]), OURS[0]),
        (task(90, shown(OURS[0]), []), OURS[0]),
        (task(90, shown("mine/1.png"), ["Bag"]), "mine/1.png"),
        (task(90, "/data/upload/3/x.png"), "task 90"),
    ],
)
def test_labels_and_uploads_of_people_are_named(more, told):
    assert of([*as_install_does(), more]) == f"1 pictures of project clothes have labels of people: {told}"
    assert of([more], description="mine") is None, "somebody's project stays"


@pytest.fixture
def asked(monkeypatch, own_home):
    """asked(files, **answers): why_peoples of a Pachyderm with these files in clothes."""
    chapters = []

    def ask(files, gone=False, **answers):
        chapters.append(stand_in.chapter(monkeypatch, "end_to_end", lambda script, stdin: "" if gone else (1, "", "")))
        there = pachd.holding({"clothes": files, "clothes_labels": {}})
        there["ListRepo"] = repositories(pictures.OURS)
        with pachd.asked(chapters[-1], **dict(there, **answers)) as pach:
            return pictures.Pictures(pach).why_peoples()

    yield ask
    for ch in chapters:
        ch.close()


def repositories(description):
    infos = [("clothes", description), ("clothes_labels", gateway.OURS)]
    return pfs.ListRepoResponse(repo_info=[pfs.RepoInfo(repo=pfs.Repo(name=n), description=d) for n, d in infos])


def test_the_pictures_that_install_puts_are_nobody_elses(asked):
    assert asked(pictures.learnt()) is None
    assert asked(dict(list(pictures.learnt().items())[:3])) is None, "cut off"


def test_pictures_of_people_are_named_added_or_changed(asked):
    said = asked(dict(pictures.learnt(), **{"mine/1.png": b"x", OURS[0]: b"y"}))
    assert said == f"2 files of clothes are people's: mine/1.png, {OURS[0]}"


def test_branches_of_people_are_named(asked):
    names = ("master", "trial")
    there = pfs.BranchInfos(branch_info=[pfs.BranchInfo(name=n, head=pfs.Commit(id="head")) for n in names])
    assert asked(pictures.learnt(), ListBranch=there) == "branch trial of clothes, branch trial of clothes_labels"


def test_what_stays_or_is_gone_is_not_asked_for(asked):
    assert asked({"x": b"x"}, ListRepo=repositories("mine")) is None
    assert asked({"x": b"x"}, gone=True, ListRepo="etcd is away") is None


def test_a_pachyderm_that_cannot_tell_is_no_proof(asked):
    with pytest.raises(RunbookError, match="ask pachd"):
        asked({}, ListRepo="etcd is away")
    with pytest.raises(RunbookError, match="ask pachd"):
        asked({}, WalkFile="etcd is away")
    said = asked({}, ListCommitStream=[pfs.CommitInfo(commit=pfs.Commit(id="c"))])
    assert said == "the newest commit of clothes was begun and never finished"
