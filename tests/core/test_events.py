"""Events: whole lines for the runner, masked; a line that was cut off ends the story, not the reader."""

import json
import time

from helpers.core import events
from helpers.core.secrets import Masker


def test_written_and_read_back_masked(tmp_path, monkeypatch):
    path = tmp_path / "events"
    monkeypatch.setenv("RUNBOOK_EVENTS", str(path))
    told = events.Events(Masker(["S3cretValue"]).mask)
    told.tell("step", title="a „title“\nof two lines", state="begin")
    told.tell("check", seen="got S3cretValue", path=tmp_path)
    assert "S3cretValue" not in path.read_text()
    found = events.read(path)
    assert found[0] == {"kind": "step", "title": "a „title“\nof two lines", "state": "begin"}
    assert found[1] == {"kind": "check", "seen": "got *****", "path": str(tmp_path)}


def test_without_a_listener_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_EVENTS", raising=False)
    monkeypatch.chdir(tmp_path)
    events.Events(str).tell("step", title="x")
    assert list(tmp_path.iterdir()) == []


def test_a_last_line_that_is_cut_off_is_left_out_until_it_is_whole(tmp_path):
    path = tmp_path / "events"
    whole = json.dumps({"kind": "step", "title": "ä"}) + "\n"
    for cut in range(1, len(whole) - 1):
        path.write_text(whole + whole[:cut])
        assert len(events.read(path)) == 1, whole[:cut]
    path.write_text(whole + whole)
    assert len(events.read(path)) == 2


def test_no_file_yet(tmp_path):
    assert events.read(tmp_path / "none") == []


def test_a_reader_gets_each_event_once_whenever_it_looks(tmp_path):
    path = tmp_path / "events"
    reader, text = events.Reader(path), "".join(json.dumps({"n": n, "text": "ä"}) + "\n" for n in range(20))
    got = reader.new()
    data = text.encode()
    for at in range(0, len(data), 7):
        with open(path, "ab") as f:
            f.write(data[at : at + 7])
        got += reader.new()
    assert [e["n"] for e in got] == list(range(20)) and reader.new() == []


def test_a_look_costs_what_is_new_however_much_was_told(tmp_path):
    path = tmp_path / "events"
    path.write_text('{"kind": "wait", "text": "x"}\n' * 50000)
    reader = events.Reader(path)
    assert len(reader.new()) == 50000
    start = time.process_time()
    for n in range(50):
        with open(path, "a") as f:
            f.write(json.dumps({"n": n}) + "\n")
        assert reader.new() == [{"n": n}]
    assert time.process_time() - start < 1, "to read all of it again takes a tenth of a second each"
