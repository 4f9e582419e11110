"""Which room may know which: read from the imports in helpers/, those inside functions too."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from helpers.core import notebooks
from helpers.core.paths import REPO

#: room: the rooms that it may import. components may import each other: chapter 09 stands on Kubernetes'.
MAY = {
    "core": {"core"},
    "components": {"core", "components"},
    "command": {"core", "command", "sandbox"},
    "sandbox": {"core", "sandbox"},
    "__init__": {"core"},
    "__main__": {"command"},
}
#: artifacts that are words of the field, too
COMMON = {"helm", "python", "registry"}
MAX_LINES, MAX_METHODS, MAX_FUNCTION = 350, 25, 40


def modules(helpers: Path) -> dict[str, ast.Module]:
    """Every module below helpers/ by its dotted name, as a syntax tree."""
    found = {}
    for path in sorted(helpers.rglob("*.py")):
        parts = ("helpers", *path.relative_to(helpers).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text())
    return found


def imports(name: str, tree: ast.Module, known: set[str], is_package: bool) -> set[str]:
    """The modules of helpers that one imports, by name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = name.split(".")[: len(name.split(".")) - node.level + (1 if is_package else 0)]
                base = ".".join([*up, *([node.module] if node.module else [])])
            inside = {f"{base}.{alias.name}" for alias in node.names}
            found |= {i if i in known else base for i in inside}
    return {i for i in found if i in known and i != name}


def arrows(helpers: Path) -> dict[str, set[str]]:
    trees = modules(helpers)
    packages = {name for name in trees if (helpers.joinpath(*name.split(".")[1:]) / "__init__.py").is_file()}
    return {name: imports(name, tree, set(trees), name in packages) for name, tree in trees.items()}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def forbidden(found: dict[str, set[str]]) -> list[str]:
    return sorted(
        f"{module} -> {other}"
        for module, others in found.items()
        for other in others
        if room(other) not in MAY[room(module)] and other != "helpers"
    )


def circles(found: dict[str, set[str]]) -> list[list[str]]:
    """Modules that reach each other by imports, a circle at a time (a package's own __init__ counts as itself)."""
    reach = {}
    for start in found:
        todo, seen = list(found[start]), set()
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo += found[module]
        reach[start] = seen
    return sorted({tuple(sorted({m, *(o for o in reach[m] if m in reach[o])})) for m in found if m in reach[m]})


def test_no_room_knows_what_it_must_not():
    assert forbidden(arrows(REPO / "helpers")) == []


def test_no_imports_go_in_a_circle():
    assert circles(arrows(REPO / "helpers")) == []


@pytest.mark.parametrize(
    "module, line, arrow",
    [
        ("core/waiting.py", "def f():\n    from helpers.sandbox import boot\n", "core.waiting -> helpers.sandbox.boot"),
        ("components/network.py", "import helpers.command.main\n", "components.network -> helpers.command.main"),
        ("command/record.py", "from helpers.components import minio\n", "command.record -> helpers.components.minio"),
        ("sandbox/boot.py", "from ..components.minio import x\n", "sandbox.boot -> helpers.components.minio"),
    ],
)
def test_one_arrow_turned_round_is_named(tmp_path, module, line, arrow):
    for path in (REPO / "helpers").rglob("*.py"):
        copy = tmp_path / path.relative_to(REPO)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    with open(tmp_path / "helpers" / module, "a") as f:
        f.write(line)
    minio = tmp_path / "helpers/components/minio.py"
    assert minio.is_file() or minio.with_suffix("").is_dir()
    assert forbidden(arrows(tmp_path / "helpers")) == ["helpers." + arrow]


def test_a_circle_is_named(tmp_path):
    for name, line in (("a", "from helpers.core import b\n"), ("b", "def f():\n    import helpers.core.a\n")):
        path = tmp_path / "helpers/core" / (name + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line)
    (tmp_path / "helpers/core/__init__.py").write_text("")
    assert circles(arrows(tmp_path / "helpers")) == [("helpers.core.a", "helpers.core.b")]


