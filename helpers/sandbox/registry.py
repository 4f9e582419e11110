"""The Docker registry beside the mirror: images of substitutes and of the bundle, each by its public name."""

from __future__ import annotations

import json
import os
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.core.catalogue import image_name
from helpers.core.errors import RunbookError
from helpers.core.files import write_whole
from helpers.core.paths import home
from helpers.core.shell import filled

from . import machine, processes, rootfs
from .builds import Report

PORT = 5000


def images(folder: Path) -> list[tuple[Path, str]]:
    """(archive, image name) for each line of folder/images.txt; RunbookError for one that has no archive."""
    listing = folder / "images.txt"
    found: list[tuple[Path, str]] = []
    for line in listing.read_text().splitlines() if listing.is_file() else []:
        words = line.split("#")[0].split()
        if not words:
            continue
        archive = folder / "images" / words[0].removeprefix("images/")
        if len(words) != 2 or not archive.is_file():
            raise RunbookError(
                f"read {listing}", saw=line, do="a line is: an archive's name in images/, a space, the image's name"
            )
        found.append((archive, words[1]))
    return found


class Store:
    """The names of one sandbox, over the blobs that all sandboxes share: as the registry lays them out on the disk."""

    def __init__(self, sandbox: str):
        self.inside = f"/srv/registry/sandboxes/{sandbox}"
        self._root = home("cache", "registry") / "sandboxes" / sandbox
        self._top = self._root / "docker/registry/v2"

    def make(self) -> None:
        shared = home("cache", "registry") / "docker/registry/v2/blobs"
        for folder in (shared, self._top):
            folder.mkdir(parents=True, exist_ok=True)
        if not (self._top / "blobs").is_symlink():  # relative: it holds inside the builder, too
            (self._top / "blobs").symlink_to("../../../../../docker/registry/v2/blobs")

    def remove(self) -> None:
        """Forget the names; the blobs stay."""
        rootfs.remove(self._root)

    def digest(self, name: str) -> str:
        """The digest of the manifest that this name leads to; empty when there is none."""
        repository, _, tag = name.rpartition(":")
        try:
            return self._manifests(repository).joinpath("tags", tag, "current/link").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def served(self, name: str) -> list[str]:
        """The digests by which a node may know the image of this name: its manifest's, and its own (the id)."""
        digest = self.digest(name)
        return [digest, self._manifest(digest)["config"]["digest"]] if digest else []

    def link(self, name: str, digest: str) -> bool:
        """Let a name lead to a manifest that was pushed by some sandbox; False when its blobs are not there."""
        repository, _, tag = name.rpartition(":")
        try:
            manifest = self._manifest(digest)
        except (FileNotFoundError, ValueError):
            return False
        pieces = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
        if not all(_blob(piece).is_file() for piece in pieces):
            return False
        for piece in pieces:
            _lead(self._manifests(repository).with_name("_layers") / piece.replace(":", "/"), piece)
        tags = self._manifests(repository) / "tags" / tag
        for place in (self._manifests(repository) / "revisions", tags / "index"):
            _lead(place / digest.replace(":", "/"), digest)
        _lead(tags / "current", digest)  # last: what it names is there
        return True

    def _manifests(self, repository: str) -> Path:
        return self._top / "repositories" / repository / "_manifests"

    def _manifest(self, digest: str) -> dict[str, Any]:
        return json.loads(_blob(digest).read_text())


def _blob(digest: str) -> Path:
    kind, _, name = digest.partition(":")
    return home("cache", "registry") / "docker/registry/v2/blobs" / kind / name[:2] / name / "data"


