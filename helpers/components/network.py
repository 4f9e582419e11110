"""The operator's way to the host: an SSH entry, a SOCKS proxy, and proofs that they lead inside."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import threading
import uuid
from pathlib import Path

import httpx

from helpers.core.actions import Action
from helpers.core.errors import Unmet
from helpers.core.paths import home

# A web server of one word, on the host's loopback, on a port of its choice, for 15 s at most. It leaves nothing.
_SERVER = r"""
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H); s.timeout = 15
print(s.server_port, flush=True)
s.handle_request()
"""

#: what `ssh -G` calls the settings that lead to a host, and what a configuration file does
_WRITTEN = {
    k.lower(): k
    for k in (
        "HostName",
        "User",
        "Port",
        "IdentityFile",
        "IdentitiesOnly",
        "IdentityAgent",
        "CertificateFile",
        "ProxyJump",
        "ProxyCommand",
        "UserKnownHostsFile",
        "GlobalKnownHostsFile",
        "HostKeyAlias",
        "StrictHostKeyChecking",
    )
}


def _settings(arguments):
    """OpenSSH's settings for a destination, as (name, value) pairs in ssh's order."""
    done = subprocess.run(["ssh", "-G"] + arguments, capture_output=True, timeout=20)
    return [tuple(line.split(" ", 1)) for line in done.stdout.decode().splitlines() if " " in line]


class SshRoute:
    """The way from this machine to the chapter's target. alias: in the SSH file; port: of the SOCKS proxy here."""

    def __init__(self, ch, alias, port):
        self.ch, self.alias, self.port = ch, alias, port
        self.file = home("ssh") / "config"
        self.mine = Path.home() / ".ssh" / "config"

    # -- steps ---------------------------------------------------------------------------------

    def _text(self):
        host = self.ch.host
        if host.target.kind == "local":
            lines = ["    HostName 127.0.0.1"]
        else:
            # The entry stands alone, so all that the person's own settings say of the target (an alias, a jump host) goes into it.
            options, where = host.endpoint()
            ours, plain = _settings(options + [where]), _settings(["-F", "/dev/null", where.rpartition("@")[2]])
            lines = [
                f"    {_WRITTEN[key]} {value}"
                for key, value in ours
                if key in _WRITTEN and (key == "hostname" or (key, value) not in plain)
            ]
        return "\n".join(["Host " + self.alias] + lines + [f"    DynamicForward 127.0.0.1:{self.port}", ""])

    def entry(self):
        """Action: the runbook's SSH file has the entry of this alias. Other aliases in it stay."""

        def blocks():
            text = self.file.read_text() if self.file.exists() else ""
            parts = [b.strip("\n") for b in text.split("\n\n") if b.strip()]
            return [b for b in parts if b.splitlines()[0] != "Host " + self.alias]

        def done():
            if self.file.exists() and self._text().strip() in self.file.read_text().split("\n\n"):
                return None
            return f"no entry, or another one, for {self.alias} in {self.file}"

        def write(parts):
            part = self.file.with_suffix(".part")
            part.write_text("\n\n".join(parts) + ("\n\n" if parts else ""))
            part.chmod(0o600)
            os.replace(str(part), str(self.file))

        return Action(
            ["write {} (0600)".format("~/.mlops-runbook/ssh/config")] + self._text().splitlines(),
            done,
            lambda: write(blocks() + [self._text().strip()]),
            lambda: write(blocks()),
            absent=lambda: None if done() else "the entry is still there",
        )

    def included(self):
        """Action: ~/.ssh/config starts with an Include of the runbook's file. The rest of it stays as it is."""
        line = f'Include "{self.file}"\n'

        def text():
            return self.mine.read_text() if self.mine.exists() else ""

        def write(content):
            self.mine.parent.mkdir(mode=0o700, exist_ok=True)
            part = self.mine.with_name("config.runbook-part")
            part.write_text(content)
            part.chmod(self.mine.stat().st_mode & 0o777 if self.mine.exists() else 0o600)
            os.replace(str(part), str(self.mine))

        return Action(
            "add to the top of ~/.ssh/config: " + line.strip(),
            lambda: None if line in text() else "no Include line",
            lambda: write(line + text()),
            lambda: write(text().replace(line, "")),
            absent=lambda: None if line not in text() else "the Include line is still there",
        )

    # -- proofs --------------------------------------------------------------------------------

    def alias_works(self):
        """The alias leads to the same host: both ways see the same boot id."""
        ask = "cat /proc/sys/kernel/random/boot_id; hostname"
        done = subprocess.run(
            [
                "ssh",
                "-F",
                str(self.file),
                "-o",
                "BatchMode=yes",
                "-o",
                "ConnectTimeout=10",
                "-o",
                "ClearAllForwardings=yes",
                self.alias,
                ask,
            ],
            capture_output=True,
            timeout=30,
        )
        if done.returncode != 0:
            raise Unmet("a login", done.stderr.decode().strip().splitlines()[-1:])
        if done.stdout.decode() != self.ch.run(ask, sudo=False, quiet=True):
            raise Unmet("the target itself", "another host")

    @contextlib.contextmanager
    def _inner_server(self):
        """(port, word): a web server on the host's loopback that answers one request with that word."""
        word, port, told = uuid.uuid4().hex, [], threading.Event()

        def line(_, text):
            port.append(text)
            told.set()

        script = f"timeout 15 python3 -c {shlex.quote(_SERVER)} {word} || true"
        thread = threading.Thread(
            target=lambda: self.ch.host.run(script, sudo=False, on_line=line, timeout=30), daemon=True
        )
        thread.start()
        if not told.wait(10):
            raise Unmet("a web server on the host", "none: is python3 there?")
        yield int(port[0]), word
        # One more request, by another way, so that the server ends now.
        with contextlib.suppress(httpx.HTTPError), self.ch.host.forward(int(port[0])) as local:
            httpx.get(f"http://127.0.0.1:{local}/", timeout=5, trust_env=False)
        thread.join(20)

    def _ask(self, url, socks):
        with self._client(socks) as client:
            return client.get(url).text

    @staticmethod
    def _client(socks):
        address = f"socks5://127.0.0.1:{socks}"
        try:
            return httpx.Client(proxy=address, timeout=10, trust_env=False)
        except TypeError:  # httpx before 0.26, on Python 3.7
            return httpx.Client(proxies=address, timeout=10, trust_env=False)

    def inside_through_proxy(self):
        with self._inner_server() as (port, word), self.ch.host.socks() as socks:
            got = self._ask(f"http://127.0.0.1:{port}/", socks)
        if got != word:
            raise Unmet("the word made up for this proof", repr(got[:40]))

    def names_on_the_host(self):
        """The host's own name, which need not mean anything here, leads to it through the proxy."""
        name = self.ch.run("hostname", sudo=False, quiet=True).strip()
        with self.ch.host.socks() as socks, contextlib.closing(socket.create_connection(("127.0.0.1", socks), 10)) as s:
            s.sendall(b"\x05\x01\x00")
            s.recv(2)
            s.sendall(
                b"\x05\x01\x00\x03" + bytes([len(name)]) + name.encode() + self.ch.host.target.port.to_bytes(2, "big")
            )
            reply = s.recv(10)
            banner = s.recv(4) if reply[1:2] == b"\x00" else b""
        if banner != b"SSH-":
            raise Unmet(
                "the host's SSH server, by the host's own name", "SOCKS reply {}".format(reply[1:2].hex() or "none")
            )

    def inside_not_directly(self):
        with self._inner_server() as (port, word):
            try:
                got = httpx.get(f"http://{self.ch.host.address}:{port}/", timeout=5, trust_env=False).text
            except httpx.HTTPError:
                return None
        if got == word:
            raise Unmet("no answer", "the word: it listens on every address")
        return None

    def port_is_ours(self):
        """Nothing listens on the proxy's port here, or what listens speaks SOCKS5."""
        try:
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), 2)) as s:
                s.settimeout(2)
                s.sendall(b"\x05\x01\x00")
                answer = s.recv(2)
        except ConnectionRefusedError:
            return "free"
        except OSError:
            answer = b""
        if answer != b"\x05\x00":
            raise Unmet(f"a free port or a SOCKS proxy on port {self.port}", "another program")
        return "a SOCKS proxy answers"
