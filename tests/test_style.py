"""How the project is written, held by tools: ruff, pyright, shellcheck. Notebooks: command/test_lint.py."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.core.paths import REPO

TOOLS = Path(sys.executable).parent
RUFF = ["--config", "setup/ruff.toml", "helpers", "tests", "setup"]


def run(*argv: str) -> str:
    """What the tool says; empty when it has nothing to say."""
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, timeout=300)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_finds_nothing():
    assert run(str(TOOLS / "ruff"), "check", "--output-format", "concise", *RUFF) == ""


def test_ruff_would_format_nothing():
    assert run(str(TOOLS / "ruff"), "format", "--check", *RUFF) == ""


def test_the_hooks_have_the_ruff_of_the_tests():
    texts = [(REPO / "setup" / name).read_text() for name in ("constraints.txt", "pre-commit.yaml")]
    assert len(set(re.findall(r"ruff==[\w.]+", "".join(texts)))) == 1


def test_pyright_finds_nothing():
    assert run(str(TOOLS / "pyright"), "-p", "setup/pyrightconfig.json", "--pythonpath", sys.executable) == ""


def test_tests_wait_by_one_function_and_leave_a_busy_machine_its_time():
    """Limits of 1, 5 and 10 s were red on a machine that builds beside the tests: serving.until gives 30."""
    found = []
    for path in (REPO / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.unparse(node) if isinstance(node, (ast.BinOp, ast.Compare)) else ""
            most = re.search(r"monotonic\(\) - \w+ <=? ([\d.]+)$", text)
            if re.match(r"time\.monotonic\(\) \+ ", text) or (most and float(most.group(1)) < 5):
                found.append(f"{path.relative_to(REPO)}:{node.lineno}: {text}")
    assert found == []


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