def _lead(folder: Path, digest: str) -> None:
    """A link as the registry keeps it: a file with a digest."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / "link.new"
    new.write_text(digest)
    os.replace(new, folder / "link")


class Registry:
    """One registry process for each sandbox, with names of its own."""

    def __init__(self, folder: Path, address: str):
        self.address, self.url, self.store = address, f"http://{address}:{PORT}", Store(folder.name)
        self.pid, self.log, self.config = (
            folder / "pids/registry",
            folder / "logs/registry.log",
            folder / "registry.yml",
        )

    def answers(self) -> bool:
        """Does it answer, with the names of its own sandbox?"""
        ours = self.config.is_file() and self.config.read_text() == self._settings
        return ours and processes.answers(self.pid, self.address, PORT, "/v2/")

    @property
    def _settings(self) -> str:
        # Debian's own configuration asks for a password on push; this one listens on the sandbox's network only.
        where = {"ADDRESS": self.address, "PORT": PORT, "ROOT": self.store.inside}
        return filled(Path(__file__).with_suffix(".yml"), **where)

    def start(self, builder: Path) -> None:
        """Start it when it does not answer."""
        if self.answers():
            return
        processes.kill(self.pid)
        self.store.make()
        machine.write(self.config, self._settings)
        argv = processes.entered(
            builder,
            ["docker-registry", "serve", "/srv/registry.yml"],
            {self.config: "/srv/registry.yml", home("cache", "registry"): "/srv/registry"},
        )
        processes.start(self.pid, argv, self.log, env=processes.MINIMAL)
        processes.wait("the sandbox's Docker registry", self.answers, self.log)

    def stands(self) -> bool:
        """It answers, or nothing has images."""
        return not self.config.is_file() or self.answers()

    def stop(self) -> bool:
        return processes.kill(self.pid)

    def serve(
        self, builder: Path, folders: Sequence[Path], report: Report, stopped: threading.Event | None = None
    ) -> None:
        """Start it where one of these folders has images, and push those that are not there yet; see push()."""
        if any(map(images, folders)):
            self.start(builder)
            self.push(builder, folders, report, stopped)

    def push(
        self, builder: Path, folders: Sequence[Path], report: Report, stopped: threading.Event | None = None
    ) -> None:
        """Serve the images of these folders, and push what no sandbox has pushed yet.

        The later folder wins a name that two have.
        """
        wanted = {image_name(name): archive for folder in folders for archive, name in images(folder)}
        with rootfs.lock("registry", report, "images"):
            pushed = _pushed()
            todo = {name: archive for name, archive in wanted.items() if not self._serves(name, archive, pushed)}
            command = rootfs.Command("images", report, self.log.with_name("push.log"), stopped)
            for number, (name, archive) in enumerate(todo.items(), 1):
                report(f"images: {number} of {len(todo)}, {name}")
                self._push(builder, archive, name, command)
                pushed[_same(archive)] = self.store.digest(name)
                write_whole(_memory(), json.dumps(pushed, indent=1), 0o644)

    def _serves(self, name: str, archive: Path, pushed: dict[str, str]) -> bool:
        digest = pushed.get(_same(archive), "")
        return bool(digest) and (self.store.digest(name) == digest or self.store.link(name, digest))

    def _push(self, builder: Path, archive: Path, name: str, command: rootfs.Command) -> None:
        with tarfile.open(archive) as tar:
            kind = "docker-archive" if "manifest.json" in tar.getnames() else "oci-archive"
        copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "--dest-compress-level=1"]
        argv = [*copy, f"{kind}:/srv/images/{archive.name}", f"docker://{self.address}:{PORT}/{name}"]
        command.run(
            processes.entered(builder, argv, {archive.parent: "/srv/images"}),
            env={**processes.MINIMAL, "HOME": "/root"},
            doing=f"pushing {name}",
        )


def _same(archive: Path) -> str:
    """What stays the same for as long as the archive does."""
    stat = archive.stat()
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"


def _memory() -> Path:
    return home("cache", "registry") / "pushed.json"


def _pushed() -> dict[str, str]:
    """{what _same() says of an archive: the digest of the manifest that became of it}."""
    return json.loads(_memory().read_text()) if _memory().is_file() else {}
