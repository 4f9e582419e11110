"""Substitutes: which there are, and building each once in the builder, cached by the recipe's hash."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from helpers.errors import BadInput
from helpers.paths import SETUP, home
from . import machine, processes, rootfs

RECIPES = SETUP / "sandbox/substitutes"
TOOLS = SETUP / "sandbox/tools"  # what several recipes use, at /tools in the builder; Go code finds it at ../../tools
# For every recipe alike: with other flags than its neighbour's a recipe compiles the standard library and shared modules again.
# What is left out of all programs at the end (-s -w) need not be made at all: 8% of the time, 17% of the cache.
GO_FLAGS = "-buildvcs=false -modcacherw -trimpath -gcflags=all=-dwarf=false"


def recipes() -> dict[str, Path]:
    """The artifacts that have a recipe, and its folder."""
    return {p.parent.name: p.parent for p in sorted(RECIPES.glob("*/build.sh"))}


def chosen(artifacts=None) -> dict[str, Path]:
    """The recipes of the named artifacts, all when None."""
    known = recipes()
    if artifacts is None:
        return known
    unknown = sorted(set(artifacts) - set(known))
    if unknown:
        raise BadInput(f"serve {', '.join(unknown)} in the sandbox", saw="no recipe for it; there are: " + ", ".join(known),
                       do=f"see {RECIPES}")
    return {name: known[name] for name in sorted(set(artifacts))}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    """What counts in a recipe or tool."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]


def _tool_hash(tool: Path) -> str:
    """Over a tool's file, or over those in its folder."""
    return sha256(tool) if tool.is_file() else rootfs.digest([(str(p.relative_to(tool)), sha256(p)) for p in _files(tool)])


def recipe_hash(folder: Path) -> str:
    """Over the recipe's files, the tools that its build.sh or go.mod names, and the builder's identity."""
    files = _files(folder)
    text = "".join(p.read_text() for p in (folder / "build.sh", folder / "go.mod") if p.is_file())
    tools = [_tool_hash(p) for p in sorted(TOOLS.glob("*")) if f"/tools/{p.name}" in text]
    return rootfs.digest(rootfs.builder_name(), [
        (str(p.relative_to(folder)), bool(p.stat().st_mode & 0o100), sha256(p)) for p in files], *([tools] if tools else []))


def place(artifact: str) -> Path:
    """Where the artifact's build lies, or will lie: out/ and meta.json."""
    return home("cache", "substitutes", artifact) / recipe_hash(RECIPES / artifact)


def build(artifact: str, report) -> Path:
    """The artifact's folder in the cache; built when the recipe has changed. RunbookError when the build fails."""
    final = place(artifact)
    if final.is_dir():
        return final
    builder = rootfs.builder(report)
    with rootfs.lock("builds", report, artifact):
        final = place(artifact)  # the recipe may have changed while this waited
        if final.is_dir():
            return final
        _build(artifact, final, builder, report)
        _prune(final)
    return final


def _build(artifact: str, final: Path, builder: Path, report) -> None:
    recipe, new = RECIPES / artifact, final.with_name(final.name + ".new")
    rootfs.remove(new)
    for name in ("out", "tmp"):
        (new / name).mkdir(parents=True)
    (new / "tmp").chmod(0o1777)
    new.chmod(0o755)
    source = f"src/substitutes/{artifact}"  # as in the repository: there a go.mod finds ../../tools
    shutil.copytree(recipe, new / source, ignore=shutil.ignore_patterns("__pycache__"))
    log = final.parent / "build.log"
    log.unlink(missing_ok=True)
    report(f"{artifact}: building, log in {log}")
    command = rootfs.Command(artifact, report, log)
    env = rootfs.build_environment(builder)
    machine.apply(builder)
    _packages(recipe, builder, command, env)
    cache = home("cache", "build")
    shutil.copytree(TOOLS, new / "src/tools", ignore=shutil.ignore_patterns("__pycache__"))
    binds = {new / "src": "/src", new / "src/tools": "/tools", new / "out": "/out", new / "tmp": "/tmp", cache: "/cache"}
    command.run(
        ["nice", *processes.entered(builder, ["sh", "-c", f"cd /{source} && exec bash ./build.sh"], binds)],
        env={**env, "OUT": "/out", "CACHE": "/cache", "GOCACHE": "/cache/go-build", "GOMODCACHE": "/cache/go-mod",
             "GOFLAGS": GO_FLAGS, "PIP_CACHE_DIR": "/cache/pip"},
        tell_lines=True, doing="building",
    )
    subprocess.run(["chmod", "-R", "a+rX", str(new / "out")], check=True)
    seconds = round(time.monotonic() - command.began, 1)
    files = {str(p.relative_to(new / "out")): {"sha256": sha256(p), "size": p.stat().st_size}
             for p in sorted((new / "out").rglob("*")) if p.is_file()}
    (new / "meta.json").write_text(json.dumps({"artifact": artifact, "seconds": seconds, "files": files}, indent=1))
    rootfs.remove(new / "src")
    rootfs.remove(new / "tmp")
    os.replace(new, final)
    report(f"{artifact}: built, {seconds:.0f} s")


def _packages(recipe: Path, builder: Path, command: rootfs.Command, env: dict) -> None:
    """Install what the recipe's packages.txt names and the builder lacks."""
    listing = recipe / "packages.txt"
    names = [line.split("#")[0].strip() for line in listing.read_text().splitlines()] if listing.is_file() else []
    names = [n for n in names if n]
    if not names:
        return
    have = subprocess.run(["chroot", str(builder), "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"],
                          capture_output=True, text=True, check=True).stdout.splitlines()
    missing = [n for n in names if f"{n} installed" not in have]
    if missing:
        script = "dpkg --configure -a; apt-get -q update; apt-get -qy install --no-install-recommends " + " ".join(missing)
        command.run(processes.entered(builder, ["sh", "-ec", script]), env=env, doing="installing " + " ".join(missing))


def _prune(final: Path) -> None:
    """Keep this build and the one before it."""
    old = sorted((p for p in final.parent.iterdir() if p.is_dir() and p != final and p.suffix != ".new"), key=lambda p: p.stat().st_mtime)
    for path in old[:-1]:
        rootfs.remove(path)
