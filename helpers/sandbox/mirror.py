"""The mirror: nginx on the sandbox's gateway address, serving the catalogue's artifacts under their upstream names."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from pathlib import Path

from helpers.core.errors import RunbookError
from helpers.core.paths import SETUP, home

from . import builds, machine, processes, registry, rootfs

PORT = 8088
CATALOGUE = SETUP / "catalogue.toml"

NGINX = """worker_processes 1;
pid /run/nginx.pid;
error_log /srv/logs/mirror-error.log;
events { worker_connections 256; }
http {
  access_log /srv/logs/mirror-access.log;
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  sendfile on;
  server {
    listen %(address)s:%(port)d;
    root /srv/mirror/current;
    # A container runtime that uses this mirror for every registry names the registry it means in ?ns=.
    location /v2/ {
      rewrite ^/v2/(.+)$ /v2/$prefix$1 break;
      proxy_pass http://%(address)s:%(registry)d;
      proxy_buffering off;
    }
  }
  map $arg_ns $prefix { "" ""; default $arg_ns/; }
}
"""


def _toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise RunbookError(f"read {path}", saw=str(error), do="mend the file") from None


def bundle() -> Path:
    """The folder of real artifacts that someone put there."""
    return Path(os.environ.get("RUNBOOK_BUNDLE") or home() / "bundle")


def fidelity(recipes=()) -> dict:
    """What each recipe's fidelity.toml says, by artifact; "recipe" is its folder.

    RunbookError for one of the named recipes that does not state fidelity, program and differs.
    """
    stated = {}
    for path in _fidelities():
        stated.update({name: {**entry, "recipe": path.parent.name} for name, entry in _toml(path).items()})
    half_told = {e["recipe"] for e in stated.values() if not {"fidelity", "program", "differs"} <= e.keys()}
    silent = [name for name in recipes if name in half_told or name not in {e["recipe"] for e in stated.values()}]
    if silent:
        raise RunbookError(
            f"serve {', '.join(silent)} in the sandbox",
            saw="fidelity, program or differs is not stated",
            do=f"add them to {builds.RECIPES / silent[0] / 'fidelity.toml'}",
        )
    return stated


def _fidelities() -> list[Path]:
    return sorted(builds.RECIPES.glob("*/fidelity.toml"))


def _sum(path: Path, sums: dict) -> str:
    """The SHA-256 of a bundle's file, remembered while its size and times stay."""
    stat = path.stat()
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    if key not in sums:
        sums[key] = builds.sha256(path)
    return sums[key]


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
    if not target.stat().st_mode & 0o004:
        target.chmod(target.stat().st_mode | 0o444)


