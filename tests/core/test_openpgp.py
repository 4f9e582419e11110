"""A key's fingerprint as gpg tells it, and files that are none."""

import subprocess

import pytest

from helpers.core.openpgp import fingerprints


@pytest.fixture(scope="module", params=["rsa2048", "ed25519"])
def key(request, tmp_path_factory):
    """(binary, armored, fingerprint) of a key with a subkey, made by gpg."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "a@example.org", request.param, "sign"], check=True)
    listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], capture_output=True, text=True, check=True).stdout
    found = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    subkey = "rsa2048" if request.param == "rsa2048" else "cv25519"
    subprocess.run([*gpg, "--quick-add-key", found, subkey, "encr"], check=True)
    binary = subprocess.run([*gpg, "--export"], capture_output=True, check=True).stdout
    armored = subprocess.run([*gpg, "--armor", "--export"], capture_output=True, check=True).stdout
    yield binary, armored, found
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def test_it_is_gpgs_fingerprint_of_the_primary_key(key):
    binary, armored, found = key
    assert fingerprints(binary) == fingerprints(armored) == fingerprints(armored.replace(b"\n", b"\r\n")) == [found]
    assert fingerprints(binary + binary) == fingerprints(armored + armored) == [found, found]


def test_what_is_cut_off_or_no_key_is_refused(key):
    binary, armored, _ = key
    empty = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n-----END"
    for text in (binary[:-3], binary[:40], b"", b"<html>", b"\x00" * 9, empty):
        with pytest.raises(ValueError):
            fingerprints(text)
