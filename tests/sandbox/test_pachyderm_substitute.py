"""Pachyderm as the sandbox serves it: what pachctl names is in the registry, of one version, and its images run."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import urllib.request

import pytest
from image_files import unpacked

from helpers.core import catalogue
from helpers.sandbox import builds, mirror, needs, processes

pytestmark = pytest.mark.skipif(
    bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox: ./runbook doctor"
)

STATED = mirror.fidelity()
ARTIFACTS = catalogue.with_needs(["pachctl"])


@pytest.fixture(scope="module")
def served(box):
    """The sandbox with all of Pachyderm on its mirror; what a chapter is told of each artifact is asked of it."""
    box.up(artifacts=[a for a in ARTIFACTS if a in builds.recipes()])
    return box


def get(url, accept="*/*"):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(url, headers={"Accept": accept}), timeout=60).read()


@pytest.fixture(scope="module")
def pachctl(served, tmp_path_factory):
    """pachctl, fetched and unpacked as on an operator's machine."""
    artifact = catalogue.load()["pachctl"]
    url = artifact.url_for("linux", "amd64")
    data = get(served.mirror_url + "/" + url.removeprefix("https://"))
    index = json.loads(get(served.mirror_url + "/index.json"))["artifacts"]
    assert index["pachctl"]["sums"][url.removeprefix("https://")] == hashlib.sha256(data).hexdigest()
    folder = tmp_path_factory.mktemp("pachctl")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")
    program = folder / artifact.entry["member"].format(os="linux", arch="amd64")
    (folder / "config").write_text('{"user_id": "test", "v2": {"metrics": false}}')

    def run(*arguments):
        return subprocess.run(
            [program, *arguments],
            env={"PACH_CONFIG": str(folder / "config")},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    return run


def program(recipe, name, folder):
    """run(*words) inside an image's files -> (exit code, output), and the image's configuration."""
    folder, config = unpacked(recipe, name, folder)

    def run(*argv):
        env = dict(line.split("=", 1) for line in config["Env"])
        done = subprocess.run(
            processes.entered(folder, list(argv)), env=env, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    return run, config


def test_the_index_says_how_true_each_is(served):
    index = json.loads(get(served.mirror_url + "/index.json"))["artifacts"]
    assert {name: index[name]["fidelity"] for name in ARTIFACTS} == {
        "pachctl": "original",
        "pachyderm": "original",
        "pachyderm-etcd": "equivalent",
        "python": "equivalent",
    }
    assert any("etcd below it is 3.4.23" in text for text in index["pachyderm"]["differs"])


@pytest.mark.parametrize(
    "deploy",
    [
        "local",
        "custom --persistent-disk aws --object-store s3 --dynamic-etcd-nodes 1 --etcd-storage-class any "
        "none 1 bucket id key host:9000",
    ],
)
def test_pachctl_asks_for_the_images_that_are_served_and_for_no_other(served, pachctl, deploy):
    assert pachctl("version", "--client-only").strip() == "1.13.2"
    kind, *arguments = deploy.split()
    text = pachctl(
        "deploy",
        kind,
        "--no-expose-docker-socket",
        "--no-dashboard",
        "--namespace",
        "any",
        "--dry-run",
        "-o",
        "json",
        *arguments,
    )
    asked = set(re.findall(r'"(?:image|value)": "(pachyderm/[^"]+)"', text))  # the worker's is a variable of pachd's
    known = catalogue.load()
    assert asked == {*known["pachyderm"].entry["images"], known["pachyderm-etcd"].entry["image"]}
    for image in asked:
        name, tag = catalogue.image_name(image).rsplit(":", 1)
        manifest = json.loads(
            get(
                f"{served.registry_url}/v2/{name}/manifests/{tag}",
                "application/vnd.docker.distribution.manifest.v2+json",
            )
        )
        assert manifest["layers"]


def test_the_images_hold_what_pachyderm_starts_in_them(tmp_path):
    pachd, _ = program("pachyderm", "pachyderm/pachd:1.13.2", tmp_path / "pachd")
    assert "env key not set when required: ETCD_SERVICE_HOST" in pachd("/pachd")[1]
    assert oct((tmp_path / "pachd/tmp").stat().st_mode & 0o7777) == "0o1777"
    worker, _ = program("pachyderm", "pachyderm/worker:1.13.2", tmp_path / "worker")
    (tmp_path / "worker/pach-bin").mkdir()  # a volume; the pipeline's container gets its programs from it
    assert worker("/app/init") == (0, "")
    assert worker("/pach-bin/pachctl", "version", "--client-only") == (0, "1.13.2\n")
    assert "env key not set when required" in worker("/pach-bin/worker")[1]
    etcd, _ = program("pachyderm", "pachyderm/etcd:v3.3.5", tmp_path / "etcd")
    said = etcd("/bin/sh", "-c", "/usr/local/bin/etcd --version")[1]  # as the StatefulSet starts it
    assert "etcd " + re.search(r"etcd Version: (\S+)", said)[1] == STATED["pachyderm-etcd"]["program"]
    assert "API version: 3.4" in etcd("/bin/sh", "-c", "ETCDCTL_API=3 /usr/local/bin/etcdctl version")[1]


def test_the_python_image_is_one(tmp_path):
    run, config = program("python", "python:3.11-slim-bookworm", tmp_path / "python")
    assert config["Cmd"] == ["python3"] and "Entrypoint" not in config
    for name in ("python", "python3", "python3.11"):
        assert run(
            "sh", "-c", name + " -c 'import ssl, sqlite3, sys; print(sys.version_info[:2], sys.stdout.encoding)'"
        ) == (0, "(3, 11) utf-8\n")
    package = tmp_path / "python/tmp/package"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[project]\nname = "probe"\nversion = "1"\n[tool.setuptools]\npy-modules = ["probe"]\n'
    )
    (package / "probe.py").write_text("print('installed')\n")
    code, said = run(
        "pip",
        "install",
        "--no-index",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "/tmp/package",
    )
    assert code == 0, said  # an image, not a system: nothing is managed externally
    assert run("python", "-m", "probe") == (0, "installed\n")
