"""Targets: where commands run, as a person writes it: ssh://user@host[:port], local, sandbox; incluster in a pod."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import home

FORMS = "a target is ssh://user@host[:port], local, sandbox or sandbox:NAME"


class Endpoint(NamedTuple):
    """Where a sandbox answers, running or not: SSH's user, address, port and two files, and its mirror's URL.

    authority: the file of the authority that a rehearsal of upstream is signed by; empty when it is none.
    """

    user: str
    address: str
    port: int
    key: str
    known_hosts: str
    mirror_url: str
    authority: str = ""


class Target:
    """One parsed target. `.kind` is ssh, local, sandbox or incluster; `.slug` names its files on this machine."""

    def __init__(  # noqa: PLR0913 - its fields
        self,
        text: str,
        kind: str,
        *,
        user: str | None = None,
        address: str | None = None,
        port: int = 22,
        name: str | None = None,
    ):
        self.text, self.kind, self.user, self.address, self.port, self.name = text, kind, user, address, port, name

    def __repr__(self) -> str:
        return f"Target({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @property
    def slug(self) -> str:
        # Two hosts never share a name here: it leads to their secrets and to their lock.
        if self.kind == "ssh":
            return "ssh-{}{}{}".format(
                self.user + "@" if self.user else "", self.address, "" if self.port == 22 else f"+{self.port}"
            )
        return "sandbox-" + self.name if self.name not in (None, "sandbox") else self.kind

    def endpoint(self) -> Endpoint:
        """A sandbox's endpoint, as its last `up` wrote it; RunbookError when there is no such sandbox."""
        try:
            known = json.loads((home() / "sandbox" / str(self.name) / "endpoint.json").read_text())
        except FileNotFoundError:
            raise RunbookError(
                f"connect to the sandbox {self.name!r}",
                saw="there is none",
                do="./runbook sandbox up" + ("" if self.name == "sandbox" else f" --name {self.name}"),
            ) from None
        return Endpoint(**known)

    @classmethod
    def parse(cls, text: object) -> Target:
        """Read a target; BadInput when it has none of the forms."""
        if not isinstance(text, str) or not text:
            raise BadInput(f"read the target {text!r}", do=FORMS)
        if text == "local":
            return cls(text, "local", address="127.0.0.1")
        if text == "incluster":  # see core/in_cluster.py
            return cls(text, "incluster")
        kind, _, name = text.partition(":")
        if kind == "sandbox":
            if name and not re.fullmatch(r"[a-z][a-z0-9]{0,15}", name):
                raise BadInput(
                    f"read the target {text!r}",
                    saw="a sandbox's name is up to 16 lower case letters and digits",
                    do=FORMS,
                )
            return cls(text, "sandbox", name=name or "sandbox")
        return cls._parse_ssh(text)

    @classmethod
    def _parse_ssh(cls, text: str) -> Target:
        try:
            url = urlsplit(text)
            port = 22 if url.port is None else url.port
        except ValueError as e:
            raise BadInput(f"read the target {text!r}", saw=str(e), do=FORMS) from e
        if port == 0 or url.scheme != "ssh" or not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise BadInput(f"read the target {text!r}", do=FORMS)
        if url.password:
            raise BadInput(
                "read the target",
                saw="a password in the address",
                do=f"Use a key: ssh-copy-id {url.username}@{url.hostname}. No password is ever taken here.",
            )
        if not _is_host(url.hostname) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", url.username or "x"):
            raise BadInput(f"read the target {text!r}", saw="not a host name or user name", do=FORMS)
        return cls(text, "ssh", user=url.username, address=url.hostname, port=port)


def _is_host(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
        # Of an IPv6 address's scope ipaddress looks at nothing, and OpenSSH hands it on to a ProxyCommand's shell.
        return "%" not in name or bool(re.fullmatch(r"[A-Za-z0-9._-]+", name.partition("%")[2]))
    except ValueError:
        return bool(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name))
