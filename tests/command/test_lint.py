"""`./runbook lint`: every notebook of ours is as a chapter must be, and each rule finds the notebook that breaks it."""

import copy
import json
import re

import pytest
from click.testing import CliRunner

from helpers.command import lint, main, new
from helpers.core import notebooks, paths

GOOD = json.loads(new._notebook(new.Wanted("board", "02", "Board", ["requirements"])))
#: cells of GOOD
TITLE, PARAMETERS, IMPORTS, OPEN, REQUIRE, STEP, PROOF, CHECK, VERDICT, USE = 1, 2, 3, 4, 6, 8, 9, 10, 11, 12


def test_every_notebook_is_as_a_chapter_must_be():
    found = lint.findings(lint.chosen([]))
    assert [each.lines() for each in found] == []


@pytest.fixture
def found(tmp_path):
    """A function: what is found in a good notebook that `spoil` has had its way with, beside one that is good."""
    (tmp_path / "01_requirements.ipynb").write_text("{}")

    def of(spoil, name="02_board.ipynb"):
        book = copy.deepcopy(GOOD)
        spoil(book)
        (tmp_path / name).write_text(json.dumps(book))
        return lint.findings([tmp_path / name])

    return of


def test_the_good_one_is_good(found):
    assert found(lambda book: None) == []


def test_what_a_room_has_may_be_nothing(found, monkeypatch):
    monkeypatch.setattr(paths, "NONE", 0, raising=False)
    assert found(append(STEP, "from helpers.core.paths import NONE\nprint(NONE)")) == []


def test_a_texts_own_lines_may_be_long(found):
    assert found(append(USE, "x" * 101 + "\n```bash\nls\n```\n" + "x" * 101)) == []


def change(cell, old, new):
    """In a cell's text (or in all cells', for 0), something else."""

    def spoil(book):
        cells = book["cells"][cell - 1 : cell] if cell else book["cells"]
        before = [list(c["source"]) for c in cells]
        for c in cells:
            c["source"] = [re.sub(old, new, "".join(c["source"]), flags=re.S)]
        assert [["".join(b)] for b in before] != [c["source"] for c in cells], "nothing was changed"

    return spoil


def append(cell, text):
    return change(cell, r"\Z", lambda m: "\n" + text)


def put(cell, **fields):
    return lambda book: book["cells"][cell - 1].update(fields)


def meta(**fields):
    return lambda book: book["metadata"]["runbook"].update(fields)


