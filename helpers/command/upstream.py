"""`./runbook doctor --upstream`: every address of the catalogue is asked, and those that no longer answer are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from helpers.core import catalogue
from helpers.core.catalogue import Artifact
from helpers.sandbox.rehearsal import REGISTRIES

_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
        "oci.image.index.v1",
        "oci.image.manifest.v1",
    )
)
_SYSTEMS = (("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64"))
_AT_ONCE = 8


@dataclass
class Address:
    """One address of the catalogue. why_not: empty when it answers."""

    artifact: str
    url: str
    ask: Callable[[httpx.Client], str]
    why_not: str = ""


def addresses() -> list[Address]:
    """All that an installation from upstream asks by HTTPS, in the catalogue's order."""
    return [address for artifact in catalogue.load().values() for address in _of(artifact)]


def ask_all(found: list[Address], client: httpx.Client) -> Iterator[Address]:
    """Ask each address; yields them as they were asked, with why_not filled in."""

    def asked(address: Address) -> Address:
        try:
            address.why_not = address.ask(client)
        except httpx.HTTPError as e:
            address.why_not = f"{type(e).__name__}: {e}"
        return address

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(asked, found)


def client() -> httpx.Client:
    """How they are asked: with this machine's proxies, and no longer than 20 s each."""
    return httpx.Client(timeout=20, follow_redirects=True)


def _of(artifact: Artifact) -> Iterator[Address]:
    entry = artifact.entry
    if artifact.kind == "tool":
        for url in dict.fromkeys(artifact.url_for(*s) for s in _SYSTEMS if s[1] in _archs(entry, s)):
            yield _file(artifact.name, url)
    elif artifact.kind == "apt" and artifact.url:
        yield _file(artifact.name, artifact.key_url)
    elif artifact.url:
        yield _file(artifact.name, artifact.url)
        if artifact.kind == "chart":
            yield _file(artifact.name, artifact.url.rpartition("/")[0] + "/index.yaml")
    if artifact.sha256_url:
        yield _file(artifact.name, artifact.sha256_url)
    for image in entry.get("images", [entry.get("image")]):
        if image:
            yield _image(artifact.name, image)
    if artifact.kind == "snap":
        yield _snap(artifact.name, entry["channel"])


def _archs(entry: dict[str, Any], system: tuple[str, str]) -> list[str]:
    return entry.get("archs_" + system[0], entry.get("archs", [system[1]]))


def _status(answer: httpx.Response) -> str:
    return "" if answer.is_success else f"status {answer.status_code}"


def _file(name: str, url: str) -> Address:
    return Address(name, url, lambda client: _status(client.head(url)))


def _image(name: str, image: str) -> Address:
    host, _, rest = catalogue.image_name(image).partition("/")
    path, _, tag = rest.rpartition(":")
    url = f"https://{REGISTRIES.get(host, host)}/v2/{path}/manifests/{tag}"
    return Address(name, url, lambda client: _status(_manifest(client, url, path)))


def _manifest(client: httpx.Client, url: str, path: str) -> httpx.Response:
    """A registry's answer; one that wants a token says where it is had, as Docker's registry API has it."""
    headers = {"Accept": _MANIFESTS}
    answer = client.head(url, headers=headers)
    wants = dict(re.findall(r'(\w+)="([^"]*)"', answer.headers.get("WWW-Authenticate", "")))
    if answer.status_code != 401 or "realm" not in wants:
        return answer
    given = {"service": wants.get("service", ""), "scope": f"repository:{path}:pull"}
    token = client.get(wants["realm"], params=given)
    if not token.is_success:
        return token
    found = token.json()
    bearer = found.get("token") or found.get("access_token", "")
    return client.head(url, headers={**headers, "Authorization": f"Bearer {bearer}"})


def _snap(name: str, channel: str) -> Address:
    url = f"https://api.snapcraft.io/v2/snaps/info/{name}"

    def ask(client: httpx.Client) -> str:
        answer = client.get(url, headers={"Snap-Device-Series": "16"})
        if not answer.is_success:
            return _status(answer)
        channels = [entry["channel"]["name"] for entry in answer.json()["channel-map"]]
        return "" if channel in channels else f"no channel {channel}"

    return Address(name, f"{url} ({channel})", ask)
