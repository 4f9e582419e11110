"""A Secret and a namespace as actions, on what kubectl prints; no cluster here."""

import base64
import json

import pytest
import stand_in

from helpers.components.kubernetes.kube import Kube
from helpers.core.errors import CommandFailed

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def stored(**values):
    data = {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}
    return json.dumps({"metadata": {"name": "minio"}, "data": data})


class Secrets:
    """One Secret, as kubectl gets, creates and replaces it; anything else is refused."""

    def __init__(self, found=None):
        self.found = found

    def __call__(self, script, stdin):
        if " get secret " in script:
            return json.dumps(self.found) if self.found else ""
        asked = json.loads(stdin)
        if script.endswith("kubectl create -f -") and not self.found:
            asked["metadata"]["resourceVersion"] = "1"
        elif not script.endswith("kubectl replace -f -") or self._version(asked) != self._version(self.found):
            return 1, "", "refused: " + script
        self.found = asked
        return ""

    @staticmethod
    def _version(secret):
        return secret["metadata"]["resourceVersion"]


@pytest.fixture
def kube(monkeypatch, own_home):
    def make(answer):
        asked = []

        def said(script, stdin):
            asked.append((script, stdin))
            return answer(script, stdin) if callable(answer) else answer

        made = Kube(stand_in.chapter(monkeypatch, "kubernetes", said))
        made.asked = asked
        return made

    return make


@pytest.mark.parametrize(
    "answer, says",
    [
        (stored(key="ours", other="of somebody"), None),
        (stored(key="theirs"), "lab/minio has another key"),
        (stored(), "lab/minio has another key"),
        ("", "there is no Secret lab/minio"),
        ((1, "", "The connection to the server was refused\n"), "The connection to the server was refused"),
    ],
)
def test_a_secret_is_so_when_its_values_are_ours(kube, answer, says):
    assert kube(answer).secret("minio", "lab", {"key": "ours"}).probe() == says


def test_a_secrets_values_travel_on_standard_input_and_are_never_shown(kube):
    made = kube(Secrets())
    secret = made.ch.secret("proof")
    action = made.secret("minio", "lab", {"user": "me", "key": secret}, labels={"runbook": "x"})
    action.apply()
    script, manifest = made.asked[-1]
    ours = base64.b64encode(secret.reveal().encode()).decode()
    assert json.loads(manifest) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "minio", "namespace": "lab", "labels": {"runbook": "x"}},
        "data": {"user": "bWU=", "key": ours},
    }
    assert secret.reveal() not in script + "".join(action.shown)
    assert action.shown == ["kubectl create, or replace, -f -   (Secret lab/minio: key, user)"]
    assert action.probe() is None


def test_a_secret_that_was_applied_loses_the_annotation_with_its_values_and_nothing_else(kube):
    about = {"annotations": {APPLIED: "{...}", "theirs": "stays"}, "labels": {"theirs": "too"}, "resourceVersion": "7"}
    cluster = Secrets({"metadata": about, "type": "Opaque", "data": {"key": "b3Vycw==", "other": "b2Y="}})
    action = kube(cluster).secret("minio", "lab", {"key": "ours"}, labels={"runbook": "x"})
    assert action.probe() == "lab/minio has its values in an annotation, in clear"
    action.apply()
    assert action.probe() is None and cluster.found["data"] == {"key": "b3Vycw==", "other": "b2Y="}
    assert cluster.found["metadata"]["annotations"] == {"theirs": "stays"}
    assert cluster.found["metadata"]["labels"] == {"theirs": "too", "runbook": "x"}


def test_a_secret_that_cannot_be_read_is_not_made_anew(kube):
    made = kube((1, "", "The connection to the server was refused\n"))
    with pytest.raises(CommandFailed):
        made.secret("minio", "lab", {"key": "ours"}).apply()
    assert not any("create" in script or "replace" in script for script, _ in made.asked)


def test_a_namespace_is_made_with_its_mark_and_removed_by_it(kube):
    made = kube("")
    action = made.namespace("lab", "runbook=x")
    action.apply()
    assert json.loads(made.asked[-1][1])["metadata"] == {"name": "lab", "labels": {"runbook": "x"}}
    assert "-l runbook=x" in action.undo and "-l runbook=x" in action.absent


def test_the_clusters_kubeconfig_is_masked_as_soon_as_it_is_read(kube):
    made = kube("server: https://10.0.0.5:16443\ntoken: very-secret-token\n")
    assert "very-secret-token" in made.config()
    assert "very-secret-token" not in made.ch.masker.mask("token very-secret-token")


def test_a_secret_and_a_namespace_are_gone_when_the_cluster_says_so(kube, bash):
    made = kube("")
    for action in (made.secret("minio", "lab", {"key": "ours"}), made.namespace("lab", "runbook=x")):
        assert bash(action.absent, "true") == (0, "")
        assert bash(action.absent, "echo kind/name") == (1, "still there: kind/name")
        for script in (action.absent, action.undo):
            code, said = bash(script, "echo was refused >&2; exit 1")
            assert code and "was refused" in said and "cannot tell what is in the cluster" in said
