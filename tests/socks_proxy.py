"""A SOCKS proxy, in the place of the one that ssh opens."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading


@contextlib.contextmanager
def socks_server(ports=None):
    """The server: server_address[1] its port, asked: the addresses so far. Everything leads to 127.0.0.1.

    ports: {port that is asked for: the one that it leads to}; no others answer. None: each leads to itself.
    """
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Socks) as server:
        server.asked, server.ports, server.daemon_threads = [], ports, True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


class _Socks(socketserver.StreamRequestHandler):
    """SOCKS5 (RFC 1928) that leads everything to 127.0.0.1, as a host reaches itself at each of its addresses."""

    def handle(self):
        self.request.recv(self.request.recv(2)[1])
        self.request.sendall(b"\x05\x00")
        asked = self.request.recv(10)
        self.server.asked.append(socket.inet_ntoa(asked[4:8]))
        port = int.from_bytes(asked[8:10], "big")
        if self.server.ports is not None and port not in self.server.ports:
            self.request.sendall(b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")  # refused
            return
        self.request.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        with socket.create_connection(("127.0.0.1", (self.server.ports or {}).get(port, port))) as there:
            back = threading.Thread(target=self._pump, args=(there, self.request), daemon=True)
            back.start()
            self._pump(self.request, there)
            back.join(5)

    @staticmethod
    def _pump(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
