"""Substitutes: which there are, and building each once in the builder, cached by the recipe's hash."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from helpers.core.errors import BadInput
from helpers.core.paths import SETUP, home

from . import machine, processes, rootfs

RECIPES = SETUP / "sandbox/substitutes"
TOOLS = SETUP / "sandbox/tools"  # what several recipes use, at /tools in the builder; a go.mod finds it at ../../tools

# Builds on this machine: one compiles while others download, link or pack. A build takes up to 3 GiB.
_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
AT_ONCE = 3 if _MEMORY >= 12 << 30 else 2

# For every recipe alike: one with flags of its own compiles the standard library and shared modules anew.
# What is left out of all programs at the end (-s -w) need not be made at all: 8% of the time, 17% of the cache. Calls
# that stay calls (-l) take a fifth of a compilation less; these programs mostly wait.
GO_FLAGS = "-buildvcs=false -modcacherw -trimpath '-gcflags=all=-dwarf=false -l'"

CACHES = {
    "GOFLAGS": GO_FLAGS,
    "GOGC": "off",  # a compiler that collects its garbage when it is near the limit alone: 14% of the time
    "GOMEMLIMIT": "1500MiB",
    "OUT": "/out",
    "CACHE": "/cache",
    "GOCACHE": "/cache/go-build",
    "GOMODCACHE": "/cache/go-mod",
    "PIP_CACHE_DIR": "/cache/pip",
    "APT_CONFIG": "/tmp/apt.conf",
}

# Where the kernel groups processes by session, groups share the processors whatever nice says: the group gets it too.
LIGHT = '''echo "$1" 2> /dev/null > /proc/self/autogroup
nice=$1; shift; exec nice -n "$nice" ionice -c 2 -n 7 "$@"'''
RECIPE = (processes.HERE / "recipe.sh").read_text()

Report = Callable[[str], None]


def silent(_text: str) -> None:
    """Tell nobody."""


def recipes() -> dict[str, Path]:
    """The artifacts that have a recipe, and its folder."""
    return {p.parent.name: p.parent for p in sorted(RECIPES.glob("*/build.sh"))}


def chosen(artifacts: Iterable[str] | None = None) -> dict[str, Path]:
    """The recipes of the named artifacts, in their order; all when None."""
    known = recipes()
    if artifacts is None:
        return known
    asked = list(dict.fromkeys(artifacts))
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise BadInput(
            f"serve {', '.join(unknown)} in the sandbox",
            saw="no recipe for it; there are: " + ", ".join(known),
            do=f"see {RECIPES}",
        )
    return {name: known[name] for name in asked}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    """What a build can see of a recipe or tool; not words about it, nor Go's tests."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    return [p for p in files if p.name != "fidelity.toml" and not p.name.endswith("_test.go")]


def _tool_hash(tool: Path) -> str:
    """Over a tool's file, or over those in its folder."""
    if tool.is_file():
        return sha256(tool)
    return rootfs.digest([(str(p.relative_to(tool)), sha256(p)) for p in _files(tool)])


def recipe_hash(folder: Path) -> str:
    """Over the recipe's files, the tools that its build.sh or go.mod names, and the builder's identity."""
    text = "".join(p.read_text() for p in (folder / "build.sh", folder / "go.mod") if p.is_file())
    tools = [_tool_hash(p) for p in sorted(TOOLS.glob("*")) if f"/tools/{p.name}" in text]
    return rootfs.digest(
        rootfs.builder_name(),
        [(str(p.relative_to(folder)), bool(p.stat().st_mode & 0o100), sha256(p)) for p in _files(folder)],
        *([tools] if tools else []),
    )


def place(artifact: str) -> Path:
    """Where the artifact's build lies, or will lie: out/ and meta.json."""
    return home("cache", "substitutes", artifact) / recipe_hash(RECIPES / artifact)


@dataclass
class Work:
    """How to build: nice is the weight beside all else on this machine (19 the lightest), quiet leaves a recipe's lines
    to its log, stopped ends the build at once."""

    nice: int = 5
    quiet: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)


def build(artifact: str, report: Report, work: Work | None = None) -> Path:
    """The artifact's folder in the cache; built when the recipe has changed. RunbookError when the build fails,
    rootfs.Stopped when work.stopped was set."""
    final, work = place(artifact), work or Work()
    if final.is_dir():
        return final
    builder = rootfs.builder(report)
    with rootfs.slot(f"build-{artifact}", 1, report, artifact, work.stopped):
        final = place(artifact)  # the recipe may have changed while this waited
        if final.is_dir():
            return final
        with rootfs.slot("builds", AT_ONCE, report, artifact, work.stopped):
            _Build(artifact, final, report, work).run(builder)
        _prune(final)
    return final


