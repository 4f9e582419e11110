"""Tables of what no step asks for: shown where there is something to compare, and never the end of a chapter."""

import re

import pytest
import stand_in

from helpers.core import state
from helpers.core.errors import OutOfReach, RunbookError

HEADERS = ("bucket", "its policy lets in")


def shown(ch, capsys, ask, *arguments):
    state.show(ch, "the buckets", HEADERS, ask, *arguments)
    return [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("mode, rows", [("install", 3), ("verify", 3), ("plan", 0), ("remove", 0)])
def test_rows_are_shown_in_install_and_verify_alone(monkeypatch, own_home, capsys, mode, rows):
    ch = stand_in.chapter(monkeypatch, "minio", lambda script, stdin: "", mode)
    found = shown(ch, capsys, lambda name, pods: [(name, pods)], "models", 2)
    assert len(found) == rows and found[2:] in ([], [["models", "2"]])


def raises(error):
    def ask():
        raise error

    return ask


def test_what_cannot_be_told_is_one_row_without_a_secret_and_the_chapter_goes_on(monkeypatch, own_home, capsys):
    ch = stand_in.chapter(monkeypatch, "minio", lambda script, stdin: "")
    ch.masker.add("a-very-secret-key")
    rows = shown(ch, capsys, raises(RunbookError("ask", saw="no answer to a-very-secret-key")))
    assert len(rows) == 3 and rows[2][0].startswith("cannot tell ‹no answer to ") and "a-very" not in rows[2][0]
    assert "KeyError" in shown(ch, capsys, raises(KeyError("Action")))[2][0]


def test_what_is_out_of_reach_is_left_out_and_a_fault_of_ours_is_one(monkeypatch, own_home, capsys):
    ch = stand_in.chapter(monkeypatch, "minio", lambda script, stdin: "")
    assert shown(ch, capsys, raises(OutOfReach("ask", saw="needs the host"))) == [["- the buckets: needs the host"]]
    with pytest.raises(TypeError):
        state.show(ch, "the buckets", HEADERS, raises(TypeError("ours")))


def test_a_user_of_the_host_is_told_by_what_may_be_changed_of_it(monkeypatch, own_home):
    said = "minio-user:x:997:997::/srv/minio:/usr/sbin/nologin\nminio-user adm\n"
    ch = stand_in.chapter(monkeypatch, "minio", lambda script, stdin: said)
    assert state.accounts(ch, "minio-user") == [["minio-user", "adm minio-user", "/srv/minio", "/usr/sbin/nologin"]]
    with pytest.raises(RunbookError):
        state.accounts(stand_in.chapter(monkeypatch, "minio", lambda script, stdin: (2, "", "")), "nobody-here")
