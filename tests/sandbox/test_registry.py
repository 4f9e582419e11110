"""The registry of a sandbox: names of its own over blobs that all share, pushed once for each content."""

import hashlib
import io
import json
import tarfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.core.paths import home
from helpers.core.ssh import free_port
from helpers.sandbox import builds, mirror, registry

ACCEPT = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}


class Running(NamedTuple):
    """A registry that runs, at its port, with the programs of the builder."""

    it: registry.Registry
    port: int
    builder: Path


@pytest.fixture
def sandbox(tmp_path, monkeypatch, builder):
    """A function: the running registry of a sandbox of this name. Caches of the test's own, the machine's builder."""
    port = registry.PORT
    running: list[Running] = []
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))

    def start(name):
        monkeypatch.setattr(registry, "PORT", free_port())
        folder = home("sandbox") / name
        for part in ("pids", "logs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        running.append(Running(registry.Registry(folder, "127.0.0.1"), registry.PORT, builder))
        running[-1].it.start(builder)
        return running[-1]

    yield start
    for one in running:
        one.it.stop()
    monkeypatch.setattr(registry, "PORT", port)


def serve(one, folder, monkeypatch):
    """Push a folder's images; returns what was told."""
    said = []
    monkeypatch.setattr(registry, "PORT", one.port)
    one.it.push(one.builder, [folder], said.append)
    return said


def layer(one, name):
    """The digest of an image's only layer, as this registry serves it."""
    repository, _, tag = name.rpartition(":")
    request = urllib.request.Request(f"http://127.0.0.1:{one.port}/v2/{repository}/manifests/{tag}", headers=ACCEPT)
    manifest = json.load(urllib.request.urlopen(request))
    blob = f"http://127.0.0.1:{one.port}/v2/{repository}/blobs/" + manifest["layers"][0]["digest"]
    assert urllib.request.urlopen(blob).status == 200, "a registry serves a blob in a repository that has it"
    return manifest["layers"][0]["digest"]


def image(folder, archive, name, content):
    """Put an image of one file into a folder as recipes and bundles have it."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        _member(tar, "hello", content)
    data = plain.getvalue()
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}
    with tarfile.open(folder / "images" / archive, "w") as tar:
        _member(tar, "layer.tar", data)
        _member(tar, "config.json", json.dumps(config).encode())
        _member(tar, "manifest.json", json.dumps([{"Config": "config.json", "Layers": ["layer.tar"]}]).encode())
    with open(folder / "images.txt", "a") as listing:
        listing.write(f"{archive} {name}\n")


def _member(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def test_sandboxes_do_not_see_each_others_images(sandbox, tmp_path, monkeypatch):
    real, double = tmp_path / "bundle", tmp_path / "out"
    image(real, "master.tar", "determinedai/determined-master:0.15.3", b"the real one")
    image(double, "master.tar", "determinedai/determined-master:0.15.3", b"a double")
    one, other = sandbox("one"), sandbox("other")
    name = "docker.io/determinedai/determined-master:0.15.3"
    assert serve(one, real, monkeypatch) and serve(other, double, monkeypatch)
    first, second = layer(one, name), layer(other, name)
    assert first != second, "the last one to push does not win"
    assert not serve(one, real, monkeypatch) and layer(one, name) == first


def test_what_one_sandbox_pushed_another_one_serves_without_a_push(sandbox, tmp_path, monkeypatch):
    image(tmp_path / "out", "probe.tar", "probe:1", b"hello")
    one = sandbox("one")
    assert serve(one, tmp_path / "out", monkeypatch) == ["images: 1 of 1, docker.io/library/probe:1"]
    other = sandbox("other")
    assert serve(other, tmp_path / "out", monkeypatch) == []
    assert layer(other, "docker.io/library/probe:1") == layer(one, "docker.io/library/probe:1")
    assert other.it.store.served("docker.io/library/probe:1") == one.it.store.served("docker.io/library/probe:1")
    other.it.store.remove()
    assert other.it.store.served("docker.io/library/probe:1") == [] and layer(one, "docker.io/library/probe:1")


def test_an_archive_that_is_replaced_is_served_and_a_line_more_pushes_one_image(sandbox, tmp_path, monkeypatch):
    bundle = tmp_path / "bundle"
    image(bundle, "a.tar", "example.org/a:1", b"old")
    one = sandbox("one")
    serve(one, bundle, monkeypatch)
    before, listing = layer(one, "example.org/a:1"), (bundle / "images.txt").read_text()
    image(bundle, "a.tar", "example.org/a:1", b"new")
    (bundle / "images.txt").write_text(listing)
    assert serve(one, bundle, monkeypatch) and layer(one, "example.org/a:1") != before
    image(bundle, "b.tar", "example.org/b:1", b"more")
    assert serve(one, bundle, monkeypatch) == ["images: 1 of 1, example.org/b:1"]


def test_a_registry_that_an_older_runbook_started_starts_anew(sandbox, monkeypatch):
    one = sandbox("one")
    monkeypatch.setattr(registry, "PORT", one.port)
    before, config = one.it.pid.read_text(), one.it.config
    config.write_text(config.read_text().replace(one.it.store.inside, "/srv/registry"))
    assert not one.it.answers()
    one.it.start(one.builder)
    assert one.it.answers() and one.it.pid.read_text() != before


def test_the_index_names_the_digests_that_are_served_and_the_bundles_image_in_any_spelling(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNBOOK_BUNDLE", str(tmp_path / "bundle"))
    monkeypatch.setattr(mirror, "CATALOGUE", tmp_path / "catalogue.toml")
    monkeypatch.setattr(builds, "RECIPES", tmp_path / "none")
    said = '[operator]\nkind = "image"\nversion = "1"\nimage = "docker.io/seldonio/operator:1"\n'
    mirror.CATALOGUE.write_text(said)
    image(tmp_path / "bundle", "o.tar", "index.docker.io/seldonio/operator:1", b"real")
    one = mirror.Mirror(tmp_path / "sandbox", "127.0.0.1")
    one.fill("content", {}, {"docker.io/seldonio/operator:1": ["sha256:aa", "sha256:bb"]}.__getitem__)
    index = json.loads((one.files / "current/index.json").read_text())["artifacts"]["operator"]
    assert (index["fidelity"], index["from"], index["sha256"]) == ("original", "bundle", "bb")
    assert index["images"] == {"docker.io/seldonio/operator:1": ["sha256:aa", "sha256:bb"]}


def test_a_recipe_may_state_parts_that_nobody_installs_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(mirror, "CATALOGUE", tmp_path / "catalogue.toml")
    monkeypatch.setattr(builds, "RECIPES", tmp_path)
    mirror.CATALOGUE.write_text('[microk8s]\nkind = "snap"\nversion = "1"\n')
    said = {"microk8s": "double", "kubernetes": "original"}
    texts = [f'[{name}]\nfidelity = "{f}"\nprogram = "{name}"\ndiffers = []\n' for name, f in said.items()]
    for path, text in (("microk8s/fidelity.toml", "".join(texts)), ("built/meta.json", '{"files": {}}')):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    one = mirror.Mirror(tmp_path / "sandbox", "127.0.0.1")
    one.fill("content", {"microk8s": tmp_path / "built"}, lambda name: [])
    index = json.loads((one.files / "current/index.json").read_text())["artifacts"]
    assert list(index) == ["microk8s"] and index["microk8s"]["fidelity"] == "double"
    assert index["microk8s"]["parts"] == {
        "kubernetes": {"fidelity": "original", "program": "kubernetes", "differs": []}
    }
