"""Programs of the catalogue on this machine: fetched from a real web server, verified, unpacked, run."""

import functools
import hashlib
import io
import os
import tarfile
import zipfile

import httpx
import pytest
from serving import dripping, files, serving

from helpers.core import catalogue, tools
from helpers.core.catalogue import Artifact
from helpers.core.errors import BadInput, CommandFailed, RunbookError
from helpers.core.secrets import Masker

PROGRAM = b'#!/bin/sh\necho "$@"; cat; [ "$1" != fail ] || { echo sorry >&2; exit 3; }\n'


def tar(member, content=PROGRAM):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        t.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def web(tmp_path, own_home):
    """(address, folder) of a web server."""
    folder = tmp_path / "web"
    folder.mkdir()
    with serving(files(folder)) as server:
        yield server.url, folder


def tool(address, **entry):
    entry = dict({"kind": "tool", "version": "1.2", "url": address + "/thing-{os}-{arch}"}, **entry)
    return tools.Tool(Artifact("thing", entry))


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr(tools, "platform_of_this_machine", lambda: ("linux", "amd64"))


def test_a_plain_program_is_fetched_once_and_runs(web, own_home):
    address, folder = web
    (folder / "thing-linux-amd64").write_bytes(PROGRAM)
    t = tool(address, sha256_linux_amd64=hashlib.sha256(PROGRAM).hexdigest())
    assert "not on this machine" in t.missing()
    t.fetch()
    assert t.missing() is None and t.path == own_home / "bin/thing-1.2/thing" and os.access(str(t.path), os.X_OK)
    assert t.run("a", "b", stdin="c") == "a b\nc"
    action = t.installed()
    assert action.probe() is None and action.shown == [
        "fetch thing-linux-amd64",
        "sha256sum -c",
        "install it as ~/.mlops-runbook/bin/thing-1.2/thing",
    ]
    assert sorted(p.name for p in t.folder.iterdir()) == ["sha256", "thing"]


@pytest.mark.parametrize("name", ["thing-linux-amd64.tar.gz", "thing-linux-amd64.zip"])
def test_a_member_of_an_archive(web, name):
    address, folder = web
    if name.endswith("zip"):
        with zipfile.ZipFile(str(folder / name), "w") as z:
            z.writestr("linux-amd64/thing", PROGRAM)
    else:
        (folder / name).write_bytes(tar("linux-amd64/thing"))
    t = tool(address, url=address + "/" + name, member="{os}-{arch}/thing")
    t.fetch()
    assert t.path.read_bytes() == PROGRAM and t.run("x") == "x\n"
    other = tool(address, url=address + "/" + name, member="elsewhere/thing")
    with pytest.raises(RunbookError) as e:
        other.fetch()
    assert "no elsewhere/thing in it" in e.value.saw


def test_a_system_with_a_file_of_its_own_name(web, monkeypatch):
    monkeypatch.setattr(tools, "platform_of_this_machine", lambda: ("darwin", "arm64"))
    address, folder = web
    (folder / "thing.mac.tar.gz").write_bytes(tar("darwin_amd64/thing"))
    t = tool(address, url_darwin=address + "/thing.mac.tar.gz", member="{os}_{arch}/thing", archs=["amd64"])
    t.fetch()
    assert t.missing() is None


@pytest.mark.parametrize(
    "machine, file, sha256",
    [
        (("linux", "amd64"), "linux-amd64", "a8ddb4e3"),
        (("linux", "arm64"), "linux-arm64", "9db01522"),
        (("darwin", "amd64"), "darwin-amd64", "072c40c7"),
        (("darwin", "arm64"), "darwin-amd64", "072c40c7"),
    ],
)
def test_helm_is_the_one_that_there_is_for_a_machine_and_its_checksum_is_pinned(monkeypatch, machine, file, sha256):
    monkeypatch.setattr(tools, "platform_of_this_machine", lambda: machine)
    helm = tools.Tool(catalogue.load()["helm"])
    assert helm.url.endswith(f"/helm-v3.5.4-{file}.tar.gz") and helm.sha256.startswith(sha256)


def test_another_file_than_the_catalogue_says_is_not_installed(web):
    address, folder = web
    (folder / "thing-linux-amd64").write_bytes(PROGRAM)
    t = tool(address, sha256_linux_amd64="0" * 64)
    with pytest.raises(RunbookError) as e:
        t.fetch()
    assert "not 0000" in e.value.saw and not t.path.exists()


def test_what_was_changed_here_or_at_the_origin_is_seen(web):
    address, folder = web
    (folder / "thing-linux-amd64").write_bytes(PROGRAM)
    t = tool(address)
    t.fetch()
    assert t.missing() is None
    assert "another checksum" in tool(address, sha256_linux_amd64="1" * 64).missing()
    t.path.write_bytes(PROGRAM + b"#")
    assert "not the file that was fetched" in t.missing()
    t.fetch()
    t.path.chmod(0o644)
    assert "not the file that was fetched" in t.missing()
    t.forget()
    assert "not on this machine" in t.missing()


