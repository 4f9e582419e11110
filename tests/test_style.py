"""How the project is written, held by tools: ruff, pyright, shellcheck, and rules of our own for notebooks."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat.v4
import pytest

from helpers.core import notebooks
from helpers.core.paths import REPO

TOOLS = Path(sys.executable).parent
RUFF = ["--config", "setup/ruff.toml", "helpers", "tests", "setup"]
# Of a notebook: names that are undefined, or imported for nothing.
NAMES = ["check", "--isolated", "--output-format", "concise", "--select", "F821,F401"]
WIDTH = 100  # of a notebook's code: a page's column holds no more


def run(*argv: str) -> str:
    """What the tool says; empty when it has nothing to say."""
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, timeout=300)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_finds_nothing():
    assert run(str(TOOLS / "ruff"), "check", "--output-format", "concise", *RUFF) == ""


def test_ruff_would_format_nothing():
    assert run(str(TOOLS / "ruff"), "format", "--check", *RUFF) == ""


def test_a_notebooks_names_are_all_there():
    assert run(str(TOOLS / "ruff"), *NAMES, "notebooks") == ""


@pytest.mark.parametrize(
    "cells, found",
    [
        (["import s3", "s3.survives(lambda: actions.restart('minio'))"], "cell 2:1:21: F821 Undefined name `actions`"),
        (["from helpers.core import actions"], "F401"),
    ],
)
def test_each_of_these_names_is_found(tmp_path, cells, found):
    nbformat.write(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells))), tmp_path / "a.ipynb")
    assert found in run(str(TOOLS / "ruff"), *NAMES, str(tmp_path))


def test_the_hooks_have_the_ruff_of_the_tests():
    texts = [(REPO / "setup" / name).read_text() for name in ("constraints.txt", "pre-commit.yaml")]
    assert len(set(re.findall(r"ruff==[\w.]+", "".join(texts)))) == 1


def test_pyright_finds_nothing():
    assert run(str(TOOLS / "pyright"), "-p", "setup/pyrightconfig.json", "--pythonpath", sys.executable) == ""


def scripts() -> list[Path]:
    """Every shell script of ours: by its ending, or by its first line."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    found = []
    for path in (REPO / line for line in listed.splitlines()):
        if path.suffix == ".sh" or (not path.suffix and path.is_file() and _first_line(path).endswith(("sh", "bash"))):
            found.append(path)
    return found


def _first_line(path: Path) -> str:
    line = path.read_bytes().split(b"\n", 1)[0].decode(errors="replace")
    return line if line.startswith("#!") else ""


def test_shellcheck_finds_nothing():
    if not shutil.which("shellcheck"):
        pytest.fail("shellcheck is missing: ./runbook test installs it; by hand: apt-get install shellcheck")
    found = [str(path.relative_to(REPO)) for path in scripts()]
    assert len(found) > 10
    assert run("shellcheck", "--shell=bash", "--severity=warning", "--exclude=SC1090,SC1091", *found) == ""


def code(notebook: notebooks.Notebook):
    for cell in notebook.content["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def stumbles(source: str) -> list[str]:
    """What in a cell's code is no reading for a person."""
    found = [f"{len(line)} characters: {line[:60]}..." for line in source.splitlines() if len(line) > WIDTH]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Lambda):
            found.append(f"a lambda in line {node.lineno}")
        if isinstance(node, ast.keyword) and node.arg == "on_line":
            found.append(f"on_line in line {node.value.lineno}")
        if isinstance(node, ast.Constant) and is_script(node.value):
            found.append(f"a shell script in line {node.lineno}")
    return found


def is_script(value: object) -> bool:
    """A text of several lines with a loop or a branch of the shell."""
    several = isinstance(value, str) and value.count("\n") > 1
    return several and any(word in value for word in ("; do\n", "then\n", "done\n", "fi\n", "|| {"))


@pytest.mark.parametrize("notebook", notebooks.load_all().values(), ids=lambda n: n.id)
def test_a_notebooks_code_reads_as_a_manual(notebook):
    assert [s for source in code(notebook) for s in stumbles(source)] == []


@pytest.mark.parametrize(
    "source, found",
    [
        ("x = " + "1" * 97, "101 characters"),
        ("ch.check('it works', lambda: prove(1))", "a lambda"),
        ("ch.run('true', on_line=None)", "on_line"),
        ("s = '''for x in a b; do\n  echo $x\ndone\n'''", "a shell script"),
    ],
)
def test_each_of_these_is_found(source, found):
    assert [s for s in stumbles(source) if found in s]
