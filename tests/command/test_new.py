"""`./runbook new`: what it refuses before it touches anything, and that a cut leaves nothing half made."""

import json
import re
import shutil

import click
import pytest
from click.testing import CliRunner

from helpers.command import lint, main, new
from helpers.core import notebooks, paths
from helpers.core.errors import BadInput, RunbookError

REPO = paths.REPO


@pytest.fixture
def top(tmp_path, monkeypatch):
    """A repository with no more than `new` reads, in place of this one."""
    shutil.copytree(REPO / "notebooks", tmp_path / "notebooks")
    for folder in ("helpers/components/postgres", "tests/components", "setup"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("README.md", "_toc.yml", "setup/planned.toml"):
        shutil.copy(REPO / name, tmp_path / name)
    for name, value in (("REPO", tmp_path), ("SETUP", tmp_path / "setup"), ("NOTEBOOKS", tmp_path / "notebooks")):
        monkeypatch.setattr(paths, name, value)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def all_of(top):
    """{path: content} of every file, and every folder."""
    return {p.relative_to(top): p.read_bytes() if p.is_file() else None for p in top.rglob("*")}


def make(*argv):
    return CliRunner().invoke(main.main, ["new", *argv])


def test_it_makes_the_files_and_says_what_next(top):
    before = set(all_of(top))
    done = make("wall_board", "--title", "Wall: a place for notes", "--requires", "postgres")
    assert done.exit_code == 0, done.output
    made = {str(p) for p in set(all_of(top)) - before if (top / p).is_file()}
    assert made == {
        "notebooks/14_wall_board.ipynb",
        "helpers/components/wall_board.py",
        "tests/components/wall_board/test_wall_board.py",
        "tests/components/wall_board/faults.py",
    }
    assert all(f"made  {path}" in done.output for path in [*made, "_toc.yml", "README.md"])
    assert "./runbook up --target sandbox:wall-board --until wall_board" in done.output
    toc, readme = (top / "_toc.yml").read_text(), (top / "README.md").read_text()
    assert "notebooks/13_end_to_end\n      - file: notebooks/14_wall_board\n" in toc
    assert " |\n| 14 | [Wall: a place for notes](notebooks/14_wall_board.ipynb) |  | not run |\n" in readme
    assert notebooks.find("wall_board").requires == ["postgres"]
    assert not [p for p in all_of(top) if p.suffix == ".part"]


def test_a_planned_number_is_taken_by_it(top):
    with open(top / "setup/planned.toml", "a") as planned:
        planned.write('\n[14]\ntitle = "The wall, later"\nwhere = "cluster"\n')
    readme = (top / "README.md").read_text()
    rows = re.sub(r"(\| 13 \|.*\n)", r"\1| 14 | The wall, later |  | planned |\n", readme)
    (top / "README.md").write_text(rows)
    assert make("wall", "--number", "14", "--requires", "gitlab").exit_code == 0
    readme = (top / "README.md").read_text()
    assert "| 14 | [Wall](notebooks/14_wall.ipynb) |" in readme and "The wall, later" not in readme
    assert re.findall(r"notebooks/(1[34]_\w+)", (top / "_toc.yml").read_text()) == ["13_end_to_end", "14_wall"]


@pytest.mark.parametrize(
    "argv, saw",
    [
        (["Board"], "small letters"),
        (["2nd"], "begins with a letter"),
        (["a-b"], "small letters"),
        (["../x"], "small letters"),
        (["a__b"], "single _"),
        (["a" * 25], "1 to 24"),
        (["class"], "means something else"),
        (["error_log"], "means something else"),
        (["platform"], "means something else"),
        (["minio"], "there is one: 05_minio.ipynb"),
        (["postgres_", "--number", "20"], "small letters"),
        (["board", "--title", "a | b"], "one line of words"),
        (["board", "--title", "a\nb"], "one line of words"),
        (["board", "--title", '"quoted"'], "one line of words"),
        (["board", "--number", "5"], "minio has it"),
        (["board", "--number", "0"], "01 to 99"),
        (["board", "--number", "100"], "01 to 99"),
        (["board", "--number", "x"], "01 to 99"),
        (["board", "--requires", "minoi"], "there is none of that name"),
        (["board", "--number", "00"], "01 to 99"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_touched(top, argv, saw):
    before = all_of(top)
    done = make(*argv)
    assert done.exit_code == 2 and all_of(top) == before
    with pytest.raises(BadInput) as e:
        main.main.commands["new"].main(argv, standalone_mode=False)
    assert saw in e.value.saw and e.value.do


def test_a_number_before_what_it_requires_is_refused(top):
    (top / "notebooks/04_addons.ipynb").unlink()
    with pytest.raises(BadInput) as e:
        main.main.commands["new"].main(["board", "--number", "4", "--requires", "minio"], standalone_mode=False)
    assert "before what it requires: 05 minio" in e.value.saw and "14" in e.value.do


@pytest.mark.parametrize(
    "there", ["helpers/components/board.py", "helpers/components/board/x", "tests/components/board/faults.py"]
)
def test_what_is_there_already_is_never_replaced(top, there):
    (top / there).parent.mkdir(exist_ok=True)
    (top / there).write_text("mine")
    before = all_of(top)
    assert make("board").exit_code == 2 and all_of(top) == before


@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("cut", [KeyboardInterrupt(), OSError(28, "No space left on device", "x")])
def test_a_cut_at_any_file_leaves_nothing(top, monkeypatch, nth, cut):
    before, written = all_of(top), []
    whole = new.write_whole

    def write(path, text, mode):
        written.append(path)
        if len(written) == nth:
            raise cut
        whole(path, text, mode)

    monkeypatch.setattr(new, "write_whole", write)
    with pytest.raises(click.Abort if isinstance(cut, KeyboardInterrupt) else RunbookError):
        main.main.commands["new"].main(["board"], standalone_mode=False)
    assert all_of(top) == before


@pytest.mark.parametrize("nth", range(1, 6))
def test_what_a_kill_left_is_finished_by_the_next(top, nth):
    texts = new.files(new.Wanted("board", "14", "Board", ["requirements"]))
    for path, text in list(texts.items())[:nth]:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert "board" not in notebooks.load_all(), "the notebook comes last: until then nobody sees a chapter"
    assert make("board").exit_code == 0
    assert {path: path.read_text() for path in texts} == texts


def test_its_notebook_is_as_a_chapter_must_be_with_any_name(top):
    for name in ("board", "a", "a_name_of_24_letters_abc"):
        assert make(name).exit_code == 0
    assert [each.lines() for each in lint.findings(lint.chosen([]))] == []


def test_a_notebook_is_written_as_git_has_them(top):
    make("board")
    text = (top / "notebooks/14_board.ipynb").read_text()
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    assert (top / "notebooks/14_board.ipynb").stat().st_mode & 0o777 == 0o644


def test_help_has_examples():
    assert "./runbook new board --title" in CliRunner().invoke(main.main, ["new", "--help"]).output
