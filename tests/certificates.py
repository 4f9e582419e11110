"""Certificates that vouch for themselves, or that an authority of their own vouches for, made by openssl."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

#: an elliptic curve's key is made in no time, where RSA's takes seconds
_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def self_signed(folder: Path, *names: str, days: int = 2, name: str = "tls") -> tuple[Path, Path]:
    """The files (certificate, key) in a folder, good for these names, each as `IP:127.0.0.1` or `DNS:git.example`."""
    certificate, key = folder / (name + ".crt"), folder / (name + ".key")
    extra = ["-addext", _good_for(names)] if names else []
    _openssl(folder, f"req -x509 {_KEY} -subj /CN=test -days {days} -keyout {key.name} -out {certificate.name}", *extra)
    return certificate, key


def signed(folder: Path, *names: str) -> tuple[Path, Path, Path]:
    """The files (authority's certificate, certificate, key).

    The authority names no use of its key, as MicroK8s 1.20's produce_certs and many companies make theirs.
    """
    (folder / "extensions").write_text(f"authorityKeyIdentifier=keyid,issuer:always\n{_good_for(names)}\n")
    _openssl(folder, f"req -x509 {_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt")
    _openssl(folder, f"req {_KEY} -subj /CN=server -keyout server.key -out server.csr")
    by = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions"
    _openssl(folder, f"x509 -req -in server.csr {by} -out server.crt")
    return folder / "ca.crt", folder / "server.crt", folder / "server.key"


def _good_for(names: Iterable[str]) -> str:
    return "subjectAltName=" + ",".join(names)


def _openssl(folder: Path, words: str, *more: str) -> None:
    subprocess.run(["openssl", *words.split(), *more], cwd=folder, check=True, capture_output=True)
