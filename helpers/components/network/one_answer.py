"""A web server on the host's loopback, on a port of its choice, for 15 s at most: one answer, the word WORD.

It prints its port, answers one request, and leaves nothing.
"""

import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.timeout = 15
print(server.server_port, flush=True)
server.handle_request()
