"""The mirror: nginx on the sandbox's gateway address, serving the catalogue's artifacts under their upstream names."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from helpers.core import openpgp
from helpers.core.catalogue import image_name
from helpers.core.errors import RunbookError
from helpers.core.paths import SETUP, home
from helpers.core.shell import filled

from . import builds, machine, processes, registry, rootfs
from .rehearsal import Rehearsal
from .rehearsal import hosts as hosts_of

PORT = 8088
Table = dict[str, dict[str, Any]]  # an artifact's name, and what is said of it
CATALOGUE = SETUP / "catalogue.toml"


def _toml(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise RunbookError(f"read {path}", saw=str(error), do="mend the file") from None


def hosts() -> list[str]:
    """The hosts of the catalogue that a rehearsal of upstream answers for."""
    return hosts_of(_toml(CATALOGUE))


def bundle() -> Path:
    """The folder of real artifacts that someone put there."""
    return Path(os.environ.get("RUNBOOK_BUNDLE") or home() / "bundle")


def fidelity(recipes: Iterable[str] = ()) -> Table:
    """What each recipe's fidelity.toml says, by artifact; "recipe" is its folder.

    RunbookError for one of the named recipes that does not state fidelity, program and differs.
    """
    found: Table = {}
    for path in _fidelities():
        found.update({name: {**entry, "recipe": path.parent.name} for name, entry in _toml(path).items()})
    half_told = {e["recipe"] for e in found.values() if not {"fidelity", "program", "differs"} <= e.keys()}
    silent = [name for name in recipes if name in half_told or name not in {e["recipe"] for e in found.values()}]
    if silent:
        raise RunbookError(
            f"serve {', '.join(silent)} in the sandbox",
            saw="fidelity, program or differs is not stated",
            do=f"add them to {builds.RECIPES / silent[0] / 'fidelity.toml'}",
        )
    return found


def _fidelities() -> list[Path]:
    return sorted(builds.RECIPES.glob("*/fidelity.toml"))


def _sum(path: Path, sums: dict[str, str]) -> str:
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


def _path(url: str) -> str:
    """Where the mirror serves an address: without its scheme."""
    return url.partition("://")[2]


def _substitutes(new: Path, catalogue: Table, built: dict[str, Path]) -> Table:
    """Link the files of what was built into new; returns the index of it."""
    made: dict[str, Table] = {}
    for recipe, folder in built.items():
        files: Table = json.loads((folder / "meta.json").read_text())["files"]
        made[recipe] = {name: about for name, about in files.items() if not name.startswith("images")}
        for name in made[recipe]:
            _link(folder / "out" / name, new / name)
    index: Table = {}
    stated = {name: said for name, said in fidelity(built).items() if said["recipe"] in made}
    for artifact, said in stated.items():  # one recipe may make several artifacts
        if not _is_part(artifact, said, catalogue):
            index[artifact] = _substitute(said, catalogue.get(artifact, {}), made[said["recipe"]])
    for name, said in stated.items():
        if _is_part(name, said, catalogue) and said["recipe"] in index:
            told = {key: said[key] for key in ("fidelity", "program", "differs")}
            index[said["recipe"]].setdefault("parts", {})[name] = told
    return index


def _is_part(name: str, said: dict[str, Any], catalogue: Table) -> bool:
    """Is it a part of what the recipe makes, which nobody installs by itself?"""
    return name not in catalogue and name != said["recipe"]


def _substitute(said: dict[str, Any], entry: dict[str, Any], files: Table) -> dict[str, Any]:
    """What the index says of an artifact that a recipe made."""
    told = {
        **said,
        "version": entry.get("version", ""),
        "from": "substitute",
        "sha256": files.get(_path(entry.get("url", "")), {}).get("sha256", ""),
        "files": sorted(files),
    }
    if entry.get("kind") == "tool":  # a file for each system and processor
        told["sums"] = {name: file["sha256"] for name, file in files.items()}
    return told


def _checksum_files(new: Path, catalogue: Table, index: Table) -> None:
    """The file that a publisher puts beside his own, where the catalogue names one."""
    for artifact, said in index.items():
        beside = catalogue.get(artifact, {}).get("sha256_url")
        if beside and said["sha256"]:
            machine.write(new / _path(beside), f"{said['sha256']} {Path(_path(catalogue[artifact]['url'])).name}\n")


def _keys(new: Path, catalogue: Table, index: Table) -> None:
    """Whose signature to take: the fingerprint of the key beside a stand-in's packages. It is not the publisher's."""
    for artifact, said in index.items():
        url = catalogue.get(artifact, {}).get("key_url")
        if url and said["from"] == "substitute":
            said["fingerprint"] = openpgp.fingerprints((new / _path(url)).read_bytes())[0]


class _Bundle:
    """The real artifacts in a folder, which go before the substitutes."""

    def __init__(self, folder: Path):
        self.folder, self._memory = folder, home("cache") / "bundle.json"
        self._sums: dict[str, str] = json.loads(self._memory.read_text()) if self._memory.is_file() else {}

    def add(self, new: Path, catalogue: Table, index: Table) -> None:
        """Link its files into new and put its artifacts into the index."""
        if not self.folder.is_dir():
            return
        for file in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            _link(file, new / file.relative_to(self.folder))
        archives = {image_name(name): archive for archive, name in registry.images(self.folder)}
        for artifact, said in catalogue.items():
            files = self._files(said, archives)
            if files:
                index[artifact] = self._entry(artifact, said, files)
                continue
            ours = [image for image in _images(said) if image in archives]
            if ours and artifact in index:
                differs = index[artifact]["differs"]
                index[artifact]["differs"] = [*differs, *(f"{image} is the bundle's" for image in ours)]
        machine.write(self._memory, json.dumps(self._sums))

    def _files(self, said: dict[str, Any], archives: dict[str, Path]) -> list[Path]:
        """The artifact's files, where the bundle has the whole of it."""
        images, path = _images(said), _path(said.get("url", ""))
        if images:
            return sorted({archives[i] for i in images}) if all(i in archives for i in images) else []
        if said.get("kind") == "tool":
            urls = [url for name, url in said.items() if name == "url" or name.startswith("url_")]
            patterns = [re.sub(r"\{os\}|\{arch\}", "*", _path(url)) for url in urls]
            return sorted({p for pattern in patterns for p in self.folder.glob(pattern)})
        return [self.folder / path] if path and (self.folder / path).is_file() else []

    def _entry(self, artifact: str, said: dict[str, Any], files: list[Path]) -> dict[str, Any]:
        sums = {str(p.relative_to(self.folder)): _sum(p, self._sums) for p in files}
        tool = said.get("kind") == "tool"  # a file for each system and processor
        return {
            "fidelity": "original",
            "program": f"{artifact} {said.get('version', '')}".strip(),
            "differs": [],
            "version": said.get("version", ""),
            "from": "bundle",
            "sha256": next(iter(sums.values())) if len(sums) == 1 and not tool else "",
            "files": list(sums),
            **({"sums": sums} if tool else {}),
        }


