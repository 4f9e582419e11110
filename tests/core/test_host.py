"""Scripts of a host that is this machine: the surroundings that each has."""

import os
import subprocess

import pytest

from helpers.core.errors import CommandFailed, RunbookError
from helpers.core.host import _PRELUDE, Host


@pytest.fixture
def host(own_home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return Host("local")


def test_root_has_roots_home_whatever_sudo_keeps(host):
    try:
        host.require_root()
    except RunbookError:
        pytest.skip("no root here")
    assert host.run("echo $HOME").out == "/root\n"


def test_the_user_keeps_the_own_one(host, tmp_path):
    if os.geteuid():
        assert host.run("echo $HOME", sudo=False).out == f"{tmp_path}\n"
    else:
        as_nobody = ["setpriv", "--reuid=65534", "--clear-groups", "bash", "-euo", "pipefail", "-c"]
        argv = [*as_nobody, _PRELUDE + "echo $HOME", "bash", "mark"]
        assert subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout == f"{tmp_path}\n"


def test_a_file_with_a_secret_in_it_comes_back_as_it_is(host, tmp_path):
    try:
        host.require_root()
    except RunbookError:
        pytest.skip("no root here")
    shown = []
    host.on_line = lambda stream, text: shown.append(text)
    host.masker.add("S3cret/with+signs")
    (tmp_path / "env").write_bytes(b"KEY=S3cret/with+signs\n")
    assert host.get(str(tmp_path / "env")) == b"KEY=S3cret/with+signs\n" and shown == []


@pytest.mark.parametrize(
    "said",
    [
        "cat: write error: No space left on device",
        "ctr: failed to copy: write /var/x: no space left on device",
        "curl: (23) Failure writing output to destination",
    ],
)
def test_a_full_disk_of_the_host_is_named_whoever_says_it(host, said):
    with pytest.raises(CommandFailed) as e:
        host.run(f"echo '{said}' >&2; exit 23", sudo=False)
    assert "The disk is full" in e.value.do and "df -h" in e.value.do and said in e.value.saw


def test_a_file_on_a_full_disk_stays_as_it_was(host, tmp_path):
    tiny = tmp_path / "tiny"
    mounted = f"mkdir {tiny} && mount -t tmpfs -o size=64k tmpfs {tiny} && echo old > {tiny}/file"
    if os.geteuid() or subprocess.run(["bash", "-c", mounted], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(CommandFailed) as e:
            host.put(b"x" * 500_000, f"{tiny}/file")
        assert "The disk is full" in e.value.do
        assert (tiny / "file").read_text() == "old\n" and [p.name for p in tiny.iterdir()] == ["file"]
    finally:
        subprocess.run(["umount", str(tiny)], check=True)
