"""How each artifact of the catalogue is known to be the one that is meant: a table of the book's page on security."""

from __future__ import annotations

from collections.abc import Callable

from helpers.command.artifacts import systems_of
from helpers.core import paths
from helpers.core.catalogue import Artifact, load

PINNED = "its SHA-256 in the catalogue"
ALONE = "HTTPS alone"


def rows() -> list[list[str]]:
    """A row for each artifact, from upstream: its name, its kind, and what it is held to."""
    return [[artifact.name, artifact.kind, _HOW[artifact.kind](artifact)] for artifact in load().values()]


def _file(artifact: Artifact) -> str:
    fetcher = artifact.entry.get("fetched_by")
    if fetcher:
        return f"{fetcher} fetches it: {ALONE}"
    if artifact.sha256:
        return PINNED
    return "the SHA-256 that its publisher keeps beside it, asked at the download" if artifact.sha256_url else ALONE


def _tool(artifact: Artifact) -> str:
    held = {" ".join(of): artifact.sha256_for(*of) for of in systems_of(artifact)}
    told = {PINNED: [of for of in held if held[of]], ALONE: [of for of in held if not held[of]]}
    return "; ".join(f"{how} ({', '.join(of)})" for how, of in told.items() if of)


def _apt(artifact: Artifact) -> str:
    key = f"the key {artifact.fingerprint} of the catalogue" if artifact.url else "a key of the host's sources"
    return f"apt: signed by {key}"


def _snap(_: Artifact) -> str:
    return "snapd: signed by the store"


def _image(artifact: Artifact) -> str:
    if artifact.entry.get("by_digest"):
        return "its digest, in the manifest that pulls it"
    return f"a tag, which its registry may give to another image: {ALONE}"


def _chart(artifact: Artifact) -> str:
    return PINNED if artifact.sha256 else ALONE


def _pip(artifact: Artifact) -> str:
    """What its version installs is listed in a file of that name, and the checksums of it lie beside."""
    found = [path.with_name("sha256.txt") for path in paths.SETUP.glob(f"*/{artifact.version}.txt")]
    known = [f"`{path.relative_to(paths.REPO)}`" for path in found if path.is_file()]
    return f"the SHA-256 of each file in {known[0]}" if known else ALONE


_HOW: dict[str, Callable[[Artifact], str]] = {
    "file": _file,
    "tool": _tool,
    "apt": _apt,
    "snap": _snap,
    "image": _image,
    "chart": _chart,
    "pip": _pip,
}
