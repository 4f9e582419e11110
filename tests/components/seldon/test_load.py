"""Predictions under load: real HTTP on loopback."""

import json

import pytest

from helpers.components.seldon import flowers
from helpers.components.seldon.load import PredictionLoad
from tests.serving import serving, until


def load(port, enough=30, **how):
    with PredictionLoad(("127.0.0.1", port), "/p", pause=0, **how) as made:
        until(f"{enough} answers", lambda: made.count() >= enough)
    return made


def right(version, request):
    rows = json.loads(request.body)["data"]["ndarray"]
    answers = flowers.probabilities(flowers.weights(version), rows)
    return json.dumps({"data": {"ndarray": answers}, "meta": {"tags": {"model_version": str(version)}}}).encode()


def test_answers_are_counted_by_version():
    seen = []

    def handle(request):
        seen.append(1)
        return 200, right(1 + len(seen) % 2, request)

    with serving(handle) as server:
        done = load(server.port)
    assert not done.lost and set(done.answered) == {"1", "2"} and done.count() == sum(done.answered.values()) >= 30


@pytest.mark.parametrize(
    "bad, words",
    [
        (lambda request: (503, b"no healthy upstream"), "503: no healthy upstream"),
        (lambda request: (200, right(1, request).replace(b'"1"', b'"2"')), "a wrong answer"),
        (lambda request: (200, b"{}"), "KeyError"),
    ],
)
def test_each_that_is_not_answered_rightly_is_lost(bad, words):
    seen = []

    def handle(request):
        seen.append(1)
        return bad(request) if len(seen) == 5 else (200, right(1, request))

    with serving(handle) as server:
        done = load(server.port, threads=1)
    assert len(done.lost) == 1 and words in done.lost[0][1]


def test_a_gateway_that_is_away_loses_all():
    done = load(1, enough=3)
    assert not done.answered and "Refused" in done.lost[0][1]


def test_one_that_a_pod_cut_off_as_it_ended_is_lost_too():
    """The gateway asks again, not the client: seldondeployment.yaml."""
    seen = []

    def handle(request):
        seen.append(1)
        cut = (503, b"upstream connect error. reset reason: connection termination")
        return cut if len(seen) == 5 else (200, right(1, request))

    with serving(handle) as server:
        done = load(server.port, threads=1)
    assert len(done.lost) == 1 and 0 < done.slowest < 20


def test_what_was_lost_is_told_by_kind_and_time():
    seen = []

    def handle(request):
        seen.append(1)
        if len(seen) in (3, 4, 5):
            return (500, b"") if len(seen) < 5 else (503, b"no healthy upstream")
        return 200, right(1, request)

    with serving(handle) as server:
        done = load(server.port, threads=1)
    told = done.what_was_lost()
    assert told.startswith(f"3 of {done.count()} lost, ")
    assert told.endswith(" UTC: 2 like '500'; 1 like '503: no healthy upstream'")


def test_nothing_lost_is_nothing_told():
    with serving(lambda request: (200, right(1, request))) as server:
        assert load(server.port).what_was_lost() == ""
