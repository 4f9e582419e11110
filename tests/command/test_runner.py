"""The runner on a notebook of the test's own: what makes it install again what it had installed."""

import io

import nbformat
import pytest
from rich.console import Console

from helpers.command.plan import Plan
from helpers.command.progress import Progress
from helpers.command.runner import Runner
from helpers.core import notebooks

CODE = """
import pathlib
from helpers.core.events import Events
served = pathlib.Path("{served}").read_text()
with open("{ran}", "a") as ran:
    ran.write(mode + "\\n")
Events(str).tell("artifact", name="wall", version="1", origin="mirror", fidelity="double", program="", sha256=served)
"""


@pytest.fixture
def up(tmp_path, monkeypatch, own_home, runs):
    """A function: install the chapter when its origin serves this checksum; (its record, the modes it ran in)."""
    book = nbformat.v4.new_notebook(metadata={"runbook": {"id": "board", "title": "Board"}})
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    given = nbformat.v4.new_code_cell('target = "local"\nmode = "install"', metadata={"tags": ["parameters"]})
    code = CODE.format(served=tmp_path / "served", ran=tmp_path / "ran")
    book.cells = [given, nbformat.v4.new_code_cell(code)]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(book, tmp_path / "notebooks/05_board.ipynb")
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")

    def run(served):
        (tmp_path / "served").write_text(served)
        (tmp_path / "ran").write_text("")
        made = Runner(Plan("local"), 1, Progress(Console(file=io.StringIO()))).run()
        return made.chapters["board"], (tmp_path / "ran").read_text().split()

    return run


def test_an_artifact_that_the_origin_replaced_is_installed_again(up):
    chapter, ran = up("aa")
    assert (chapter.state, ran) == ("ok", ["install"])
    chapter, ran = up("aa")
    assert (chapter.state, ran) == ("skipped", ["verify"])
    chapter, ran = up("bb")
    assert (chapter.state, ran) == ("ok", ["verify", "install"])
    assert chapter.artifacts[0].sha256 == "bb"
