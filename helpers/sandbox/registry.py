"""The Docker registry beside the mirror: images of substitutes and of the bundle, each by its public name."""

from __future__ import annotations

import json
import os
import re
import tarfile
import threading
from pathlib import Path

from helpers.core.errors import RunbookError
from helpers.core.paths import home

from . import machine, processes, rootfs
from .builds import Report

PORT = 5000

# Debian's own configuration asks for a password on push; this one listens on the sandbox's network only.
CONFIG = """version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: /srv/registry}
  delete: {enabled: true}
http: {addr: "%(address)s:%(port)d"}
"""


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


def repository(name: str) -> str:
    """The image's name in the registry, `<public host>/<path>:<tag>`; a name without a host is Docker Hub's.

    A container runtime asks for it at http://<gateway>:5000/v2/<public host>/..., which keeps the hosts apart.
    """
    if not re.search(r":[^/]+$", name):
        name += ":latest"
    first, slash, rest = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if "." in first or ":" in first or first == "localhost":
        return f"docker.io/library/{rest}" if first == "docker.io" and "/" not in rest else name
    return f"docker.io/{name}"


class Registry:
    """One registry process for each sandbox; they share one store, in the cache."""

    def __init__(self, folder: Path, address: str):
        self.address, self.url = address, f"http://{address}:{PORT}"
        self.pid, self.log, self.config = (
            folder / "pids/registry",
            folder / "logs/registry.log",
            folder / "registry.yml",
        )

    def answers(self) -> bool:
        return processes.answers(self.pid, self.address, PORT, "/v2/")

    def start(self, builder: Path) -> None:
        """Start it when it does not answer."""
        if self.answers():
            return
        processes.stop(self.pid, processes.KILL)
        machine.write(self.config, CONFIG % {"address": self.address, "port": PORT})
        argv = processes.entered(
            builder,
            ["docker-registry", "serve", "/srv/registry.yml"],
            {self.config: "/srv/registry.yml", home("cache", "registry"): "/srv/registry"},
        )
        processes.start(self.pid, argv, self.log, env=processes.MINIMAL)
        processes.wait("the sandbox's Docker registry", self.answers, self.log)

    def stop(self) -> bool:
        return processes.stop(self.pid, processes.KILL)

    def push(
        self, builder: Path, folders: dict[str, Path], report: Report, stopped: threading.Event | None = None
    ) -> None:
        """Push the images of each folder that the store does not hold yet.

        folders: a label that names this very content, and where it lies; the later folder wins a name that two have.
        """
        wanted = {
            repository(name): (f"{label}/{archive.name}", archive)
            for label, folder in folders.items()
            for archive, name in images(folder)
        }
        with rootfs.lock("registry", report, "images"):
            held = _held()
            todo = {name: source for name, source in wanted.items() if held.get(name) != source[0]}
            command = rootfs.Command("images", report, self.log.with_name("push.log"), stopped)
            for number, (name, (source, archive)) in enumerate(todo.items(), 1):
                report(f"images: {number} of {len(todo)}, {name}")
                self._push(builder, archive, name, command)
                held[name] = source
                _hold(held)

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


def _held() -> dict[str, str]:
    """What the store holds: an image's name, and the label of the archive that it came from."""
    file = home("cache", "registry") / "held.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _hold(held: dict[str, str]) -> None:
    file = home("cache", "registry") / "held.json"
    new = file.with_suffix(".new")
    new.write_text(json.dumps(held, indent=1))
    os.replace(new, file)
