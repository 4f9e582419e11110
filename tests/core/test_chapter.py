"""Chapter on a host that answers as told: what a step, a check and the verdict do with what comes back."""

import json

import pytest
import stand_in

from helpers.core.errors import BadInput, RunbookError, Unmet
from helpers.core.verdict import Verdict


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The events of a chapter, as a function."""
    path = tmp_path / "events"
    monkeypatch.setenv("RUNBOOK_EVENTS", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def steps(events):
    return [(e["title"], e["state"], e.get("note")) for e in events if e["kind"] == "step" and e["state"] != "begin"]


def on(monkeypatch, own_home, **how):
    return stand_in.chapter(monkeypatch, "minio", how.pop("answer", lambda script, stdin: (1, "no", "")), **how)


def raises(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    "error, saw",
    [
        (Unmet("an answer", "none"), "none"),
        (RunbookError("ask", saw="it is away"), "it is away"),
        (ConnectionResetError("reset by peer"), "ConnectionResetError: reset by peer"),
        (ValueError("what a library says"), "ValueError: what a library says"),
    ],
)
def test_an_error_of_any_library_in_an_apply_is_the_steps_failure(monkeypatch, own_home, told, error, saw):
    ch = on(monkeypatch, own_home, mode="install")
    with pytest.raises(RunbookError) as e:
        ch.step("it is so", ch.action("do it", lambda: "not yet", raises(error)))
    assert e.value.saw == saw and "./runbook logs minio" in e.value.do
    assert steps(told()) == [("it is so", "failed", "failed")]


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch, own_home, told):
    ch = on(monkeypatch, own_home, mode="install")
    with pytest.raises(TypeError):
        ch.step("it is so", ch.action("do it", lambda: "not yet", raises(TypeError("ours"))))
    assert steps(told()) == [("it is so", "failed", "failed")]


def test_a_host_that_goes_away_while_a_step_is_asked_is_that_steps_failure(monkeypatch, own_home, told):
    ch = on(monkeypatch, own_home, answer=lambda script, stdin: "")
    monkeypatch.setattr(ch.host, "probe", lambda scripts, timeout=60: raises(RunbookError("ask", saw="gone"))())
    with pytest.raises(RunbookError):
        ch.step("it is so", "true", probe="true")
    assert steps(told()) == [("it is so", "failed", "gone")]


def test_a_check_takes_its_proofs_arguments_and_says_what_was_expected(monkeypatch, own_home, told):
    ch = on(monkeypatch, own_home)

    def same(one, other):
        if one != other:
            raise Unmet(str(one), other, entry="minio-lost")
        return "both are " + one

    ch.check("they are the same", same, "a", "a")
    ch.check("they are the same again", same, "a", "b", entry="minio-down")
    checks = [e for e in told() if e["kind"] == "check"]
    assert [(c["state"], c["expected"], c["seen"], c["entry"]) for c in checks] == [
        ("ok", "they are the same", "both are a", None),
        ("failed", "a", "b", "minio-lost"),
    ]
    with pytest.raises(Verdict) as e:
        ch.verdict()
    assert "expected: a" in e.value.saw and "(minio-lost)" in e.value.saw


def test_a_precondition_is_asked_in_its_modes_only(monkeypatch, own_home, capsys):
    ch = on(monkeypatch, own_home)
    ch.require("never asked in verify", lambda: "no", do="x")
    with pytest.raises(BadInput) as e:
        ch.require("asked always", lambda text: text, "because", do="mend it", modes="any")
    assert (e.value.saw, e.value.do) == ("because", "mend it")
    assert "never asked in verify" in capsys.readouterr().out


def test_what_others_have_is_asked_for_before_remove_and_given_up_by_one_parameter_only(monkeypatch, own_home, capsys):
    def guard(mode, **given):
        ch = on(monkeypatch, own_home, mode=mode, **given)
        ch.require("no buckets but ours", "false", do="Copy them away.", modes="guard")
        return capsys.readouterr().out

    with pytest.raises(BadInput) as e:
        guard("remove")
    assert e.value.do == "Copy them away.\nOr give up what is there: -p minio.delete_data=true"
    assert "delete_data = True" in guard("remove", delete_data=True)
    for mode in ("install", "verify", "plan"):
        assert "asked in remove" in guard(mode)


def test_what_is_open_until_the_verdict_is_closed_by_it(monkeypatch, own_home):
    closed = []
    ch = on(monkeypatch, own_home)
    ch.cleanup(lambda: closed.append(1))
    ch.verdict()
    assert closed == [1]


def test_an_artifact_is_recorded_with_all_that_it_needs_and_each_of_its_parts(monkeypatch, own_home, told):
    ch = on(monkeypatch, own_home, origin="http://mirror.example")
    part = {"fidelity": "original", "program": "Kubernetes 1.20.2", "differs": []}
    double = {"fidelity": "double", "program": "a command written here"}
    ch.origin._index = {"microk8s": {**double, "parts": {"kubernetes": part}}, "pause": {"sha256": "aa"}}
    assert ch.artifact("microk8s").parts == {"kubernetes": part}
    recorded = [(e["name"], e["fidelity"], e["sha256"]) for e in told() if e["kind"] == "artifact"]
    assert recorded == [
        ("microk8s", "double", ""),
        ("microk8s: kubernetes", "original", ""),
        ("pause", "original", "aa"),
    ]
    assert list(ch.artifacts) == ["microk8s", "pause"]
    ch.artifact("pause")
    assert len([e for e in told() if e["kind"] == "artifact"]) == 3, "each once"


@pytest.mark.parametrize(
    "other, where", [("local", "--target local"), ("ssh://u@b", "--target platform=local --target gitlab=ssh://u@b")]
)
def test_what_to_do_is_on_the_targets_of_the_chapter(monkeypatch, own_home, other, where):
    ch = stand_in.chapter(monkeypatch, "gitlab_runner", lambda *_: (1, "no", ""), mode="verify", gitlab_target=other)
    with pytest.raises(BadInput) as e:
        ch.require(
            "MinIO answers", lambda: "no", do="./runbook up --only minio, or ./runbook up --target x", modes="any"
        )
    assert e.value.do == f"./runbook up {where} --only minio, or ./runbook up --target x"
    ch.check("a check", lambda: _unmet(), entry="glr-token")
    with pytest.raises(RunbookError) as e:
        ch.verdict()
    assert f"./runbook up {where} --only gitlab" in e.value.do


def _unmet():
    raise Unmet("yes", "no", "glr-token")
