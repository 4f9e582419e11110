"""What tests need of a network: a port, a wait, and one small HTTP server whose answers are a function's."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from helpers.core.ssh import free_port
from helpers.core.waiting import wait

__all__ = ["Request", "Server", "dripping", "files", "free_port", "serving", "until"]


def until(what, ready, failed=None, timeout: float = 120):
    """Wait for `what` with short steps; returns what ready() does. RunbookError at once when failed() says why."""
    return wait(what, ready, failed, timeout, every=0.1)


class Request(NamedTuple):
    """What was asked. path: with its query; headers: as http.server has them, names in any case.

    connection: the socket, for an answer that is no HTTP.
    """

    method: str
    path: str
    headers: object
    body: bytes
    connection: object

    def json(self):
        """The body as JSON; None for none."""
        return json.loads(self.body) if self.body else None


class Server:
    """A server that runs. asked: every request so far."""

    def __init__(self, port: int, scheme: str = "http"):
        self.port, self.url, self.asked = port, f"{scheme}://127.0.0.1:{port}", []


@contextlib.contextmanager
def serving(answer, port: int = 0, tls=()):
    """A Server that answers each request with answer(request) -> (status, content) or (status, content, headers).

    content: bytes, a text, or what becomes JSON. None for an answer: the connection ends without a word.
    tls: the files (certificate, key) of one that is asked by HTTPS.
    """
    with ThreadingHTTPServer(("127.0.0.1", port), _Handler) as web:
        web.server = Server(web.server_port, "https" if tls else "http")
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            web.socket = context.wrap_socket(web.socket, server_side=True)
        web.answer = answer
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield web.server
        finally:
            web.shutdown()


def files(folder: Path):
    """An answer: the file that the path names below a folder; of a folder its index.html."""

    def answer(request):
        path = folder / unquote(request.path.partition("?")[0]).lstrip("/")
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            return 404, "no such file"
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return 200, path.read_bytes(), {"Content-Type": kind}

    return answer


def dripping(request):
    """An answer that goes on for five seconds, a byte at a time, and is never whole."""
    with contextlib.suppress(OSError):  # whoever asked gave it up
        request.connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            request.connection.sendall(b"x")
            time.sleep(0.05)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Request(self.command, self.path, self.headers, body, self.connection)
        self.server.server.asked.append(asked)
        said = self.server.answer(asked)
        if said is not None:
            self._say(*said)

    def _say(self, status, content, headers=()):
        kind = "text/plain" if isinstance(content, (bytes, str)) else "application/json"
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(content), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _do
