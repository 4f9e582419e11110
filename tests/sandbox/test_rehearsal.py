"""A rehearsal of upstream: a host finds the catalogue's hosts at their names, and chapters fetch from them."""

import os
import re
import subprocess
import sys

import pytest

from helpers.core import catalogue, tools
from helpers.core.actions import artifact_file
from helpers.core.catalogue import Origin
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.target import Target
from helpers.core.tools import Tool
from helpers.sandbox import Sandbox, needs, rootfs

NAME = ("up" + os.environ.get("RUNBOOK_TEST_SANDBOX", "test"))[:16]
TARGET = "sandbox:" + NAME
MINIO = catalogue.load()["minio"]

pytestmark = pytest.mark.skipif(bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox")


@pytest.fixture(scope="module")
def box():
    box = Sandbox(NAME)
    box.down(wipe=True)
    box.up(artifacts=["minio", "helm", "busybox"], upstream=True)
    yield box
    box.down(wipe=True)


@pytest.fixture
def host(box):
    host = Host(TARGET)
    yield host
    host.close()


@pytest.fixture
def failing(box):
    """Lets one address fail, until the test is over."""

    def fail(kind, url, content=b""):
        box._rehearsal.fault(kind, url, content)
        box._mirror.stop()
        box._mirror.start(rootfs.builder(str))

    yield fail
    fail(None, MINIO.url)


def up(*words, code=0):
    argv = [sys.executable, "-m", "helpers", "up", "--target", TARGET, "--no-book", "-p", "network.alias=rehearsal"]
    done = subprocess.run([*argv, *words], cwd=REPO, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_names_lead_to_the_mirror_with_tls_as_the_world_answers(host, box):
    plain = host.run("curl -sI http://dl.min.io/x").out
    assert "301" in plain.splitlines()[0] and "https://dl.min.io/x" in plain
    said = host.run(f"curl -fsS {MINIO.sha256_url}").out
    assert re.fullmatch(r"[0-9a-f]{64} +minio\.RELEASE\.\S+\n", said)
    sent = host.run("curl -sI https://github.com/istio/istio/releases/download/1/x.tgz").out
    assert "302" in sent.splitlines()[0] and "https://objects.githubusercontent.com/istio" in sent
    store = box._mirror.files / "current/api.snapcraft.io/v2/snaps/info"
    store.mkdir(parents=True)
    (store / "proof").write_text("a snap")
    asked = host.run("curl -fsS https://api.snapcraft.io/v2/snaps/info/proof").out
    assert asked == "a snap", "its addresses begin as a registry's do"
    manifest = "https://registry-1.docker.io/v2/library/busybox/manifests/1.35.0"
    refused = host.run(f"curl -sI {manifest}").out
    assert "401" in refused.splitlines()[0] and 'realm="https://auth.docker.io/token"' in refused
    assert "rehearsal" in host.run("curl -fsS https://auth.docker.io/token").out
    accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"
    taken = host.run(f"curl -fsS -H 'Authorization: Bearer rehearsal' -H '{accept}' {manifest}").out
    assert '"schemaVersion"' in taken


def test_only_this_host_trusts_it(box):
    argv = ["curl", "-sS", "--resolve", f"dl.min.io:443:{box.gateway}", MINIO.sha256_url]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "no_proxy": "*"})
    assert done.returncode == 60, done.stderr


def test_a_chapter_installs_from_upstream_word_for_word(host, box):
    said = up("--only", "minio")
    assert re.search(r"05 minio +ok", said) and "equivalent" in said
    record = host.run("sha256sum /usr/local/bin/minio").out.split()[0]
    assert record == host.run(f"curl -fsS {MINIO.sha256_url}").out.split()[0]


def test_a_tool_of_this_machine_comes_the_same_way(host, box, own_home_bin):
    helm = Origin("auto", Target.parse(TARGET)).resolve("helm", host)
    assert helm.origin == "upstream" and helm.url.startswith("https://get.helm.sh/")
    with host.socks() as helm.socks:
        tool = Tool(helm)
        tool.fetch()
        assert tool.missing() is None and "v3.5.4" in tool.run("version", "--short")


