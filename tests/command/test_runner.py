"""The runner on a notebook of the test's own: what makes it install again what it had installed."""

import io

import nbformat
import pytest
from rich.console import Console

from helpers.command import record
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


REFUSING = """
from helpers.core.errors import RunbookError
from helpers.core.events import Events
if port == 2:
    raise RunbookError("start", saw="port 2 is taken")
Events(str).tell("step", title="it listens", state="ok", note="applied", seconds=0.0)
"""


def write_book(folder, parameters, code):
    book = nbformat.v4.new_notebook(metadata={"runbook": {"id": "board", "title": "Board"}})
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    given = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book.cells = [given, nbformat.v4.new_code_cell(code)]
    (folder / "notebooks").mkdir()
    nbformat.write(book, folder / "notebooks/05_board.ipynb")


@pytest.fixture
def up(tmp_path, monkeypatch, own_home, runs):
    """A function: install the chapter when its origin serves this checksum; (its record, the modes it ran in)."""
    code = CODE.format(served=tmp_path / "served", ran=tmp_path / "ran")
    write_book(tmp_path, 'target = "local"\nmode = "install"', code)
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


def test_an_install_that_was_refused_leaves_what_remove_looks_for(tmp_path, monkeypatch, own_home, runs):
    write_book(tmp_path, 'target = "local"\nmode = "install"\nport = 9', REFUSING)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    for port, state in ((1, "ok"), (2, "failed")):
        plan = Plan("local", given={"board": {"port": port}})
        made = Runner(plan, 1, Progress(Console(file=io.StringIO()))).run()
        assert made.chapters["board"].state == state
    installed = record.installed(record.last({"board": "local"}))
    assert installed["board"]["port"] == 1
    assert Plan("local", "remove", installed=installed).parameters["board"]["port"] == 1
