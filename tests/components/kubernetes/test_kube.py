"""The cluster's probes in a real bash, and a proof's namespace: on what kubectl prints."""

import pytest
import stand_in

from helpers.components.kubernetes.kube import READY, Kube, available
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE, Proofs
from helpers.core.errors import Unmet


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


def test_another_word_is_no_proof(kube):
    proofs = Proofs(kube("somebody's word"))
    with pytest.raises(Unmet) as e:
        proofs.logs()
    assert e.value.saw == '"somebody\'s word"' and e.value.expected == "the word in the pod's log"
