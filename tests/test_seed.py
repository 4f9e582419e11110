"""The table from the notes to the chapters: each chapter is there, and so is each step and word that it names."""

import ast
import re

import pytest

from helpers.core import notebooks
from helpers.core.paths import REPO

KNOWN = {n.number: n for n in notebooks.load_all().values()}
TEXT = (REPO / "book" / "seed.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.split("\n## Requirements\n")[1].splitlines()
    if line.startswith("| ") and not line.startswith("| the notes ")
]


def cells(chapter, kind):
    return "\n".join("".join(c["source"]) for c in chapter.content["cells"] if c["cell_type"] == kind)


def titles(chapter):
    """Of its steps, checks and preconditions, as the notebook writes them; chapter 01's rows are its component's."""
    if chapter.id == "requirements":
        code = ast.parse((REPO / "helpers/components/requirements/judge.py").read_text("utf-8"))
        return [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)]
    return re.findall(r'ch\.(?:step|check|require)\(\s*f?"([^"]+)"', cells(chapter, "code"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_names_is_there(row):
    _, where, how, what = row
    number = re.sub(r"\[(\d\d)\].*", r"\1", where)
    chapter = KNOWN[number]
    assert where == f"[{number}](../notebooks/{chapter.path.name})"
    named = re.findall(r"`([^`]+)`", what)
    assert named, "a row says where"
    if how == "executed":
        there = [*titles(chapter), *chapter.parameters]
    else:
        there = re.sub(r"\s+", " ", cells(chapter, "markdown") + cells(chapter, "code"))
    assert [name for name in named if name not in there] == []


def test_what_differs_has_its_reason():
    lines = TEXT.split("\n## Requirements\n")[0].splitlines()
    differs = [line.strip("|").split("|") for line in lines if line.startswith("| ") and "---" not in line]
    assert len(differs) > 8 and all(len(row) == 3 and all(map(str.strip, row)) for row in differs)


def test_the_table_is_on_the_site():
    assert "file: book/seed" in (REPO / "_toc.yml").read_text()
    assert {row[2] for row in ROWS} == {"executed", "prose", "other"} and len(ROWS) > 60
