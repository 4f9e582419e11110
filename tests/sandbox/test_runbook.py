"""The runbook as its user sees it: the whole story of a host, in order, on a sandbox of the tests' own."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.paths import REPO, home
from helpers.secrets import SecretStore
from host_state import difference, state, without_times

TARGET = "sandbox:test"
CHAPTERS = ["requirements", "network", "minio", "postgres"]


class Story:
    """The command line against the tests' target, with runs/ in a folder of its own."""

    def __init__(self, folder):
        self.runs, self.times, self.before = folder / "runs", {}, None
        self.env = dict(os.environ, RUNBOOK_RUNS=str(self.runs), PYTHONPATH=str(REPO))

    def argv(self, *words):
        return [sys.executable, "-m", "helpers", *words]

    def __call__(self, *words, code=0):
        """Run a command; returns its output (both streams)."""
        done = subprocess.run(self.argv(*words), env=self.env, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
        assert done.returncode == code, done.stdout
        return done.stdout

    def up(self, *words, code=0):
        return self("up", "--target", TARGET, *words, code=code)

    def start(self, *words):
        """A command in the background, its output by lines."""
        return subprocess.Popen(self.argv(*words), env=self.env, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def record(self):
        return json.loads((self.runs / "latest" / "run.json").read_text())

    def states(self):
        return {c["id"]: c["state"] for c in self.record["chapters"].values()}

    @property
    def site(self):
        return self.runs / "_build" / "site" / "_build" / "html"

    def secrets(self):
        return list(SecretStore("sandbox-test").values())


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    story = Story(tmp_path_factory.mktemp("story"))
    story("sandbox", "up", "--name", "test")        # builds are done before any time is taken
    story("sandbox", "down", "--name", "test", "--wipe")
    yield story
    if not os.environ.get("RUNBOOK_KEEP"):
        story("sandbox", "down", "--name", "test")


@pytest.fixture
def host(story):
    """The target, to break things on. A connection of the test's own: none is left open over a reboot or a wipe."""
    host = Host(TARGET)
    yield host
    host.close()


def wait_for_line(process, text, seconds=120):
    """Read a background command's output until a line has this text."""
    end, seen = time.monotonic() + seconds, []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
        assert time.monotonic() < end, "".join(seen)
    pytest.fail("it ended before saying {!r}:\n{}".format(text, "".join(seen)))


def test_plan_shows_what_it_would_run_and_changes_nothing(story, host):
    story("sandbox", "up", "--name", "test")
    before = story.before = state(host)
    said = story.up("--mode", "plan", "--no-book")
    assert "apt-get install postgresql" in said and "useradd --system" in said
    assert difference(before, state(host)) == []
    assert not (story.runs / "latest").exists(), "a plan is no run to show"
    host.close()
    story("sandbox", "down", "--name", "test", "--wipe")


def test_up_installs_and_proves_everything_and_builds_the_site(story):
    begin = time.monotonic()
    said = story.up()
    story.times["first"] = time.monotonic() - begin
    assert story.states() == dict.fromkeys(CHAPTERS, "ok")
    for chapter in CHAPTERS:
        assert re.search(r"\d\d {} +ok".format(chapter), said), "the closing table names it"
    assert story.record["state"] == "ok"
    checks = [k for c in story.record["chapters"].values() for k in c["checks"]]
    assert checks and all(k["state"] in ("ok", "proved") for k in checks)
    page = (story.site / "notebooks" / "05_minio.html").read_text()
    assert "bucket detai exists" in page and "the data survive a restart" in page
    assert "equivalent" in (story.site / "book" / "status.html").read_text()


def test_regress_is_green_right_after(story):
    assert re.search(r"\d+ passed", story("regress", "--target", TARGET))


def test_a_second_up_finds_everything_so_and_changes_nothing(story, host):
    before = state(host)
    host.close()
    begin = time.monotonic()
    story.up()
    seconds = time.monotonic() - begin
    assert story.states() == dict.fromkeys(CHAPTERS, "skipped")
    notes = [(c["id"], s["title"], s["note"]) for c in story.record["chapters"].values() for s in c["steps"]]
    assert notes and [n for n in notes if n[2] != "already so"] == []
    assert difference(before, state(host)) == []
    assert seconds < story.times["first"] / 3, "{:.0f} s after {:.0f} s".format(seconds, story.times["first"])


def test_verify_changes_nothing(story, host):
    before = state(host)
    story.up("--mode", "verify")
    assert story.states() == dict.fromkeys(CHAPTERS, "ok")
    assert difference(before, state(host)) == []


def stop_minio(host):
    host.run("systemctl stop minio")


def delete_bucket(host):
    from minio import Minio
    with host.forward(9000) as port:
        secret = SecretStore("sandbox-test").get("minio-root").reveal()
        Minio("127.0.0.1:{}".format(port), "runbook", secret, secure=False).remove_bucket("models")


def open_pg_hba(host):
    host.run("echo 'host all all 0.0.0.0/0 trust' >> /etc/postgresql/15/main/pg_hba.conf; systemctl reload postgresql@15-main")


@pytest.mark.parametrize("break_it, chapter, names", [
    (stop_minio, "minio", ["minio is inactive"]),
    (delete_bucket, "minio", ["bucket models does not exist"]),
    (open_pg_hba, "postgres", ["pg_hba.conf: content differs", "lets in 0.0.0.0"]),
], ids=["minio stopped", "bucket deleted", "pg_hba changed"])
def test_verify_fails_exactly_the_broken_chapter_and_names_the_thing(story, host, break_it, chapter, names):
    break_it(host)
    said = story.up("--mode", "verify", "--no-book", code=1)
    assert story.states() == {c: "failed" if c == chapter else "ok" for c in CHAPTERS}
    for name in names:
        assert name in said
    if break_it is delete_bucket:
        red = story("regress", "--target", TARGET, code=1)
        assert "models" in red and "failed" in red
    said = story.up("--no-book")
    assert story.states()[chapter] == "ok"
    assert "no longer as it was" not in said or chapter in said


def test_a_chapter_runs_alone_under_papermill(story, tmp_path):
    out = tmp_path / "out.ipynb"
    subprocess.run([str(Path(sys.executable).parent / "papermill"), "notebooks/05_minio.ipynb", str(out), "-p", "target", TARGET, "--no-progress-bar"],
                   env=story.env, cwd=REPO, check=True, timeout=300)
    text = out.read_text()
    assert "chapter minio" in text and "installed and proved" in text


def test_kill_9_in_the_middle_then_up(story):
    story.up("--mode", "remove", "--no-book")
    for line in ("its settings are ours", "06 postgres        running"):
        process = story.start("up", "--target", TARGET, "--no-book")
        wait_for_line(process, line)
        process.kill()
        process.wait()
        process.stdout.close()
    story.up("--no-book")
    assert set(story.states().values()) <= {"ok", "skipped"}


def test_ctrl_c_stops_cleanly_and_up_goes_on(story):
    story.up("--mode", "remove", "--no-book")
    process = story.start("up", "--target", TARGET, "--no-book")
    wait_for_line(process, "its settings are ours")
    process.send_signal(signal.SIGINT)
    said = process.stdout.read()
    assert process.wait(30) == 130, said
    assert "Traceback" not in said
    assert story.record["state"] == "interrupted"
    story.up("--no-book")
    assert set(story.states().values()) <= {"ok", "skipped"}


def test_no_secret_anywhere(story, host):
    story.up("--mode", "remove", "--no-book")
    seen, over = [], threading.Event()

    def watch():
        watcher = Host(TARGET)
        while not over.is_set():
            seen.append(watcher.run("ps axww -o args", on_line=lambda *_: None).out)
            seen.append(subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout)
            time.sleep(0.1)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        story.up()
    finally:
        over.set()
        thread.join()
    secrets = story.secrets()
    assert len(secrets) >= 2 and len(seen) > 20
    assert any("createdb" in s or "apt-get" in s for s in seen), "the watch saw the install at work"
    for secret in secrets:
        assert not any(secret in text for text in seen), "in a process list"
        for folder in (story.runs, home("logs")):
            found = subprocess.run(["grep", "-rlF", secret, str(folder)], capture_output=True, text=True)
            assert found.stdout == ""
        assert host.run("journalctl --no-pager -o cat; cat /var/log/postgresql/*", on_line=lambda *_: None).out.count(secret) == 0
        tracked = subprocess.run(["git", "grep", "-lF", secret], cwd=REPO, capture_output=True, text=True)
        assert tracked.stdout == ""
    host.run("cat /etc/default/minio", on_line=lambda _, line: seen.append(line))
    assert any("MINIO_ROOT_PASSWORD" in s for s in seen), "the settings file does hold it: the search could have found one"


def test_remove_leaves_nothing_and_up_works_again(story, host):
    story.up("--mode", "remove", "--no-book")
    assert set(story.states().values()) == {"removed"}
    came = [l for l in difference(without_times(story.before), without_times(state(host))) if l.startswith("+ ")]
    assert [l for l in came if re.search(r"minio|postgres|runbook(?!-mirror)", l)] == []
    # apt's autoremove keeps what an installed package suggests, here the C library its locales.
    assert [l for l in came if re.search(r"^\+ ii (?!locales|libc-l10n)|\.service|\.timer|\.socket", l)] == [], "packages and units"
    assert SecretStore("sandbox-test").names() == []
    story.up("--no-book")
    assert story.states() == dict.fromkeys(CHAPTERS, "ok")
