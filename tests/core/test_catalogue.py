"""The catalogue: what every artifact must say, and the origin that it comes from."""

import copy
import re
from urllib.parse import urlsplit

import pytest
from serving import serving

from helpers.core import catalogue
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.target import Target


def test_every_artifact_says_what_it_is_and_comes_from_one_address():
    known = catalogue.load()
    assert {"minio", "postgresql"} <= set(known)
    for a in known.values():
        assert a.kind in catalogue.KINDS and a.version and a.licence and a.about, a.name
        assert a.kind not in ("file", "tool") or re.fullmatch(r"https://[^/]+/.+", a.url), a.name
        assert not a.sha256 or re.fullmatch("[0-9a-f]{64}", a.sha256), a.name
        assert a.kind != "file" or a.sha256 or a.sha256_url.startswith("https://"), a.name + " cannot be verified"
        assert set(a.entry.get("needs", [])) <= set(known), a.name


def test_what_the_catalogue_pins_no_publisher_is_asked_for():
    minio = catalogue.Origin("upstream", Target.parse("local")).resolve("minio", None)
    assert minio.sha256.startswith("b8c62d3f"), "whoever replaces the file may replace the checksum beside it"


def test_a_mirrors_path_is_the_address_without_its_scheme():
    minio = catalogue.load()["minio"]
    assert "https://" + minio.path == minio.url


def test_needs_are_followed_once():
    wanted = catalogue.with_needs(["pachctl", "minio", "pachctl"])
    assert wanted[:2] == ["pachctl", "minio"] and "python" in wanted and len(wanted) == len(set(wanted))
    assert catalogue.with_needs(["unheard-of"]) == ["unheard-of"]


def test_every_image_that_a_manifest_names_is_in_the_catalogue():
    known = {
        catalogue.image_name(image)
        for a in catalogue.load().values()
        for image in a.entry.get("images", [a.entry.get("image")])
        if image
    }
    made = "setup/sandbox/substitutes/"
    folders = (made + "microk8s", made + "istio", "helpers/components", "setup/knative-setup")
    files = [path for folder in folders for path in (REPO / folder).rglob("*.yaml")]
    named = {
        catalogue.image_name(image.strip("\"'"))
        for path in [*files, REPO / "setup/detai-setup/values.yaml"]
        for image in re.findall(
            r"\b(?:image|initImage): *([^\s,{}]+:[^\s,{}]+)", path.read_text().replace("$ARCH", "amd64")
        )
    }
    assert len(named) > 10 and named - known == set()


@pytest.mark.parametrize(
    "text, saw",
    [
        ("[a]\nkind = 'file'\nversion = '1'\nlicence = 'MIT'\n", "missing: url"),
        ("[a]\nkind = 'apt'\n", "licence, version"),
        ("[a]\nkind = 'rpm'\nversion = '1'\nlicence = 'MIT'\n", "a kind among"),
        ("a = 1\n", "no table"),
        ("[a\n", "line 1"),
        (None, "No such file"),
    ],
)
def test_a_broken_catalogue_is_named(tmp_path, text, saw):
    path = tmp_path / "catalogue.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput) as e:
        catalogue.load(path)
    assert saw in e.value.saw and str(path) in e.value.do


def test_auto_is_upstream_except_in_the_sandbox(own_home):
    assert catalogue.Origin("auto", Target.parse("local")).text == "upstream"
    with pytest.raises(RunbookError, match="connect to the sandbox 'sandbox'"):
        catalogue.Origin("auto", Target.parse("sandbox"))
    file = own_home / "sandbox/sandbox/endpoint.json"
    file.parent.mkdir(parents=True)
    file.write_text(
        '{"user": "u", "address": "10.99.0.2", "port": 22, "key": "/k", "known_hosts": "/h", "mirror_url": "http://10.99.0.1:8088"}'
    )
    auto = catalogue.Origin("auto", Target.parse("sandbox"))
    assert auto.text == "http://10.99.0.1:8088" and auto.shown == "mirror"
    assert catalogue.Origin("upstream", Target.parse("sandbox")).shown == "upstream"
    assert catalogue.Origin("https://mirror.example/a/", Target.parse("local")).text == "https://mirror.example/a"


@pytest.mark.parametrize("text", ["", "ftp://x", "mirror.example", "http://", "upstream2", "file:///x"])
def test_other_origins_are_refused(text):
    with pytest.raises(BadInput) as e:
        catalogue.Origin(text, Target.parse("local"))
    assert "auto, upstream, or a mirror's" in e.value.do


def test_an_artifact_that_nobody_knows():
    with pytest.raises(RunbookError) as e:
        catalogue.Origin("upstream", Target.parse("local")).resolve("unheard-of", None)
    assert "setup/catalogue.toml" in e.value.do


def test_apt_packages_come_from_the_hosts_sources_whatever_the_origin():
    found = catalogue.Origin("http://mirror.example", Target.parse("local")).resolve("postgresql", None)
    assert (found.origin, found.fidelity) == ("the host's apt sources", "original")


@pytest.mark.parametrize(
    "text, name",
    [
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("pachyderm/pachd:1.13.2", "docker.io/pachyderm/pachd:1.13.2"),
        ("k8s.gcr.io/pause:3.2", "k8s.gcr.io/pause:3.2"),
        ("docker.io/redis", "docker.io/library/redis:latest"),
        ("index.docker.io/redis:6", "docker.io/library/redis:6"),
        ("registry-1.docker.io/library/redis:6", "docker.io/library/redis:6"),
        ("index.docker.io/seldonio/seldon-core-operator:1.7.0", "docker.io/seldonio/seldon-core-operator:1.7.0"),
        ("localhost:32000/x:1", "localhost:32000/x:1"),
        ("localhost/x", "localhost/x:latest"),
        ("busybox@sha256:aa", "docker.io/library/busybox@sha256:aa"),
    ],
)
def test_an_image_has_one_name_in_all_its_spellings(text, name):
    assert catalogue.image_name(text) == name == catalogue.image_name(name)


