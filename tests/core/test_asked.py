"""Probes of the last run: kept where only their owner writes, never taken from a run record."""

import json
import stat

import pytest
import stand_in

from helpers.core import asked
from helpers.core.chapter import Chapter


def test_they_are_kept_for_their_target_and_chapter(own_home):
    assert asked.before("local", "minio") == []
    asked.keep("local", "minio", ["true", "[ -e /ä ]"])
    assert asked.before("local", "minio") == ["true", "[ -e /ä ]"]
    assert asked.before("sandbox", "minio") == asked.before("local", "postgres") == []
    file = own_home / "probes" / "local.minio.json"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (file, file.parent, own_home)] == [0o600, 0o700, 0o700]


@pytest.mark.parametrize("text", ("", "{", "{}", '"id"', "[1]"))
def test_what_is_no_list_of_scripts_is_none(own_home, text):
    asked.keep("local", "minio", [])
    (own_home / "probes" / "local.minio.json").write_text(text)
    assert asked.before("local", "minio") == []


def test_a_chapter_asks_what_it_asked_and_nothing_that_a_record_says(monkeypatch, own_home, runs):
    (runs / "1").mkdir()
    (runs / "latest").symlink_to("1")
    record = {"target": "local", "chapters": {"minio": {"probes": ["id > pwned"]}}}
    (runs / "1" / "run.json").write_text(json.dumps(record))
    heard = []
    first = stand_in.chapter(monkeypatch, "minio", lambda script, stdin: heard.append(script) or "", "install")
    first.step("it is so", first.action("do it", "probe-of-ours", "true"))
    first.verdict()
    del heard[:]
    Chapter.open("minio", {"target": "local", "mode": "verify"})
    assert heard == ["probe-of-ours"]
