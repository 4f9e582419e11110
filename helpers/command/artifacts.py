"""`./runbook artifacts`: all that an installation pulls and fetches, as addresses, and what of it the bundle has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from helpers.command.base import CHAPTER, examples, say
from helpers.core import catalogue, notebooks
from helpers.core.catalogue import Artifact, image_name
from helpers.sandbox import mirror, registry

SYSTEMS = {"linux": ["amd64", "arm64"], "darwin": ["amd64", "arm64"]}


class Piece(NamedTuple):
    """One thing to get. where: an address, an image's name, or the command's words for a package.

    bundled: the real one is in the bundle folder; None: it does not go there.
    """

    kind: str
    artifact: str
    where: str
    sha256: str = ""
    bundled: bool | None = None


def pieces(names: list[str]) -> Iterator[Piece]:
    """What these artifacts and all that they need in turn consist of, in that order."""
    known, folder = catalogue.load(), mirror.bundle()
    images = {image_name(name) for _, name in registry.images(folder)}
    for artifact in (known[name] for name in catalogue.with_needs(names)):
        for where, sha256 in _of(artifact):
            there = where in images if artifact.kind == "image" else (folder / where.partition("://")[2]).is_file()
            goes = artifact.kind == "image" or "://" in where
            yield Piece(artifact.kind, artifact.name, where, sha256, there if goes else None)


def _of(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """(where, its SHA-256 or empty) of each piece of one artifact."""
    entry = artifact.entry
    if artifact.kind == "image":
        yield from ((image_name(image), "") for image in entry.get("images", [entry.get("image")]))
    elif artifact.kind == "tool":
        yield from ((artifact.url_for(*of), artifact.sha256_for(*of)) for of in systems_of(artifact))
    elif artifact.kind == "snap":
        yield f"{artifact.name} --channel={entry['channel']}", ""
    elif artifact.kind == "apt":
        source = f" from {artifact.url}" if artifact.url else ""
        yield from ((package + source, "") for package in artifact.packages)
    elif artifact.kind == "pip":
        yield f"{artifact.version} of PyPI, with all that it is pinned to", ""
    else:
        yield artifact.url, artifact.sha256


def systems_of(tool: Artifact) -> list[tuple[str, str]]:
    """(operating system, processor) of each file of a tool."""
    archs = {system: tool.entry.get("archs_" + system, tool.entry.get("archs", of)) for system, of in SYSTEMS.items()}
    return [(system, arch) for system in SYSTEMS for arch in archs[system]]


@click.command(
    epilog=examples("""
./runbook artifacts                          all there are
./runbook artifacts seldon                   of one chapter, with all that it needs in turn
./runbook artifacts | awk '$1 == "image"'    what a registry of your own has to have
""")
)
@click.argument("chapters", nargs=-1, type=CHAPTER, metavar="[CHAPTER]...")
def artifacts(chapters: tuple[str, ...]) -> None:
    """List all that an installation pulls and fetches; + is in the bundle folder.

    Each line: kind, artifact, where it is from, its SHA-256 where the catalogue has one.
    """
    chosen = [name for chapter in chapters for name in notebooks.find(chapter).artifacts]
    for piece in pieces(chosen if chapters else list(catalogue.load())):
        mark = "+" if piece.bundled else ""
        say("  ".join(filter(None, [f"{piece.kind:<7}{piece.artifact:<26}{piece.where}", piece.sha256, mark])))
