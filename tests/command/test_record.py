"""The run record on disk: whole or not there, refused when it cannot be understood."""

import json
import os
import subprocess
import sys

import pytest

from helpers.command import record
from helpers.core.errors import BadInput
from helpers.core.paths import REPO


def made(target="local", mode="install", state="ok", publish=True, **kw):
    run = record.new(target, mode)
    run.state = state
    for name, value in kw.items():
        setattr(run, name, value)
    run.save()
    if publish:
        run.publish()
    return run


def test_what_is_written_is_read_back(runs):
    run = made(
        chapters={
            "minio": record.ChapterRun(
                id="minio",
                number="05",
                title="MinIO ✓",
                state="ok",
                parameters={"port": 9000, "buckets": ["a"]},
                steps=[record.Step(title="s", state="ok")],
                checks=[record.Check(title="c", state="ok")],
            )
        }
    )
    assert record.read(run.folder) == run == record.latest() == record.latest("local")
    assert (run.folder / "logs").is_dir() and run.format == record.FORMAT


def test_runs_of_one_second_get_folders_of_their_own(runs):
    ids = [made().id for _ in range(5)]
    assert len(set(ids)) == 5 and record.latest().id == ids[-1]


def test_no_runs_yet(runs):
    assert record.latest() is None and record.latest("local") is None
    runs.rmdir()
    assert record.latest() is None and record.latest("local") is None


def test_the_latest_of_each_target(runs):
    first, second = made("local"), made("sandbox")
    made("local", mode="plan", publish=False)
    made("local", state="running", publish=False)
    assert record.latest().id == record.latest("sandbox").id == second.id
    assert record.latest("local").id == first.id, "neither a plan nor a run that never ended"
    assert record.latest("ssh://a@b") is None


def test_the_latest_without_its_link(runs):
    run = made("local")
    (runs / "latest").unlink()
    assert record.latest("local").id == run.id and record.latest() is None


def newer(path):
    content = json.loads(path.read_text())
    content.update(format=record.FORMAT + 1, chapters="in another way")
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "spoil, saw",
    [
        (newer, f"its format is {record.FORMAT + 1}"),
        (lambda p: p.write_text("{"), "Expecting"),
        (lambda p: p.write_text(""), "Expecting"),
        (lambda p: p.write_bytes(b"\xff\xfe{}"), "codec"),
        (lambda p: p.write_text("[]"), "no run record"),
        (lambda p: p.write_text("{}"), "no run record"),
        (lambda p: p.write_text('{"format": "new"}'), "no run record"),
        (lambda p: p.write_text('{"format": 1}'), "validation error"),
        (lambda p: p.unlink(), "No such file"),
        (lambda p: (p.unlink(), p.mkdir()), "Is a directory"),
    ],
)
def test_an_unreadable_record_is_refused_with_what_to_do(runs, spoil, saw):
    run = made()
    spoil(run.folder / "run.json")
    for ask in (lambda: record.read(run.folder), record.latest, lambda: record.latest("local")):
        with pytest.raises(BadInput) as e:
            ask()
        assert saw in e.value.saw and str(run.folder) in e.value.what and "away" in e.value.do


@pytest.mark.parametrize("spoil", (lambda p: p.write_text(""), lambda p: (p.unlink(), p.mkdir())))
def test_an_old_record_that_is_unreadable_is_left_out_with_one_warning(runs, spoil, capfd):
    first, spoilt = made("local"), made("local")
    made("sandbox")
    spoil(spoilt.folder / "run.json")
    assert record.latest("local").id == record.latest("local").id == first.id
    assert capfd.readouterr().err.count(f"Move {spoilt.folder} away") == 1


def test_an_old_record_of_a_newer_runbook_is_not_passed_over(runs):
    newer(made("local").folder / "run.json")
    made("sandbox")
    with pytest.raises(BadInput, match="read the run record"):
        record.latest("local")


def test_a_record_killed_while_it_was_written_is_the_old_one(runs):
    run = made()
    script = (
        "import os, sys; from helpers.command import record; run = record.latest(); run.target = 'x' * 5000000\n"
        "import threading; threading.Timer(0.2, lambda: os._exit(9)).start()\nwhile True: run.save()"
    )
    subprocess.run(
        [sys.executable, "-c", script], cwd=str(REPO), env=dict(os.environ, RUNBOOK_RUNS=str(runs)), timeout=30
    )
    assert record.read(run.folder).target in ("local", "x" * 5000000)
    (run.folder / "run.json.part").write_text("half")
    made()
    assert record.latest().target == "local"


def test_publishing_replaces_the_link_also_after_a_kill(runs):
    first = made()
    (runs / "latest.part").symlink_to("gone")
    second = made()
    assert (runs / "latest").resolve() == second.folder.resolve() != first.folder.resolve()
    assert not (runs / "latest.part").is_symlink()