def test_what_cannot_be_fetched_is_said_to_people(web, monkeypatch):
    address, _ = web
    with pytest.raises(BadInput) as e:
        tool(address).fetch()
    assert "(404)" in e.value.saw and "[thing]" in e.value.do
    monkeypatch.setattr(tools, "_PAUSES", (0.0, 0.0))
    with pytest.raises(RunbookError) as e:
        tool("http://127.0.0.1:9").fetch()
    assert "ConnectError" in e.value.saw and "proxy" in e.value.do
    monkeypatch.setattr(tools, "platform_of_this_machine", lambda: ("linux", "riscv64"))
    with pytest.raises(BadInput) as e:
        tool(address, archs=["amd64"]).fetch()
    assert "linux riscv64" in e.value.what and "amd64" in e.value.do


@pytest.mark.parametrize("trouble", [(429, "slowly", {"Retry-After": "0"}), (503, "later"), None, "cut"])
def test_what_may_pass_is_asked_for_again(own_home, monkeypatch, trouble):
    monkeypatch.setattr(tools, "_PAUSES", (0.0, 0.0))
    answers = [trouble, trouble, (200, PROGRAM)]

    def answer(request):
        said = answers.pop(0)
        if said == "cut":  # half of what was announced
            request.connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
            return None
        return said

    with serving(answer) as web:
        t = tool(web.url)
        t.fetch()
        assert t.missing() is None and len(web.asked) == 3


def test_a_file_that_comes_byte_by_byte_is_given_up(own_home, monkeypatch):
    """Each byte in time, and the whole in a year: no time-out of a connection ends that."""
    monkeypatch.setattr(tools, "_PAUSES", (0.0,))
    monkeypatch.setattr(tools, "_SLOW_FOR", 0.5)
    with serving(dripping) as web, pytest.raises(RunbookError) as e:
        tool(web.url).fetch()
    assert "bytes in the last" in e.value.saw and "of 100000" in e.value.saw and len(web.asked) == 2


@pytest.mark.parametrize("way, refused", [(["http://b.example/x"], True), (["https://b.example/x"], False)])
def test_https_is_left_nowhere_on_the_way(own_home, monkeypatch, way, refused):
    """Whoever sits at a plain address on the way chooses where it ends."""
    monkeypatch.setattr(tools, "_PAUSES", ())
    to = ["https://a.example/thing", *way, "https://c.example/x"]

    def answer(request):
        after = to[1 + next(n for n, url in enumerate(to) if str(request.url).startswith(url)) :]
        return httpx.Response(302, headers={"Location": after[0]}) if after else httpx.Response(200, content=PROGRAM)

    client = functools.partial(httpx.Client, transport=httpx.MockTransport(answer), follow_redirects=True)
    monkeypatch.setattr(tools.Tool, "_client", lambda _: client())
    t = tool("https://a.example")
    if refused:
        with pytest.raises(RunbookError) as e:
            t.fetch()
        assert "http://b.example/x, which is no HTTPS" in e.value.saw and not t.path.exists()
    else:
        t.fetch()
        assert t.path.exists()


def test_what_does_not_pass_ends_with_the_last_word_and_what_is_final_is_asked_once(own_home, monkeypatch):
    monkeypatch.setattr(tools, "_PAUSES", (0.0, 0.0))
    for status, times in ((429, 3), (403, 1)):
        with serving(lambda _, status=status: (status, "no")) as web:
            with pytest.raises(RunbookError) as e:
                tool(web.url).fetch()
            assert e.value.saw == f"status {status}" and len(web.asked) == times


def test_a_mirror_serves_it_under_its_upstream_name_with_its_checksum():
    a = Artifact("thing", {"kind": "tool", "version": "1", "url": "https://get.example/thing-{os}-{arch}"})
    assert (
        a.url_for("linux", "arm64") == "https://get.example/thing-linux-arm64" and a.sha256_for("linux", "arm64") == ""
    )
    a._mirror, a._sums = "http://mirror:1", {"get.example/thing-linux-amd64": "f" * 64}
    assert a.url_for("linux", "amd64") == "http://mirror:1/get.example/thing-linux-amd64"
    assert (a.sha256_for("linux", "amd64"), a.sha256_for("darwin", "amd64")) == ("f" * 64, "")


def test_a_mirror_without_a_checksum_is_refused_before_anything_is_fetched(web):
    address, folder = web
    (folder / "get.example").mkdir()
    (folder / "get.example" / "thing-linux-amd64").write_bytes(PROGRAM)
    a = Artifact("thing", {"kind": "tool", "version": "1", "url": "https://get.example/thing-{os}-{arch}"})
    a.origin = "mirror"
    a.take(address, {})
    t = tools.Tool(a)
    with pytest.raises(RunbookError) as e:
        t.fetch()
    assert "names no checksum" in e.value.saw and "sums" in e.value.do and not t.path.exists()
    a.take(address, {"sums": {"get.example/thing-linux-amd64": hashlib.sha256(PROGRAM).hexdigest()}})
    t = tools.Tool(a)
    t.fetch()
    assert t.run("a") == "a\n"


def test_a_failing_run_tells_its_last_words_and_no_secret(web):
    address, folder = web
    (folder / "thing-linux-amd64").write_bytes(PROGRAM)
    t = tool(address)
    with pytest.raises(RunbookError) as e:
        t.run("x")
    assert "install mode" in e.value.do
    t.fetch()
    t.masker = Masker(["hunter22secret"])
    with pytest.raises(CommandFailed) as e:
        t.run("fail", stdin="hunter22secret")
    assert e.value.code == 3 and "sorry" in e.value.saw and "hunter22" not in e.value.out
    with pytest.raises(ValueError):
        t.run("--password=hunter22secret")
