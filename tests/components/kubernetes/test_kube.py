"""The cluster's probes in a real bash, and a proof's namespace: on what kubectl prints."""

import pytest
import stand_in

from helpers.components.kubernetes.kube import READY, Kube, available
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE, Proofs
from helpers.core.errors import CommandFailed, Unmet


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


def test_a_pod_is_made_once_the_new_namespace_has_its_service_account(kube):
    """A busy server makes it later, and forbids pods until then: so it was in a test of the double, on a slow host."""
    accounts = iter(["", (1, "", 'serviceaccounts "default" not found'), "default-token-x"])
    made = kube(lambda script: next(accounts) if "get serviceaccount" in script else "")
    Proofs(made).open()
    asked = [script.replace("microk8s kubectl ", "") for script, _ in made.asked]
    assert len([script for script in asked if "get serviceaccount default -n runbook-proof" in script]) == 3
    assert "create namespace" in asked[-4] and next(accounts, None) is None


#: of a cluster of these tests whose host was short of processors: Istio's galley was started again
_NOT_ASKED = (
    'Error from server (InternalError): error when creating "STDIN": Internal error occurred: failed calling webhook '
    '"pilot.validation.istio.io": Post "https://istio-galley.istio-system.svc:443/admitpilot?timeout=30s": '
    "dial tcp 10.152.183.29:443: connect: connection refused\n"
)
_DENIED = 'Error from server: error when creating "STDIN": admission webhook "pilot.validation.istio.io" denied it\n'


def test_objects_are_given_again_while_a_webhook_does_not_answer(kube):
    said = iter([(1, "", _NOT_ASKED), (1, "", _NOT_ASKED), "gateway created"])
    made = kube(lambda script: next(said))
    assert made.apply("kind: Gateway") == "gateway created"
    assert [stdin for _, stdin in made.asked] == ["kind: Gateway"] * 3


def test_what_a_webhook_denies_is_an_error_at_once(kube):
    made = kube(lambda script: (1, "", _DENIED))
    with pytest.raises(CommandFailed, match="kubectl apply") as e:
        made.apply("kind: Gateway", "models")
    assert "denied it" in e.value.saw and len(made.asked) == 1 and "apply -n models -f -" in made.asked[0][0]


def test_another_word_is_no_proof(kube):
    proofs = Proofs(kube("somebody's word"))
    with pytest.raises(Unmet) as e:
        proofs.logs()
    assert e.value.saw == '"somebody\'s word"' and e.value.expected == "the word in the pod's log"
