"""The project, its storages, tasks and annotations, against a small server and a small S3 gateway."""

import json

import pachd
import pytest
from google.protobuf.empty_pb2 import Empty

from helpers.components.label_studio.annotations import Annotations
from helpers.components.label_studio.config import default_config
from helpers.components.label_studio.gateway import OURS, why_no_pair
from helpers.components.label_studio.project import Project
from helpers.components.label_studio.proofs import Proofs
from helpers.components.pachyderm.client import Client
from helpers.core import host as hosts
from helpers.core.errors import RunbookError, Unmet

from python_pachyderm.proto.pfs import pfs_pb2 as pfs  # isort: skip - the client sets grpc's environment first


def project(ls, gateway=None):
    return Project(ls, gateway, title="fmnist", config=default_config(), source="master.fmnist", labels="master.labels")


@pytest.fixture
def there(known, gateway):
    """A project that Label Studio has, as number 3, with two files and a task for one of them."""
    made = project(known, gateway)
    gateway.buckets.update({"master.fmnist": {"a/1.png": b"one", "b/2.png": b"two", "note.txt": b"-"}})
    gateway.buckets["master.labels"] = {}
    routes = known.server.routes
    routes["GET", "/api/projects/"] = {"results": [{"id": 3, "title": "fmnist", "label_config": default_config()}]}
    task = {"id": 11, "data": {"image": "s3://master.fmnist/a/1.png"}, "annotations": []}
    routes["GET", "/api/projects/3/tasks/"] = [task]
    return made


def test_source_and_labels_are_two_branches_of_repositories():
    assert why_no_pair("master.a", "master.b") is None
    assert why_no_pair("master.a", "master.a") and why_no_pair("a", "master.b") and why_no_pair("a.b.c", "master.b")
    assert why_no_pair("master.a", "labels.a") == "master.a and labels.a", "remove would delete the source"


def test_a_project_is_made_and_one_with_another_config_is_changed(known):
    routes, step = known.server.routes, project(known).exists()
    routes["GET", "/api/projects/"] = []
    assert step.probe() == "there is no project fmnist"
    step.apply()
    assert known.server.sent("POST") == [("/api/projects/", {"title": "fmnist", "label_config": default_config()})]
    routes["GET", "/api/projects/"] = [{"id": 3, "title": "fmnist", "label_config": "<View/>"}]
    assert step.probe() == "its labelling config is another"
    step.apply()
    assert known.server.sent("PATCH") == [("/api/projects/3/", {"label_config": default_config()})]


def test_a_storage_is_made_and_one_with_another_setting_is_changed(there):
    routes, server, step = there.ls.server.routes, there.ls.server, there.source_storage()
    routes["GET", "/api/storages/s3"] = []
    assert step.probe() == "the project has no source storage"
    step.apply()
    ((path, made),) = server.sent("POST")
    assert path == "/api/storages/s3" and made["project"] == 3 and made["presign"] is False
    assert "presign: false" in step.shown[0] and "title" not in step.shown[0]
    routes["GET", "/api/storages/s3"] = [dict(made, id=5)]
    assert step.probe() is None
    routes["GET", "/api/storages/s3"] = [dict(made, id=5, presign=True, bucket="x")]
    assert step.probe() == "another bucket, presign than ours"
    step.apply()
    assert server.sent("PATCH")[-1][0] == "/api/storages/s3/5"


def test_a_prefix_that_the_gateway_cannot_list_is_taken_away(there):
    routes, step = there.ls.server.routes, there.source_storage()
    routes["GET", "/api/storages/s3"] = []
    step.apply()
    ((_, made),) = there.ls.server.sent("POST")
    routes["GET", "/api/storages/s3"] = [dict(made, id=5, prefix="images/")]
    assert step.probe() == "another prefix than ours"
    step.apply()
    assert there.ls.server.sent("PATCH")[-1][1]["prefix"] is None
    for none in (None, ""):
        routes["GET", "/api/storages/s3"] = [dict(made, id=5, prefix=none)]
        assert step.probe() is None


