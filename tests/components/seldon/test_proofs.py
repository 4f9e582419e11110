"""The proofs through the gateway: against a model of the right answers, and against one that is wrong."""

import json

import pytest

from helpers.components.seldon import flowers
from helpers.components.seldon.gateway import told
from helpers.components.seldon.proofs import BAD, Proofs
from helpers.core.errors import Unmet
from tests.components.seldon.test_load import right
from tests.serving import serving


def model(version=1, bad=400, wrong=0.0, framework="sklearn"):
    """What the gateway answers for a model of this version.

    bad: the status of a bad question; wrong: added to each number.
    """
    weights = flowers.weights(version, framework)

    def handle(request):
        if request.path != "/seldon/models/flowers/api/v1.0/predictions":
            return 404, b""
        asked = request.body if request.body == b'{"data":' else json.loads(request.body)
        for sent, words in BAD.values():
            if asked in (sent.get("content"), sent.get("json")):
                return bad, {"status": {"info": words, "status": 1}}
        answers = flowers.probabilities(weights, asked["data"]["ndarray"])
        data = {"names": weights["classes"], "ndarray": [[p + wrong for p in line] for line in answers]}
        return 200, {"data": data, "meta": {"tags": {"model_version": str(version)}}}

    return serving(handle)


def test_a_prediction_is_what_the_weights_give(made):
    with model(2) as server:
        assert Proofs(made(port=server.port)).over_rest(2) == "6 flowers, version 2"
        with pytest.raises(Unmet) as e:
            Proofs(made(port=server.port)).over_rest(1)
        assert made(port=server.port).gateway.why_not_reached(2) is None
        assert made(port=server.port).gateway.why_not_reached(1) == "version 2 answers, not 1"
    assert e.value.expected.startswith("the model's own answer")


def test_numbers_that_are_a_little_wrong_are_no_proof(made):
    with model(wrong=1e-4) as server, pytest.raises(Unmet):
        Proofs(made(port=server.port)).over_rest(1)


def test_bad_questions_must_be_refused_with_4xx_in_words(made):
    with model() as server:
        assert Proofs(made(port=server.port)).bad_questions_are_refused() == BAD["three numbers"][1]
    with model(bad=500) as server, pytest.raises(Unmet) as e:
        Proofs(made(port=server.port)).bad_questions_are_refused()
    assert e.value.saw.startswith("500: a flower is 4 numbers") and e.value.entry == "seldon-bad"


@pytest.mark.parametrize(
    "status, text, entry",
    [(404, b"", "seldon-route"), (503, b"no healthy upstream", "seldon-route"), (500, b"NoSuchKey", "seldon-weights")],
)
def test_a_model_that_is_not_reached_names_its_entry(made, status, text, entry):
    with serving(lambda request: (status, text)) as server:
        with pytest.raises(Unmet) as e:
            Proofs(made(port=server.port)).over_rest(1)
        why = made(port=server.port).gateway.why_not_reached(1)
    assert e.value.entry == entry and str(status) in e.value.saw and text.decode() in e.value.saw
    assert why == f"the gateway answers {status} for /seldon/models/flowers/"


def test_what_seldon_says_is_read_from_its_status():
    said = '{"status":{"code":-1,"info":"a flower is 4 numbers","status":1}}'
    assert told(said) == "a flower is 4 numbers"
    assert told("404 page not found") == "404 page not found" and told("[1]") == "[1]"


THERE = {"get deployment seldon-spartakus-volunteer": {"kind": "Deployment"}}
GONE = {"get deployment seldon-spartakus-volunteer": None}


@pytest.fixture
def pods_of_the_reporter(program):
    """pods_of_the_reporter(text): what kubectl shows of its Deployment. Nothing: it is not there."""

    def are(text=""):
        says = f"echo '{text}'" if text else "echo 'Error from server (NotFound): not found' >&2; exit 1"
        program("microk8s", says)

    return are


def test_use_is_reported_by_a_program_that_runs_and_by_no_other(made, pods_of_the_reporter):
    pods_of_the_reporter("1|1|1|1|1|1|")
    Proofs(made(THERE)).use_is_reported(True)
    for text, words in (("1|1|1|1|1|0|", "0 of 1 pods available"), ("", "not found")):
        pods_of_the_reporter(text)
        with pytest.raises(Unmet) as e:
            Proofs(made(THERE)).use_is_reported(True, patience=0.2)
        assert words in e.value.saw and e.value.entry == "seldon-usage"


def test_what_reports_use_unasked_is_told_even_while_it_does_not_run(made):
    Proofs(made(GONE)).use_is_reported(False)
    with pytest.raises(Unmet) as e:
        Proofs(made(THERE)).use_is_reported(False)
    assert e.value.entry == "seldon-usage" and "seldon-spartakus-volunteer" in e.value.saw


def test_a_prediction_that_is_lost_is_no_proof_and_is_told_with_what_was_ended(made, program, monkeypatch):
    program("microk8s", "echo '2026-11-30T13:53:02Z flowers-default-0: Container classifier failed liveness probe'")
    asked = []

    def handle(request):
        asked.append(1)
        return (500, b"") if len(asked) in lost else (200, right(1 + len(asked) % 2, request))

    with serving(handle) as server:
        seldon = made(port=server.port)
        monkeypatch.setattr(seldon, "roll_out", lambda version: None)
        lost = ()
        assert " predictions, 0 lost, the slowest " in Proofs(seldon).no_prediction_is_lost(1, least=20)
        lost = (len(asked) + 5,)
        with pytest.raises(Unmet) as e:
            Proofs(seldon).no_prediction_is_lost(1, least=20)
    assert e.value.entry == "seldon-lost" and e.value.saw.startswith("1 of ")
    assert "UTC: 1 like '500'; 13:53:02Z flowers-default-0: Container classifier failed" in e.value.saw