def test_what_an_artifact_needs_comes_with_it_but_for_what_only_upstream_has():
    index = {
        name: {"fidelity": "double"}
        for name in ("seldon-core", "seldon-operator", "seldon-executor", "microk8s", "pause")
    }
    mirror = catalogue.Origin("http://mirror.example", Target.parse("local"))
    mirror._index = index
    assert [a.name for a in mirror.with_needs("seldon-core", None)] == list(index)[:3]
    assert [a.name for a in mirror.with_needs("microk8s", None)] == ["microk8s", "pause"]
    assert mirror.resolve("calico", None).origin == "upstream", "it is asked for by name"
    del index["seldon-operator"]
    with pytest.raises(RunbookError, match="get seldon-operator from the mirror"):
        mirror.with_needs("seldon-core", Host("local"))
    index["calico"] = {"fidelity": "double", "images": {"docker.io/calico/cni:v3.13.2": ["sha256:aa"]}}
    assert mirror.with_needs("microk8s", None)[2].images == {"docker.io/calico/cni:v3.13.2": ["sha256:aa"]}
    upstream = catalogue.Origin("upstream", Target.parse("local")).with_needs("microk8s", None)
    assert {(a.name, a.fidelity) for a in upstream} == {
        (n, "original") for n in ("microk8s", "core", "pause", "calico")
    }


def test_the_page_tells_what_a_mirror_answers_for_on_a_real_host():
    """And who is asked for the rest: an installation without the internet needs both."""
    page = " ".join((REPO / "book" / "architecture.md").read_text("utf-8").split())
    told = page.partition("A mirror answers for ")[2].partition("In the sandbox")[0].lower()
    served, _, others = told.partition(". on a real host ")
    mirror = catalogue.Origin("http://mirror.example", Target.parse("ssh://root@host.example"))
    mirror._index = {name: {} for name in catalogue.load()}
    for found in (mirror.resolve(name, None) for name in catalogue.load()):
        if "fetched_by" in found.entry:
            assert found.entry["fetched_by"].lower() + " to " in others, found.name
        elif urlsplit(found.url).path.strip("/"):  # it has an address there
            assert {"chart": "charts"}.get(found.kind, found.name.partition("-")[0]) in served, found.name
        else:
            assert {"image": "containerd to ", "snap": "snapd goes to "}.get(found.kind, found.kind) in others


def test_no_image_is_of_a_cuda_that_the_clusters_runtime_does_not_start():
    """MicroK8s 1.20's runtime for GPUs starts CUDA 9 and 10, and none of 11: canonical/microk8s#1844."""
    chapter = (REPO / "notebooks" / "04_addons.ipynb").read_text("utf-8")
    said = re.search(r"starts images of CUDA (\d+) and (\d+), and none of CUDA (\d+)", chapter)
    assert said, "chapter 04 says which"
    named = [image for a in catalogue.load().values() for image in a.entry.get("images", [a.entry.get("image", "")])]
    versions = {found[1] for found in (re.search(r"\bcuda-(\d+)", image) for image in named) if found}
    assert versions and versions <= set(said.groups()[:2]) and said[3] not in versions


@pytest.fixture
def publisher(monkeypatch):
    """A server with MinIO's checksum and a mirror's index; the catalogue's address for the first is the server's."""
    index = {"artifacts": {"minio": {"fidelity": "equivalent", "program": "s3", "sha256": "bb"}}}
    with serving(lambda r: (200, index if r.path == "/index.json" else "aa  minio\n")) as web:
        known = catalogue.load()
        known["minio"].sha256 = ""  # as of an artifact that the catalogue does not pin
        known["minio"].entry["sha256_url"] = known["minio"].sha256_url = web.url + "/minio.sha256sum"
        monkeypatch.setattr(catalogue, "load", lambda: {name: copy.copy(a) for name, a in known.items()})
        yield web


def minio_of(origin, settled):
    return catalogue.Origin(origin, Target.parse("local"), settled).resolve("minio", Host("local"))


def test_verify_and_remove_ask_no_publisher(publisher, own_home):
    unknown = minio_of("upstream", settled=True)
    assert (unknown.sha256, unknown.fidelity, publisher.asked) == ("", "original", [])
    assert minio_of("upstream", settled=False).sha256 == "aa" and len(publisher.asked) == 1
    assert minio_of("upstream", settled=True).sha256 == "aa" and len(publisher.asked) == 1


def test_verify_and_remove_go_on_when_the_mirror_is_away(publisher, own_home):
    gone = "http://127.0.0.1:1"
    unknown = minio_of(gone, settled=True)
    assert (unknown.sha256, unknown.fidelity) == ("", "unknown"), "nobody says that it is the original"
    with pytest.raises(RunbookError, match="read the mirror's index"):
        minio_of(gone, settled=False)
    there = minio_of(publisher.url, settled=False)
    assert (there.sha256, there.program) == ("bb", "s3")
    catalogue._file_of(publisher.url + "/index.json").rename(catalogue._file_of(gone + "/index.json"))
    kept = minio_of(gone, settled=True)
    assert (kept.sha256, kept.fidelity, kept.program) == ("bb", "equivalent", "s3")


def test_a_mirror_that_answers_is_asked_by_verify_too(publisher, own_home):
    assert minio_of(publisher.url, settled=True).sha256 == "bb" and len(publisher.asked) == 1
