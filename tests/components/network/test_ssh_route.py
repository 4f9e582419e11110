"""The SSH entry and the Include line as files of this machine, and the proofs against small servers; no host here."""

import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
import time

import pytest
import stand_in

from helpers.components.network import proofs as network
from helpers.components.network.proofs import RouteProofs
from helpers.components.network.ssh_route import SshRoute
from helpers.core import ssh_entries
from helpers.core.errors import Unmet
from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.ssh import free_port


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


def test_the_entry_of_a_host_that_was_wiped_goes_and_no_other(route, own_home, tmp_path):
    """`sandbox down --wipe` left it: ssh asked an address that the next sandbox may have, with a key that was gone."""
    route("other").entry().apply()
    kept = ssh_entries.entries()
    key = tmp_path / "sandbox/one/id"
    ssh_entries.write([f"Host one\n    HostName 10.99.1.2\n    IdentityFile {key}", *kept])
    ssh_entries.forget(tmp_path / "sandbox/on/id")
    assert len(ssh_entries.entries()) == 2
    ssh_entries.forget(key)
    assert ssh_entries.entries() == kept


def test_an_entry_of_another_port_is_another_one(route):
    route().entry().apply()
    other = route(port=9998).entry()
    assert "or another one, for mlops" in other.probe()
    assert other.absent() == "the entry is still there", "what differs is not away"


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


@pytest.mark.parametrize(
    "jump, way",
    [
        ("bastion", "-W [%h]:%p bastion"),
        ("one,me@two:2200", "-J one -W [%h]:%p ssh://me@two:2200"),
    ],
)
def test_a_jump_host_is_found_in_the_persons_settings(monkeypatch, own_home, tmp_path, jump, way):
    """`ssh -F the-entry's-file` would look for it in that file alone."""
    settings = tmp_path / "settings"
    settings.write_text(
        f'Host desk\n  HostName 192.0.2.7\n  Port 2222\n  ProxyJump {jump}\n  IdentityFile "{tmp_path}/my key"\n'
        "  LocalForward 5432 localhost:5432\n  RemoteCommand tmux\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", str(settings))
    ch = stand_in.chapter(monkeypatch, "network", None)
    ch.host = Host("ssh://desk")
    SshRoute(ch, "mlops", 9999).entry().apply()
    file = own_home / "ssh" / "config"
    said = subprocess.run(["ssh", "-G", "-F", file, "mlops"], capture_output=True, text=True, check=True).stdout
    assert f"proxycommand ssh -F {settings} {way}\n" in said and f"identityfile {tmp_path}/my key\n" in said
    assert "port 2222\n" in said and "localforward" not in said and "remotecommand tmux" not in said


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


def test_a_proxy_that_is_slow_is_ours(route, server):
    proxy = server(lambda s: (s.recv(3), time.sleep(2.5), s.sendall(b"\x05\x00")))
    assert RouteProofs(route(port=proxy)).port_is_ours() == "a SOCKS proxy answers"


def test_what_takes_a_connection_and_is_slow_is_not_shut(named, server, monkeypatch):
    proofs, _ = named("my_host", {})
    port = server(lambda s: [None for _ in iter(lambda: s.recv(1024), b"")])
    monkeypatch.setattr(type(proofs.ch.host), "address", "127.0.0.1")
    monkeypatch.setattr(network, "is_loopback", lambda address: False)
    monkeypatch.setattr(network, "PATIENCE", 0.5)
    monkeypatch.setattr(proofs, "_inner_server", lambda: contextlib.nullcontext((port, "word")))
    with pytest.raises(Unmet, match="slow to answer"):
        proofs.inside_not_directly()


# -- names, with a SOCKS5 proxy in the place of ssh's ----------------------------------------------


class Socks5(socketserver.StreamRequestHandler):
    """RFC 1928: it looks names up in its server's `names`, and refuses what is not in them."""

    def handle(self):
        self.request.recv(3)
        self.request.sendall(b"\x05\x00")
        head = self.request.recv(5)
        name = self.request.recv(head[4]).decode()
        port = int.from_bytes(self.request.recv(2), "big")
        self.server.asked.append((head[3], name))
        if name not in self.server.names:
            self.request.sendall(b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00")
            return
        self.request.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x16")
        with socket.create_connection((self.server.names[name], port), 5) as there:
            there.sendall(self.request.recv(65536))
            while data := there.recv(65536):
                self.request.sendall(data)


@pytest.fixture
def named(monkeypatch, own_home, tmp_path):
    """named(hostname, known): RouteProofs on a host of that name that looks up the names of `known`, and its proxy."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Socks5) as proxy:
        proxy.asked, proxy.daemon_threads = [], True
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()

        def make(hostname, known):
            proxy.names = known

            def run(script, **how):
                how["on_line"]("err", "bash: warning: setlocale: LC_ALL: cannot change locale (de_DE.UTF-8)")
                how["on_line"]("out", str(server_of(script.split()[-4], known[hostname])))

            def answer(script, _):
                return hostname + "\n" if script == "hostname" else (0 if hostname in known else 2, "", "")

            ch = stand_in.chapter(monkeypatch, "network", answer)
            plain = ch.host.run
            monkeypatch.setattr(
                ch.host, "run", lambda script, **how: (run if "python3" in script else plain)(script, **how)
            )
            monkeypatch.setattr(RouteProofs, "_is_here", lambda self: False)
            monkeypatch.setattr(ch.host, "socks", lambda: contextlib.nullcontext(proxy.server_address[1]))
            return RouteProofs(SshRoute(ch, "mlops", 9999)), proxy

        yield make
        proxy.shutdown()


def server_of(word, address):
    """The real program of the proof, at that address: its port."""
    argv = [sys.executable, "helpers/components/network/one_answer.py", word, address]
    return int(subprocess.Popen(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True).stdout.readline())


def test_for_this_machine_itself_no_proxy_is_proved(monkeypatch, own_home):
    proofs = RouteProofs(SshRoute(stand_in.chapter(monkeypatch, "network", lambda script, _: ""), "mlops", 9999))
    for proof in (proofs.inside_through_proxy, proofs.names_on_the_host, proofs.inside_not_directly):
        assert proof() == "left out: the target is this machine"


def test_an_ipv6_host_is_asked_by_an_address_in_brackets(monkeypatch, named):
    proofs, _ = named("my_host", {"my_host": "127.0.0.3"})
    monkeypatch.setattr(type(proofs.ch.host), "address", "2001:db8::1")
    monkeypatch.setattr(proofs, "_inner_server", lambda: contextlib.nullcontext((9, "word")))
    assert proofs.inside_not_directly() is None, "no answer, and no fault of ours"


def test_a_name_is_looked_up_by_the_proxy_whatever_sshd_listens_on(named):
    proofs, proxy = named("my_host", {"my_host": "127.0.0.3"})
    proofs.names_on_the_host()
    assert proxy.asked == [(3, "my_host")], "as a name"


def test_a_host_that_does_not_know_itself_is_told(named):
    proofs, proxy = named("lost", {})
    with pytest.raises(Unmet, match="knows its own name"):
        proofs.names_on_the_host()
    assert not proxy.asked


def test_a_name_that_the_proxy_does_not_know_is_told(named):
    proofs, proxy = named("lost", {"lost": "127.0.0.3"})
    proxy.names = {}
    with pytest.raises(Unmet) as e:
        proofs.names_on_the_host()
    assert "ProxyError" in e.value.saw