def test_a_second_storage_of_the_same_bucket_goes_and_those_of_others_stay(there):
    routes, step = there.ls.server.routes, there.source_storage()
    routes["GET", "/api/storages/s3"] = [{"id": 2, "title": "mine", "bucket": "elsewhere"}]
    assert step.probe() == "the project has no source storage"
    step.apply()
    assert not there.ls.server.sent("PATCH"), "somebody's storage is not made ours"
    ((_, made),) = there.ls.server.sent("POST")
    routes["GET", "/api/storages/s3"] += [dict(made, id=5), dict(made, id=6, title="by hand")]
    assert step.probe().startswith("2 source storages lead to master.fmnist")
    step.apply()
    assert there.ls.server.sent("DELETE") == [("/api/storages/s3/6", None)]


def test_a_file_that_two_syncs_made_a_task_twice_keeps_the_annotated_one(there):
    routes, server, step = there.ls.server.routes, there.ls.server, there.synced()

    def task(number, key, *annotations):
        return {"id": number, "data": {"image": "s3://master.fmnist/" + key}, "annotations": list(annotations)}

    tasks = [task(11, "a/1.png"), task(12, "b/2.png"), task(13, "a/1.png", {"id": 1}), task(14, "b/2.png")]
    routes["GET", "/api/projects/3/tasks/"] = tasks
    for number in (11, 14):
        routes["DELETE", f"/api/tasks/{number}/"] = lambda _, n=number: (
            200,
            tasks.remove(next(t for t in tasks if t["id"] == n)),
        )
    assert step.probe() == "2 files are a task more than once, like a/1.png"
    assert there.task("a/1.png")["id"] == 13
    step.apply()
    assert [t["id"] for t in tasks] == [12, 13] and step.probe() is None and not server.sent("POST")


def test_a_project_without_a_task_is_synced(there):
    routes, step = there.ls.server.routes, there.synced()
    made = [{"id": n, "data": {"image": f"s3://master.fmnist/{key}"}} for n, key in enumerate(there.keys())]
    routes["GET", "/api/projects/3/tasks/"] = []
    assert step.probe() == "2 files are no task yet, like a/1.png"
    routes["GET", "/api/storages/s3"] = [{"id": 5}]

    def sync(_):
        routes["GET", "/api/projects/3/tasks/"] = made
        return 200, {"status": "completed"}

    routes["POST", "/api/storages/s3/5/sync"] = sync
    step.apply()
    assert step.probe() is None


def test_1_0_is_told_nothing_that_it_does_not_know(make):
    old = project(make("label-studio-2021"))
    assert "recursive_scan" not in old.source_storage().shown[0]
    assert "can_delete_objects" not in old.target_storage().shown[0]
    assert "can_delete_objects: true" in project(make()).target_storage().shown[0]


def test_a_sync_that_fails_says_why(there):
    routes, step = there.ls.server.routes, there.synced()
    assert step.probe() == "1 files are no task yet, like b/2.png", "the config shows pictures only"
    routes["GET", "/api/storages/s3"] = [{"id": 5}]
    routes["POST", "/api/storages/s3/5/sync"] = {"status": "failed", "traceback": "Traceback:\nNoSuchBucket: gone\n"}
    with pytest.raises(RunbookError) as e:
        step.apply()
    assert e.value.saw == "NoSuchBucket: gone"
    with pytest.raises(Unmet) as e:
        Proofs(Annotations(there), None).every_file_is_a_task()
    assert e.value.saw == "1 of them missing, like b/2.png"


def test_a_branch_without_files_is_said(there):
    there.gateway.buckets["master.fmnist"] = {"note.txt": b"-"}
    with pytest.raises(Unmet) as e:
        Annotations(there).first().probe()
    assert e.value.expected == "files in master.fmnist" and "none" in e.value.saw


