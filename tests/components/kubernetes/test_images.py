"""Images: what their tag is made of, the pod that builds them, and the registry that keeps them."""

import importlib.util
import json
import tarfile

import pytest
from serving import serving
from stand_in import chapter

from helpers.components.kubernetes import images

BASE = ("python:3", "a==1\n", {"M.py": "x"}, ["run"])


def test_the_tag_changes_with_whatever_goes_in():
    changed = ("python:4", "a==2\n", {"M.py": "y"}, ["other"])
    given = [BASE] + [BASE[:n] + (changed[n],) + BASE[n + 1 :] for n in range(4)]
    tags = {images.Images.tag(*one) for one in given}
    assert len(tags) == 5 and images.Images.tag(*BASE) in tags and all(len(tag) == 12 for tag in tags)


def test_the_builder_has_the_hosts_settings_for_pip_in_a_secret(monkeypatch):
    said = "[global]\nindex-url = https://me:word@index/\n@@@\nhttps_proxy=http://proxy:3128\n@@@\nyes\n"
    ch = chapter(monkeypatch, "seldon", lambda script, stdin: said)
    secret, pod = images.Images(ch, "models")._manifest("build-x", "x", "t", "python:3", {"M.py": "x"}, ["run", "M"])[
        "items"
    ]
    assert secret["kind"] == "Secret" and "me:word" in secret["stringData"]["pip.conf"]
    assert "me:word" not in json.dumps(pod)
    container = pod["spec"]["containers"][0]
    assert container["command"][:2] == ["python3", "/build/build_image"] and container["command"][-2:] == ["run", "M"]
    assert container["image"] == "python:3"
    env = {e["name"]: e["value"] for e in container["env"]}
    assert env["https_proxy"] == "http://proxy:3128" and env["PIP_CERT"] == "/run/ca.crt"
    assert pod["spec"]["volumes"][1]["hostPath"]["type"] == "File"


@pytest.fixture
def registry():
    """A registry in memory, with the part of its API that is used: blobs, uploads, manifests, tags.

    Yields (port, blobs, manifests, what was asked).
    """
    blobs, manifests, asked = {}, {}, []

    def handle(request):
        method, path, _, body = request
        asked.append((method, path.partition("?")[0]))
        parts = path.split("/")
        if path == "/v2/":
            return 200, {}, b"{}"
        if parts[3] == "blobs" and method == "HEAD":
            return (200 if parts[4] in blobs else 404), {}, b""
        if parts[3] == "blobs" and method == "POST":
            return 202, {"Location": "/v2/x/blobs/uploads/1?state=s"}, b""
        if parts[3] == "blobs" and method == "PUT":
            blobs[path.partition("digest=")[2]] = body
            return 201, {}, b""
        if parts[3] == "tags":
            return 200, {}, json.dumps({"tags": sorted(manifests) or None}).encode()
        if method == "PUT":
            manifests[parts[4]] = body
            return 201, {}, b""
        if method == "DELETE":
            manifests.clear()
            return 202, {}, b""
        return (
            (200, {"Docker-Content-Digest": "sha256:1"}, manifests[parts[4]])
            if parts[4] in manifests
            else (404, {}, b"{}")
        )

    with serving(handle) as port:
        yield port, blobs, manifests, asked


def test_an_image_is_there_when_the_registry_has_its_tag_and_gone_when_it_has_none(monkeypatch, registry):
    port, _, manifests, _ = registry
    monkeypatch.setattr(images, "PORT", port)
    ch = chapter(monkeypatch, "seldon", lambda script, stdin: "")
    action = images.Images(ch, "models").built("x", *BASE)
    tag = images.Images.tag(*BASE)
    assert action.probe() == "the registry has no image x:" + tag and action.absent() is None
    manifests[tag] = b"{}"
    assert action.probe() is None and action.absent() == "the registry has images of x"
    action.undo()
    assert action.absent() is None and action.probe()
    monkeypatch.setattr(images, "PORT", 1)
    assert "no answer from the registry at localhost:32000" in images.Images(ch, "models").registry_answers()


@pytest.fixture
def builder():
    spec = importlib.util.spec_from_file_location("build_image", str(images._BUILDER))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_layer_has_the_same_bytes_each_time_and_nothing_that_is_mounted(builder, tmp_path):
    root = tmp_path / "root"
    for name in ("etc/hosts", "etc/passwd", "proc/1/x", "a/b"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to("a")
    builder.EMPTY = (str(root / "proc"),)
    without = {str(root / "etc/hosts"), str(root / "proc")}
    path, plain, packed = builder.layer(str(tmp_path / "1"), str(root), without)
    assert builder.layer(str(tmp_path / "2"), str(root), without)[1:] == (plain, packed)
    with tarfile.open(path) as tar:
        names = {("/" + name)[len(str(root)) :] for name in tar.getnames()}
    assert names == {"", "/etc", "/etc/passwd", "/proc", "/a", "/a/b", "/link"}


def test_a_blob_is_pushed_once(builder, registry, tmp_path):
    port, blobs, _, asked = registry
    (tmp_path / "blob").write_bytes(b"layer")
    for _ in range(2):
        builder.push(f"http://127.0.0.1:{port}/v2/x", str(tmp_path / "blob"), "sha256:b")
    assert blobs == {"sha256:b": b"layer"} and [m for m, _ in asked] == ["HEAD", "POST", "PUT", "HEAD"]
