"""Certificates that vouch for themselves, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

#: an elliptic curve's key is made in no time, where RSA's takes seconds
_KEY = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def self_signed(folder: Path, *names: str, days: int = 2, name: str = "tls") -> tuple[Path, Path]:
    """The files (certificate, key) in a folder, good for these names, each as `IP:127.0.0.1` or `DNS:git.example`."""
    certificate, key = folder / (name + ".crt"), folder / (name + ".key")
    extra = ["-addext", "subjectAltName=" + ",".join(names)] if names else []
    argv = ["openssl", "req", *_KEY.split(), "-subj", "/CN=test", "-days", str(days), *extra]
    subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key