@pytest.fixture
def own_home_bin(monkeypatch, tmp_path):
    """Programs of this test's own, so that something is fetched."""
    monkeypatch.setattr(tools, "home", lambda *parts: tmp_path)
    monkeypatch.setattr(tools, "_PAUSES", (0.0, 0.0))


@pytest.mark.parametrize(
    "kind, words",
    [
        ("404", "404"),
        ("503", "503"),
        ("429", "429"),
        ("stalled", "too slow"),
        ("truncated", "FAILED"),
        ("changed", "FAILED"),
    ],
)
def test_a_file_that_fails_is_told_and_the_old_one_stays(host, box, failing, kind, words):
    minio = Origin("upstream", Target.parse(TARGET)).resolve("minio", host)
    failing(kind, MINIO.url, b"#!/bin/sh\n")
    host.run("echo old > /root/program")
    fetch = artifact_file(minio, "/root/program").apply
    soon = fetch.replace("--speed-time 30", "--speed-time 1").replace("--retry 3", "--retry 0")
    done = host.run(soon if kind == "stalled" else fetch, check=False)
    assert done.code and words in done.err + done.out
    assert host.run("cat /root/program; ls /root/program.part* 2>/dev/null || true").out == "old\n"


def test_a_chapter_says_what_failed_and_leaves_the_service_alone(host, box, failing):
    before = host.run("sha256sum /usr/local/bin/minio; systemctl is-active minio").out
    failing("404", MINIO.url)
    host.run("cd /usr/local/bin; mv minio /root/kept; cp -p /root/kept minio; echo >> minio")
    try:
        said = up("--only", "minio", code=1)
    finally:
        host.run("mv /root/kept /usr/local/bin/minio")
    assert "404" in said and "Traceback" not in said
    assert host.run("sha256sum /usr/local/bin/minio; systemctl is-active minio").out == before


def test_a_busy_server_is_asked_again(host, box, failing, own_home_bin):
    helm = Origin("auto", Target.parse(TARGET)).resolve("helm", host)
    failing("429", helm.url_for("linux", "amd64"))
    told = []

    def calm(said):
        """It is busy no more, as soon as somebody was told that it is."""
        told.append(said)
        if "429" in said:
            failing(None, MINIO.url)

    with host.socks() as helm.socks:
        tool = Tool(helm, tell=calm)
        tool.fetch()
        assert tool.missing() is None and "status 429" in told[0]


def test_a_tool_that_was_changed_is_refused(host, box, failing, own_home_bin):
    helm = Origin("auto", Target.parse(TARGET)).resolve("helm", host)
    failing("changed", helm.url_for("linux", "amd64"), b"another program")
    with host.socks() as helm.socks, pytest.raises(RunbookError) as e:
        Tool(helm).fetch()
    assert "SHA-256" in e.value.saw
    failing("404", helm.url_for("linux", "amd64"))
    with host.socks() as helm.socks, pytest.raises(BadInput) as e:
        Tool(helm).fetch()
    assert "404" in e.value.saw


def test_a_tool_that_stalls_is_given_up(host, box, failing, own_home_bin, monkeypatch):
    monkeypatch.setattr(tools, "_SLOW_FOR", 2)
    helm = Origin("auto", Target.parse(TARGET)).resolve("helm", host)
    failing("stalled", helm.url_for("linux", "amd64"))
    with host.socks() as helm.socks, pytest.raises(RunbookError) as e:
        Tool(helm).fetch()
    assert "bytes in the last 2 s" in e.value.saw


def test_the_kind_of_a_host_that_is_there_stays(box):
    with pytest.raises(RunbookError) as e:
        box.up(artifacts=["minio", "helm", "busybox"], upstream=False)
    assert "--wipe" in e.value.do
    box.up(artifacts=["minio", "helm", "busybox"])
    assert Target.parse(TARGET).endpoint().authority