class Mirror:
    """One sandbox's mirror. Everything below folder is made anew from the caches."""

    def __init__(self, folder: Path, address: str):
        self.dir, self.address = folder, address
        self.url = f"http://{address}:{PORT}"
        self.files, self.logs = folder / "mirror", folder / "logs"
        self.pid = folder / "pids/nginx"

    def content(self, artifacts: dict[str, Path]) -> str:
        """A hash of what the mirror should serve: recipes, bundle and catalogue."""
        folder = bundle()
        real = (
            [
                (str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns)
                for p in sorted(folder.rglob("*"))
                if p.is_file()
            ]
            if folder.is_dir()
            else []
        )
        texts = [p.read_text() for p in (CATALOGUE, *_fidelities()) if p.is_file()]
        return rootfs.digest({name: builds.recipe_hash(path) for name, path in artifacts.items()}, real, texts)

    def serves(self, content: str) -> bool:
        """Does it answer, with this content?"""
        current = self.files / "current"
        return current.is_symlink() and os.readlink(current) == content and self.answers()

    def answers(self) -> bool:
        return processes.answers(self.pid, self.address, PORT, "/index.json")

    def fill(self, content: str, built: dict[str, Path]) -> None:
        """Lay out files and index.json in a new folder and switch to it in one step."""
        new = self.files / f"{content}.new"
        rootfs.remove(new)
        new.mkdir(parents=True)
        for path in (self.files, new):
            path.chmod(0o755)
        catalogue, stated = _toml(CATALOGUE), fidelity(built)
        index = {}
        made = {
            recipe: {
                n: f
                for n, f in json.loads((folder / "meta.json").read_text())["files"].items()
                if not n.startswith("images")
            }
            for recipe, folder in built.items()
        }
        for recipe, files in made.items():
            for name in files:
                _link(built[recipe] / "out" / name, new / name)
        for artifact in stated:
            files = made.get(stated[artifact]["recipe"])  # one recipe may make several artifacts
            if files is None:
                continue
            entry = catalogue.get(artifact, {})
            path = entry.get("url", "").partition("://")[2]
            index[artifact] = {
                **stated[artifact],
                "version": entry.get("version", ""),
                "from": "substitute",
                "sha256": files.get(path, {}).get("sha256", ""),
                "files": sorted(files),
            }
            if entry.get("kind") == "tool":  # a file for each system and processor
                index[artifact]["sums"] = {name: file["sha256"] for name, file in files.items()}
        self._bundle(new, catalogue, index)
        (new / "index.json").write_text(json.dumps({"artifacts": dict(sorted(index.items()))}, indent=1) + "\n")
        final = self.files / content
        rootfs.remove(final)
        os.replace(new, final)
        link = self.files / "current.new"
        link.unlink(missing_ok=True)
        link.symlink_to(content)
        os.replace(link, self.files / "current")
        for old in self.files.iterdir():
            if old.is_dir() and not old.is_symlink() and old.name != content:
                rootfs.remove(old)

    def _bundle(self, new: Path, catalogue: dict, index: dict) -> None:
        folder = bundle()
        if not folder.is_dir():
            return
        remembered = home("cache") / "bundle.json"
        sums = json.loads(remembered.read_text()) if remembered.is_file() else {}
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            _link(file, new / file.relative_to(folder))
        archives = {name: archive for archive, name in registry.images(folder)}
        for artifact, entry in catalogue.items():
            path = entry.get("url", "").partition("://")[2]
            images = [i for i in entry.get("images", [entry.get("image")]) if i]
            if images and all(i in archives for i in images):
                files = sorted({archives[i] for i in images})
                index[artifact] = {
                    "fidelity": "original",
                    "program": f"{artifact} {entry.get('version', '')}".strip(),
                    "differs": [],
                    "version": entry.get("version", ""),
                    "from": "bundle",
                    "sha256": _sum(files[0], sums) if len(files) == 1 else "",
                    "files": [str(f.relative_to(folder)) for f in files],
                }
            elif any(i in archives for i in images) and artifact in index:
                index[artifact]["differs"] = [
                    *index[artifact]["differs"],
                    *(f"{i} is the bundle's" for i in images if i in archives),
                ]
            elif entry.get("kind") == "tool":
                patterns = [
                    re.sub(r"\{os\}|\{arch\}", "*", u.partition("://")[2])
                    for n, u in entry.items()
                    if n == "url" or n.startswith("url_")
                ]
                paths = sorted({str(p.relative_to(folder)) for pattern in patterns for p in folder.glob(pattern)})
                if paths:
                    index[artifact] = {
                        "fidelity": "original",
                        "program": f"{artifact} {entry.get('version', '')}".strip(),
                        "differs": [],
                        "version": entry.get("version", ""),
                        "from": "bundle",
                        "sha256": "",
                        "files": paths,
                        "sums": {p: _sum(folder / p, sums) for p in paths},
                    }
            elif path and (folder / path).is_file():
                index[artifact] = {
                    "fidelity": "original",
                    "program": f"{artifact} {entry.get('version', '')}".strip(),
                    "differs": [],
                    "version": entry.get("version", ""),
                    "from": "bundle",
                    "sha256": _sum(folder / path, sums),
                    "files": [path],
                }
        machine.write(remembered, json.dumps(sums))

    def start(self, builder: Path) -> None:
        """Start it when it does not answer."""
        if self.answers():
            return
        processes.stop(self.pid, processes.KILL)
        self.logs.mkdir(exist_ok=True)
        machine.write(
            self.files / "nginx.conf", NGINX % {"address": self.address, "port": PORT, "registry": registry.PORT}
        )
        argv = processes.entered(
            builder,
            ["nginx", "-e", "stderr", "-c", "/srv/mirror/nginx.conf", "-g", "daemon off;"],
            {self.files: "/srv/mirror", self.logs: "/srv/logs"},
        )
        log = self.logs / "mirror.log"
        processes.start(self.pid, argv, log, env=processes.MINIMAL)
        processes.wait("the sandbox's mirror", self.answers, log)

    def stop(self) -> bool:
        return processes.stop(self.pid, processes.KILL)
