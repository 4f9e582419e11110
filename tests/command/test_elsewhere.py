"""Chapters that ran elsewhere: their record, their words, the exit code."""

import json

import pytest

from helpers.command import elsewhere, record
from helpers.core.outcome import Outcome
from helpers.core.paths import runs

LEFT = {"state": "left out", "expected": "", "seen": "needs the host", "entry": None}
EVENTS = [
    {"kind": "step", "title": "the user exists", "state": "begin"},
    {"kind": "step", "title": "the user exists", "state": "left out", "note": "needs the host", "seconds": 0.1},
    {"kind": "check", "title": "objects come back", "state": "ok", "expected": "", "seen": "yes", "entry": None},
    {
        "kind": "check",
        "title": "it is shut",
        "state": "left out",
        "expected": "",
        "seen": "needs the host",
        "entry": None,
    },
]
GIVEN = {"target": "incluster", "mode": "verify", "port": 9000}
WELL = Outcome("minio", GIVEN, EVENTS, "", '{"cells": [1]}', 2.5)
ERROR = "error  verify: 1 of 3 do not hold in chapter seldon\nsaw    nothing"


@pytest.fixture(autouse=True)
def own_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNBOOK_RUNS", str(tmp_path / "runs"))


def kept():
    (path,) = runs().glob("*/run.json")
    return record.read(path.parent)


def test_the_record_has_all_of_it_and_is_not_the_latest_of_the_platform(capsys):
    assert elsewhere.keep([WELL], "sandbox") == 0
    run = kept()
    c = run.chapters["minio"]
    assert (run.state, run.mode, run.target, c.state, c.seconds) == ("ok", "verify", "incluster", "ok", 2.5)
    assert (c.reason, c.parameters, c.error) == ("in the cluster of sandbox", GIVEN, "")
    assert json.loads((run.folder / c.verify_notebook).read_text()) == {"cells": [1]}
    assert record.latest() is None and record.latest("sandbox") is None


def test_what_is_left_out_is_told_in_the_words_of_the_record(capsys):
    elsewhere.keep([WELL], "sandbox")
    said, c = capsys.readouterr().out, kept().chapters["minio"]
    assert (
        (c.steps[0].state, c.steps[0].note) == (c.checks[1].state, c.checks[1].seen) == ("left out", "needs the host")
    )
    assert "the user exists (left out: needs the host)" in said
    assert "check: it is shut: left out: needs the host" in said
    assert "1 of 1, 1 left out" in said and "run.json" in said


def test_one_that_failed_is_the_exit_code_and_its_error_is_shown_whole(capsys):
    assert elsewhere.keep([WELL, Outcome("seldon", GIVEN, [], ERROR)], "sandbox") == 1
    run, said = kept(), capsys.readouterr().out
    assert {c.id: c.state for c in run.chapters.values()} == {"minio": "ok", "seldon": "failed"}
    assert run.state == "failed" and run.chapters["seldon"].reason == ERROR.splitlines()[0]
    assert ERROR in said and run.chapters["seldon"].verified == run.chapters["seldon"].verify_notebook == ""
