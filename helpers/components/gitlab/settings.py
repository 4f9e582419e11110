"""gitlab.rb: what GitLab is told before its first start, and why it cannot be."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from helpers.components.gitlab.layout import CONFIG
from helpers.core.http import in_url
from helpers.core.shell import filled


def own_url(ch):
    """http:// and the address at which this machine reaches the host; for this machine itself, its first one."""
    if ch.host.target.kind != "local":
        return "http://" + in_url(ch.host.address)
    return "http://" + (ch.run("hostname -I", sudo=False).split() or ["127.0.0.1"])[0]


def why_bad_url(url):
    """None when an address can be GitLab's own, else why not."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as e:
        return str(e)
    if not good or parts.query or parts.fragment or parts.username:
        return f"{url!r} is no http:// or https:// address"
    if parts.path.strip("/"):
        return f"{url!r} has a path: GitLab wants a host, or a port, of its own"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", parts.hostname):
        return f"{parts.hostname!r} is not a host's name or address"
    return None


def port_of(url):
    """The port that the address leads to."""
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def ports(url, puma_port, monitoring):
    """The ports that GitLab takes on its host: of its address, its parts' on loopback, and those of what monitors it.

    The latter are Prometheus, Alertmanager's two, the exporters of the host, Redis, GitLab and PostgreSQL, and Grafana.
    """
    found = [port_of(url), puma_port, 8060, 8082, 9229, 9236]
    return found + ([9090, 9093, 9094, 9100, 9121, 9168, 9187, 3000] if monitoring else [])


def why_bad_certificate(url, certificate, key):
    """None when the address needs no certificate, or these two files on this machine are one with its key."""
    if urlsplit(url).scheme == "http":
        return "an http:// address has no certificate" if certificate or key else None
    if not certificate or not key:
        return "https needs a certificate and its key"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as e:  # SSLError is an OSError
        return f"{certificate}, {key}: {e}"
    return None


def _no_password():
    raise ValueError("the key has a password, which GitLab cannot ask for")


class Settings:
    """The files below /etc/gitlab. ch: the chapter; url: GitLab's own; certificate, key: files here, or ""."""

    def __init__(self, ch, url, certificate="", key=""):
        self.ch, self.url, self.certificate, self.key = ch, url, certificate, key

    def file(self, text):
        """Action: gitlab.rb, which root alone may read."""
        return self.ch.file(f"{CONFIG}/gitlab.rb", text, mode="0600")

    def certificates(self):
        """Actions: the certificate and its key, where GitLab looks for them; none for http."""
        if not self.certificate:
            return []
        host = urlsplit(self.url).hostname
        pairs = {f"{CONFIG}/ssl/{host}.crt": self.certificate, f"{CONFIG}/ssl/{host}.key": self.key}
        return [self.ch.file(path, Path(local).read_text(), mode="0600") for path, local in pairs.items()]


def text(url, puma_port, puma_workers, sidekiq_jobs, monitoring):
    """gitlab.rb's text. puma_port: of its Ruby server on loopback; monitoring: with the bundled Prometheus and Grafana.

    No password stands in it: root's travels in the environment of the first start. Unasked, its nginx has a status page
    on port 8060 of every address, and Alertmanager 9094 for others of its kind; an empty address it never sees.
    """
    return filled(
        Path(__file__).with_name("gitlab.rb"),
        URL=url,
        PUMA_PORT=puma_port,
        PUMA_WORKERS=puma_workers,
        SIDEKIQ_JOBS=sidekiq_jobs,
        MONITORING=str(monitoring).lower(),
    )
