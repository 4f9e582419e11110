"""Steps and checks in each mode, on a real host: what is applied, what is only looked at, what is undone."""

import json

import pytest

from helpers.core import by_hand, notes
from helpers.core.actions import Action
from helpers.core.chapter import Chapter
from helpers.core.errors import BadInput, CommandFailed, RunbookError, Unmet
from helpers.core.secrets import SecretStore
from helpers.core.verdict import Verdict

FOLDER = "/var/tmp/test-chapter"


@pytest.fixture
def opened(target, host, own_home, box, runs, tmp_path, monkeypatch):  # noqa: PLR0913 - fixtures
    """Open a chapter in a mode; its events are in opened.events, its log in opened.log."""
    own_home.mkdir()
    (own_home / "sandbox").symlink_to(box.dir.parent)
    host.run(f"rm -rf {FOLDER}; mkdir {FOLDER}")
    told, log, chapters = tmp_path / "events", tmp_path / "log", []
    monkeypatch.setenv("RUNBOOK_EVENTS", str(told))
    monkeypatch.setenv("RUNBOOK_LOG", str(log))

    def open(mode="install"):
        told.write_text("")
        chapters.append(Chapter.open("requirements", {"target": target, "mode": mode}))
        return chapters[-1]

    open.events = lambda kind: [e for e in map(json.loads, told.read_text().splitlines()) if e["kind"] == kind]
    open.log = log
    open.files = lambda: host.run(f"cd {FOLDER}; grep -r . . || true", quiet=True).out.splitlines()
    yield open
    for ch in chapters:  # not all came to their verdict
        by_hand.end(ch.host)
    host.run(f"rm -rf {FOLDER} {notes.STATE}")
    chapters[-1].host.close()


def mark(ch, name, title=None):
    """A step: the file exists."""
    path = f"{FOLDER}/{name}"
    ch.step(
        title or name + " exists",
        f"echo {name} > {path}",
        probe=f"[ -e {path} ] || {{ echo 'no {name}'; exit 1; }}",
        undo="rm " + path,
        makes="file " + path,
    )


def test_install_applies_what_is_missing_once(opened, capsys):
    ch = opened()
    mark(ch, "a")
    ch.verdict()
    ch = opened()
    mark(ch, "a")
    mark(ch, "b")
    ch.verdict()
    assert [(e["title"], e["note"]) for e in opened.events("step") if e["state"] != "begin"] == [
        ("a exists", "already so"),
        ("b exists", "applied"),
    ]
    assert sorted(opened.files()) == ["./a:a", "./b:b"]
    assert "✓ b exists ‹applied›" in capsys.readouterr().out


def test_verify_changes_nothing_and_collects_all_that_does_not_hold(opened):
    ch, ran = opened("verify"), []
    mark(ch, "a")
    mark(ch, "b")
    ch.check("it proves", lambda: ran.append(1), entry="req-port")
    ch.check("it is unlike", lambda: (_ for _ in ()).throw(Unmet("one", "another")), entry="req-port")
    ch.check("it would change", lambda: ran.append(2), changes=True)
    ch.check("a library fails", lambda: {}["key"])
    with pytest.raises(Verdict) as e:
        ch.verdict()
    said = str(e.value)
    for text in (
        "verify: 4 of 6 do not hold",
        "no a",
        "no b",
        "expected: one",
        "saw: another",
        "(req-port)",
        "KeyError",
    ):
        assert text in said
    assert ran == [1] and opened.files() == []
    assert [(c["title"], c["state"]) for c in opened.events("check")] == [
        ("it proves", "ok"),
        ("it is unlike", "failed"),
        ("it would change", "left out"),
        ("a library fails", "failed"),
    ]


def test_plan_shows_the_commands_and_runs_none(opened, capsys):
    ch = opened("plan")
    mark(ch, "a")
    ch.check("never asked", lambda: 1 / 0)
    ch.verdict()
    assert "would run:" in capsys.readouterr().out and opened.files() == []


