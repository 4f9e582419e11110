"""Whom this machine's programs trust: a company's authority in the system's store, behind a real TLS server."""

import os
import socket
import ssl
import subprocess
import sys
import threading

import httpx
import pytest

from helpers.core.http import through
from helpers.core.paths import REPO
from tests.certificates import signed

#: what Python does from 3.13 on
STRICT = """
import ssl
made = ssl.create_default_context
def strict(*a, **k):
    context = made(*a, **k)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context
ssl.create_default_context = strict
"""
SERVE_AND_FETCH = """
from pathlib import Path
from helpers.core.catalogue import Artifact
from helpers.core.tools import Tool
from tests.serving import files, serving
with serving(files(Path(".")), tls=("server.crt", "server.key")) as server:
    url = f"https://127.0.0.1:{server.port}/program"
    tool = Tool(Artifact("it", {"kind": "tool", "version": "1", "url": url}))
    try:
        tool.fetch()
        print(tool.path.read_text())
    except Exception as e:
        print(e)
"""


@pytest.fixture
def fetched(tmp_path):
    """Fetch a program with these mounts before, and these variables: what is printed."""
    signed(tmp_path, "IP:127.0.0.1")
    (tmp_path / "program").write_text("it came")

    def fetch(before, python="", **variables):
        env = dict(os.environ, PYTHONPATH=str(REPO), RUNBOOK_HOME=str(tmp_path / "home"), **variables)
        script = f"{before}exec {sys.executable} -c '{python}{SERVE_AND_FETCH}'"
        argv = ["unshare", "--mount", "bash", "-c", script] if before else ["bash", "-c", script]
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    return fetch


def test_an_unknown_authority_is_told_with_what_to_do(fetched):
    said = fetched("")
    assert "CERTIFICATE_VERIFY_FAILED" in said and "SSL_CERT_FILE" in said and "it came" not in said


def test_a_file_that_a_person_names_is_trusted(fetched):
    assert "it came" in fetched("", SSL_CERT_FILE="ca.crt")


def test_it_is_trusted_by_a_python_that_is_strict_though_it_names_no_use_of_its_key(fetched):
    """As many companies' do: curl, apt and every Python before 3.13 take them."""
    assert "it came" in fetched("", STRICT, SSL_CERT_FILE="ca.crt")
    assert "CERTIFICATE_VERIFY_FAILED" in fetched("", STRICT)


@pytest.mark.skipif(os.geteuid() != 0 or not ssl.get_default_verify_paths().cafile, reason="root mounts the store")
def test_the_systems_store_is_trusted(fetched):
    assert "it came" in fetched(f"mount --bind ca.crt {ssl.get_default_verify_paths().cafile} && ")


@pytest.mark.parametrize("said", [b"", b"\x05\x00", b"HTTP/1.0 400 No\r\n\r\n"], ids=["nothing", "half", "HTTP"])
def test_a_proxy_that_ends_in_the_middle_is_a_lost_connection(said):
    """As of an SSH that ends: whoever asks again, or tells a person, waits for httpx's own kind of error."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve():
            with proxy.accept()[0] as one:
                one.recv(99)
                one.sendall(said)
                one.shutdown(socket.SHUT_WR)
                one.recv(99)

        threading.Thread(target=serve, daemon=True).start()
        with through(proxy.getsockname()[1]) as client, pytest.raises(httpx.ConnectError, match="the host's SSH"):
            client.get("http://10.0.0.1/")
