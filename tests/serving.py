"""Small servers on loopback, and waits, for tests."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from typing import NamedTuple


class Request(NamedTuple):
    """What a client asked."""

    method: str
    path: str
    headers: dict
    body: bytes


@contextlib.contextmanager
def serving(handle):
    """An HTTP server on loopback; handle(Request) returns (status, headers, body). Yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, text = handle(Request(self.command, self.path, self.headers, body))
            self.send_response(status)
            for name, value in dict(headers, **{"Content-Length": len(text)}).items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def soon(true, seconds=10):
    """Ask until it is true; returns what it then is. AssertionError after so many seconds."""
    limit = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < limit, f"not so after {seconds} s"
        time.sleep(0.005)
