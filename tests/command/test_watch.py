"""`./runbook watch`: what its timer does, its line and its text file; and the timer, by systemd's own reader."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import programs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.command import units, watch
from helpers.core.paths import REPO

# The process boundary: a systemctl that notes its words; `fails` holds what it refuses.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {folder}/systemctl.log
for word; do grep -qx -- "$word" {folder}/fails 2>/dev/null && {{ echo "no $word here" >&2; exit 1; }}; done
exit 0
"""


class Machine:
    """A command line with a home, and a systemctl that notes what it is told."""

    def __init__(self, folder):
        self.folder, self.home, self.units = folder, folder / "home", folder / "config/systemd/user"
        programs.put(folder / "bin", "systemctl", SYSTEMCTL.format(folder=folder))
        path = f"{folder}/bin:{os.environ['PATH']}"
        own = {"RUNBOOK_HOME": str(self.home), "RUNBOOK_RUNS": str(folder / "runs"), "PYTHONPATH": str(REPO)}
        self.env = {**os.environ, **own, "PATH": path, "XDG_CONFIG_HOME": str(folder / "config")}

    def __call__(self, *words, code=0):
        done = forked.helpers("watch", *words, env=self.env, cwd=self.folder)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def told(self):
        log = self.folder / "systemctl.log"
        return log.read_text().splitlines() if log.exists() else []

    def fails(self, word):
        (self.folder / "fails").write_text(word + "\n")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def metrics(path):
    """{(name, chapter): value} of a text file, read by Prometheus's own reader."""
    families = text_string_to_metric_families(Path(path).read_text())
    return {(s.name, s.labels.get("chapter", "")): s.value for family in families for s in family.samples}


CHAPTER = {"number": "05", "reason": "", "state": "ok", "checks": {"held": 6, "failed": [], "left_out": []}}


def verified(tmp_path, monkeypatch, capsys, run, code, said=""):  # noqa: PLR0913 - pytest's, and its own
    """(exit code, line, metrics) where `up` prints this and ends so."""
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    up = tmp_path / "up.py"
    text = run if isinstance(run, str) else json.dumps(run)
    up.write_text(f"import sys\nprint({text!r})\nprint({said!r}, file=sys.stderr)\nsys.exit({code})")
    monkeypatch.setattr(watch, "UP", [sys.executable, str(up)])
    watched = watch.Watched("sandbox", "sandbox", (), tmp_path / "a.prom")
    ended = watched.verify()
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and (tmp_path / "home/watch/sandbox.log").read_text() == line
    return ended, line.strip(), metrics(tmp_path / "a.prom")


def test_all_holds(tmp_path, monkeypatch, capsys):
    run = {"seconds": 80.4, "chapters": [{"id": "minio", **CHAPTER}]}
    code, line, told = verified(tmp_path, monkeypatch, capsys, run, 0)
    assert code == 0 and line.endswith("UTC sandbox: ok, 1 chapters hold, 80 s")
    assert told["runbook_watch_exit_code", ""] == 0 and told["runbook_watch_duration_seconds", ""] == 80.4
    assert told["runbook_chapter_holds", "minio"] == 1 and told["runbook_chapter_checks_held", "minio"] == 6


def test_what_does_not_hold_is_named_on_one_line(tmp_path, monkeypatch, capsys):
    failed = {**CHAPTER, "state": "failed", "checks": {"held": 5, "failed": ["a wrong key is refused"], "left_out": []}}
    other = {**CHAPTER, "number": "06", "state": "failed", "reason": "it is\nstopped"}
    run = {"seconds": 8, "chapters": [{"id": "minio", **failed}, {"id": "postgres", **other}]}
    code, line, told = verified(tmp_path, monkeypatch, capsys, run, 1)
    assert code == 1
    assert line.endswith("2 of 2 chapters do not hold: 05 minio: a wrong key is refused; 06 postgres: it is stopped")
    assert told["runbook_chapter_holds", "minio"] == 0 and told["runbook_chapter_checks_failed", "minio"] == 1


