"""A stand-in for Kubernetes' API server, as far as the double of determined-master asks one.

The tests say what becomes of each pod.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.serving import until

TOKEN = "the-service-account's"


class Pods(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.account = self.server_address[1], folder
        folder.mkdir(parents=True)
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=fake",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                folder / "key",
                "-out",
                folder / "ca.crt",
            ],
            check=True,
            capture_output=True,
        )
        (folder / "token").write_text(TOKEN)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.crt", folder / "key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.objects = {"pods": {}, "configmaps": {}}
        self.made, self.deleted, self.refusal = [], [], ""
        self.logs: dict[str, list[str]] = {}
        self.nodes = [
            {
                "metadata": {"name": "cpu-only", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "status": {"capacity": {"cpu": "2"}},
            }
        ]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def become(
        self, name: str, phase: str, running: bool = False, code: int | None = None, address: str = "127.0.0.1"
    ) -> None:
        """What the kubelet would say of the pod from now on."""
        state = (
            {"terminated": {"exitCode": code}} if code is not None else {"running": {}} if running else {"waiting": {}}
        )
        scheduled = phase != "Pending" or running
        state = {"waiting": {}} if phase == "Pending" else state
        pod = self.objects["pods"][name]
        pod["spec"]["nodeName"] = "a-node"
        pod["status"] = {
            "phase": phase,
            "podIP": address,
            "conditions": [{"type": "PodScheduled", "status": "True" if scheduled else "False"}],
            "containerStatuses": [{"name": "determined-container", "state": state}],
        }

    def only_pod(self) -> str:
        """The name of the pod that is made, once it is."""
        return next(iter(until("a pod to be made", lambda: self.objects["pods"])))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Pods

    def log_message(self, *_):
        pass

    def answer(self, value, status=200, kind="application/json"):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do(self):
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        if self.headers["Authorization"] != "Bearer " + TOKEN:
            return self.answer({"message": "Unauthorized"}, 401)
        if url.path == "/api/v1/nodes":
            return self.answer({"items": self.server.nodes})
        kind, _, rest = url.path.removeprefix("/api/v1/namespaces/default/").partition("/")
        name, _, what = rest.partition("/")
        if kind == "services":
            return self.answer({"spec": {"clusterIP": "10.1.2.3", "ports": [{"port": 8080}]}})
        if kind == "events":
            wanted = parse_qs(url.query)["fieldSelector"][0].removeprefix("involvedObject.name=")
            return self.answer({"items": [{"metadata": {"uid": "e1"}, "message": "Pulling image of " + wanted}]})
        if self.command == "POST":
            return self.make(kind, body)
        return self.one(kind, name, what) if name else self.all(kind, url.query)

    def make(self, kind, body):
        s, name = self.server, body["metadata"]["name"]
        if kind == "pods" and s.refusal:
            return self.answer({"message": s.refusal}, 403)
        s.made.append((kind, body))
        s.objects[kind][name] = body
        if kind == "pods":
            s.logs[name] = []
            s.become(name, "Pending")
        return self.answer(body, 201)

    def all(self, kind, query):
        assert query == "labelSelector=determined"
        labelled = [o for o in self.server.objects[kind].values() if "determined" in o["metadata"].get("labels", {})]
        return self.answer({"items": labelled})

    def one(self, kind, name, what):
        have = self.server.objects[kind]
        if name not in have:
            return self.answer({"message": f'{kind} "{name}" not found'}, 404)
        if self.command == "DELETE":
            self.server.deleted.append((kind, name))
            return self.answer(have.pop(name))
        return self.log(name) if what == "log" else self.answer(have[name])

    def log(self, name):
        """What the container has printed, and what it prints until it has ended."""
        s, sent = self.server, 0
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            ended = (
                name not in s.objects["pods"]
                or "terminated" in s.objects["pods"][name]["status"]["containerStatuses"][0]["state"]
            )
            for line in s.logs[name][sent:]:
                self.wfile.write(f"2026-11-25T13:22:21.123456789Z {line}\n".encode())
                sent += 1
            if ended:
                break
            time.sleep(0.05)
        self.close_connection = True

    do_GET = do_POST = do_DELETE = do
