"""The links of a prediction, as they are found, shown and drawn; and what is another chapter's stays so."""

import io
import json
import tarfile

import pytest
import stand_in
from serving import serving

from helpers.components.determined import forms
from helpers.components.end_to_end import lineage
from helpers.components.end_to_end.cluster import Cluster
from helpers.components.end_to_end.lineage import Lineage, Link
from helpers.components.end_to_end.others import Lent
from helpers.components.end_to_end.registered import Registered
from helpers.core.errors import BadInput, Unmet
from helpers.core.secrets import SecretStore

COMMIT, DIGEST = "c" * 40, "sha256:" + "d" * 64
LINKS = [Link(what, what + "-1", "a system", "said") for pair in lineage._MADE_FROM for what in pair]


class Serving:
    """What runs: the image that the pod was asked to run, and the one that it runs."""

    def __init__(self, asked, runs):
        self.image_that_runs = lambda: (asked, runs)
        self.kube = self
        self.ch = None


def found(serving):
    """A Lineage of nothing but this."""
    it = Lineage.__new__(Lineage)
    it.serving = serving
    return it


def test_each_link_but_the_last_leads_to_another_and_all_to_the_prediction():
    nodes, edges = lineage.drawn(LINKS)
    assert len(nodes) == 10 and len(edges) == 9
    starts = {a for a, _ in edges}
    assert [n for n in nodes if n not in starts] == ["repo:prediction"]
    assert {n for n in nodes if n.startswith("pipeline:")} == {"pipeline:task", "pipeline:pipeline"}


@pytest.mark.parametrize(
    "name, shown",
    [
        ("checkpoints/" + COMMIT + ".json", "c" * 12),
        (DIGEST, "d" * 12),
        ("Sneaker", "Sneaker"),
        ("45", "45"),
    ],
)
def test_names_are_shown_as_people_read_them(name, shown):
    assert lineage.short(Link("x", name, "", "")) == shown


def test_a_pod_that_runs_another_image_than_the_one_that_answers_breaks_the_chain():
    image = "localhost:32000/clothes@" + DIGEST
    good = found(Serving(image, "localhost:32000/clothes@" + DIGEST))
    assert good._image(image).name == DIGEST
    for asked, runs in ((image, "localhost:32000/clothes@sha256:" + "0" * 64), ("localhost:32000/clothes:1", image)):
        with pytest.raises(Unmet, match="a pod that runs"):
            found(Serving(asked, runs))._image(image)


def test_a_checkpoint_of_other_commits_than_data_json_names_breaks_the_chain():
    class Delivery:
        class repo:
            @staticmethod
            def data(commit):
                return {"pictures": {"commit": "p"}, "labels": {"commit": "l"}}

    it = found(None)
    it.delivery = Delivery
    note = {"pictures": "p", "labels": "l", "revision": COMMIT}
    assert it._data(COMMIT, note)["labels"]["commit"] == "l"
    with pytest.raises(Unmet, match="data.json"):
        it._data(COMMIT, dict(note, labels="another"))


def test_a_task_that_the_master_forgot_is_said_to_be_a_day_old_or_from_before_its_restart():
    class Master:
        @staticmethod
        def token(who):
            return "a-token"

        @staticmethod
        def ask(method, path, token):
            assert (method, path) == ("GET", "/commands/t-1")

    it = found(None)
    it.det = Master
    link = it._task("t-1", COMMIT)
    assert (link.what, link.name, link.asked) == ("task", "t-1", "Determined")
    assert "for a day" in link.found and "none over its restart" in link.found


def test_an_images_commit_and_checkpoint_are_read_from_the_registry(monkeypatch, own_home):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        info = tarfile.TarInfo("opt/model/checkpoint.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    blobs = {
        "/v2/clothes/manifests/" + DIGEST: {"config": {"digest": "c"}, "layers": [{"digest": "a"}, {"digest": "b"}]},
        "/v2/clothes/blobs/c": {"config": {"Labels": {"org.opencontainers.image.revision": COMMIT}}},
        "/v2/clothes/blobs/b": layer.getvalue(),
    }

    def answer(asked):
        return (200, blobs[asked.path]) if asked.path in blobs else (404, json.dumps({}))

    with serving(answer) as web:
        registered = Registered(None, "clothes")
        registered._local = web.port
        assert registered.labels(DIGEST) == {"org.opencontainers.image.revision": COMMIT}
        assert registered.file(DIGEST, "opt/model/checkpoint.json") == b"{}"
        with pytest.raises(Unmet, match="manifests/gone of image clothes"):
            registered.labels("gone")


def test_remove_forgets_the_chapters_own_secrets_and_no_other_chapters(monkeypatch, own_home):
    ch = stand_in.chapter(monkeypatch, "end_to_end", lambda script, stdin: "", mode="verify")
    for name in ("label-studio-password", "determined-clothes"):
        SecretStore("local").keep(name, "not-a-password")
    lent = Lent(ch, own=("determined-clothes",))
    lent.forgets("label-studio-token")
    assert lent.secret("label-studio-password").reveal() == "not-a-password"
    lent.secret("determined-clothes")
    assert ch._installed._mine == ["determined-clothes"]
    ch.close()


def test_training_tasks_have_their_key_where_determined_is(monkeypatch, own_home):
    asked = []
    ch = stand_in.chapter(monkeypatch, "end_to_end", lambda script, stdin: asked.append(script) or "no", mode="verify")
    cluster = Cluster(ch, "python", "training")
    assert cluster.things() == ["namespace clothes", "object training/secret/clothes-minio"]
    cluster.may("get", "secrets", cluster.tasks)
    assert "auth can-i get secrets -n training" in asked[0]
    ch.close()


def test_a_namespace_of_determined_that_kubernetes_would_not_take_is_refused(monkeypatch, own_home):
    given = {"determined_namespace": "kube-system"}
    ch = stand_in.chapter(monkeypatch, "end_to_end", lambda script, stdin: "", mode="verify", **given)
    with pytest.raises(BadInput) as e:
        forms.require_names(ch, "determined_")
    assert "determined_namespace is a name" in str(e.value) and "end_to_end.determined_namespace=" in e.value.do
    ch.close()
