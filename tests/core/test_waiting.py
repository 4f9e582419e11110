"""Waiting: ready, hopeless and late are three different ends."""

import time

import pytest

from helpers.core import waiting
from helpers.core.errors import BadInput, ConnectionLost, OutOfReach, RunbookError, Unmet
from helpers.core.waiting import NotYet, TimedOut, wait


class Clock:
    """Time that goes on by what sleeps alone: a machine that is slow changes no count."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """The clock of wait()."""
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def test_returns_what_ready_returned_as_soon_as_it_does():
    answers, start = [None, 0, "here"], time.monotonic()
    assert wait("it", lambda: answers.pop(0), every=0.01) == "here" and answers == []
    assert time.monotonic() - start < 10


def test_an_exception_means_not_yet_and_is_told_in_the_end(clock):
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


def test_what_takes_long_is_asked_more_and_more_seldom(clock):
    asked = []
    with pytest.raises(TimedOut):
        wait("it", lambda: asked.append(clock.monotonic()), timeout=1, every=0.01)
    assert 10 < len(asked) < 60, "100 otherwise"
    assert asked[-2] - asked[-3] < 0.3, "and never so seldom that it would be noticed late"


def test_a_question_that_takes_long_is_asked_for_a_third_of_the_time(clock):
    asked = []
    with pytest.raises(TimedOut):
        wait("it", lambda: asked.append(clock.sleep(0.05)), timeout=1.5, every=0.001)
    assert 3 < len(asked) <= 11, "14 otherwise: each question takes time of the host that is waited for"


def test_no_hope_ends_it_at_once_with_the_reason():
    start = time.monotonic()
    with pytest.raises(RunbookError) as e:
        wait("the unit", lambda: False, failed=lambda: "it failed: bad flag", timeout=30)
    assert e.value.saw == "it failed: bad flag" and not isinstance(e.value, TimedOut) and time.monotonic() - start < 10


LATE = [
    ConnectionLost("ask", saw="the connection was lost"),
    Unmet("an answer", "none within 30 s"),
    ConnectionResetError("reset by peer"),
    TimeoutError("timed out"),
]


@pytest.mark.parametrize("late", LATE, ids=lambda late: type(late).__name__)
def test_a_look_that_cannot_tell_ends_nothing_and_is_asked_again(clock, late):
    said = [None, late, late, "it failed: bad flag"]
    with pytest.raises(RunbookError) as e:
        wait("the unit", lambda: False, failed=lambda: _said(said.pop(0)), timeout=30)
    assert e.value.saw == "it failed: bad flag" and not isinstance(e.value, TimedOut) and not said


@pytest.mark.parametrize("late", LATE, ids=lambda late: type(late).__name__)
def test_a_look_that_cannot_tell_to_the_end_is_named_there(clock, late):
    def ready():
        raise NotYet("the job runs")

    with pytest.raises(TimedOut) as e:
        wait("the job", ready, failed=lambda: _said(late), timeout=30)
    seen = getattr(late, "saw", None) or f"{type(late).__name__}: {late}"
    assert e.value.saw == f"the job runs; and whether there is hope cannot be told: {seen}"


def _refused():
    error = RunbookError("connect by SSH", saw="the host refused the key")
    error.final = True
    return error


@pytest.mark.parametrize(
    "fault",
    [BadInput("set x"), OutOfReach("ask"), _refused(), AttributeError("x"), KeyError("x"), PermissionError("x")],
)
def test_what_would_come_again_ends_it_at_once(clock, fault):
    with pytest.raises(type(fault)) as e:
        wait("the unit", lambda: False, failed=lambda: _said(fault), timeout=30)
    assert e.value is fault and clock.now == 0


def _said(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_ready_wins_over_failed():
    assert wait("it", lambda: True, failed=lambda: "late news") is True


def test_never_true_is_never_success():
    start = time.monotonic()
    with pytest.raises(TimedOut) as e:
        wait("it", lambda: [], timeout=0.1, every=5)
    assert e.value.saw == "not ready" and time.monotonic() - start < 10


def test_ctrl_c_passes():
    def interrupted():
        raise KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        wait("it", interrupted)


def test_the_clock_stands_while_it_is_told_to_and_says_so(clock):
    told, pulls, asked = [], ["pod a/b pulls image c"] * 4, []

    def ready():
        asked.append(1)
        return len(asked) > 6

    wait("it", ready, timeout=0.25, every=0.06, tell=told.append, stands=lambda: pulls.pop(0) if pulls else None)
    assert "waiting for it, 0 s left (the clock stands for up to 1800 s: pod a/b pulls image c)" in told
    assert told[-1].endswith("s left"), "it runs again"


def test_the_clock_does_not_stand_for_ever(monkeypatch):
    monkeypatch.setattr(waiting, "STANDS", 1.2)
    start = time.monotonic()
    with pytest.raises(TimedOut) as e:
        wait("it", lambda: False, timeout=0.2, every=0.05, stands=lambda: "a pull that hangs")
    assert 1.3 < time.monotonic() - start < 20
    assert e.value.what == "wait for it (up to 0.2 s, and 1 s in which the clock stood)"


def test_a_host_that_is_slow_to_answer_is_given_as_much_time_again(clock):
    """One whose answers took 70 s ended a wait of 180 s with its third question, its pods at work all the time."""
    asked = []
    with pytest.raises(TimedOut) as e:
        wait("it", lambda: asked.append(clock.sleep(70)), timeout=180)
    assert len(asked) == 5 and 360 <= clock.now < 460
    assert e.value.what == "wait for it (up to 180 s, and 180 s in which answers were slow)"


def test_a_machine_that_stood_still_in_a_pause_is_given_that_time(clock, monkeypatch):
    asked, pauses = [], [100]
    monkeypatch.setattr(clock, "sleep", lambda s: setattr(clock, "now", clock.now + (pauses.pop() if pauses else s)))
    with pytest.raises(TimedOut, match="and 94 s in which answers were slow"):
        wait("it", lambda: asked.append(clock.now), timeout=120, every=1)
    assert asked[1] == 100 and 214 <= clock.now < 220


def test_answers_that_come_in_time_add_nothing(clock):
    with pytest.raises(TimedOut) as e:
        wait("it", lambda: clock.sleep(waiting.ROUND), timeout=30)
    assert "slow" not in e.value.what and clock.now < 45
