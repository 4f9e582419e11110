"""`./runbook doctor --upstream`: which addresses are asked, how, and what is said of those that do not answer."""

import httpx
import pytest
from click.testing import CliRunner

from helpers.command import upstream
from helpers.command.main import main

DEAD = "gcr.io/v2/google_containers/spartakus-amd64"


def world(request):
    """Hosts as they answer: a registry that wants a token, the store, files; one registry that is dead."""
    url = str(request.url)
    if DEAD in url:
        return httpx.Response(404)
    if request.url.host == "auth.docker.io":
        assert request.url.params["scope"].endswith(":pull")
        return httpx.Response(200, json={"token": "of-" + request.url.params["scope"].split(":")[1]})
    if request.url.host == "registry-1.docker.io":
        path = request.url.path.removeprefix("/v2/").partition("/manifests/")[0]
        if request.headers.get("Authorization") == "Bearer of-" + path:
            return httpx.Response(200)
        realm = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
        return httpx.Response(401, headers={"WWW-Authenticate": realm})
    if request.url.host == "api.snapcraft.io":
        assert request.headers["Snap-Device-Series"] == "16"
        channels = [{"channel": {"name": name}} for name in ("1.20/stable", "stable")]
        return httpx.Response(200, json={"channel-map": channels})
    assert request.method == "HEAD", "nothing is fetched"
    if request.url.host == "get.helm.sh":
        raise httpx.ConnectTimeout("timed out")
    return httpx.Response(200)


@pytest.fixture
def asked(monkeypatch):
    seen = []

    def handler(request):
        seen.append(str(request.url))
        return world(request)

    monkeypatch.setattr(upstream, "client", lambda: httpx.Client(transport=httpx.MockTransport(handler)))
    return seen


def test_every_address_is_asked_and_those_that_are_dead_are_named(asked):
    done = CliRunner().invoke(main, ["doctor", "--upstream"])
    lines = done.output.splitlines()
    silent = [line for line in lines if " no: " in line]
    assert done.exit_code == 1
    assert {line.split()[0] for line in silent} == {"seldon-usage", "helm"}
    assert any("status 404" in line for line in silent) and any("ConnectTimeout: timed out" in line for line in silent)
    assert any(line.startswith("coredns") and " ok " in line for line in lines), "the token's way was gone"
    assert lines[-1] == f"{len(silent)} of {len(lines) - 1} addresses do not answer"
    assert any(url.endswith("/index.yaml") for url in asked) and any(url.endswith(".sha256sum") for url in asked)


def test_a_channel_that_the_store_no_longer_has_is_named(asked, monkeypatch):
    [snap] = [a for a in upstream.addresses() if "snapcraft" in a.url and a.artifact == "microk8s"]
    gone = httpx.MockTransport(lambda _: httpx.Response(200, json={"channel-map": []}))
    assert next(upstream.ask_all([snap], httpx.Client(transport=gone))).why_not == "no channel 1.20/stable"


def test_there_is_no_helm_for_apple_silicon_to_ask_for():
    urls = [a.url for a in upstream.addresses() if a.artifact == "helm"]
    assert sorted(u.split("v3.5.4-")[1] for u in urls) == [
        "darwin-amd64.tar.gz", "linux-amd64.tar.gz", "linux-arm64.tar.gz",
    ]  # fmt: skip
