"""The SSH entry and the Include line as files of this machine, and the proofs against small servers; no host here."""

import socket
import threading

import pytest
import stand_in

from helpers.components.network.proofs import RouteProofs, _greeting
from helpers.components.network.ssh_route import SshRoute
from helpers.core.errors import Unmet
from helpers.core.host import free_port


@pytest.fixture
def route(monkeypatch, own_home, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    ch = stand_in.chapter(monkeypatch, "network", None)
    return lambda alias="mlops", port=9999: SshRoute(ch, alias, port)


def test_an_entry_is_put_beside_the_others_and_taken_out_alone(route, own_home):
    one, two = route("one").entry(), route("two").entry()
    assert one.probe() == f"no entry, or another one, for one in {own_home}/ssh/config"
    one.apply(), two.apply(), one.apply()
    file = own_home / "ssh" / "config"
    assert file.read_text() == (
        "Host two\n    HostName 127.0.0.1\n    DynamicForward 127.0.0.1:9999\n\n"
        "Host one\n    HostName 127.0.0.1\n    DynamicForward 127.0.0.1:9999\n\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600 and one.probe() is None
    assert one.absent() == "the entry is still there"
    one.undo()
    assert one.absent() is None and two.probe() is None
    two.undo()
    assert file.read_text() == ""


def test_an_entry_of_another_port_is_another_one(route):
    route().entry().apply()
    assert "or another one, for mlops" in route(port=9998).entry().probe()


def test_the_include_line_comes_first_and_the_rest_stays_with_its_mode(route, tmp_path):
    mine = tmp_path / ".ssh" / "config"
    mine.parent.mkdir()
    mine.write_text("Host a\n  User b\n")
    mine.chmod(0o640)
    include = route().included()
    assert include.probe() == "no Include line"
    include.apply()
    assert mine.read_text().startswith("Include ") and mine.read_text().endswith("\nHost a\n  User b\n")
    assert include.probe() is None and mine.stat().st_mode & 0o777 == 0o640
    include.undo()
    assert mine.read_text() == "Host a\n  User b\n" and include.absent() is None


def test_a_config_that_is_a_link_stays_one(route, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "settings").write_text("Host a\n")
    (tmp_path / ".ssh" / "config").symlink_to(tmp_path / "settings")
    route().included().apply()
    assert (tmp_path / ".ssh" / "config").is_symlink() and "Include" in (tmp_path / "settings").read_text()


@pytest.fixture
def server():
    """A server on loopback that handles one connection; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(handle):
            def run():
                connection, _ = listening.accept()
                with connection:
                    handle(connection)

            threading.Thread(target=run, daemon=True).start()
            return listening.getsockname()[1]

        yield serve


def test_a_port_is_free_or_our_proxy_or_another_programs(route, server):
    assert RouteProofs(route(port=free_port())).port_is_ours() == "free"
    proxy = server(lambda s: (s.recv(3), s.sendall(b"\x05\x00")))
    assert RouteProofs(route(port=proxy)).port_is_ours() == "a SOCKS proxy answers"
    web = server(lambda s: (s.recv(3), s.sendall(b"HTTP/1.0 400 no\r\n")))
    with pytest.raises(Unmet) as e:
        RouteProofs(route(port=web)).port_is_ours()
    assert e.value.saw == "another program"


def socks5(reply, then=b""):
    """A SOCKS5 proxy that reads one request, keeps it and gives this answer."""
    asked = []

    def handle(s):
        s.recv(3)
        s.sendall(b"\x05\x00")
        asked.append(s.recv(100))
        s.sendall(b"\x05" + reply + b"\x00\x01\x7f\x00\x00\x01\x00\x16" + then)

    return handle, asked


def test_a_name_is_looked_up_by_the_proxy(server):
    handle, asked = socks5(b"\x00", b"SSH-2.0-x")
    assert _greeting(server(handle), "only-there", 22) == "SSH-"
    assert asked == [b"\x05\x01\x00\x03\x0aonly-there\x00\x16"]


def test_a_name_that_the_proxy_does_not_know_is_told(server):
    handle, _ = socks5(b"\x04")
    assert _greeting(server(handle), "only-here", 22) == "SOCKS reply 0x04: Host unreachable"
