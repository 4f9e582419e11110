"""A Secret and a namespace as actions, on what kubectl prints; no cluster here."""

import base64
import json

import pytest
import stand_in

from helpers.components.kubernetes.kube import Kube


def stored(**values):
    return json.dumps({"data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}})


@pytest.fixture
def kube(monkeypatch, own_home):
    def make(answer):
        asked = []

        def said(script, stdin):
            asked.append((script, stdin))
            return answer

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
    made = kube("")
    secret = made.ch.secret("proof")
    action = made.secret("minio", "lab", {"user": "me", "key": secret}, labels={"runbook": "x"})
    action.apply()
    ((script, manifest),) = made.asked
    assert json.loads(manifest) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "minio", "namespace": "lab", "labels": {"runbook": "x"}},
        "stringData": {"user": "me", "key": secret.reveal()},
    }
    assert secret.reveal() not in script + "".join(action.shown)
    assert action.shown == ["kubectl apply -f -   (Secret lab/minio: key, user)"]


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
