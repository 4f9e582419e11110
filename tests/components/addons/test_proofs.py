"""What proves the add-ons, in this machine's own network; the pod is a shell beside it."""

import subprocess

import pytest

from helpers.components.addons import proofs
from helpers.core.shell import script

LISTENER = (proofs._HERE / "scripts" / "say_word.py").read_text("utf-8")
#: `microk8s kubectl exec ... -- sh -c "nc -w 5 ADDRESS PORT </dev/null"`: busybox' nc by bash
POD = """
read -r _ _ _ address port _ <<< "${!#}"
echo "$port" > PORT_FILE
exec 4<> "/dev/tcp/$address/$port" && cat <&4
"""


@pytest.fixture
def reaches(bash, tmp_path):
    """What a pod is told at an address of the host: (exit code, what it printed), and whether one listens still."""

    def run(address):
        ask = script(proofs._HERE / "scripts" / "pod_reaches.sh", "space", address, "our-word", LISTENER)
        said = bash(ask, POD.replace("PORT_FILE", str(tmp_path / "port")))
        port = tmp_path / "port"
        still = port.exists() and bash(f"exec 4<> /dev/tcp/{address}/{port.read_text().strip()}", "")[0] == 0
        return said, still

    return run


def test_a_pod_is_told_a_word_at_the_hosts_address_whatever_port_its_sshd_has(reaches):
    assert reaches("127.0.0.1") == ((0, "our-word"), False)


def test_an_address_that_the_host_does_not_have_is_named(reaches):
    (code, said), _ = reaches("203.0.113.77")
    assert code == 1 and said.endswith("the host itself cannot listen at 203.0.113.77")


def test_an_outside_name_is_no_address_of_an_archive_that_has_none(tmp_path, monkeypatch):
    uris = ["'http://10.99.197.1:8099/gitlab/InRelease' x 0 ", "'http://deb.invalid/debian/InRelease' y 0 "]
    (tmp_path / "apt-get").write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(f'"{uri}"' for uri in uris))
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    ask = script(proofs._HERE / "scripts" / "outside_name.sh")
    assert subprocess.run(["bash", "-c", ask], capture_output=True, text=True).stdout == "deb.invalid\n"