def names() -> re.Pattern[str]:
    """What names a chapter: its id as a text, as in id.parameter, or as in its file; and what it installs, anywhere.

    That is the head of its title and its artifacts, as words; a chapter without any, as Network, has but its id.
    """
    chapters = notebooks.load_all().values()
    asked = {name for n in chapters for name in n.artifacts} - COMMON
    ids = "|".join(n.id for n in chapters)
    heads = [re.split(r"[:\d']", n.title)[0].strip() for n in chapters if n.artifacts]
    words = "|".join(re.escape(word) for word in [*heads, *sorted(asked)])
    return re.compile(rf"^(?:{ids})(?:\.|$)|\b\d\d_(?:{ids})\b|(?i:\b(?:{words})\b)")


def said_of_components(tree: ast.Module, naming: re.Pattern[str]) -> list[str]:
    """The texts in which code names a component, by line.

    Not counted: docstrings, what examples() is called with, and an option's help=: they are read, and decide nothing.
    """
    read = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            read.add(id(node.value))
        elif isinstance(node, ast.Call):
            shown = node.args if isinstance(node.func, ast.Name) and node.func.id == "examples" else []
            shown = [*shown, *(word.value for word in node.keywords if word.arg == "help")]
            read |= {id(each) for one in shown for each in ast.walk(one)}
    texts = [
        n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in read
    ]
    return [f"{n.lineno}: {found[0]}" for n in texts if (found := naming.search(n.value))]


def test_the_command_and_the_sandbox_name_no_component():
    naming, parts = names(), ("helpers.command.", "helpers.sandbox.")
    found = {name: said_of_components(tree, naming) for name, tree in modules(REPO / "helpers").items()}
    assert {name: said for name, said in found.items() if (name + ".").startswith(parts) and said} == {}


@pytest.mark.parametrize(
    "line, said",
    [
        ('CHEAP = ("requirements",)', ["1: requirements"]),
        ('opened = "05_minio.ipynb"', ["1: 05_minio"]),
        ('words = ["-p", "network.alias=tried"]', ["1: network."]),
        ('Frame("GitLab\'s host")', ["1: GitLab"]),
        ('return f"{ALONE}, in setup/label-studio-setup/sha256.txt"', ["1: label-studio"]),
        ('"""MinIO\'s port."""', []),
        ('epilog = examples("./runbook up --only minio")', []),
        ('option("-p", help="For example minio.port=9010")', []),
        ('boots("with mounts and a network")', []),
    ],
)
def test_a_component_that_is_named_is_found(line, said):
    assert said_of_components(ast.parse(line), names()) == said


def too_large(helpers: Path) -> list[str]:
    """Files with too many lines, of every kind but what Python compiled; classes and functions that are too large."""
    found = []
    for path in sorted(p for p in helpers.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        text, where = path.read_text(errors="replace"), str(path.relative_to(helpers.parent))
        lines = text.count("\n")
        if lines > MAX_LINES:
            found.append(f"{where}: {lines} lines")
        for node in ast.walk(ast.parse(text if path.suffix == ".py" else "")):
            if isinstance(node, ast.ClassDef):
                public = [f for f in node.body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")]
                if len(public) > MAX_METHODS:
                    found.append(f"{where}: class {node.name} has {len(public)} public methods")
            elif isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= MAX_FUNCTION:
                found.append(f"{where}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
    return found


def test_no_file_class_or_function_is_too_large():
    assert too_large(REPO / "helpers") == []


@pytest.mark.parametrize("name", ["notes.py", "scripts/own.sh", "users.sql", "minio.service", "Corefile"])
def test_a_file_of_any_kind_with_a_line_too_many_is_named(tmp_path, name):
    path = tmp_path / "helpers/core" / name
    path.parent.mkdir(parents=True)
    path.write_text("#\n" * MAX_LINES)
    assert too_large(tmp_path / "helpers") == []
    path.write_text("#\n" * (MAX_LINES + 1))
    assert too_large(tmp_path / "helpers") == [f"helpers/core/{name}: {MAX_LINES + 1} lines"]


def test_a_class_and_a_function_that_are_too_large_are_named(tmp_path):
    methods = "".join(f"    def f{n}(self): ...\n" for n in range(MAX_METHODS + 1))
    path = tmp_path / "helpers/core/a.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"class A:\n{methods}\n\ndef g():\n" + "    x = 1\n" * MAX_FUNCTION)
    assert too_large(tmp_path / "helpers") == [
        f"helpers/core/a.py: class A has {MAX_METHODS + 1} public methods",
        f"helpers/core/a.py: g has {MAX_FUNCTION + 1} lines",
    ]
