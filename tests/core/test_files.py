"""Files of this machine, written whole or not at all, and texts that lie beside a module."""

import contextlib
import os
import shutil
import subprocess

import pytest
import stand_in

from helpers.core import actions, files
from helpers.core.errors import RunbookError
from helpers.core.files import write_whole
from helpers.core.shell import filled, quoted, script


def test_a_file_is_written_with_its_mode_and_leaves_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a", "one")
    write_whole(tmp_path / "a", b"two", 0o644)
    assert (tmp_path / "a").read_bytes() == b"two" and (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["a"]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "one")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_whole(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "one" and os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_stays_its_owners(tmp_path):
    file = tmp_path / "a"
    file.write_text("one")
    os.chown(file, 12345, 12346)
    write_whole(file, "two", owner=file.stat())
    assert (file.stat().st_uid, file.stat().st_gid, file.read_text()) == (12345, 12346, "two")


def test_a_lock_that_another_holds_is_told_and_waited_for_or_not(tmp_path):
    told, path = [], tmp_path / "lock"
    with files.lock(path), pytest.raises(BlockingIOError), files.lock(path, files.at_once):
        pass
    holder = contextlib.ExitStack()
    holder.enter_context(files.lock(path))
    with files.lock(path, lambda file: (told.append(file.name), holder.close())):
        assert told == [str(path)]
    with files.lock(path, files.at_once):
        pass


def test_arguments_of_a_script_are_quoted_and_its_first_comments_stay_here(tmp_path):
    (tmp_path / "x.sh").write_text('# What it is for.\n# More.\necho "$1"\n# kept\n')
    assert script(tmp_path / "x.sh", "a b'c") == "set -- 'a b'\"'\"'c'\necho \"$1\"\n# kept"


def test_a_name_in_a_text_must_have_a_value(tmp_path):
    (tmp_path / "x.yaml").write_text("a: {b: $NAME}  # $$5\n")
    assert filled(tmp_path / "x.yaml", NAME="c") == "a: {b: c}  # $5\n"
    with pytest.raises(KeyError):
        filled(tmp_path / "x.yaml", OTHER="c")


def test_an_action_that_waits_says_what_it_saw_last(monkeypatch, own_home):
    said = [(1, "starting", ""), (0, "", "")]
    ch = stand_in.chapter(monkeypatch, "kubernetes", lambda script, stdin: said[0] if len(said) == 1 else said.pop(0))
    actions.waits(ch, "wait", "it to start", "a bash probe", timeout=5).apply()
    assert len(said) == 1, "it was asked until it was so"
    with pytest.raises(RunbookError) as e:
        actions.waits(ch, "wait", "it to start", lambda: "still away", timeout=0.1).apply()
    assert e.value.saw == "still away" and "it to start" in e.value.what


@pytest.mark.parametrize("login", ["sh", "bash", "zsh", "fish"])
@pytest.mark.parametrize("text", ["a\\b", "a\\\\b'\\'c", 'it\'s $HOME `x` "y"\n\\n', "\\", ""])
def test_a_word_reaches_the_command_whatever_the_login_shell(login, text):
    if not shutil.which(login):
        pytest.skip(f"no {login} here; tests/sandbox/test_kinds.py asks a host that has it")
    command = "printf %s " + quoted(text)
    assert subprocess.run([login, "-c", command], capture_output=True, text=True).stdout == text