def test_what_the_gateway_lacks_is_said_with_the_entry_that_fits(gateway, serve):
    gateway.buckets.update({"master.fmnist": {}, "dev.fmnist": {}})
    gateway.has("master.fmnist")
    for bucket, saw in (
        ("main.fmnist", "repository fmnist has no branch main (it has dev, master)"),
        ("master.images", "there is no repository images (or it has no branch yet)"),
    ):
        with pytest.raises(Unmet) as e:
            gateway.has(bucket)
        assert e.value.saw == saw and e.value.entry == "ls-source"
    serve.stop()
    with pytest.raises(Unmet) as e:
        gateway.has("master.fmnist")
    assert e.value.saw.startswith("the S3 gateway does not answer") and e.value.entry == "ls-gateway"


def repositories(**descriptions):
    """pachd's answer: these repositories, each with its description."""
    made = [pfs.RepoInfo(repo=pfs.Repo(name=name), description=text) for name, text in descriptions.items()]
    return pfs.ListRepoResponse(repo_info=made)


@pytest.mark.parametrize(
    ("there", "by_older", "goes"),
    [
        ({"labels": OURS}, False, True),
        ({"labels": ""}, False, False),  # somebody's, that was here before
        ({"labels": "our team's"}, False, False),
        ({"labels": ""}, True, True),
        ({"others": OURS}, False, False),
    ],
)
def test_remove_deletes_the_repository_that_the_chapter_made_alone(gateway, monkeypatch, there, by_older, goes):
    deleted = []
    answers = {
        "ListRepo": repositories(**there),
        "DeleteRepo": lambda request: deleted.append((request.repo.name, request.force)) or Empty(),
    }
    monkeypatch.setattr(gateway.pach.ch.own, "by_older", by_older)
    monkeypatch.setattr(type(gateway.pach.ch.host), "ask", lambda self, script: hosts.Probe(False, "still there"))
    with pachd.running(**answers) as port:
        gateway.pach._client = Client("127.0.0.1", port)
        action = gateway.bucket("master.labels")
        assert action.absent() == ("repository labels is there" if goes else None)
        action.undo()
    assert deleted == [("labels", False)] * goes


def test_a_pachd_that_is_silent_proves_no_repository_away(gateway, monkeypatch):
    deleted, answer = [], hosts.Probe(False, "still there")
    monkeypatch.setattr(type(gateway.pach.ch.host), "ask", lambda self, script: answer)
    answers = {"ListRepo": "etcd is away", "DeleteRepo": lambda request: deleted.append(request) or Empty()}
    with pachd.running(**answers) as port:
        gateway.pach._client = Client("127.0.0.1", port)
        action = gateway.bucket("master.labels")
        for ask in (action.absent, action.undo):
            with pytest.raises(RunbookError, match="ask pachd"):
                ask()
        answer = hosts.Probe(True, "")
        assert action.absent() is None, "there is no Pachyderm any more"
    assert not deleted


def test_an_older_runbooks_repository_is_marked_by_the_next_install(gateway, monkeypatch):
    made = []
    gateway.buckets["master.labels"] = {}
    monkeypatch.setattr(gateway.pach.ch.own, "by_older", True)
    answers = {
        "ListRepo": lambda request: repositories(labels=OURS if made else ""),
        "CreateRepo": lambda r: made.append((r.repo.name, r.description, r.update)) or Empty(),
        "CreateBranch": Empty(),
    }
    with pachd.running(**answers) as port:
        gateway.pach._client = Client("127.0.0.1", port)
        action = gateway.bucket("master.labels")
        assert action.probe() == "repository labels does not say whose it is"
        action.apply()
        assert made == [("labels", OURS, True)] and action.probe() is None