def test_remove_undoes_in_reverse_order_and_only_what_is_there(opened):
    ch = opened()
    for name in "abc":
        mark(ch, name)
    ch.secret("made-here")
    ch.verdict()
    ch = opened("remove")
    ch.host.run(f"rm {FOLDER}/b")
    for name in "abc":
        mark(ch, name)
    ch.secret("made-here")
    assert len(opened.files()) == 2, "nothing is undone before the verdict"
    ch.verdict()
    undone = [
        (e["title"], e["note"])
        for e in opened.events("step")
        if e["title"].startswith("undo") and e["state"] != "begin"
    ]
    assert undone == [("undo: c exists", "undone"), ("undo: b exists", "already gone"), ("undo: a exists", "undone")]
    assert opened.files() == [] and SecretStore(ch.host.target.slug).names() == []


def test_a_command_that_fails_ends_the_chapter_with_its_words(opened):
    ch = opened()
    with pytest.raises(CommandFailed) as e:
        ch.step("it is made", "echo trying; echo no such thing >&2; exit 4", probe="false")
    assert (
        e.value.what == "it is made"
        and "exit code 4" in e.value.saw
        and "no such thing" in e.value.saw
        and "./runbook logs requirements" in e.value.do
    )
    assert "trying" in opened.log.read_text() and opened.events("step")[-1]["state"] == "failed"


def test_applied_and_yet_not_so_is_an_error(opened):
    ch = opened()
    with pytest.raises(RunbookError) as e:
        ch.step("it is made", "true", probe="echo still not; exit 1")
    assert "still not" in e.value.saw and "probe says no" in e.value.do


def test_a_precondition_stops_before_anything(opened):
    ch = opened()
    ch.require("it holds", "true", do="nothing")
    with pytest.raises(BadInput) as e:
        ch.require("the port is free", "echo taken by nginx; exit 1", do="stop nginx")
    assert e.value.saw == "taken by nginx" and e.value.do == "stop nginx" and "the port is free" in e.value.what
    opened("verify").require("not asked there", "false", do="x")


def test_a_file_with_a_secret_and_the_service_that_follows_it(opened, host):
    ch = opened()
    secret, order = ch.secret("made-here"), []

    def steps(ch, content):
        env = ch.file(FOLDER + "/env", content, mode="0600")
        after = Action("restart", lambda: None, lambda: order.append("restarted"), after_changes=True)
        ch.step("it runs with its settings", env, after)

    steps(ch, f"KEY={secret}\n")
    assert host.get(FOLDER + "/env") == f"KEY={secret.reveal()}\n".encode() and order == ["restarted"]
    steps(ch, f"KEY={secret}\n")
    assert order == ["restarted"], "nothing changed, nothing follows"
    steps(ch, f"KEY={secret}\nMORE=1\n")
    assert order == ["restarted"] * 2
    ch.host.run(f"cat {FOLDER}/env")
    ch.verdict()
    assert "KEY=*****" in opened.log.read_text() and secret.reveal() not in opened.log.read_text()


def test_a_secret_that_reaches_a_check_is_masked(opened, capsys):
    ch = opened()
    secret = ch.secret("made-here").reveal()
    ch.check("it is quiet", lambda: "saw " + secret)
    ch.check("it fails quietly", lambda: (_ for _ in ()).throw(ValueError("bad " + secret)))
    with pytest.raises(Verdict) as e:
        ch.verdict()
    assert secret not in str(e.value) + capsys.readouterr().out + json.dumps(opened.events("check")) and "*****" in str(
        e.value
    )


def test_a_misspelt_parameter_of_a_step_is_an_error_of_its_author(opened):
    ch = opened()
    with pytest.raises(TypeError):
        ch.step("x", "true", probe="true", udno="true")
    with pytest.raises(TypeError):
        ch.step("x", "true")
