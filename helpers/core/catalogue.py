"""Artifacts by name, and the origin that decides where each comes from."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

from helpers.core import shell
from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import SETUP

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("file", "tool", "apt", "snap", "image", "chart", "pip")

#: the beginning of a script that fetches: `fetch URL` prints the URL's content
FETCH = shell.script(Path(__file__).with_name("scripts") / "fetch.sh") + "\n"


class Artifact:
    """One entry of setup/catalogue.toml, and once resolved by an origin also where it comes from.

    name, kind, version, licence, about: as written there.  url, sha256: of this origin ("" when not known).
    fidelity: original, equivalent or double.  program, differs: what stands in for it, and how it differs.
    """

    def __init__(self, name, entry):
        self.name = name
        self.kind = entry["kind"]
        self.version = entry["version"]
        self.licence = entry.get("licence", "")
        self.about = entry.get("about", "")
        self.url = entry.get("url", "")
        self.sha256 = entry.get("sha256", "")
        self.sha256_url = entry.get("sha256_url", "")
        self.packages = entry.get("packages", [])
        self.entry = entry
        self.origin, self.fidelity, self.program, self.differs = "", "", "", []
        self._mirror, self._sums = "", {}

    @property
    def path(self):
        """Where a mirror serves it: the upstream address without its scheme."""
        return _path(self.url)

    def url_for(self, system, arch):
        """A tool's address for this operating system and processor, at this origin."""
        url = self.entry.get("url_" + system, self.entry["url"]).format(os=system, arch=arch)
        return f"{self._mirror}/{_path(url)}" if self._mirror else url

    def sha256_for(self, system, arch):
        """The checksum of a tool's file, the catalogue's `sha256_<os>_<arch>` or the mirror's; "" when not known."""
        if self._mirror:
            return self._sums.get(self.url_for(system, arch)[len(self._mirror) + 1 :], "")
        return self.entry.get(f"sha256_{system}_{arch}", "")


def _path(url):
    parts = urlsplit(url)
    return parts.netloc + parts.path


def load(path=None):
    """The catalogue: {name: Artifact}. BadInput when an entry lacks what its kind needs."""
    path = path or SETUP / "catalogue.toml"
    try:
        with open(str(path), "rb") as f:
            entries = tomllib.load(f)
    except (OSError, ValueError) as e:
        raise BadInput("read the catalogue", saw=str(e), do=f"Mend {path}") from e
    found = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise BadInput(f"read the catalogue's entry {name!r}", saw="it is no table", do=f"Mend {path}")
        needs = {"kind", "version", "licence"} | ({"url"} if entry.get("kind") in ("file", "tool", "chart") else set())
        if needs - set(entry) or entry["kind"] not in KINDS:
            raise BadInput(
                f"read the catalogue's entry [{name}]",
                saw="missing: {}".format(", ".join(sorted(needs - set(entry))) or "a kind among " + ", ".join(KINDS)),
                do=f"Mend {path}",
            )
        found[name] = Artifact(name, entry)
    return found


def with_needs(names):
    """The named artifacts and all that they need in turn (an entry's `needs`), each once."""
    known, found, todo = load(), [], list(names)
    while todo:
        name = todo.pop(0)
        if name not in found:
            found.append(name)
            todo.extend(known[name].entry.get("needs", []) if name in known else [])
    return found


class Origin:
    """Where artifacts come from: `upstream`, or a mirror's URL.

    `auto` is the sandbox's own mirror there, upstream elsewhere.
    """

    def __init__(self, text, target):
        if text == "auto":
            text = target.endpoint().mirror_url if target.kind == "sandbox" else "upstream"
        if text != "upstream" and not (text.startswith(("http://", "https://")) and urlsplit(text).netloc):
            raise BadInput(
                f"read the origin {text!r}", do="An origin is auto, upstream, or a mirror's http:// address."
            )
        self.text = text.rstrip("/")
        self._index = None

    @property
    def shown(self):
        return "upstream" if self.text == "upstream" else "mirror"

    def resolve(self, name, host):
        """The artifact with its URL, checksum and fidelity, asked of this origin from the host.

        RunbookError when it has none.
        """
        try:
            artifact = load()[name]
        except KeyError:
            raise RunbookError(f"find the artifact {name!r}", do="Name it in setup/catalogue.toml.") from None
        artifact.origin, artifact.fidelity, artifact.program = self.shown, "original", artifact.name
        if artifact.kind in ("apt", "pip"):
            artifact.origin = "the host's apt sources" if artifact.kind == "apt" else "the host's pip"
        elif self.text != "upstream":
            self._from_mirror(artifact, host)
        elif artifact.kind != "tool" and not artifact.sha256 and artifact.sha256_url:
            said = host.run(
                FETCH + "fetch " + shlex.quote(artifact.sha256_url),
                sudo=False,
                timeout=60,
                quiet=True,
                what="ask for the checksum of " + name,
            ).out.split()
            artifact.sha256 = said[0] if said else ""
        return artifact

    def _from_mirror(self, artifact, host):
        if self._index is None:
            said = host.run(
                FETCH + "fetch " + shlex.quote(self.text + "/index.json"),
                sudo=False,
                timeout=60,
                check=False,
                quiet=True,
            )
            try:
                self._index = json.loads(said.out)["artifacts"]
            except (ValueError, KeyError):
                saw = said.err.strip() or said.out[:200]
                do = f"Is the mirror up? {self.text}/index.json must answer from the host; "
                do += "in the sandbox: ./runbook sandbox up"
                raise RunbookError("read the mirror's index", host.name, saw, do) from None
        entry = self._index.get(artifact.name)
        if entry is None:
            raise RunbookError(
                f"get {artifact.name} from the mirror",
                host.name,
                "its index does not list it",
                "Put it into the bundle folder, or take origin=upstream.",
            )
        artifact.url = f"{self.text}/{artifact.path}"
        artifact._mirror, artifact._sums = self.text, entry.get("sums", {})
        artifact.sha256 = entry.get("sha256", "")
        artifact.fidelity = entry.get("fidelity", "original")
        artifact.program = entry.get("program", artifact.name)
        artifact.differs = entry.get("differs", [])
