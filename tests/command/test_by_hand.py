"""A chapter by hand, without a browser: what a button starts, what is recorded of cells, and the copies of the lab."""

import json
import os
from contextlib import nullcontext

import nbformat
import pytest
from serving import until

from helpers.command import by_hand, form, lab, record
from helpers.command import work as work_module
from helpers.command.targets import Targets
from helpers.command.work import Work
from helpers.core import host_lock, notebooks, notes
from helpers.core.host import Host

PARAMETERS = (
    'target = "local"   # where\nmode = "install"   # how\norigin = "auto"   # from where\nport = 9   # its own'
)
CODE = """
from helpers import Chapter
ch = Chapter.open("minio", globals())
ch.step("one is there", "touch {top}/one", probe="test -e {top}/one", makes="file {top}/one")
ch.step("two is there", "{slow}touch {top}/two", probe="test -e {top}/two", makes="file {top}/two")
ch.check("they are there", lambda: "both")
ch.verdict()
"""

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="the host's lock is root's")


@pytest.fixture
def board(tmp_path, monkeypatch, own_home, runs):
    """A function: the chapter, of two files as its steps. slow: what its second step does first."""
    monkeypatch.setattr(host_lock, "PATH", str(tmp_path / "lock"))
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()

    def made(slow=""):
        book = nbformat.v4.new_notebook(metadata={"runbook": {"id": "minio", "title": "Board", "provides": ["b"]}})
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        given = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        root = "from pathlib import Path\nfrom helpers.core import notebooks, notes\n"
        root += f"notebooks.NOTEBOOKS = Path('{tmp_path}/notebooks')\nnotes.STATE = '{tmp_path}/state'\n"
        book.cells = [given, nbformat.v4.new_code_cell(root + CODE.format(top=tmp_path, slow=slow))]
        nbformat.write(book, tmp_path / "notebooks/05_board.ipynb")
        return notebooks.find("minio")

    return made


def run(notebook, mode, step="", until_it=lambda work: False):
    """A Work at its end; it is stopped when until_it says so."""
    work = Work(notebook, {"target": "local", "port": 9}, mode, step, lambda: None)
    work.start()
    if until_it(work):
        work.stop()
    until("its end", lambda: not work.busy, timeout=90)
    return work


def test_install_by_a_button_is_a_run(board, tmp_path):
    work = run(board(), "install")
    assert work.said == "install: ok", work.error
    assert work.rows == {
        ("step", "one is there"): ("ok", "applied"),
        ("step", "two is there"): ("ok", "applied"),
        ("check", "they are there"): ("ok", "both"),
    }
    kept = record.latest("local").chapters["minio"]
    assert kept.state == "ok" and kept.installed["port"] == 9


def test_stop_in_the_middle_is_said_and_lets_the_host_go(board, tmp_path):
    notebook = board(slow="sleep 60; ")
    work = run(notebook, "install", until_it=lambda work: until("one", (tmp_path / "one").exists, timeout=60))
    assert work.said == "install: interrupted" and work.seconds < 60
    assert not (tmp_path / "two").exists() and record.latest("local").chapters["minio"].state == "interrupted"
    with host_lock.held(Host("local"), what="another"):  # refused while anybody has it
        pass
    assert run(board(), "install").said == "install: ok"


def test_one_step_alone_is_applied_and_the_chapter_is_not_called_installed(board, tmp_path):
    work = run(board(), "install", step="two is there")
    assert (tmp_path / "two").exists() and not (tmp_path / "one").exists()
    assert work.rows["step", "one is there"][0] == "failed" and work.rows["check", "they are there"][0] == "waiting"
    assert record.latest("local").chapters["minio"].state == "failed"
    (tmp_path / "one").touch()
    assert run(board(), "install", step="two is there").said == "install of one step: interrupted"


