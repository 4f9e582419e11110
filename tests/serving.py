"""A small HTTP server on loopback, in the place of a program that a chapter talks to."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def serving(handle):
    """handle(method, path, body) returns (status, headers, body). Yields the server's port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, said = handle(self.command, self.path, body)
            self.send_response(status)
            for key, value in dict(headers, **{"Content-Length": len(said)}).items():
                self.send_header(key, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
