"""Artifacts by name, and the origin that decides where each comes from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, cast
from urllib.parse import urlsplit

from helpers.core import shell
from helpers.core.errors import BadInput, ConnectionLost, RunbookError
from helpers.core.files import write_whole
from helpers.core.paths import SETUP, home

if TYPE_CHECKING:
    from helpers.core.host import Host
    from helpers.core.target import Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("file", "tool", "apt", "snap", "image", "chart", "pip")

#: the beginning of a script that fetches: `fetch URL` prints the URL's content
FETCH = shell.script(Path(__file__).with_name("scripts") / "fetch.sh") + "\n"


def image_name(text: str) -> str:
    """An image's whole name, `<registry>/<path>:<tag>`: one for all its spellings. Without a registry: Docker Hub's."""
    name = text if "@" in text or ":" in text.rpartition("/")[2] else text + ":latest"
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost"):
        first, rest = "docker.io", name
    if first in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        return "docker.io/" + (rest if "/" in rest else "library/" + rest)
    return f"{first}/{rest}"


class Artifact:
    """One entry of setup/catalogue.toml, and once resolved by an origin also where it comes from.

    name, kind, version, licence, about: as written there.  url, sha256: of this origin ("" when not known).
    fidelity: original, equivalent or double.  program, differs: what stands in for it, and how it differs.
    parts: {name: the same three}, where not all of it is of one kind.
    images: {its image's name: [the digests by which a node may know it]}, where the origin tells them.
    key_url, fingerprint: of apt's own repository (its url), the key that signs it and that key's fingerprint.
    socks: in a rehearsal of upstream, the local port of the proxy that leads to it; authority: who vouches there.
    """

    def __init__(self, name: str, entry: dict[str, Any]):
        self.name = name
        self.kind: str = entry["kind"]
        self.version: str = entry["version"]
        self.licence: str = entry.get("licence", "")
        self.about: str = entry.get("about", "")
        self.url: str = entry.get("url", "")
        self.sha256: str = entry.get("sha256", "")
        self.sha256_url: str = entry.get("sha256_url", "")
        self.packages: list[str] = entry.get("packages", [])
        self.key_url: str = entry.get("key_url", "")
        self.fingerprint: str = entry.get("key_fingerprint", "").replace(" ", "")
        self.entry = entry
        self.origin = self.fidelity = self.program = ""
        self.socks: int | None = None
        self.authority = ""
        self.differs: list[str] = []
        self.parts: dict[str, dict[str, Any]] = {}
        self.images: dict[str, list[str]] = {}
        self._mirror = ""
        self._sums: dict[str, str] = {}

    def take(self, mirror: str, entry: dict[str, Any]) -> None:
        """Be what a mirror's index says of this artifact."""
        self.url = f"{mirror}/{self.path}"
        self.key_url = f"{mirror}/{_path(self.key_url)}" if self.key_url else ""
        self._mirror = mirror
        self.rehearse(entry)
        self.sha256 = entry.get("sha256", "")

    def rehearse(self, entry: dict[str, Any]) -> None:
        """Be what stands at upstream's address in a rehearsal: another file than the publisher's, with its checksum."""
        self._sums = entry.get("sums", {})
        self.parts, self.images = entry.get("parts", {}), entry.get("images", {})
        self.sha256 = entry.get("sha256", "") if self.sha256 or self.images else ""
        self.fingerprint = entry.get("fingerprint", self.fingerprint)
        self.fidelity = entry.get("fidelity", "original")
        self.program = entry.get("program", self.name)
        self.differs = entry.get("differs", [])

    def rows(self) -> list[dict[str, str]]:
        """What there is to say of it and of each of its parts: name, version, origin, fidelity, program, sha256."""
        common = {"version": self.version, "origin": self.origin}
        whole = dict(common, name=self.name, fidelity=self.fidelity, program=self.program, sha256=self.sha256)
        parts = [
            dict(common, name=f"{self.name}: {name}", fidelity=said["fidelity"], program=said["program"], sha256="")
            for name, said in self.parts.items()
        ]
        return [whole, *parts]

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a program of this machine reaches its origin."""
        if self._mirror:  # it is in this network; a proxy for the Internet would not find it
            return {"NO_PROXY": "*", "no_proxy": "*"}
        if self.socks:
            return {"HTTPS_PROXY": f"socks5://127.0.0.1:{self.socks}", "SSL_CERT_FILE": self.authority}
        return {}

    @property
    def path(self) -> str:
        """Where a mirror serves it: the upstream address without its scheme."""
        return _path(self.url)

    def url_for(self, system: str, arch: str) -> str:
        """A tool's address for this operating system and processor, at this origin."""
        url = self._upstream_for(system, arch)
        return f"{self._mirror}/{_path(url)}" if self._mirror else url

    def _upstream_for(self, system: str, arch: str) -> str:
        return self.entry.get("url_" + system, self.entry["url"]).format(os=system, arch=arch)

    def sha256_for(self, system: str, arch: str) -> str:
        """The checksum of a tool's file, the catalogue's `sha256_<os>_<arch>` or the mirror's; "" when not known."""
        if self._mirror or self._sums:
            return self._sums.get(_path(self._upstream_for(system, arch)), "")
        return self.entry.get(f"sha256_{system}_{arch}", "")


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc + parts.path


def load(path: Path | None = None) -> dict[str, Artifact]:
    """The catalogue: {name: Artifact}. BadInput when an entry lacks what its kind needs."""
    path = path or SETUP / "catalogue.toml"
    try:
        with open(str(path), "rb") as f:
            entries = tomllib.load(f)
    except (OSError, ValueError) as e:
        raise BadInput("read the catalogue", saw=str(e), do=f"Mend {path}") from e
    return {name: Artifact(name, _checked(name, entry, path)) for name, entry in entries.items()}


def _checked(name: str, entry: Any, path: Path) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise BadInput(f"read the catalogue's entry {name!r}", saw="it is no table", do=f"Mend {path}")
    known = cast("dict[str, Any]", entry)
    needs = {"kind", "version", "licence"}
    if known.get("kind") in ("file", "tool", "chart"):
        needs.add("url")
    if known.get("kind") == "apt" and "url" in known:  # a repository of its own
        needs |= {"key_url", "key_fingerprint"}
    if needs - set(known) or known["kind"] not in KINDS:
        saw = "missing: " + (", ".join(sorted(needs - set(known))) or "a kind among " + ", ".join(KINDS))
        raise BadInput(f"read the catalogue's entry [{name}]", saw=saw, do=f"Mend {path}")
    return known


def with_needs(names: Iterable[str]) -> list[str]:
    """The named artifacts and all that they need in turn (an entry's `needs`), each once."""
    known, todo = load(), list(names)
    found: list[str] = []
    while todo:
        name = todo.pop(0)
        if name not in found:
            found.append(name)
            todo.extend(known[name].entry.get("needs", []) if name in known else [])
    return found


def _of_the_host(artifact: Artifact) -> bool:
    """Does it come from where the host's own apt or pip is set to?"""
    return artifact.kind in ("apt", "pip") and not artifact.url


class Origin:
    """Where artifacts come from: `upstream`, or a mirror's URL.

    `auto` is the sandbox's own mirror there, upstream elsewhere.
    settled: nothing is fetched any more. Publishers are asked nothing then, and a mirror that is away is no error: what
    they said last is kept on this machine, and without that an artifact's checksum is "" and its fidelity unknown.
    """

    def __init__(self, text: str, target: Target, settled: bool = False):
        self._settled = settled
        if text == "auto":
            mirror = target.kind == "sandbox" and not target.endpoint().authority
            text = target.endpoint().mirror_url if mirror else "upstream"
        if text != "upstream" and not (text.startswith(("http://", "https://")) and urlsplit(text).netloc):
            raise BadInput(
                f"read the origin {text!r}", do="An origin is auto, upstream, or a mirror's http:// address."
            )
        self.text = text.rstrip("/")
        # From inside the cluster nobody can tell where what runs there came from.
        self._fidelity = "unknown" if target.kind == "incluster" else "original"
        rehearsal = target.endpoint() if self.text == "upstream" and target.kind == "sandbox" else None
        self._rehearsal = rehearsal if rehearsal and rehearsal.authority else None
        self._index: dict[str, Any] | None = None

    @property
    def shown(self) -> str:
        return "upstream" if self.text == "upstream" else "mirror"

    def with_needs(self, name: str, host: Host) -> list[Artifact]:
        """The artifact as resolve() has it, then all that it needs in turn, whose checksums others ask for.

        Without what a mirror may lack and lacks: what the sandbox's stand-ins do not pull (`only_upstream`).
        """
        wanted = self.resolve(name, host)
        needed = [self._known(n, host) for n in with_needs([name])[1:]]
        return [wanted, *(a for a in needed if a is not None)]

    def resolve(self, name: str, host: Host) -> Artifact:
        """The artifact with its URL, checksum and fidelity, asked of this origin from the host.

        RunbookError when it has none.
        """
        artifact = self._known(name, host)
        if artifact is None:  # on a real host it comes from there, whatever the mirror has
            artifact = self._found(name)
            artifact.origin = "upstream"
        elif self.text == "upstream" and artifact.kind != "tool" and not artifact.sha256 and artifact.sha256_url:
            said = (_kept(artifact.sha256_url) if self._settled else self._ask_checksum(artifact, host)).split()
            artifact.sha256 = said[0] if said else ""
        return artifact

    @staticmethod
    def _ask_checksum(artifact: Artifact, host: Host) -> str:
        ask = FETCH + "fetch " + shlex.quote(artifact.sha256_url)
        what = "ask for the checksum of " + artifact.name
        said = host.run(ask, sudo=False, timeout=300, quiet=True, what=what).out
        _keep(artifact.sha256_url, said)
        return said

    def _known(self, name: str, host: Host) -> Artifact | None:
        """With what the mirror's index says of it; None where it need not have it, and has not."""
        artifact, mirror = self._found(name), self._mirror
        if not mirror or _of_the_host(artifact):
            return artifact
        listed = self._listed(mirror, host)
        entry = listed.get(name)
        if self._settled and not listed:
            artifact.fidelity = "unknown"
            return artifact
        if entry is None and artifact.entry.get("only_upstream"):
            return None
        if entry is None:
            do = "Put it into the bundle folder, or take origin=upstream."
            raise RunbookError(f"get {name} from the mirror", host.name, "its index does not list it", do)
        if self._rehearsal:
            artifact.rehearse(entry)
            artifact.authority = self._rehearsal.authority
        else:
            artifact.take(mirror, entry)
        return artifact

    @property
    def _mirror(self) -> str:
        """The mirror that answers, under its own address or under upstream's names; empty for upstream itself."""
        if self._rehearsal:
            return self._rehearsal.mirror_url
        return "" if self.text == "upstream" else self.text

    def _found(self, name: str) -> Artifact:
        try:
            artifact = load()[name]
        except KeyError:
            raise RunbookError(f"find the artifact {name!r}", do="Name it in setup/catalogue.toml.") from None
        artifact.origin, artifact.fidelity, artifact.program = self.shown, self._fidelity, artifact.name
        if _of_the_host(artifact):
            artifact.origin = "the host's apt sources" if artifact.kind == "apt" else "the host's pip"
        return artifact

    def _listed(self, mirror: str, host: Host) -> dict[str, Any]:
        if self._index is None:
            self._index = self._read_index(mirror, host)
        return self._index

    def _read_index(self, mirror: str, host: Host) -> dict[str, Any]:
        url = mirror + "/index.json"
        try:
            found, text = self._ask_index(url, host)
            _keep(url, text)
            return found
        except ConnectionLost:
            raise
        except RunbookError:
            if not self._settled:
                raise
            return _artifacts_of(_kept(url)) or {}

    def _ask_index(self, url: str, host: Host) -> tuple[dict[str, Any], str]:
        said = host.run(FETCH + "fetch " + shlex.quote(url), sudo=False, timeout=300, check=False, quiet=True)
        found = _artifacts_of(said.out)
        if found is None:
            saw = said.err.strip() or said.out[:200]
            do = f"Is the mirror up? {url} must answer from the host; in the sandbox: ./runbook sandbox up"
            raise RunbookError("read the mirror's index", host.name, saw, do)
        return found, said.out


def _artifacts_of(index: str) -> dict[str, Any] | None:
    """What a mirror's index lists; None when the text is no index."""
    try:
        return json.loads(index)["artifacts"]
    except (ValueError, KeyError, TypeError):
        return None


def _keep(url: str, said: str) -> None:
    """What an address said last, for later runs that ask it nothing."""
    with contextlib.suppress(OSError):  # a full disk
        write_whole(_file_of(url), said)


def _kept(url: str) -> str:
    try:
        return _file_of(url).read_text("utf-8")
    except OSError:
        return ""


def _file_of(url: str) -> Path:
    return home("origins") / hashlib.sha256(url.encode()).hexdigest()[:32]
