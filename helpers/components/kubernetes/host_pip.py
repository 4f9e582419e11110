"""The host's settings for pip, as a pod needs them: it has its own, and must reach the same packages."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from helpers.core.shell import script

#: what the host trusts, also a certificate of a company's own; there where HostPip.certificates is true
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_ASK = Path(__file__).with_name("scripts") / "host_pip.sh"


class HostPip(NamedTuple):
    """settings: pip.conf's text, in which a password may stand; proxies: {variable: value}."""

    settings: str
    proxies: dict
    certificates: bool


def host_pip(host):
    """The host's HostPip."""
    said = host.run(script(_ASK, CERTIFICATES), raw=True, what="read the host's settings for pip").out
    settings, proxies, certificates = (part.strip() for part in said.split("@@@"))
    return HostPip(settings, dict(line.split("=", 1) for line in proxies.splitlines()), certificates == "yes")
