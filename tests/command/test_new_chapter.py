"""A chapter that `./runbook new` adds to a copy of the repository: it runs, is seen everywhere, goes with its files."""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from helpers.core.paths import REPO

PARTS = ("helpers", "notebooks", "setup", "book", "tests", "README.md", "_config.yml", "_toc.yml")

#: what a chapter's own files may say besides, which the runbook shows
META = {
    "where": "a wall",
    "processes": ["boardd"],
    "programs": {"boardctl": {"why": "to pin notes", "debian": "boardctl"}},
    "commands": {"pin": "helpers.components.board"},
}
COMMAND = '''
EXAMPLES = "./runbook pin --text hello"


def run(ch, say, text=""):
    """Pin a note.

    text WORDS: What it says.
    """
'''
TITLE = "Board: a wall for notes"
STATE = "leaves_out /srv/board/seen\n"
DRIFT = ("chown games /srv/board", "chown root /srv/board", "- root", "+ games")
ENTRY = '\n[board]\nkind = "file"\nversion = "1"\nurl = "https://board.example/board"\nlicence = "MIT"\n'
#: what the copy of the runbook shows, asked there
ASK = """
import json, sys
from pathlib import Path
from helpers.command import doctor, main, pages, site
from helpers.command.plan import Plan
from helpers.command.supplies import in_order
from helpers.components.requirements import judge
from helpers.core import notebooks
sys.path[:0] = ["tests/sandbox", "tests"]
import drifts, host_state, story
from click.shell_completion import ShellComplete
complete = ShellComplete(main.main, {}, "runbook", "_RUNBOOK_COMPLETE").get_completions
plan, out = Plan("local"), Path(sys.argv[1])
site.stage(out, None, main.main)
print(json.dumps({
    "commands": main.main.list_commands(None),
    "completed": [item.value for item in complete(["up", "--only"], "")],
    "needs": {n.id: plan.needs(n) for n in plan.chapters},
    "order": [n.id for n in in_order(plan.chapters, plan.known)],
    "readme": pages.readme_block(None, plan.known),
    "lacks": [lack.what for lack in doctor.lacks()],
    "ports": [r.state for r in judge.judge_ports({"ports": {1: "boardd", 2: "other"}}, [1, 2])],
    "story": story.CHAPTERS,
    "faults": story.FAULTS["above"],
    "drifts": drifts.gather()["quick"],
    "state": host_state.script(),
}, default=repr))
"""


#: every cell of the chapter, in these modes in turn, on this machine, whose folders for the host's notes are others
RUN = """
import json, sys
from pathlib import Path
from helpers.core import host_lock, notebooks, notes
from helpers.core.errors import RunbookError
top, book = Path(sys.argv[1]), notebooks.find("board")
host_lock.PATH, notes.STATE = str(top / "lock"), str(top / "state")
ended = []
for mode in sys.argv[2:]:
    if mode == "break":
        (top / "board/note").write_text("bye\\n")
        continue
    names = {}
    try:
        for number, source in enumerate(book.code()):
            exec(source, names)
            if number == 0:
                names.update(target="local", mode=mode, folder=str(top / "board"))
        ended.append("")
    except RunbookError as e:
        ended.append(str(e))
Path(sys.argv[1], "ended").write_text(json.dumps(ended))
"""


