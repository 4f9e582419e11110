"""What a task starts with: a folder's files without what .detignore names, and the runbook's own."""

import ast
import base64
import json
import os
import re
import subprocess
import sys

import determined_recording as recording
import pytest

from helpers.components.determined import task_files
from helpers.core.errors import BadInput
from helpers.core.paths import REPO


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.py",
        "data/big.csv",
        "data/keep.csv",
        "data/2021/old.bin",
        "data/new.bin",
        "sub/.ipynb_checkpoints/x.ipynb",
        "sub/b.py",
        "sub/__pycache__/b.pyc",
        "sub/notes.txt",
        "runs/1/out.txt",
    ):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "work"


def sent(folder, rules):
    (folder / ".detignore").write_text(rules)
    return [path for path, _ in task_files.files(folder)]


def test_detignore_is_honoured(folder):
    rules = "# what stays here\n*.csv\n!keep.csv\n/runs/\nsub/notes.txt\n*.bin\n\n"
    assert sent(folder, rules) == ["a.py", "data/keep.csv", "sub/b.py"]


@pytest.mark.parametrize(
    "rules, stays",
    [
        ("data/*.bin", {"data/new.bin"}),  # a star does not go into folders
        ("data/**/*.bin", {"data/new.bin", "data/2021/old.bin"}),
        ("**/1/", {"runs/1/out.txt"}),
        ("runs\n!runs/1/out.txt", set()),  # Determined lets in again what lies in an ignored folder; git does not
        ("[ab].py", {"a.py", "sub/b.py"}),
        ("/b.py", set()),
    ],
)
def test_its_patterns_mean_what_they_mean_to_determined(folder, rules, stays):
    everything = {path for path, _ in task_files.files(folder)}
    assert everything - set(sent(folder, rules)) == stays


def test_without_one_only_rubbish_stays(folder):
    assert [path for path, _ in task_files.files(folder)] == [
        "a.py",
        "data/big.csv",
        "data/keep.csv",
        "data/new.bin",
        "data/2021/old.bin",
        "runs/1/out.txt",
        "sub/b.py",
        "sub/notes.txt",
    ]
    with pytest.raises(BadInput):
        task_files.files(folder / "nowhere")


def test_folders_come_before_their_files_and_contents_are_base64(folder):
    packed = task_files.packed(task_files.files(folder))
    paths = [entry["path"] for entry in packed]
    assert [entry["type"] for entry in packed if entry["path"] == "runs/1"] == [53]
    assert paths.index("runs/1") < paths.index("runs/1/out.txt")
    assert base64.b64decode(packed[paths.index("sub/b.py")]["content"]) == b"sub/b.py"


def test_too_many_files_are_refused_with_their_size(folder):
    (folder / "noise.bin").write_bytes(os.urandom(1200000))
    with pytest.raises(BadInput) as e:
        task_files.packed(task_files.files(folder))
    assert e.value.saw == "1.15 MiB when packed; on Kubernetes a ConfigMap has room for 0.64 MiB of them"
    assert ".detignore" in e.value.do


def test_what_packs_well_is_refused_where_the_masters_api_would(folder):
    """/api/v1 takes 4 MiB as they are, not in base64, and packed they would fit: the facts of 0.15.3."""
    most = recording.most_of_a_request()
    assert most - 2**17 < task_files.LIMIT < most - 2**14, "but for its configuration"
    (folder / "zeros").write_bytes(bytes(2 * 1024 * 1024))
    task_files.packed(task_files.with_runbooks(task_files.files(folder)))
    (folder / "zeros").write_bytes(bytes(3 * 1024 * 1024))
    with pytest.raises(BadInput) as e:
        task_files.packed(task_files.with_runbooks(task_files.files(folder)))
    assert re.fullmatch(r"4\.\d\d MiB; Determined's API takes 3\.94 MiB in a request", e.value.saw)
    with pytest.raises(BadInput, match="Determined's API takes"):
        task_files.packed([(f"{number:0>200}", folder / "a.py") for number in range(20000)])


@pytest.mark.parametrize("kib, fits", [(640, True), (680, False), (700, False)])
def test_the_masters_own_wheel_takes_a_third_of_the_room(folder, kib, fits):
    """700 KiB that do not pack were refused on a cluster; 680 went in beside a wheel smaller than the released one."""
    (folder / "noise.bin").write_bytes(os.urandom(kib * 1024))
    wheel = 358616  # determined-0.15.3-py3-none-any.whl, as released
    found = task_files.files(folder)
    if fits:
        task_files.packed(found)
        assert task_files._packed_size(found) + wheel + 8 * 1024 < 1048576, "with scripts, and archives of folders"
    else:
        with pytest.raises(BadInput):
            task_files.packed(found)


# -- the runbook's own -------------------------------------------------------------------------------


def test_the_runbook_itself_fits():
    found = dict(task_files.runbooks())
    assert {"helpers/__init__.py", "helpers/core/chapter.py", "notebooks/05_minio.ipynb"} <= set(found)
    assert not any(path.startswith(("helpers/command/", "helpers/sandbox/", "setup/sandbox/")) for path in found)
    assert not any(path.endswith(".pyc") for path in found)
    task_files.packed(sorted(found.items()))


def test_ones_own_files_have_the_room_beside_it_that_the_chapter_tells():
    page = next((REPO / "notebooks").glob("*_determined.ipynb")).read_text("utf-8")
    (told,) = re.findall(r"about (\d+) KiB packed", page)
    room = task_files.PACKED - task_files._packed_size(task_files.runbooks())
    assert 200 <= int(told) <= room / 1024 < 2 * int(told)


def test_the_runbook_is_sent_with_every_folder_of_setup_that_its_chapters_read():
    """A chapter in a notebook of Determined's finds the chart, the manifests and the pins that it installs from."""
    found = dict(task_files.runbooks())
    named = {name for path, file in found.items() for name in below_setup(path, file)}
    assert {"catalogue.toml", "detai-setup", "knative-setup", "seldon-setup"} <= named
    there = {file.relative_to(REPO).as_posix() for name in named for file in files_of(REPO / "setup" / name)}
    only_to_install = {"setup/label-studio-setup/sha256.txt"}  # a third of all that is sent, packed
    assert there - set(found) == only_to_install


def below_setup(path, file):
    """The names that a module's or a notebook's code puts after `SETUP /`."""
    if not path.endswith((".py", ".ipynb")):
        return
    for node in ast.walk(ast.parse(code(file) if path.endswith(".ipynb") else file.read_text("utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and getattr(node.left, "id", "") == "SETUP":
            yield node.right.value


def code(notebook):
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def files_of(path):
    """The file itself, or all that lie in the folder, without what Python leaves."""
    inside = [path] if path.is_file() else path.rglob("*")
    return [file for file in inside if file.is_file() and "__pycache__" not in file.parts]


def test_chapters_load_where_nothing_else_of_the_runbook_is(tmp_path):
    chapters = []
    for path, file in task_files.runbooks():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(file.read_bytes())
        if path.endswith(".ipynb"):
            chapters.append(code(file))
    imports = [
        ast.unparse(n) for n in ast.parse("\n".join(chapters)).body if isinstance(n, (ast.Import, ast.ImportFrom))
    ]
    program = [*imports, "from helpers.core import catalogue, notebooks, paths", "print(paths.REPO)"]
    program += ["print(len(notebooks.load_all()), catalogue.load()['minio'].kind)"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-c", "\n".join(program)]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path), str(len(chapters)), "file"]