BROKEN = [
    ("nothing of `runbook`", lambda book: book["metadata"].pop("runbook"), 0, "no id, title and provides"),
    ("no provides", lambda book: book["metadata"]["runbook"].pop("provides"), 0, "no id, title and provides"),
    ("no Python", append(STEP, "%pip install x"), STEP, "is no Python"),
    ("no plain value", change(PARAMETERS, '"hello"', "str(1)"), PARAMETERS, "no plain value"),
    ("an id", lambda b: (meta(id="My-Board")(b), change(0, '"board"', '"My-Board"')(b)), 0, "the id is 'My-Board'"),
    ("another id than its file's", meta(id="wall"), 0, "the file is called 02_board.ipynb"),
    ("requires what is not there", meta(requires=["nowhere"]), 0, "it requires nowhere"),
    ("requires itself", meta(requires=["board"]), 0, "it requires board"),
    ("no title", change(TITLE, "# Board", "Board"), TITLE, "does not begin with the title"),
    ("another title", meta(title="Wall"), TITLE, "does not begin with the title"),
    ("no proof", change(PROOF, "## Proof", "Proof"), 0, "'## Proof' is missing"),
    ("no table", change(USE, "## When it fails", "## Else"), 0, "'## When it fails' is missing"),
    ("nowhere to go on", change(USE, "## What next", "### What next"), 0, "'## What next' is missing"),
    ("an output", put(STEP, outputs=[{"output_type": "stream", "text": "x"}]), STEP, "outputs or a count"),
    ("a count", put(STEP, execution_count=3), STEP, "outputs or a count"),
    ("papermill's", lambda book: book["metadata"].update(papermill={}), 0, "papermill's metadata"),
    ("an id twice", put(STEP, id="02-00"), 0, "the same id"),
    ("no id", lambda book: book["cells"][3].pop("id"), 0, "some have none"),
    ("not opened", change(OPEN, '"board"', '"wall"'), 0, "no cell opens the chapter"),
    ("no verdict", change(VERDICT, r"ch.verdict\(\)", "ch.close()"), VERDICT, "not the verdict"),
    ("no parameters", put(PARAMETERS, metadata={}), PARAMETERS, "not the one cell tagged"),
    ("parameters twice", put(IMPORTS, metadata={"tags": ["parameters"]}), PARAMETERS, "not the one cell tagged"),
    ("no comment", append(PARAMETERS, "size = 5"), PARAMETERS, "size has no comment"),
    ("not flat", append(PARAMETERS, "size = {}   # how large"), PARAMETERS, "size is not flat"),
    ("a secret's name", append(PARAMETERS, 'api_token = "x"   # its own'), PARAMETERS, "sounds like a secret"),
    ("no origin", change(PARAMETERS, "origin =", "whence ="), PARAMETERS, "origin is missing"),
    ("another mode", change(PARAMETERS, '"install"', '"verify"'), PARAMETERS, "mode is missing, or has another"),
    ("a default that is refused", append(PARAMETERS, "port = 99999   # its own"), PARAMETERS, "a default is refused"),
    ("more than a screen", append(STEP, "\n".join(["x = 1"] * 60)), STEP, "more than a screen"),
    ("a long line", append(STEP, "x = " + "1" * 97), STEP, "101 characters"),
    ("a long line to copy", append(USE, "```bash\n" + "x" * 101 + "\n```\n" + "y" * 102), USE, "101 characters"),
    ("a lambda", append(STEP, "f = lambda: 1"), STEP, "a lambda in line"),
    ("on_line", append(STEP, "ch.run('true', on_line=None)"), STEP, "on_line in line"),
    ("a script", append(STEP, "s = '''for x in a b; do\n  echo $x\ndone\n'''"), STEP, "a shell script in line"),
    ("an artifact", append(STEP, 'a = ch.artifact("nowhere")'), 0, "no artifact 'nowhere'"),
    ("a version", append(STEP, 'v = "v1.20.2"'), STEP, "a version or address of an artifact: v1.20.2"),
    ("a version with a sign", append(STEP, 'v = "minio==7.1.0-rc1"'), STEP, "of an artifact: 7.1.0"),
    ("an address", append(STEP, 'a = "https://files.example.org/x"'), STEP, "https://files.example.org"),
    ("a host of the catalogue", append(STEP, 'a = "dl.min.io"'), STEP, "of an artifact: dl.min.io"),
    ("an image", append(STEP, 'a = "k8s.gcr.io/pause:3.1"'), STEP, "of an artifact: k8s.gcr.io/pause:3.1"),
    ("a file's version", append(STEP, 'ch.artifact("minio"); v = "RELEASE.2021-04-22T15-44-28Z"'), STEP, "RELEASE."),
    ("a secret", append(STEP, 'password = "hunter2"'), STEP, "a password stands in it"),
    ("no check", change(CHECK, "ch.check", "print"), 0, "it proves nothing"),
    ("an empty field", change(USE, "somebody changed it, or its folder", " "), 0, "board-note has an empty field"),
    ("another entry", change(CHECK, '"board-note"', '"board-nowhere"'), CHECK, "no row of the table"),
    ("no entry", change(CHECK, ', entry="board-note"', ""), CHECK, "a check without an entry: 'the note says"),
    ("an unknown name", append(STEP, "x = actions"), STEP, "Undefined name `actions`"),
    ("what no room has", append(STEP, "from helpers.core import nowhere"), STEP, "helpers.core has no nowhere"),
    ("what a room has not", append(STEP, "from helpers.core import host\nhost.none()"), STEP, "host.none is not there"),
    ("an import for nothing", append(IMPORTS, "import json"), IMPORTS, "`json` imported but unused"),
]


@pytest.mark.parametrize("spoil, cell, what", [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_each_rule_is_broken_in_its_cell_and_says_what_to_do(found, spoil, cell, what):
    fits = [each for each in found(spoil) if what in each.what]
    assert [each.cell for each in fits] == [cell] and fits[0].do, found(spoil)
    where = "02_board.ipynb" + (f", cell {cell}: " if cell else ": ")
    assert where in fits[0].lines() and f"\n    do  {fits[0].do}" in fits[0].lines()


@pytest.mark.parametrize("text", ["not json", "{}", "[]", '{"cells": [{}], "metadata": {}}'])
def test_what_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "02_board.ipynb"
    path.write_text(text)
    [one] = lint.findings([path])
    assert "it is no notebook" in one.what and one.do


@pytest.mark.parametrize("text", ['a = "10.0.1.1"', 'a = "10.1.0.0/16"', 'c = "1.20/stable"', 'u = "http://<host>:80"'])
def test_an_address_of_a_network_and_a_channel_are_no_versions(found, text):
    assert found(append(STEP, text)) == []


def test_the_command_says_which_and_ends_with_1(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    assert CliRunner().invoke(main.main, ["lint", "minio"]).exit_code == 0
    (tmp_path / "01_requirements.ipynb").write_text("{}")
    path = tmp_path / "02_board.ipynb"
    path.write_text(json.dumps({**GOOD, "cells": GOOD["cells"][:-1]}))
    done = CliRunner().invoke(main.main, ["lint", str(path)])
    assert done.exit_code == 1 and "the section '## What next' is missing" in done.output and "of 1" in done.output
    assert CliRunner().invoke(main.main, ["lint", str(tmp_path / "09_x.ipynb")]).exit_code == 2


def test_the_chapters_order_has_no_cycle_and_points_back():
    known = notebooks.load_all()
    numbers = {n.id: n.number for n in known.values()}
    assert all(numbers[r] < n.number for n in known.values() for r in n.requires)
    assert list(numbers.values()) == sorted(set(numbers.values()))
