"""Waiting: ready, hopeless and late are three different ends."""

import time

import pytest

from helpers.core.errors import RunbookError
from helpers.core.waiting import TimedOut, wait


def test_returns_what_ready_returned_as_soon_as_it_does():
    answers, start = [None, 0, "here"], time.monotonic()
    assert wait("it", lambda: answers.pop(0), every=0.01) == "here" and answers == []
    assert time.monotonic() - start < 1


def test_an_exception_means_not_yet_and_is_told_in_the_end():
    def refused():
        raise ConnectionRefusedError("nobody listens\nsecond line")

    told = []
    with pytest.raises(TimedOut) as e:
        wait("the port", refused, timeout=0.2, every=0.02, host="h", tell=told.append, do="look")
    assert (
        "the port" in e.value.what
        and "0.2 s" in e.value.what
        and e.value.saw == "nobody listens"
        and (e.value.host, e.value.do) == ("h", "look")
    )
    assert len(told) > 3 and "the port" in told[-1] and "nobody listens" in told[-1]


def test_no_hope_ends_it_at_once_with_the_reason():
    start = time.monotonic()
    with pytest.raises(RunbookError) as e:
        wait("the unit", lambda: False, failed=lambda: "it failed: bad flag", timeout=30)
    assert e.value.saw == "it failed: bad flag" and not isinstance(e.value, TimedOut) and time.monotonic() - start < 2


def test_ready_wins_over_failed():
    assert wait("it", lambda: True, failed=lambda: "late news") is True


def test_never_true_is_never_success():
    start = time.monotonic()
    with pytest.raises(TimedOut) as e:
        wait("it", lambda: [], timeout=0.1, every=5)
    assert e.value.saw == "not ready" and time.monotonic() - start < 2


def test_ctrl_c_passes():
    def interrupted():
        raise KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        wait("it", interrupted)
