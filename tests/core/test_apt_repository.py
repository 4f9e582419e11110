"""A repository of a publisher's own in the catalogue: where it comes from, and whose signature is taken."""

import subprocess

import pytest

from helpers.core.catalogue import Artifact, load
from helpers.core.errors import BadInput
from helpers.sandbox import mirror

ENTRY = {
    "kind": "apt",
    "version": "1",
    "licence": "MIT",
    "url": "https://packages.example/thing",
    "key_url": "https://packages.example/gpg.key",
    "key_fingerprint": "0123 4567",
}


def test_a_mirror_has_the_repository_and_its_key_below_its_own_address():
    artifact = Artifact("thing", ENTRY)
    assert (artifact.url, artifact.fingerprint) == (ENTRY["url"], "01234567")
    artifact.take("http://m:8088", {"fidelity": "double", "fingerprint": "89AB"})
    assert artifact.url == "http://m:8088/packages.example/thing"
    assert (artifact.key_url, artifact.fingerprint) == ("http://m:8088/packages.example/gpg.key", "89AB")


def test_one_that_has_the_publishers_own_keeps_the_publishers_fingerprint():
    artifact = Artifact("thing", ENTRY)
    artifact.take("http://m:8088", {"fidelity": "original"})
    assert artifact.fingerprint == "01234567"


@pytest.mark.parametrize("missing", ["key_url", "key_fingerprint"])
def test_a_repository_without_its_key_is_refused(tmp_path, missing):
    lines = [f'{name} = "{value}"' for name, value in ENTRY.items() if name != missing]
    (tmp_path / "catalogue.toml").write_text("\n".join(["[thing]", *lines]))
    with pytest.raises(BadInput, match="thing") as e:
        load(tmp_path / "catalogue.toml")
    assert missing in e.value.saw


def test_the_index_says_whose_signature_a_stand_in_has(tmp_path):
    home, new = tmp_path / "gpg", tmp_path / "new"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "a@example.org", "ed25519", "sign"], check=True)
    (new / "packages.example").mkdir(parents=True)
    text = subprocess.run([*gpg, "--armor", "--export"], capture_output=True, check=True).stdout
    (new / "packages.example/gpg.key").write_bytes(text)
    listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    index = {"thing": {"from": "substitute"}, "other": {"from": "bundle"}}
    mirror._keys(new, {"thing": ENTRY, "other": ENTRY}, index)
    assert f":{index['thing']['fingerprint']}:" in listed and "fingerprint" not in index["other"]
