"""What pods wait for, the cluster's probes in a real bash, and a proof's namespace: on what kubectl prints."""

import json

import pytest
import stand_in

from helpers.components.kubernetes.kube import READY, Kube, available
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE, Proofs
from helpers.components.kubernetes.troubles import of_pod
from helpers.core.errors import RunbookError, Unmet


def pod(status, **meta):
    return {"metadata": dict({"namespace": "lab", "name": "web"}, **meta), "status": status}


def waiting(reason, **more):
    about = dict({"reason": reason}, **({"message": more.pop("message")} if "message" in more else {}))
    return {"containerStatuses": [dict({"name": "c", "image": "i:1", "state": {"waiting": about}}, **more)]}


@pytest.mark.parametrize(
    "status, wanted",
    [
        ({}, []),
        (waiting("ContainerCreating"), [("pod lab/web waits: ContainerCreating", False)]),
        (waiting("ErrImagePull", message="not found"), [("pod lab/web gets no image i:1: not found", False)]),
        (waiting("ImagePullBackOff", message="again"), [("pod lab/web gets no image i:1: again", True)]),
        (
            waiting("CrashLoopBackOff", restartCount=2),
            [("pod lab/web crashes, 2 times so far. Its last lines:\nlab web c", False)],
        ),
        (
            waiting("CrashLoopBackOff", restartCount=3),
            [("pod lab/web crashes, 3 times so far. Its last lines:\nlab web c", True)],
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1: Insufficient cpu"}]},
            [("pod lab/web cannot be scheduled: 0/1: Insufficient cpu", True)],
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "unbound claim"}]},
            [("pod lab/web cannot be scheduled: unbound claim", False)],
        ),
    ],
)
def test_what_a_pod_waits_for_and_whether_for_ever(status, wanted):
    last = lambda *names: " ".join(names)  # noqa: E731 - the log's end, by its pod's names
    assert list(of_pod(pod(status), last)) == wanted
    assert list(of_pod(pod(status, deletionTimestamp="now"), last)) == [], "one that is going no longer matters"


@pytest.mark.parametrize(
    "script, text, code, says",
    [
        (READY, "True ", 0, ""),
        (READY, "False ", 0, "the node is not Ready: False "),
        (READY, "", 0, "the node is not Ready: no node"),
        (READY, "was refused\n", 1, "the API server does not answer: was refused"),
        (available("a", "deployment", "w"), "2|2|1|1|1|1|", 0, ""),
        (available("a", "deployment", "w"), "2|2|2|2|2|1|", 0, "deployment a/w: 1 of 2 pods available"),
        (
            available("a", "deployment", "w"),
            "1|1|1||||admission webhook denied it\n",
            0,
            "deployment a/w: 0 of 1 pods available: admission webhook denied it",
        ),
        (available("a", "deployment", "w"), "2|1|1|1|1|1|", 0, "deployment a/w: its last change is not taken up yet"),
        (available("a", "deployment", "w"), "2|2|1|1||1|", 0, "deployment a/w: 0 of 1 pods are of its newest template"),
        (
            available("a", "deployment", "w"),
            "2|2|1|2|1|1|",
            0,
            "deployment a/w: pods of an older template are still there: 1",
        ),
        (available("a", "deployment", "w"), "2|2|1|2|2|2|", 0, ""),  # a surge of new ones
        (available("a", "daemonset", "w"), "1|1|1||1|1|", 0, ""),
        (available("a", "daemonset", "w"), "1|1|1||||", 0, "daemonset a/w: 0 of 1 pods available"),
        (available("a", "statefulset", "w"), "1|1|0||||", 0, "statefulset a/w: 0 of 0 pods available"),
        (available("a", "statefulset", "w"), "1|1|1||1|1|", 0, ""),
        (available("a", "deployment", "w"), "not found\n", 1, "not found"),
    ],
)
def test_a_probe_says_what_is_missing(probe, script, text, code, says):
    assert probe(script, text, code) == (not says, says.strip())


@pytest.fixture
def kube(monkeypatch, own_home):
    """A Kube whose kubectl answers; `.asked`: [(script, standard input)]."""

    def make(answer, mode="install"):
        asked = []

        def said(script, stdin):
            asked.append((script, stdin))
            return answer(script) if callable(answer) else answer

        made = Kube(stand_in.chapter(monkeypatch, "kubernetes", said, mode))
        made.asked = asked
        return made

    return make


def test_an_api_that_is_away_tells_of_no_trouble(kube):
    assert kube((1, "", "was refused")).troubles() == []


def test_waiting_ends_at_once_when_there_is_no_hope(kube):
    def answer(script):
        if "get pods -A" in script:
            return json.dumps({"items": [pod(waiting("ImagePullBackOff", message="no such image"))]})
        return 1, "not yet", ""

    with pytest.raises(RunbookError) as e:
        kube(answer).wait_for("the web server", "a probe", timeout=30)
    assert e.value.what == "wait for the web server" and "no such image" in e.value.saw


@pytest.mark.parametrize(
    "lacks, final", [("cpu", True), ("nvidia.com/gpu", False), ("cpu, 1 Insufficient a.b/c", True)]
)
def test_a_device_whose_plugin_is_still_coming_does_not_end_a_wait(lacks, final):
    why = f"0/1 nodes are available: 1 Insufficient {lacks}."
    status = {"conditions": [{"type": "PodScheduled", "status": "False", "message": why}]}
    assert [ends for _, ends in of_pod(pod(status), None)] == [final]


def test_a_pod_of_another_namespace_does_not_end_a_wait(kube):
    asked = []

    def answer(script):
        if "get pods" in script:
            broken = [pod(waiting("ImagePullBackOff", message="no such image"))]
            return json.dumps({"items": broken if "-A" in script or "-n lab" in script else []})
        asked.append(script)
        return (0, "", "") if len(asked) > 1 else (1, "not yet", "")

    kube(answer).wait_for("the web server", "a probe", timeout=30, space="mine")
    with pytest.raises(RunbookError, match="no such image"):
        kube(lambda script: answer(script) if "get pods" in script else (1, "", "")).wait_for("it", "x", 30, "lab")


def test_an_addon_that_aborts_with_exit_code_0_is_not_enabled(kube):
    action = kube("Enabling\nAborting: no GPU\n").addon("gpu", "", "a probe", "daemonset x")
    with pytest.raises(Unmet) as e:
        action.apply()
    assert action.shown == ["microk8s enable gpu"] and e.value.saw == "Aborting: no GPU"


def test_proofs_have_a_namespace_of_their_own_until_the_verdict(kube):
    made = kube("1 1")
    proofs = Proofs(made)
    proofs.hello("LoadBalancer")
    proofs.open()
    word = proofs.nonce
    manifest = next(stdin for script, stdin in made.asked if "apply" in script)
    assert f"echo {word} |" in manifest and "type: LoadBalancer" in manifest and proofs.image in manifest
    assert sum("create namespace" in script for script, _ in made.asked) == 1
    del made.asked[:]
    made.ch.close()
    assert f"delete namespace {PROOF_NAMESPACE}" in made.asked[-1][0]


def test_another_word_is_no_proof(kube):
    proofs = Proofs(kube("somebody's word"))
    with pytest.raises(Unmet) as e:
        proofs.logs()
    assert e.value.saw == '"somebody\'s word"' and e.value.expected == "the word in the pod's log"
