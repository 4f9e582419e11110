"""The table of what each artifact is held to says what the catalogue has, no more."""

import pytest

from helpers.command import verified
from helpers.core import catalogue


def held():
    return {name: how for name, _, how in verified.rows()}


def test_each_artifact_has_a_row_that_says_what_it_is_held_to():
    assert list(held()) == list(catalogue.load()) and all(held().values())


def test_what_is_pinned_and_what_is_not():
    said = held()
    assert said["minio"] == verified.PINNED and said["istio-release"] == "MicroK8s fetches it: HTTPS alone"
    assert said["helm"] == verified.PINNED + " (linux amd64, linux arm64, darwin amd64)"
    assert said["pachctl"] == f"{verified.PINNED} (darwin amd64); {verified.ALONE} (linux amd64)"
    assert said["gitlab-ce"] == "apt: signed by the key F6403F6544A38863DAA0B6E03F01618A51312F3F of the catalogue"
    assert "tag" in said["seldon-operator"] and "digest" in said["knative"]


@pytest.mark.parametrize("lost, says", [("sha256", "publisher keeps beside it"), ("sha256_url", "HTTPS alone")])
def test_a_checksum_that_is_lost_is_no_longer_told(monkeypatch, lost, says):
    known = catalogue.load()
    known["minio"].sha256 = ""
    setattr(known["minio"], lost, "")
    monkeypatch.setattr(verified, "load", lambda: known)
    assert says in held()["minio"]


def test_packages_are_held_to_the_checksums_beside_their_list_and_to_nothing_without(monkeypatch):
    known = catalogue.load()
    assert held()["label-studio"].endswith("in `setup/label-studio-setup/sha256.txt`")
    known["label-studio"].version = "0.0.1"
    monkeypatch.setattr(verified, "load", lambda: known)
    assert held()["label-studio"] == verified.ALONE
    assert held()["label-studio-2021"].endswith("in `setup/label-studio-setup/sha256.txt`")


def test_only_what_has_a_checksum_is_told_as_pinned():
    for artifact in catalogue.load().values():
        sums = [word for word in artifact.entry if word.startswith("sha256") and word != "sha256_url"]
        assert (verified.PINNED in held()[artifact.name]) <= bool(sums), artifact.name