def copied(top, to):
    shutil.copytree(top, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "source", "runs", "home"))
    return to


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The repository with a chapter in it that `new` made, and nothing else."""
    top = tmp_path_factory.mktemp("plain")
    for part in PARTS:
        source = REPO / part
        if source.is_dir():
            shutil.copytree(source, top / part, ignore=shutil.ignore_patterns("__pycache__", "recordings"))
        else:
            shutil.copy(source, top / part)
    for later in (top / "notebooks").glob("1[1-9]_*"):  # a chapter 11 of the repository's own
        later.unlink()
    told = there(top, "-m", "helpers", "new", "board", "--title", TITLE, "--number", "11", "--requires", "postgres")
    assert "made  notebooks/11_board.ipynb" in told, told
    return top


@pytest.fixture(scope="module")
def copy(plain, tmp_path_factory):
    """The same, and the chapter has an artifact, a substitute of it, a command, a program and a parameter more."""
    top = copied(plain, tmp_path_factory.mktemp("copy"))
    for path, text in (
        ("setup/board-setup/values.yaml", "size: 5\n"),
        ("setup/sandbox/substitutes/board/build.sh", "echo board > $OUT/board\n"),
        (
            "setup/sandbox/substitutes/board/fidelity.toml",
            '[board]\nfidelity = "double"\nprogram = "a cork board"\ndiffers = ["no pins"]\n',
        ),
        ("tests/components/board/host_state.sh", STATE),
        ("tests/components/board/drifts.py", f"DRIFTS = {{'quick': [{DRIFT}]}}\n"),
    ):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    book = nbformat.read(top / "notebooks/11_board.ipynb", as_version=4)
    book.metadata["runbook"].update(META)
    book.cells[1].source += "\nsize = 5   # notes in a row"
    book.cells[3].source += '\nch.artifact("board")'
    nbformat.write(book, top / "notebooks/11_board.ipynb")
    for path, text in (
        ("helpers/components/board.py", COMMAND),
        ("setup/catalogue.toml", ENTRY),
    ):
        with open(top / path, "a") as f:
            f.write(text)
    return top


def there(copy, *argv):
    """What a Python of the copy prints."""
    env = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "RUNBOOK_HOME": str(copy / "home"),
        "RUNBOOK_RUNS": str(copy / "runs"),
    }
    done = subprocess.run([sys.executable, *argv], env=env, cwd=copy, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shown(copy):
    return json.loads(there(copy, "-c", ASK, str(copy / "source")))


@pytest.mark.skipif(os.getuid() != 0, reason="the host's lock is root's")
def test_it_runs_in_every_mode(plain, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_EVENTS", str(tmp_path / "events"))
    there(plain, "-c", RUN, str(tmp_path), "install", "install", "verify", "break", "verify", "install", "remove")
    told = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    runs = []
    for event in told:
        if event["kind"] == "open":
            runs.append([])
        elif event["kind"] in ("step", "check") and event["state"] != "begin":
            runs[-1].append(event.get("note") or event["state"])
    assert runs == [
        ["applied", "applied", "ok", "proved"],
        ["already so", "already so", "ok", "proved"],
        ["already so", "already so", "ok", "left out"],
        ["already so", f"{tmp_path}/board/note: content differs from what we write", "failed", "left out"],
        ["already so", "applied", "ok", "proved"],
        ["undone", "undone"],
    ]
    ended = json.loads((tmp_path / "ended").read_text())
    assert [bool(e) for e in ended] == [False, False, False, True, False, False] and "(board-note)" in ended[3]
    assert not (tmp_path / "board").exists() and not list((tmp_path / "state").glob("*board*"))


def test_its_own_tests_pass_and_its_notebook_is_in_order(plain):
    assert "nothing found" in there(plain, "-m", "helpers", "lint")
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "tests/pytest.ini", "tests/components/board"]
    assert re.search(r"^\d+ passed", there(plain, *tests), re.M)
    style = ["--config", str(REPO / "setup/ruff.toml"), "helpers/components/board.py", "tests/components/board"]
    assert "All checks passed" in there(plain, "-m", "ruff", "check", "--no-cache", *style)
    assert "already formatted" in there(plain, "-m", "ruff", "format", "--no-cache", "--check", *style)


def test_it_is_in_every_list(copy, shown):
    assert "board" in shown["completed"] and "pin" in shown["commands"]
    assert "--text WORDS" in there(copy, "-m", "helpers", "pin", "--help")
    assert "11 board" in there(copy, "-m", "helpers", "up", "--from", "board", "--until", "minio")
    assert "| 11 | [Board: a wall for notes](notebooks/11_board.ipynb) |  | not run |" in shown["readme"]
    assert "GitLab" not in shown["readme"].split("| 12 |")[0], "a notebook takes the planned chapter's place"
    assert "boardctl" in shown["lacks"] and shown["ports"] == ["ok", "warn"]


def test_it_is_in_the_graph(shown):
    assert shown["needs"]["board"] == ["postgres"] and shown["order"].index("postgres") < shown["order"].index("board")


def test_it_is_in_the_story(shown):
    assert shown["story"][-1] == "board"
    assert ["echo bye > /srv/board/note", "board", "/srv/board/note: content differs"] in shown["faults"]
    assert ["board", *DRIFT[:2], list(DRIFT[2:])] in shown["drifts"]
    assert STATE in shown["state"].partition("find / ")[0], "before all files are told"


@pytest.mark.parametrize(
    "page, text",
    [
        ("_toc.yml", "title: '11 Board: a wall for notes'"),
        ("notebooks/11_board.ipynb", "Not run yet"),
        ("book/architecture.md", "| 11 | [Board: a wall for notes](../notebooks/11_board.ipynb) | a wall | 06 | yes |"),
        ("book/start.md", '<a href="../notebooks/11_board.html" data-chapter="11" data-state="none">'),
        ("book/reference.md", "| `/srv/board` (`folder`) | 11 | yes, with all notes |"),
        ("book/reference.md", "| `size` | `5` | notes in a row |"),
        ("book/reference.md", "./runbook pin --text hello"),
        ("book/fidelity.md", "a cork board (double)"),
        ("book/troubleshooting.md", "| [`board-full`]{#board-full} | a second note is not kept |"),
    ],
)
def test_it_is_on_the_site(copy, shown, page, text):
    assert text in (copy / "source" / page).read_text()


def test_it_is_gone_with_its_files(copy, tmp_path):
    top = copied(copy, tmp_path)
    for path in ("notebooks/11_board.ipynb", "helpers/components/board.py", "setup/board-setup"):
        path = top / path
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in ("tests/components/board", "setup/sandbox/substitutes/board"):
        shutil.rmtree(top / path)
    ask = ASK.replace('{1: "boardd", 2: "other"}', '{1: "other"}').replace("[1, 2]", "[1]")
    shown = json.loads(there(top, "-c", ask, str(top / "source")))
    assert "| 11 | " not in shown["readme"].replace("| 11 | GitLab", "") and "board" not in shown["needs"]
    assert shown["story"][-1] == "label_studio" and "board" not in shown["completed"]
    assert not [name for name in ("pin", "boardctl") if name in shown["commands"] + shown["lacks"]]
    assert not [fault for fault in shown["faults"] if fault[1] == "board"]
    assert STATE not in shown["state"]
    assert shown["drifts"] and "board" not in [chapter for chapter, *_ in shown["drifts"]]
    for page in (top / "source").rglob("*"):
        assert page.is_dir() or page.suffix not in (".md", ".yml", ".ipynb") or "11_board" not in page.read_text(), page
