"""A stand-in for Kubernetes' API server, as far as the doubles ask one: objects, lists, and watches.

Api is what all of them see; Pods adds what becomes of Determined's pods, as a test says.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import queue
import re
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.certificates import self_signed
from tests.serving import until

TOKEN = "the-service-account's"
_PLACE = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+)(?:/([^/]+))?)?")


class Place(NamedTuple):
    """What a path names: a kind's list (no name), an object, or a part of one (its status, its log)."""

    group: str
    space: str | None
    kind: str
    name: str | None
    part: str | None

    @classmethod
    def of(cls, path: str) -> Place:
        match = _PLACE.fullmatch(path)
        assert match, path
        return cls(*match.groups())

    def lists(self, other: Place) -> bool:
        """This is a list, and the other one's object is in it."""
        return (self.group, self.kind) == (other.group, other.kind) and self.space in (None, other.space)


class Asked(NamedTuple):
    """A request. query: {name: value}."""

    method: str
    path: str
    query: dict[str, str]
    body: Any

    @property
    def place(self) -> Place:
        return Place.of(self.path)


class Api(ThreadingHTTPServer):
    """The server. objects: {path: object}; kinds: the paths of the lists that are there, None for any.

    tells: watches hear of each change; without, only of what tell() says.
    """

    daemon_threads, request_queue_size = True, 64

    def __init__(self, kinds: set[str] | None = None, tells: bool = True):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.url = self.server_port, f"http://127.0.0.1:{self.server_port}"
        self.kinds, self.tells, self.token = kinds, tells, ""
        self.lock, self.objects = threading.RLock(), {}
        self.version, self.oldest, self.lists = 100, 0, 0
        self.watches: list[tuple[str, queue.Queue[str | None]]] = []
        self.refuses: set[str] = set()  # the kinds of which no watch may be opened
        self._events: list[tuple[int, str, str]] = []

    def __enter__(self) -> Api:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.end_watches()
        self.server_close()

    def secured(self, folder: Path) -> None:
        """HTTPS and a token from now on; ca.crt and token lie in the folder, as a pod has them."""
        folder.mkdir(parents=True)
        certificate, key = self_signed(folder, "IP:127.0.0.1", name="ca")
        (folder / "token").write_text(TOKEN)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket, self.token = context.wrap_socket(self.socket, server_side=True), TOKEN

    # -- what is there -----------------------------------------------------------------------------

    def store(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """The object at this path is this from now on."""
        with self.lock:
            self.version += 1
            what = "MODIFIED" if path in self.objects else "ADDED"
            one = copy.deepcopy(content)
            one["metadata"]["resourceVersion"] = str(self.version)
            self.objects[path] = one
            self._changed(what, path, one)
            return one

    def remove(self, path: str) -> dict[str, Any]:
        with self.lock:
            self.version += 1
            one = self.objects.pop(path)
            one["metadata"]["resourceVersion"] = str(self.version)
            self._changed("DELETED", path, one)
            return one

    def below(self, path: str) -> list[dict[str, Any]]:
        """The objects of a list, of one namespace or of all."""
        place = Place.of(path)
        return [one for at, one in self.objects.items() if place.lists(Place.of(at))]

    def _changed(self, what: str, path: str, one: dict[str, Any]) -> None:
        if self.tells:
            self._events.append((self.version, path, json.dumps({"type": what, "object": one})))
            self.tell(path, self._events[-1][2])

    def tell(self, path: str, event: str) -> None:
        """An event about the object at this path, to whom it concerns."""
        for watched, pending in self.watches:
            if Place.of(watched).lists(Place.of(path)):
                pending.put(event)

    def end_watches(self, forget: bool = False) -> None:
        """Each watch's connection ends; with forget, what happened before now can no longer be asked for."""
        with self.lock:
            if forget:
                self.oldest = self.version + 1
            for _, pending in self.watches:
                pending.put(None)
            self.watches.clear()

    def watch(self, path: str, version: int | None) -> queue.Queue[str | None]:
        """What a watch of this list hears, from a version on: events, and None at its end.

        Without a version it hears first of what is there.
        """
        pending: queue.Queue[str | None] = queue.Queue()
        with self.lock:
            if version is None:
                for one in self.below(path):
                    pending.put(json.dumps({"type": "ADDED", "object": one}))
                version = self.version
            if version < self.oldest:
                gone = {"kind": "Status", "code": 410, "reason": "Expired"}
                pending.put(json.dumps({"type": "ERROR", "object": gone}))
                pending.put(None)
                return pending
            for at, of, event in self._events:
                if at > version and Place.of(path).lists(Place.of(of)):
                    pending.put(event)
            self.watches.append((path, pending))
        return pending

    # -- what is answered --------------------------------------------------------------------------

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """(status, what becomes JSON, or an iterator of bytes). For a double's own questions: override it."""
        if asked.method == "POST":
            return 201, self.store(asked.path + "/" + asked.body["metadata"]["name"], asked.body)
        if asked.place.name is None:
            return self._list(asked)
        main = asked.path if asked.place.part is None else asked.path.rpartition("/")[0]
        if main not in self.objects:
            return 404, {"message": f'{asked.place.kind} "{asked.place.name}" not found'}
        if asked.method == "DELETE":
            return 200, self.remove(main)
        return (200, self.objects[main]) if asked.method == "GET" else self._replace(asked, main)

    def _list(self, asked: Asked) -> tuple[int, Any]:
        with self.lock:
            self.lists += 1
            items = [one for one in self.below(asked.path) if _selected(one, asked.query.get("labelSelector"))]
            return 200, {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def _replace(self, asked: Asked, main: str) -> tuple[int, Any]:
        """The object was not changed since it was read, or it is a conflict.

        A status has an address of its own; elsewhere what it was stays.
        """
        old, new = self.objects[main], asked.body
        if new["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        if asked.query.get("dryRun") == "All":
            return 200, new
        if asked.place.part == "status":
            return 200, self.store(main, {**old, "status": new.get("status")})
        return 200, self.store(main, {**new, **({"status": old["status"]} if "status" in old else {})})


def _selected(one: dict[str, Any], selector: str | None) -> bool:
    """The object has each of these labels: key, or key=value."""
    labels = one["metadata"].get("labels") or {}
    pairs = [part.partition("=") for part in selector.split(",")] if selector else []
    return all(key in labels and (not equals or labels[key] == value) for key, equals, value in pairs)


class _Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    server: Api

    def log_message(self, *_: object) -> None:
        pass

    def do(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = Asked(self.command, url.path, query, json.loads(body) if body else None)
        if self.server.token and self.headers["Authorization"] != "Bearer " + self.server.token:
            self.say(401, {"message": "Unauthorized"})
        elif asked.place.name is None and self.server.kinds is not None and url.path not in self.server.kinds:
            self.say(404, {"message": "not found"})
        elif "watch" in query:
            if asked.place.kind in self.server.refuses:
                return self.say(503, {"message": "the server is shutting down"})
            pending = self.server.watch(url.path, int(query["resourceVersion"]) if "resourceVersion" in query else None)
            self.stream(event.encode() + b"\n" for event in iter(pending.get, None) if event)
        else:
            self.say(*self.server.answer(asked))

    def say(self, status: int, content: Any) -> None:
        if isinstance(content, Iterator):
            return self.stream(content)
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, parts: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            for part in parts:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do


class Pods(Api):
    """Kubernetes for the double of determined-master: the test says what becomes of each pod.

    made, deleted: (kind, body) and (kind, name), as they came. refusal: why no pod may be made.
    logs: {pod: what its container printed, as it was read}.
    """

    PLACE = "/api/v1/namespaces/default/"
    MOST = 1048576  # bytes of a ConfigMap's values: MaxSecretSize of Kubernetes 1.20

    def __init__(self, folder: Path):
        super().__init__()
        self.secured(folder)
        self.account = folder
        self.made, self.deleted, self.refusal = [], [], ""
        self.logs: dict[str, list[str]] = {}
        node = {"name": "cpu-only", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.nodes: list[dict[str, Any]] | None = [{"metadata": node, "status": {"capacity": {"cpu": "2"}}}]

    def named(self, kind: str) -> dict[str, Any]:
        """{name: object} of pods or configmaps."""
        return {one["metadata"]["name"]: one for one in self.below(self.PLACE + kind)}

    def become(
        self, name: str, phase: str, running: bool = False, code: int | None = None, address: str = "127.0.0.1"
    ) -> None:
        """What the kubelet would say of the pod from now on."""
        state = (
            {"terminated": {"exitCode": code}} if code is not None else {"running": {}} if running else {"waiting": {}}
        )
        scheduled = phase != "Pending" or running
        state = {"waiting": {}} if phase == "Pending" else state
        pod = copy.deepcopy(self.objects[self.PLACE + "pods/" + name])
        pod["spec"]["nodeName"] = "a-node" if scheduled else ""
        unpacked = {"terminated": {"exitCode": 0}} if phase != "Pending" else {"waiting": {}}
        pod["status"] = {
            "phase": phase,
            "podIP": address,
            "conditions": [{"type": "PodScheduled", "status": "True" if scheduled else "False"}],
            "initContainerStatuses": [{"name": "determined-init-container", "state": unpacked}],
            "containerStatuses": [{"name": "determined-container", "state": state}],
        }
        self.store(self.PLACE + "pods/" + name, pod)

    def happens(self, name: str, message: str) -> None:
        """An event of the pod."""
        event = {"metadata": {"name": f"{name}.{self.version}", "creationTimestamp": "2026-11-25T13:22:21Z"}}
        path = f"{self.PLACE}events/{event['metadata']['name']}"
        self.store(path, {**event, "involvedObject": {"name": name}, "message": message})

    def only_pod(self) -> str:
        """The name of the pod that is made, once it is."""
        return next(iter(until("a pod to be made", lambda: self.named("pods"))))

    def answer(self, asked: Asked) -> tuple[int, Any]:
        kind, name = asked.place.kind, asked.place.name
        if kind == "nodes":
            return (503, {"message": "away"}) if self.nodes is None else (200, {"items": self.nodes})
        if kind == "services":
            return 200, {"spec": {"clusterIP": "10.1.2.3", "ports": [{"port": 8080}]}}
        if kind == "pods" and asked.method == "POST" and self.refusal:
            return 403, {"message": self.refusal}
        if kind == "configmaps" and asked.method == "POST" and _size(asked.body) > self.MOST:
            text = f"[]: Too long: must have at most {self.MOST} bytes"
            return 422, {"message": f'ConfigMap "{asked.body["metadata"]["name"]}" is invalid: {text}'}
        if kind == "pods" and asked.method == "DELETE" and asked.path in self.objects:
            self._end(name or "")
        if asked.place.part == "log" and asked.path.rpartition("/")[0] in self.objects:
            return 200, self._log(name or "")
        said = super().answer(asked)
        self._noted(asked, said[0])
        return said

    def _end(self, name: str) -> None:
        """What becomes of a pod that is deleted: it is marked, and what runs in it is killed."""
        pod = copy.deepcopy(self.objects[self.PLACE + "pods/" + name])
        pod["metadata"]["deletionTimestamp"] = "2026-11-25T13:22:21Z"
        self.store(self.PLACE + "pods/" + name, pod)
        if pod.get("status", {}).get("phase") == "Running":
            self.become(name, "Failed", code=137)

    def _noted(self, asked: Asked, status: int) -> None:
        kind = asked.place.kind
        if status == 201:
            self.made.append((kind, asked.body))
            if kind == "pods":
                self.logs[asked.body["metadata"]["name"]] = []
                self.become(asked.body["metadata"]["name"], "Pending")
        elif asked.method == "DELETE" and status == 200:
            self.deleted.append((kind, asked.place.name))

    def _log(self, name: str) -> Iterator[bytes]:
        """What the container has printed, and what it prints until it has ended."""
        sent, ended = 0, False
        while not ended:
            ended = self._has_ended(name)
            for text in self.logs[name][sent:]:
                yield text.encode()
                sent += 1
            time.sleep(0 if ended else 0.05)

    def _has_ended(self, name: str) -> bool:
        pod = self.objects.get(self.PLACE + "pods/" + name)
        return pod is None or "terminated" in pod["status"]["containerStatuses"][0]["state"]


def _size(configmap: dict[str, Any]) -> int:
    """The bytes of its values."""
    return sum(len(base64.b64decode(value)) for value in configmap.get("binaryData", {}).values())