class _Build:
    """One build, in a folder beside the one that it will be."""

    def __init__(self, artifact: str, final: Path, report: Report, work: Work):
        self.artifact, self.final, self.report, self.work = artifact, final, report, work
        self.new, self.log = final.with_name(final.name + ".new"), final.parent / "build.log"
        self.command = rootfs.Command(artifact, silent if work.quiet else report, self.log, work.stopped)

    def run(self, builder: Path) -> None:
        rootfs.remove(self.new)
        try:
            self._lay_out()
            self.report(f"{self.artifact}: building, log in {self.log}")
            self._build(builder)
            seconds = self._finish()
        except BaseException:
            shutil.rmtree(self.new, ignore_errors=True)  # what a build that was cut off left
            raise
        self.report(f"{self.artifact}: built, {seconds:.0f} s")

    def _lay_out(self) -> None:
        """The folders of the build: sources as in the repository, where a go.mod finds ../../tools."""
        for name in ("out", "tmp"):
            (self.new / name).mkdir(parents=True)
        (self.new / "tmp").chmod(0o1777)
        self.new.chmod(0o755)
        ignore = shutil.ignore_patterns("__pycache__", "fidelity.toml", "*_test.go")
        shutil.copytree(RECIPES / self.artifact, self.new / "src/substitutes" / self.artifact, ignore=ignore)
        shutil.copytree(TOOLS, self.new / "src/tools", ignore=ignore)
        self.log.unlink(missing_ok=True)

    def _build(self, builder: Path) -> None:
        env = rootfs.build_environment(builder) | CACHES
        _packages(RECIPES / self.artifact, builder, self.command)
        places = {"src": "/src", "src/tools": "/tools", "out": "/out", "tmp": "/tmp"}
        binds = {self.new / name: there for name, there in places.items()} | {home("cache", "build"): "/cache"}
        for target in binds.values():
            (builder / target[1:]).mkdir(exist_ok=True)
        # Inside: systemd-nspawn begins a session, and with it another group.
        inside = ["sh", "-c", LIGHT, "light", str(self.work.nice), "bash", "-c", RECIPE, "recipe"]
        inside.append(f"/src/substitutes/{self.artifact}/build.sh")
        processes.tidy()
        self.command.run(
            processes.confined(builder, inside, binds, env),
            env=env,
            tell_lines=True,
            doing="building",
        )

    def _finish(self) -> float:
        """Note what was made and put it in its place; returns how long it took."""
        out, seconds = self.new / "out", round(time.monotonic() - self.command.began, 1)
        subprocess.run(["chmod", "-R", "a+rX", str(out)], check=True)
        files = {
            str(p.relative_to(out)): {"sha256": sha256(p), "size": p.stat().st_size}
            for p in sorted(out.rglob("*"))
            if p.is_file()
        }
        about = {"artifact": self.artifact, "seconds": seconds, "files": files}
        (self.new / "meta.json").write_text(json.dumps(about, indent=1))
        for name in ("src", "tmp"):
            rootfs.remove(self.new / name)
        os.replace(self.new, self.final)
        return seconds


def with_packages(recipe: Path, builder: Path, report: Report) -> None:
    """The builder with what a recipe's packages.txt names."""
    _packages(recipe, builder, rootfs.Command(recipe.parent.name, report, home("cache", "logs") / "packages.log"))


def _packages(recipe: Path, builder: Path, command: rootfs.Command) -> None:
    """Install what the recipe's packages.txt names and the builder lacks."""
    with rootfs.lock("builder", silent, "builder"):  # one apt at a time
        machine.apply(builder)
        listing = recipe / "packages.txt"
        lines = listing.read_text().splitlines() if listing.is_file() else []
        names = [name for line in lines if (name := line.split("#")[0].strip())]
        query = ["chroot", str(builder), "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"]
        have = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
        missing = " ".join(n for n in names if f"{n} installed" not in have)
        if missing:
            # The builder's lists of packages are as old as the builder: fetched anew only when they are too old.
            install = f"apt-get -qy install --no-install-recommends {missing}"
            manuals = "mkdir -p /usr/share/man/man1"  # the builder has none, and Java's packages link into it
            script = f"{manuals}; dpkg --configure -a; {install} || {{ apt-get -q update; {install}; }}"
            argv, env = processes.entered(builder, ["sh", "-ec", script]), rootfs.build_environment(builder)
            command.run(argv, env=env, doing="installing " + missing)


def _prune(final: Path) -> None:
    """Keep this build and the one before it."""
    old = sorted(
        (p for p in final.parent.iterdir() if p.is_dir() and p != final and p.suffix != ".new"),
        key=lambda p: p.stat().st_mtime,
    )
    for path in old[:-1]:
        rootfs.remove(path)