def test_a_run_that_never_began_is_red_too_and_leaves_no_old_chapter_green(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.prom").write_text('runbook_chapter_holds{watch="sandbox",chapter="minio"} 1.0\n')
    said = "error  start up on sandbox\nsaw    another run is at work there\ndo     Wait"
    code, line, told = verified(tmp_path, monkeypatch, capsys, "", 2, said)
    assert code == 2
    assert line.endswith("not verified (exit code 2): start up on sandbox: another run is at work there")
    assert told["runbook_watch_exit_code", ""] == 2 and ("runbook_chapter_holds", "minio") not in told


def test_now_verifies_for_real_and_says_what_kept_it(machine):
    """A host that nobody answers at: up's own error, its exit code, and the metrics of it."""
    path = machine.folder / "m.prom"
    said = machine("--now", "--target", "ssh://nobody@127.0.0.1:1", "--textfile", str(path), code=1)
    assert said.count("\n") == 1 and "not verified (exit code 1)" in said and "127.0.0.1" in said
    assert metrics(path)["runbook_watch_exit_code", ""] == 1 and path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in machine.folder.glob("m.prom*")] == ["m.prom"]


@pytest.mark.parametrize(
    "words, says",
    [
        (["--at", "25:00"], "Two digits each"),
        (["--at", "3"], "Two digits each"),
        (["--target", "nowhere"], "ssh://user@host"),
        (["--target", "gitlb=sandbox"], "Did you mean gitlab?"),
        (["--textfile", "metrics.txt"], "does not end in .prom"),
        (["--textfile", "/nowhere/a.prom"], "there is no folder /nowhere"),
    ],
)
def test_bad_input_is_refused_before_anything_is_touched(machine, words, says):
    assert says in machine("--user", *words, code=2)
    assert machine.told == [] and not machine.units.exists()


def test_the_timer_is_written_started_and_taken_away_again(machine):
    said = machine("--user", "--at", "22:30", "--target", "sandbox:a")
    timer = "runbook-watch-sandbox-a.timer"
    assert timer in said and "loginctl enable-linger" in said
    assert "OnCalendar=*-*-* 22:30:00" in (machine.units / timer).read_text()
    assert machine.told == ["--user show-environment", "--user daemon-reload", f"--user enable --now {timer}"]
    path = machine.home / "watch/runbook-sandbox-a.prom"
    path.write_text("")
    assert machine("--user", "--target", "sandbox:a", "--remove") == f"removed {timer}\n"
    assert list(machine.units.iterdir()) == [] and not path.exists()
    assert machine.told[-2:] == [f"--user disable --now {timer}", "--user daemon-reload"]
    assert "there is no" in machine("--user", "--target", "sandbox:a", "--remove")


def test_print_writes_nothing(machine):
    said = machine("--print", "--user")
    assert "ExecStart=" in said and "OnCalendar=*-*-* 03:00:00" in said
    assert machine.told == [] and not machine.units.exists()


def test_without_a_systemd_that_answers_nothing_is_written(machine):
    machine.fails("show-environment")
    said = machine("--user", code=2)
    assert "no show-environment here" in said and "cron" in said and not machine.units.exists()


def test_a_timer_that_does_not_start_leaves_what_was_there_before(machine):
    machine("--user")
    before = {path.name: path.read_text() for path in machine.units.iterdir()}
    machine.fails("enable")
    assert "no enable here" in machine("--user", "--at", "04:00", code=1)
    assert {path.name: path.read_text() for path in machine.units.iterdir()} == before
    machine("--user", "--target", "sandbox:b", code=1)
    assert {path.name: path.read_text() for path in machine.units.iterdir()} == before


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_reads_the_units_as_they_are_meant(tmp_path, monkeypatch):
    """Words with blanks, quotes, percent and dollar signs; systemd-analyze finds nothing to say."""
    program = tmp_path / 'a "b" 100%/true'
    program.parent.mkdir()
    shutil.copy2("/bin/true", program)
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "a $HOME 5%"))
    unit = units.Unit("x", "ssh://a@b%c", [str(program), "$HOME"], "03:00", "/m.prom", user=False)
    for name, text in unit.texts.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in unit.texts]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, timeout=60)
    own = [line for line in (done.stdout + done.stderr).splitlines() if "runbook-watch" in line]
    assert own == []
    (tmp_path / unit.timer).write_text(unit.texts[unit.timer].replace("*-*-*", "sometimes"))
    done = subprocess.run(["systemd-analyze", "verify", files[1]], capture_output=True, text=True, timeout=60)
    assert "runbook-watch-x.timer" in done.stdout + done.stderr, "it would have said so"
