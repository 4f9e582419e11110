"""What proves the way: a web server that listens only inside the host answers through the proxy, and only there."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import threading
import uuid
from pathlib import Path

import httpx

from helpers.core.errors import RunbookError, Unmet, words
from helpers.core.http import in_url, through
from helpers.core.listening import PATIENCE, is_loopback

_SERVER = Path(__file__).with_name("one_answer.py")
_LEFT_OUT = "left out: the target is this machine"
_BATCH = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ClearAllForwardings=yes"]


class RouteProofs:
    """Proofs of an SshRoute."""

    def __init__(self, route):
        self.route, self.ch = route, route.ch

    def alias_works(self):
        """The alias leads to the same host: both ways see the same boot id."""
        ask = "cat /proc/sys/kernel/random/boot_id; hostname"
        ssh = ["ssh", "-F", str(self.route.file), *_BATCH, self.route.alias, ask]
        done = subprocess.run(ssh, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise Unmet("a login", done.stderr.strip().splitlines()[-1:])
        if done.stdout != self.ch.run(ask, sudo=False):
            raise Unmet("the target itself", "another host")

    def inside_through_proxy(self):
        """Through the proxy the inner server answers."""
        if self._is_here():
            return _LEFT_OUT
        with self._inner_server() as (port, word), self.ch.host.socks() as proxy:
            self._says(word, proxy, f"http://127.0.0.1:{port}/")
        return None

    def names_on_the_host(self):
        """The host's own name, which need not mean anything here, leads to it through the proxy."""
        if self._is_here():
            return _LEFT_OUT
        name = self.ch.run("hostname", sudo=False).strip()
        if not self.ch.host.ask(f"getent ahostsv4 {shlex.quote(name)}").ok:
            raise Unmet("a host that knows its own name", f"getent ahostsv4 {name} finds nothing", "net-hostname")
        # Not sshd's greeting: it may listen on one address only, and on another port than the one that leads there.
        with self._inner_server(name) as (port, word), self.ch.host.socks() as proxy:
            self._says(word, proxy, f"http://{name}:{port}/")
        return None

    def _is_here(self):
        """A proxy leads to another machine; `local` has none."""
        return self.ch.host.target.kind == "local"

    def _says(self, word, proxy, url):
        with through(proxy, timeout=30) as client:
            try:
                got = client.get(url).text
            except httpx.HTTPError as e:
                raise Unmet("an answer through the proxy", words(e)) from e
        if got != word:
            raise Unmet("the word made up for this proof", repr(got[:40]))

    def inside_not_directly(self):
        """Without the proxy it does not answer."""
        if is_loopback(self.ch.host.address):
            return _LEFT_OUT
        with self._inner_server() as (port, word):
            try:
                url = f"http://{in_url(self.ch.host.address)}:{port}/"
                got = httpx.get(url, timeout=PATIENCE, trust_env=False).text
            except httpx.ReadTimeout as e:
                raise Unmet("no answer", "a connection: what listens there is slow to answer") from e
            except httpx.HTTPError:
                return None
        if got == word:
            raise Unmet("no answer", "the word: it listens on every address")
        return None

    def port_is_ours(self):
        """Nothing listens on the proxy's port here, or what listens speaks SOCKS5."""
        try:
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.route.port), PATIENCE)) as s:
                s.sendall(b"\x05\x01\x00")  # SOCKS5, one way to log in: none (RFC 1928)
                answer = s.recv(2)
        except ConnectionRefusedError:
            return "free"
        except OSError:
            answer = b""
        if answer != b"\x05\x00":
            raise Unmet(f"a free port or a SOCKS proxy on port {self.route.port}", "another program")
        return "a SOCKS proxy answers"

    @contextlib.contextmanager
    def _inner_server(self, name="127.0.0.1"):
        """(port, word): a web server on the host, at this name's address, that answers one request with that word."""
        word, port, told = uuid.uuid4().hex, [], threading.Event()

        def line(stream, text):
            if stream == "out":  # on the other, bash warns of a locale that the host lacks
                port.append(text)
                told.set()

        script = f"timeout 300 python3 -c {shlex.quote(_SERVER.read_text('utf-8'))} {word} {shlex.quote(name)} || true"

        def serve():
            try:
                self.ch.host.run(script, sudo=False, on_line=line, timeout=360)
            finally:
                told.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        told.wait(120)
        if not port:
            raise Unmet("a web server on the host", "none: is python3 there?")
        yield int(port[0]), word
        # One more request, by another way, so that the server ends now.
        with contextlib.suppress(httpx.HTTPError, RunbookError), self.ch.host.forward(int(port[0]), name) as local:
            httpx.get(f"http://127.0.0.1:{local}/", timeout=5, trust_env=False)
        thread.join(20)
