"""A chapter that is added in a copy of the repository: its own files are all that it takes to be seen everywhere."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from helpers.core.paths import REPO

PARTS = ("helpers", "notebooks", "setup", "book", "tests", "README.md", "_config.yml", "_toc.yml")

META = {
    "id": "board",
    "title": "Board: a wall for notes",
    "requires": ["postgres"],
    "where": "a wall",
    "processes": ["boardd"],
    "programs": {"boardctl": {"why": "to pin notes", "debian": "boardctl"}},
    "commands": {"pin": "helpers.components.board"},
    "tables": {"files": [["`/srv/board`", "{number}", "yes, with all notes"]]},
}
CELLS = [
    "# Board: a wall for notes\n\nNotes.\n",
    'target = "sandbox"\nmode = "install"\norigin = "auto"\nsize = 5   # notes in a row',
    'ch.artifact("board")',
    "| entry | you see | because | do |\n|---|---|---|---|\n| board-full | no room | many notes | take one away |\n",
]
ROOM = '''"""Chapter 11: the board."""

EXAMPLES = "./runbook pin --text hello"


def run(ch, say, text=""):
    """Pin a note.

    text WORDS: What it says.
    """
'''
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
import test_runbook
plan, out = Plan("local"), Path(sys.argv[1])
site.stage(out, None, main.main)
print(json.dumps({
    "commands": main.main.list_commands(None),
    "needs": {n.id: plan.needs(n) for n in plan.chapters},
    "order": [n.id for n in in_order(plan.chapters, plan.known)],
    "readme": pages.readme_block(None, plan.known),
    "lacks": [lack.what for lack in doctor.lacks()],
    "ports": [r.state for r in judge.judge_ports({"ports": {1: "boardd", 2: "other"}}, [1, 2])],
    "story": test_runbook.CHAPTERS,
    "faults": test_runbook.FAULTS["above"],
}, default=repr))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository with the chapter's own files in it, its catalogue entry, and a line in _toc.yml."""
    top = tmp_path_factory.mktemp("copy")
    for part in PARTS:
        source = REPO / part
        if source.is_dir():
            shutil.copytree(source, top / part, ignore=shutil.ignore_patterns("__pycache__", "recordings"))
        else:
            shutil.copy(source, top / part)
    for later in (top / "notebooks").glob("1[1-9]_*"):  # a chapter 11 of the repository's own
        later.unlink()
    for path, text in (
        ("helpers/components/board.py", ROOM),
        ("setup/board-setup/values.yaml", "size: 5\n"),
        ("setup/sandbox/substitutes/board/build.sh", "echo board > $OUT/board\n"),
        (
            "setup/sandbox/substitutes/board/fidelity.toml",
            '[board]\nfidelity = "double"\nprogram = "a cork board"\ndiffers = ["no pins"]\n',
        ),
        ("tests/components/board/faults.py", 'FAULTS = {"above": [("rm /srv/board", "no board")]}\n'),
    ):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    book = nbformat.v4.new_notebook(metadata={"runbook": META})
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    book.cells = [
        markdown(CELLS[0]),
        code(CELLS[1], metadata={"tags": ["parameters"]}),
        code(CELLS[2]),
        markdown(CELLS[3]),
    ]
    nbformat.write(book, top / "notebooks" / "11_board.ipynb")
    with open(top / "setup" / "catalogue.toml", "a") as f:
        f.write('\n[board]\nkind = "file"\nversion = "1"\nurl = "https://board.example/board"\nlicence = "MIT"\n')
    lines = (top / "_toc.yml").read_text().splitlines()
    lines = [line for line in lines if "notebooks/1" not in line or "notebooks/10" in line]
    lines.insert(lines.index("      - file: notebooks/10_label_studio") + 1, "      - file: notebooks/11_board")
    (top / "_toc.yml").write_text("\n".join(lines))
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


def test_it_is_in_every_list(copy, shown):
    assert "pin" in shown["commands"]
    assert "--text WORDS" in there(copy, "-m", "helpers", "pin", "--help")
    assert "11 board" in there(copy, "-m", "helpers", "up", "--from", "board", "--until", "minio")
    assert "| 11 | [Board: a wall for notes](notebooks/11_board.ipynb) |  | not run |" in shown["readme"]
    assert "GitLab" not in shown["readme"].split("| 12 |")[0], "a notebook takes the planned chapter's place"
    assert "boardctl" in shown["lacks"] and shown["ports"] == ["ok", "warn"]


def test_it_is_in_the_graph(shown):
    assert shown["needs"]["board"] == ["postgres"] and shown["order"].index("postgres") < shown["order"].index("board")


def test_it_is_in_the_story(shown):
    assert shown["story"][-1] == "board"
    assert ["rm /srv/board", "board", "no board"] in shown["faults"]


@pytest.mark.parametrize(
    "page, text",
    [
        ("_toc.yml", "title: '11 Board: a wall for notes'"),
        ("notebooks/11_board.ipynb", "Not run yet"),
        ("book/architecture.md", "| 11 | [Board: a wall for notes](../notebooks/11_board.ipynb) | a wall | 06 | yes |"),
        ("book/start.md", '<a href="../notebooks/11_board.html" data-chapter="11" data-state="none">'),
        ("book/reference.md", "| `/srv/board` | 11 | yes, with all notes |"),
        ("book/reference.md", "| `size` | `5` | notes in a row |"),
        ("book/reference.md", "./runbook pin --text hello"),
        ("book/fidelity.md", "a cork board (double)"),
        ("book/troubleshooting.md", "| [`board-full`]{#board-full} | no room | many notes | take one away |"),
    ],
)
def test_it_is_on_the_site(copy, shown, page, text):
    assert text in (copy / "source" / page).read_text()
