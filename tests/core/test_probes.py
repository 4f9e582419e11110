"""Probes that chapters share, asked of this machine."""

import contextlib
import socket

import pytest

from helpers.core import probes
from helpers.core.host import Host


@pytest.fixture
def ask():
    host = Host("local")
    host.connect()
    return host.ask


def test_a_port_is_free_or_the_programs_own(ask):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        taken = ask(probes.port_is_free(port, "minio"))
        assert not taken.ok and f"127.0.0.1:{port}" in taken.out
        name = taken.out.split('users:(("')[1].split('"')[0]
        assert ask(probes.port_is_free(port, name)).ok
    assert ask(probes.port_is_free(port, "minio")).ok


def test_room_is_counted_where_the_path_will_lie(ask, tmp_path):
    path = tmp_path / "not" / "there" / "yet"
    assert ask(probes.gib_are_free(path, 0)).ok
    ok, said = ask(probes.gib_are_free(path, 10**6))
    assert not ok and said.endswith(f" GiB free at {tmp_path}")
    assert ask(probes.percent_is_free(tmp_path, 0)).ok
    ok, said = ask(probes.percent_is_free(tmp_path, 101))
    assert not ok and said.endswith(f"% free below {tmp_path}")


def test_owner_and_mode_are_both_looked_at(ask, tmp_path):
    tmp_path.chmod(0o750)
    owner = f"{tmp_path.owner()}:{tmp_path.group()}"
    assert ask(probes.belongs_to(tmp_path, owner, "750")).ok
    for probe in (probes.belongs_to(tmp_path, owner, "700"), probes.belongs_to(tmp_path, "a:b", "750")):
        assert ask(probe) == (False, f"{tmp_path} is 750 {owner}")
