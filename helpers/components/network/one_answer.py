"""A web server on the host, at the address of the name ADDRESS, on a port of its choice: one answer, the word WORD.

It prints its port, answers one request, and leaves nothing.
"""

import http.server
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())

    def log_message(self, *_):
        pass


# Not an HTTPServer: that asks for its own address's name, and a host without DNS waits for it.
server = socketserver.TCPServer((sys.argv[2], 0), Handler)
server.timeout = 300
print(server.server_address[1], flush=True)
server.handle_request()