def test_cells_run_by_hand_leave_the_record_of_a_run(board):
    told = [
        {"kind": "open", "target": "local", "mode": "verify", "origin": "upstream"},
        {"kind": "step", "title": "one is there", "state": "ok", "note": "already so", "seconds": 0.1},
        {"kind": "check", "title": "they are there", "state": "ok", "expected": "", "seen": "both", "entry": None},
        {"kind": "verdict", "ok": True, "failed": []},
    ]
    names = {"target": "local", "mode": "verify", "origin": "auto", "port": 12}
    by_hand.keep(board(), names, told[0], told, "")
    kept = record.latest("local").chapters["minio"]
    assert (kept.state, kept.parameters["port"], kept.checks[0].seen) == ("ok", 12, "both") and kept.verified


@pytest.mark.parametrize("name", notebooks.load_all())
def test_a_chapter_by_hand_runs_on_the_targets_that_its_values_name(name, monkeypatch):
    n = notebooks.find(name)
    hosts = {"target": "ssh://u@a", **{p: "ssh://u@b" for p in n.parameters if p == "gitlab_target"}}
    values, plans = {p: hosts.get(p, v.default) for p, v in n.parameters.items()}, []

    class Runs:
        def __init__(self, plan, *_):
            plans.append(plan)

        def run(self):
            done = record.ChapterRun(id=name, number=n.number, title=n.title, state="ok")
            return record.Run(id="1", target="local", mode="verify", started="", chapters={name: done})

    for module, part, stub in [
        (work_module, "Runner", Runs),
        (by_hand, "CellByCell", Runs),
        (work_module, "target_locks", lambda *_: nullcontext()),
        (work_module, "reached", lambda *_: nullcontext()),
    ]:
        monkeypatch.setattr(module, part, stub)
    work = Work(n, {p: v for p, v in values.items() if p != "mode"}, "verify", "", lambda: None)
    work._run()
    by_hand.keep(n, values, {"mode": "verify"}, [], "")
    assert work.error == "" and [plan.parameters[name] for plan in plans] == [{**values, "mode": "verify"}] * 2


def test_a_chapter_is_known_by_its_file_or_its_parameters():
    source = next(notebooks.find("minio").code())
    assert by_hand.chapter_of(source).id == by_hand.chapter_of(source, "/x/05_minio.ipynb").id == "minio"
    assert by_hand.chapter_of("a = 1") is None and by_hand.chapter_of("%ls") is None


@pytest.mark.parametrize(
    "name, value, why",
    [("port", 99999, "a port is"), ("target", "ssh:/x", "target"), ("buckets", [1], "each must be"), ("port", 80, "")],
)
def test_a_value_is_refused_in_place(name, value, why):
    said = form.why_not(notebooks.find("minio"), name, value)
    assert why in said if why else said == ""


def test_values_are_put_into_the_parameters_cell_and_comments_stay():
    source = next(notebooks.find("minio").code())
    filled = lab.filled(source, {"port": 9010, "adopt": True, "buckets": ["a"]}).splitlines()
    at = source.splitlines()[4].index("#")
    assert filled[4] == "port = 9010".ljust(at) + "# the S3 API on the host"
    assert filled[9].startswith('buckets = ["a"]  ') and filled[11].startswith("adopt = True ")
    assert filled[0] == source.splitlines()[0]


def test_a_copy_that_somebody_changed_stays(tmp_path, own_home, runs):
    assert lab.copy_chapters(tmp_path, Targets("local")) == [] and lab.copy_chapters(tmp_path, Targets("local")) == []
    path = tmp_path / "05_minio.ipynb"
    content = json.loads(path.read_text())
    assert content["cells"][1]["source"][:2] == [
        'target = "local"                 # where to install: ssh://user@host, local, sandbox\n',
        'mode = "plan"                    # install, verify, plan, remove\n',
    ]
    content["cells"].pop()
    path.write_text(json.dumps(content))
    assert lab.copy_chapters(tmp_path, Targets("local")) == [path] and json.loads(path.read_text()) == content
