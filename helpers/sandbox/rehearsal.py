"""A rehearsal of upstream: the catalogue's hosts, answered by the mirror with TLS, for one sandbox host alone.

The host's /etc/hosts leads their names to the gateway, and the host trusts an authority of the sandbox's own. So a
chapter's origin=upstream runs word for word: redirects, checksum files, a registry's token, and faults when asked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from helpers.core.catalogue import image_name
from helpers.core.shell import filled

from . import machine, processes, registry

HERE = Path(__file__).resolve().parent
MARK = "# rehearsal of upstream"
#: a registry's name in an image, and the host that answers for it
REGISTRIES = {"docker.io": "registry-1.docker.io"}
#: hosts that clients are sent to, or that the stand-in of snapd asks
MORE = ("auth.docker.io", "objects.githubusercontent.com", "api.snapcraft.io")
#: how the mirror may fail at one address, as nginx writes it; other is a file of this folder
FAULTS = {
    "404": "return 404;",
    "429": "add_header Retry-After 1 always; return 429;",
    "503": "return 503;",
    "stalled": "limit_rate_after 64k; limit_rate 1;",
    "truncated": "alias /srv/rehearsal/other;",
    "changed": "alias /srv/rehearsal/other;",
}


def registries(catalogue: dict[str, dict[str, Any]]) -> set[str]:
    """The registries of the catalogue's images, by the names in the images."""
    named = [i for said in catalogue.values() for i in said.get("images", [said.get("image")]) if i]
    return {image_name(name).partition("/")[0] for name in named}


def hosts(catalogue: dict[str, dict[str, Any]]) -> list[str]:
    """Every host that an installation from upstream asks."""
    named = re.compile(r"(sha256_)?url(_|$)")
    files = {urlsplit(str(v)).netloc for said in catalogue.values() for k, v in said.items() if named.match(k)}
    return sorted(files | {REGISTRIES.get(r, r) for r in registries(catalogue)} | set(MORE))


class Rehearsal:
    """What the rehearsal of one sandbox needs, in a folder of its own; there is one when that folder is there."""

    def __init__(self, folder: Path, address: str):
        self.dir, self.name, self.address = folder / "rehearsal", folder.name, address
        self.authority = self.dir / "ca.pem"

    @property
    def chosen(self) -> bool:
        return self.dir.is_dir()

    def holds(self, wanted: list[str]) -> bool:
        """Are the certificates there, for these hosts?"""
        known = self.dir / "hosts"
        return known.is_file() and known.read_text().split() == wanted

    def make(self, builder: Path, wanted: list[str]) -> None:
        """Certificates for these hosts, made anew when there are others than before."""
        if self.holds(wanted):
            return
        self.dir.mkdir(exist_ok=True)  # the keys in it are closed; the mirror's workers read the rest
        script = f"cd /srv/rehearsal && exec sh -s {self.name} {' '.join(wanted)} <<'END'\n"
        script += (HERE / "rehearsal.sh").read_text() + "END\n"
        processes.run(
            "make the rehearsal's certificates",
            processes.entered(builder, ["sh", "-c", script], {self.dir: "/srv/rehearsal"}),
            do="is there room on the disk? df -h",
        )

    def into(self, root: Path) -> None:
        """Let the host with this root ask the mirror in place of the world, and trust it. Safe to repeat."""
        text = self.authority.read_text()
        trusted = root / "usr/local/share/ca-certificates/rehearsal.crt"
        if not trusted.is_file() or trusted.read_text() != text:
            machine.write(trusted, text)
            processes.run(
                "let the host trust the rehearsal", processes.entered(root, ["update-ca-certificates"]), do="df -h"
            )
        names = (self.dir / "hosts").read_text().split()
        file = root / "etc/hosts"
        known = file.read_text() if file.is_file() else ""
        line = f"{self.address} {' '.join(names)}  {MARK}\n"
        if line not in known:
            others = [other for other in known.splitlines(keepends=True) if MARK not in other]
            machine.write(file, "".join(others) + line)

    def nginx(self, catalogue: dict[str, dict[str, Any]]) -> str:
        """Its part of the mirror's configuration; empty when there is no rehearsal."""
        if not self.chosen:
            return ""
        names = {REGISTRIES.get(r, r): r for r in sorted(registries(catalogue))}
        fill = {
            "address": self.address,
            "registry_port": registry.PORT,
            "registry_hosts": " ".join(names),
            "registries": "\n".join(f'    "{host}" "{r}/";' for host, r in names.items()),
        }
        return filled(HERE / "rehearsal.nginx", **fill)

    def fault(self, kind: str | None, url: str, content: bytes = b"") -> None:
        """Let this address fail from the mirror's next start on. kind: one of FAULTS, None for none.

        content: what is served by "truncated" and "changed".
        """
        other = self.dir / "other"
        other.write_bytes(content)
        other.chmod(0o644)
        file = self.dir / "fault.conf"
        file.unlink(missing_ok=True)
        if kind:
            machine.write(file, f"location = {urlsplit(url).path} {{ {FAULTS[kind]} }}\n")
