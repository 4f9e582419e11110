"""What components' tests share."""

import os
import socket
import subprocess

import programs
import pytest


@pytest.fixture
def bash(tmp_path):
    """Run a script as a host does, with a `microk8s` that is this shell script: (exit code, what it printed)."""

    def run(script, microk8s):
        programs.put(tmp_path, "microk8s", "#!/bin/bash\n" + microk8s)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            env=dict(os.environ, PATH="{}:{}".format(tmp_path, os.environ["PATH"])),
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    return run


@pytest.fixture
def probe(bash, tmp_path):
    """Run a probe where `microk8s` prints `text` and ends with `code`: (whether it holds, what it says)."""

    def run(script, text, code=0):
        (tmp_path / "answer").write_text(text)
        ended, said = bash(script, f"cat {tmp_path / 'answer'}\nexit {code}\n")
        return ended == 0, said

    return run


@pytest.fixture(scope="session")
def elsewhere():
    """An address of this machine that is not its loopback's, as another machine sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has the loopback alone")
        return s.getsockname()[0]