def _images(said: dict[str, Any]) -> list[str]:
    return [image_name(image) for image in said.get("images", [said.get("image")]) if image]


def _add_digests(entry: dict[str, Any], images: dict[str, list[str]]) -> None:
    """What an image is known by where it runs; one checksum for all of an artifact's images."""
    served = {name: digests for name, digests in images.items() if digests}
    if served:
        ids = sorted(digests[-1].partition(":")[2] for digests in served.values())
        entry["images"] = served
        entry["sha256"] = ids[0] if len(ids) == 1 else hashlib.sha256("".join(ids).encode()).hexdigest()


class Mirror:
    """One sandbox's mirror. Everything below folder is made anew from the caches."""

    def __init__(self, folder: Path, address: str):
        self.dir, self.address = folder, address
        self.url = f"http://{address}:{PORT}"
        self.files, self.logs = folder / "mirror", folder / "logs"
        self.pid = folder / "pids/nginx"
        self.rehearsal = Rehearsal(folder, address)

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

    def fill(self, content: str, built: dict[str, Path], images: Callable[[str], list[str]]) -> None:
        """Lay out files and index.json in a new folder and switch to it in one step.

        images: the digests of the image that is served by this name, its manifest's and its id; none: it is not served.
        """
        new = self.files / f"{content}.new"
        rootfs.remove(new)
        new.mkdir(parents=True)
        for path in (self.files, new):
            path.chmod(0o755)
        catalogue = _toml(CATALOGUE)
        index = _substitutes(new, catalogue, built)
        _Bundle(bundle()).add(new, catalogue, index)
        for artifact, entry in index.items():
            _add_digests(entry, {name: images(name) for name in _images(catalogue.get(artifact, {}))})
        _checksum_files(new, catalogue, index)
        _keys(new, catalogue, index)
        (new / "index.json").write_text(json.dumps({"artifacts": dict(sorted(index.items()))}, indent=1) + "\n")
        self._switch(content, new)

    def _switch(self, content: str, new: Path) -> None:
        """Make new what is served, and remove what was."""
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

    def start(self, builder: Path) -> None:
        """Start it when it does not answer."""
        if self.answers():
            return
        processes.kill(self.pid)
        self.logs.mkdir(exist_ok=True)
        self._configure()
        folders = {self.files: "/srv/mirror", self.logs: "/srv/logs"}
        if self.rehearsal.chosen:
            folders[self.rehearsal.dir] = "/srv/rehearsal"
        argv = ["nginx", "-e", "stderr", "-c", "/srv/mirror/nginx.conf", "-g", "daemon off;"]
        argv = processes.entered(builder, argv, folders)
        log = self.logs / "mirror.log"
        processes.start(self.pid, argv, log, env=processes.MINIMAL)
        processes.wait("the sandbox's mirror", self.answers, log)

    def _configure(self) -> None:
        ours = {"ADDRESS": self.address, "PORT": PORT, "REGISTRY": registry.PORT}
        rehearsal = self.rehearsal.nginx(_toml(CATALOGUE))
        text = filled(Path(__file__).with_name("mirror.nginx"), **ours, REHEARSAL=rehearsal)
        machine.write(self.files / "nginx.conf", text)

    def stop(self) -> bool:
        return processes.kill(self.pid)
