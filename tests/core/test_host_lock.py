"""One run at a time on a host, by a lock that lies on it: real bash and flock, this machine as the host."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import until

from helpers.command import main as cli
from helpers.core import by_hand, host_lock, notebooks, notes
from helpers.core.chapter import Chapter
from helpers.core.errors import BadInput
from helpers.core.host import Host
from helpers.core.host_lock import HostLock, held
from helpers.core.paths import REPO

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="the lock is root's")


@pytest.fixture
def lock(tmp_path, monkeypatch, own_home):
    """The lock of a host of this test's own: its file."""
    path = tmp_path / "lock"
    monkeypatch.setattr(host_lock, "PATH", str(path))
    monkeypatch.setattr(host_lock, "_PATIENCE", 1)
    monkeypatch.setattr(host_lock, "_AGAIN", 0.1)
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    return path


def holder(path, life):
    """A process of the host that holds the lock for somebody; its input is open until the test ends it."""
    script = (
        f"exec 9>>{path}; flock 9; printf '%s\\n' $$ '{life}' 'ann@elsewhere, up, since noon' >{path}; echo; exec cat"
    )
    process = subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


@pytest.fixture
def other(lock):
    """Somebody takes the lock: other(what is known of the life)."""
    started = []

    def take(life):
        started.append(holder(lock, life))
        return started[-1]

    yield take
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_one_is_told_who_is_there(lock):
    with held(Host("local"), what="up --mode install"), pytest.raises(BadInput) as e:
        HostLock(Host("local"), "chapter minio by hand").take()
    pid = lock.read_text().splitlines()[0]
    assert e.value.what == "start chapter minio by hand" and f"sudo kill {pid}" in e.value.do
    assert f", process {os.getpid()}, up --mode install, since 2" in e.value.saw and "@" in e.value.saw
    with held(Host("local"), what="up --mode remove"):
        assert "up --mode remove" in lock.read_text()
    assert oct(lock.stat().st_mode & 0o777) == "0o600"


def test_a_run_that_knows_one_host_by_two_names_has_it_once(lock):
    with held(Host("local"), Host("local"), what="up"), pytest.raises(BadInput):
        HostLock(Host("local"), "another").take()
    HostLock(Host("local"), "up").take().release()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_process_that_took_it_however_that_ends(lock, number):
    program = (
        "import time; from helpers.core import host_lock as l; from helpers.core.host import Host\n"
        f"l.PATH = {str(lock)!r}; l.HostLock(Host('local'), 'up').take(); print('has it', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "has it\n"
    process.send_signal(number)
    process.communicate()
    started = time.monotonic()
    with held(Host("local"), what="the next up"):
        assert time.monotonic() - started < 10


def test_one_who_is_proved_to_be_dead_is_taken_over(lock, other):
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = other(f"{host_lock._life().rpartition(' ')[0]} {gone.pid}")
    with held(Host("local"), what="up"):
        assert stale.wait(30) == -signal.SIGTERM and "ann" not in lock.read_text()


@pytest.mark.parametrize("life", ["", "another-boot pid:[1] 999999", "{here} {alive}"])
def test_of_all_others_nobody_can_tell(lock, other, life):
    there = other(life.format(here=host_lock._life().rpartition(" ")[0], alive=os.getppid()))
    with pytest.raises(BadInput) as e:
        HostLock(Host("local"), "up").take()
    assert "ann@elsewhere, up, since noon" in e.value.saw and there.poll() is None


def test_a_lock_that_was_lost_with_the_connection_is_had_back(lock):
    with held(Host("local"), what="up"):
        first = lock.read_text().splitlines()[0]
        os.kill(int(first), signal.SIGKILL)
        until("the lock", lambda: lock.read_text() and lock.read_text().splitlines()[0] != first)
        with pytest.raises(BadInput):
            HostLock(Host("local"), "another").take()
    with held(Host("local"), what="up"):
        pass


def test_a_run_whose_lock_another_has_by_now_is_stopped(lock, other, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    try:
        with pytest.raises(KeyboardInterrupt), held(Host("local"), what="up"):
            os.kill(int(lock.read_text().splitlines()[0]), signal.SIGKILL)
            other("")
            time.sleep(60)  # the signal ends it
    finally:
        signal.signal(signal.SIGINT, before)
    assert "ann@elsewhere" in capsys.readouterr().err


def open_minio(mode, **given):
    return Chapter.open("minio", {"target": "local", "origin": "upstream", "mode": mode, **given})


@pytest.mark.parametrize("mode", ["install", "remove"])
def test_a_chapter_run_by_hand_takes_it_until_the_verdict(lock, monkeypatch, mode):
    monkeypatch.delenv(host_lock.HELD_BY_RUN, raising=False)
    with held(Host("local"), what="up --mode install"), pytest.raises(BadInput) as e:
        open_minio(mode)
    assert "up --mode install" in e.value.saw
    open_minio(mode)
    ch = open_minio(mode)  # the cell is run again
    with pytest.raises(BadInput) as e:
        HostLock(Host("local"), "up").take()
    assert f"chapter minio by hand in mode {mode}" in e.value.saw
    ch.verdict()
    HostLock(Host("local"), "up").take().release()


def test_who_changes_nothing_and_a_chapter_of_a_run_take_none(lock, monkeypatch):
    monkeypatch.delenv(host_lock.HELD_BY_RUN, raising=False)
    with held(Host("local"), what="up"):
        open_minio("verify")
        open_minio("plan")
        monkeypatch.setenv(host_lock.HELD_BY_RUN, "held")
        open_minio("install")
    assert by_hand._locks == {}


@pytest.mark.parametrize("mode", ["install", "remove"])
def test_up_is_refused_before_anything_is_touched(lock, runs, monkeypatch, capsys, mode):
    with held(Host("local"), what="up of ann"), pytest.raises(SystemExit) as e:
        cli.main(["up", "--target", "local", "--only", "minio", "--mode", mode, "--yes"])
    assert e.value.code == 2 and "up of ann" in capsys.readouterr().err
    assert list(runs.iterdir()) == []


def noted(*chapters):
    Path(notes.STATE).mkdir()
    for chapter in chapters:
        Path(notes.path(chapter)).write_text("{}")


def test_what_another_machine_installed_is_not_pulled_away_from_under_it(lock, runs, monkeypatch, capsys):
    noted("pachyderm", "minio", "secrets")
    assert notes.standing(Host("local"), notebooks.load_all()) == {"pachyderm", "minio"}
    with pytest.raises(SystemExit) as e:
        cli.main(["up", "--target", "local", "--only", "minio", "--mode", "remove", "--yes"])
    said = capsys.readouterr().err
    assert e.value.code == 2 and "07 pachyderm stands on it" in said and "--only minio --only pachyderm" in said
    assert list(runs.iterdir()) == []
    monkeypatch.delenv(host_lock.HELD_BY_RUN, raising=False)
    with pytest.raises(BadInput) as refused:
        open_minio("remove")
    assert "07 pachyderm stands on it" in refused.value.saw
    HostLock(Host("local"), "up").take().release()
    open_minio("install").verdict()
