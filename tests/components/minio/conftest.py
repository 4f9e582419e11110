"""The S3 server that stands in for MinIO, running, for the tests of chapter 05's room."""

import os
import subprocess

import pytest

from helpers.components import minio
from helpers.core import catalogue
from helpers.core.secrets import Secret
from helpers.core.ssh import free_port
from helpers.core.waiting import wait
from helpers.sandbox import builds, needs

USER, SECRET = "runbook", Secret("minio-root", "not-a-real-password")


@pytest.fixture(scope="session")
def program():
    """RUNBOOK_MINIO_BIN, or the server that the sandbox's mirror serves."""
    given = os.environ.get("RUNBOOK_MINIO_BIN")
    if not given and needs.sandbox_lacks():
        pytest.skip("this machine cannot build the server: " + needs.sandbox_lacks()[0].what)
    return str(given or builds.build("minio", print) / "out" / catalogue.load()["minio"].path)


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    """The port of a server."""
    port, data = free_port(), tmp_path_factory.mktemp("minio")
    command = [program, "server", "--address", f"127.0.0.1:{port}", str(data)]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(data)}
    env.update(MINIO_ROOT_USER=USER, MINIO_ROOT_PASSWORD=SECRET.reveal())
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = minio.connect(f"127.0.0.1:{port}", USER, SECRET.reveal())
    wait("the S3 server", lambda: client.list_buckets() is not None, every=0.05)
    yield port
    process.terminate()
    process.wait(timeout=10)