@pytest.mark.parametrize("there", [[], ["my_labels"]])
def test_a_repository_with_an_underscore_is_made_by_pachyderms_own_api(gateway, there):
    """An S3 client refuses to make such a bucket; Pachyderm's repositories often have one."""
    made = []

    def note(kind, name):
        return lambda request: made.append((kind, name(request))) or Empty()

    answers = {
        "ListRepo": repositories(**dict.fromkeys(there, "")),
        "CreateRepo": note("repo", lambda r: r.repo.name),
        "CreateBranch": note("branch", lambda r: (r.branch.repo.name, r.branch.name)),
    }
    with pachd.running(**answers) as port:
        gateway.pach._client = Client("127.0.0.1", port)
        gateway.bucket("master.my_labels").apply()
    assert made == [("repo", "my_labels")][len(there) :] + [("branch", ("my_labels", "master"))]
    gateway.buckets["master.my_labels"] = {"1": b"{}"}
    assert gateway.bucket("master.my_labels").probe() is None and gateway.keys("master.my_labels") == ["1"]


def test_the_first_annotation_is_made_anew_and_looked_for_in_the_repository(there):
    annotations, server = Annotations(there), there.ls.server
    step = annotations.first()
    with pytest.raises(Unmet) as e:
        step.probe()
    assert e.value.expected == "a/1.png is labelled T-shirt/top"
    server.routes["POST", "/api/tasks/11/annotations/"] = lambda content: (200, dict(content, id=21, task=11))
    step.apply()
    made = dict(server.sent("POST")[-1][1], id=21, task=11)
    server.routes["GET", "/api/projects/3/tasks/"][0]["annotations"] = [made]
    with pytest.raises(Unmet) as e:
        step.probe()
    assert e.value.saw == "it is not there"
    stored = there.gateway.buckets["master.labels"]
    stored.update({"19": b"no JSON", "20": b"[]", "21": json.dumps(dict(made, task={"id": 11})).encode()})
    assert step.probe() is None and annotations.first_has_landed() == "a/1.png: T-shirt/top"
    stored["21"] = json.dumps(dict(made, task=12)).encode()
    with pytest.raises(Unmet) as e:
        step.probe()
    assert e.value.saw.startswith("another in 21: ")
    step.apply()
    newest = dict(server.sent("POST")[-1][1], id=22, task=11)
    server.routes["GET", "/api/projects/3/tasks/"][0]["annotations"] = [newest, made]
    stored["22"] = json.dumps(newest).encode()
    assert step.probe() is None and server.sent("DELETE") == [], "its forerunner stays, and the newest counts"


def test_boxes_of_people_are_no_annotations_of_ours(there):
    there.config = (
        '<View><Image name="i" value="$image"/><RectangleLabels name="b" toName="i"><Label value="Bag"/>'
        "</RectangleLabels></View>"
    )
    server, step = there.ls.server, Annotations(there).first()
    box = {"from_name": "b", "to_name": "i", "type": "rectanglelabels", "value": {"rectanglelabels": ["Bag"]}}
    server.routes["GET", "/api/projects/3/tasks/"][0]["annotations"] = [{"id": 7, "result": [box]}]
    with pytest.raises(Unmet) as e:
        step.probe()
    assert e.value.expected == "a/1.png is labelled "
    step.apply()
    assert server.sent("DELETE") == []
    assert server.sent("POST")[-1][1]["result"] == []


@pytest.mark.parametrize(
    "value, says",
    [("data:image/png;base64,dHdv", None), ("http://elsewhere/x?key=1", "a link elsewhere: http://elsewhere/x")],
)
def test_a_picture_comes_from_label_studio_itself(there, value, says):
    routes = there.ls.server.routes
    routes["GET", "/api/projects/3/tasks/"].append({"id": 12, "data": {"image": "s3://master.fmnist/b/2.png"}})
    routes["GET", "/api/tasks/12/"] = {"data": {"image": value}}
    proof = Proofs(Annotations(there), None).picture_arrives
    if says is None:
        assert proof() == "b/2.png, 3 bytes"
        there.gateway.buckets["master.fmnist"]["b/2.png"] = b"three"
        says = "others (3 bytes)"
    with pytest.raises(Unmet) as e:
        proof()
    assert e.value.saw == says
