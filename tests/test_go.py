"""The sandbox's Go folders: formatted, vetted, tested, by the Go and in the caches that its recipes are built with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.core.paths import REPO, SETUP, home
from helpers.sandbox import builds, rootfs

# A go.mod without Go beside it only pins what is built.
FOLDERS = [p.parent for p in sorted((SETUP / "sandbox").rglob("go.mod")) if any(p.parent.rglob("*.go"))]


def toolchain() -> Path | None:
    """The builder's Go where it is made, since its cache is warm; else this machine's."""
    built = home("cache") / rootfs.builder_name() / rootfs.GO_PATH.lstrip("/")
    own = shutil.which("go")
    return built if (built / "go").is_file() else Path(own).resolve().parent if own else None


@pytest.fixture(scope="module")
def go():
    """go("vet", "./...", cwd=folder): what it printed, with nothing but what go.mod and go.sum pin."""
    bin = toolchain()
    if bin is None:
        pytest.skip("no Go here: ./runbook sandbox up makes the builder, which has one")
    cache = home("cache", "build")
    env = {
        **os.environ,
        "PATH": f"{bin}:{os.environ['PATH']}",
        "GOCACHE": str(cache / "go-build"),
        "GOMODCACHE": str(cache / "go-mod"),
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly " + builds.GO_FLAGS,
    }

    def run(program: str, *words: str, cwd: Path) -> str:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        light = ["nice", "-n", "15", bin / program, *words]  # a whole run has a host beside it
        done = subprocess.run(light, cwd=cwd, env=env, text=True, **streams)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def state(folder: Path) -> str:
    """Of all that decides what Go says of a folder: its files, the package that others use, Go itself, this test."""
    files = [Path(__file__), *(p for top in (folder, builds.TOOLS / "incluster") for p in sorted(top.rglob("*")))]
    found = [(str(p.relative_to(REPO)), builds.sha256(p)) for p in files if p.is_file()]
    return rootfs.digest(found, str(toolchain()), builds.GO_FLAGS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_go(go, folder):
    """What passed is not asked again until something of it changes: to vet MinIO's packages takes two minutes of a
    processor, and what Go keeps of it is the first that goes when the caches are too large."""
    passed = home("cache", "go-passed") / folder.name
    if passed.is_file() and passed.read_text() == state(folder):
        return
    assert go("gofmt", "-l", ".", cwd=folder) == ""
    go("go", "vet", "./...", cwd=folder)
    if any(folder.rglob("*_test.go")):
        go("go", "test", "./...", cwd=folder)
    passed.write_text(state(folder))


@pytest.mark.parametrize("changed", ["a.go", "a_test.go", "go.mod", "part/b.go"])
def test_a_folder_is_asked_again_when_anything_of_it_changes(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(sys.modules[__name__], "REPO", Path("/"))
    (tmp_path / "part").mkdir()
    for name in ("a.go", "a_test.go", "go.mod", "part/b.go"):
        (tmp_path / name).write_text("one")
    before = state(tmp_path)
    assert state(tmp_path) == before
    (tmp_path / changed).write_text("two")
    assert state(tmp_path) != before


def test_a_tool_counts_in_the_recipes_that_name_it(tmp_path, monkeypatch):
    tools, recipe = tmp_path / "tools", tmp_path / "recipe"
    shutil.copytree(builds.TOOLS, tools)
    monkeypatch.setattr(builds, "TOOLS", tools)
    recipe.mkdir()

    def changed(file: str, script: str, module: str) -> bool:
        """Does the recipe's hash change with the tool's file?"""
        (recipe / "build.sh").write_text(script)
        (recipe / "go.mod").write_text(module)
        before = builds.recipe_hash(recipe)
        (tools / file).write_text((tools / file).read_text() + "\n")
        return builds.recipe_hash(recipe) != before

    for file in ("incluster/incluster.go", "incluster/go.mod"):
        assert changed(file, "go build", "replace runbook/incluster => ../../tools/incluster")
        assert not changed(file, "python3 /tools/mkimage.py", "require golang.org/x/tools v0.1.0")
    assert changed("mkimage.py", "python3 /tools/mkimage.py", "")
    assert not changed("mkimage.py", "go build", "replace runbook/incluster => ../../tools/incluster")


def test_the_doubles_own_go_is_of_one_version():
    """One version of the language, so that no double reads its code differently from the others."""
    texts = {folder.name: (folder / "go.mod").read_text() for folder in FOLDERS}
    said = {name: line for name, text in texts.items() for line in text.splitlines() if line.startswith("go ")}
    assert set(said.values()) == {"go 1.26.0"}, said
