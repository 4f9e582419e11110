"""Images: their tags, the pod that builds one, the registry that keeps it: real HTTP on loopback, no cluster here."""

import importlib.util
import json
import tarfile

import pytest
import stand_in

from helpers.components.kubernetes import image_build, images
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.probes import gone
from helpers.components.kubernetes.registry import PLACE
from helpers.core.errors import RunbookError
from tests.serving import serving

ADD_ON_GONE = gone("namespace container-registry")
BASE = ("x", "python:3", "a==1\n", {"M.py": "x"}, ["run"])


def test_the_tag_changes_with_whatever_goes_in():
    tags = {
        images.Image(*given).tag
        for given in (
            BASE,
            (*BASE[:1], "python:4", *BASE[2:]),
            (*BASE[:2], "a==2\n", *BASE[3:]),
            (*BASE[:3], {"M.py": "y"}, ["run"]),
            (*BASE[:4], ["other"]),
        )
    }
    assert len(tags) == 5 and all(len(tag) == 12 for tag in tags)
    assert images.Images.name(*BASE) == f"{PLACE}/x:{images.Image(*BASE).tag}"


def test_the_builder_has_the_hosts_settings_for_pip_in_a_secret(monkeypatch, own_home):
    said = "[global]\nindex-url = https://me:word@index/\n@@@\nhttps_proxy=http://me:proxyword@proxy:3128\n@@@\nyes\n"
    kube = Kube(stand_in.chapter(monkeypatch, "seldon", lambda script, stdin: said))
    image = images.Image("x", "python:3", "a==1\n", {"M.py": "x"}, ["run", "M"])
    secret, pod = image_build.Build(kube, "models", image).manifest()["items"]
    assert secret["kind"] == "Secret" and set(secret["stringData"]) == {
        "M.py",
        "requirements.txt",
        "build_image",
        "pip.conf",
        "https_proxy",
    }
    assert "me:word" in secret["stringData"]["pip.conf"] and "word" not in json.dumps(pod)
    (container,) = pod["spec"]["containers"]
    assert container["command"][:2] == ["python3", "/build/build_image"]
    assert container["command"][-3:] == [image.tag, "run", "M"] and container["image"] == "python:3"
    kept = secret["stringData"]
    env = {e["name"]: e.get("value") or kept[e["valueFrom"]["secretKeyRef"]["key"]] for e in container["env"]}
    assert env["https_proxy"] == "http://me:proxyword@proxy:3128" and env["PIP_CERT"] == "/run/ca.crt"
    assert pod["spec"]["volumes"][1]["hostPath"]["type"] == "File"


def _blob(blobs):
    def answer(method, path, body):
        if method == "HEAD":
            return (200 if path.split("/")[4] in blobs else 404), b""
        if method == "POST":
            return 202, b"", {"Location": "/v2/x/blobs/uploads/1?state=s"}
        blobs[path.partition("digest=")[2]] = body
        return 201, b""

    return answer


def _tags(manifests):
    return lambda *_: (200, {"tags": sorted(manifests) or None})


def _manifest(manifests):
    def answer(method, path, body):
        if method == "DELETE":
            manifests.clear()
            return 202, b""
        there = manifests.get(path.split("/")[4])
        return (404, b"{}") if there is None else (200, there, {"Docker-Content-Digest": "sha256:1"})

    return answer


@pytest.fixture
def registry():
    """A registry in memory, as far as it is used: blobs, uploads, manifests, tags. (port, blobs, manifests, asked)."""
    blobs, manifests, asked = {}, {}, []
    answers = {"blobs": _blob(blobs), "tags": _tags(manifests), "manifests": _manifest(manifests)}

    def handle(request):
        method, path = request.method, request.path
        asked.append((method, path.partition("?")[0]))
        return answers[path.split("/")[3]](method, path, request.body) if path != "/v2/" else (200, b"{}")

    with serving(handle) as server:
        yield server.port, blobs, manifests, asked


def test_an_image_is_there_when_the_registry_has_its_tag_and_gone_when_it_has_none(registry, monkeypatch, own_home):
    port, _, manifests, _ = registry
    asked = []

    def answer(script, stdin):
        asked.append(script)
        return (1, "still there", "") if script == ADD_ON_GONE else ""

    ch = stand_in.chapter(monkeypatch, "seldon", answer)
    monkeypatch.setattr(images, "PORT", port)
    action = images.Images(ch, "models").built(*BASE)
    tag = images.Image(*BASE).tag
    assert action.probe() == "the registry has no image x:" + tag and action.absent() is None
    manifests[tag] = b"{}"
    assert action.probe() is None and action.absent() == "the registry has images of x"
    action.undo()
    assert action.absent() is None and action.probe()
    assert any("microk8s ctr images rm" in script for script in asked)


def test_a_registry_that_fails_proves_no_image_away(monkeypatch, own_home):
    """A volume that is broken: it answers 500, and the image was gone."""
    with serving(lambda request: (200, b"{}") if request.path == "/v2/" else (500, b"oops")) as server:
        monkeypatch.setattr(images, "PORT", server.port)
        ch = stand_in.chapter(monkeypatch, "seldon", lambda script, stdin: (1, "still there", ""))
        with pytest.raises(RunbookError, match="see which images of x the registry has") as e:
            images.Images(ch, "models").built(*BASE).absent()
        assert e.value.saw == "500 oops"


def test_a_registry_that_is_away_is_told(monkeypatch, own_home):
    monkeypatch.setattr(images, "PORT", 1)
    codes = [1, 0]
    ch = stand_in.chapter(monkeypatch, "seldon", lambda script, stdin: (codes.pop(0), "", ""))
    away = images.Images(ch, "models")
    assert away.why_no_registry() == "no answer from the registry at localhost:32000: ConnectError"
    assert "no answer" in away.built(*BASE).absent(), "its volume may have the image"
    assert away.built(*BASE).absent() is None, "the add-on is gone, and its images with it"


# -- what runs in the pod ---------------------------------------------------------------------------


@pytest.fixture
def builder():
    spec = importlib.util.spec_from_file_location("build_image", str(image_build.BUILDER))
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
