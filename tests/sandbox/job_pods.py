"""Kubernetes and GitLab around the double of gitlab-runner: commands are processes, and jobs are a test's."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import spdy
from kubernetes_api import Api, Asked

from helpers.sandbox import processes
from tests.serving import Request

SPACE = "/api/v1/namespaces/jobs/"


class JobPods(Api):
    """Pods of jobs: each runs at once, or becomes what `status` says. An exec runs its command in an image's files.

    made: every pod's and secret's body as it came. deleted: paths. commands: (container, words).
    refusal: why none is made.
    """

    def __init__(self, folder: Path, image: Path, builds: Path):
        super().__init__(tells=False)
        self.RequestHandlerClass = _handler(self.RequestHandlerClass)
        self.secured(folder)
        self.account, self.image, self.builds = folder, image, builds
        self.made: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.commands: list[tuple[str, list[str]]] = []
        self.asked: list[tuple[str, str]] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.refusal = ""
        self.status: dict[str, Any] = {"phase": "Running"}

    def answer(self, asked: Asked) -> tuple[int, Any]:
        self.asked.append((asked.method, asked.place.kind + ("/" + asked.place.part if asked.place.part else "")))
        if asked.method == "DELETE":
            self.deleted.append(asked.path)
        if asked.method != "POST":
            return super().answer(asked)
        if self.refusal:
            return 403, {"message": self.refusal}
        self.made.append(asked.body)
        about = asked.body["metadata"]
        named = {**asked.body, "metadata": {**about, "name": about["generateName"] + f"x{len(self.made):04}"}}
        if asked.place.kind == "pods":
            named["status"] = self.status
        return super().answer(asked._replace(body=named))

    def pods(self) -> list[dict[str, Any]]:
        return [one for one in self.made if one["kind"] == "Pod"]

    def become(self, **status: Any) -> None:
        """Every pod that is there has this status, and so has the next one."""
        self.status = status
        for path, pod in list(self.objects.items()):
            self.store(path, {**pod, "status": status})

    def start(self, container: str, words: list[str]) -> subprocess.Popen[bytes]:
        """The command in the container: a process in the image's files, with the container's environment."""
        self.commands.append((container, words))
        spec = next(c for c in self.pods()[-1]["spec"]["containers"] if c["name"] == container)
        env = {**processes.MINIMAL, **{e["name"]: e["value"] for e in spec["env"]}}
        argv = processes.entered(self.image, words, {self.builds: "/builds"})
        pipe = subprocess.PIPE
        self.processes.append(subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, stderr=pipe))
        return self.processes[-1]


def _handler(base: type) -> type:
    class Handler(base):
        def do_POST(self):
            url = urlsplit(self.path)
            if not url.path.endswith("/exec"):
                return self.do()
            self.server.asked.append(("POST", "pods/exec"))
            query = parse_qs(url.query)
            assert self.headers["Authorization"] == "Bearer " + self.server.token
            assert self.headers["Upgrade"] == "SPDY/3.1"
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "SPDY/3.1")
            self.send_header("X-Stream-Protocol-Version", self.headers["X-Stream-Protocol-Version"])
            self.end_headers()
            self.converse(query["container"][0], query["command"])

        def converse(self, container, words):
            self.close_connection = True
            streams = spdy.Streams(self.rfile, self.wfile)
            streams.open({"error", "stdin", "stdout", "stderr"})
            try:
                code = streams.serve(self.server.start(container, words))
                streams.send("error", json.dumps(_status(code)).encode(), end=True)
                self.rfile.read()
            except OSError:
                pass  # the runner does not want to know any more

    return Handler


def _status(code: int) -> dict[str, Any]:
    """What the API server says at a command's end."""
    if code == 0:
        return {"status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    text = f"command terminated with non-zero exit code: Error executing in Docker Container: {code}"
    return {"status": "Failure", "reason": "NonZeroExitCode", "message": text, "details": {"causes": causes}}


class GitLab:
    """GitLab's answers: jobs waits to be handed out, and what the runner says of them is kept.

    says: {(method, what): answers to give first}; what is runners, verify, request, trace, job or artifacts.
    """

    def __init__(self, repositories: Path):
        self.repositories = repositories
        self.jobs: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.traces: dict[str, bytes] = {}  # by the job's number
        self.ranges: list[tuple[int, int]] = []
        self.ended: list[dict[str, Any]] = []
        self.artifacts: list[tuple[str, dict[str, str], bytes]] = []
        self.agents: set[str] = set()
        self.says: dict[str, list[tuple]] = {}
        self.pace = {"X-GitLab-Trace-Update-Interval": "1"}
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> tuple:
        path, _, query = request.path.partition("?")
        if not path.startswith("/api/v4/"):
            return self._git(request, path, query)
        self.agents.add(request.headers["User-Agent"])
        what = _what(path)
        with self.lock:
            if self.says.get(what):
                return self.says[what].pop(0)
            return getattr(self, "_" + what)(request, path, query)

    def _register(self, request, _path, _query):
        if request.method == "DELETE":
            return 204, b""
        return 201, {"id": 1, "token": "runner-token-of-1"}

    def _verify(self, _request, _path, _query):
        return 200, b""

    def _request(self, request, _path, _query):
        self.requests.append(request.json())
        return (201, self.jobs.pop(0)) if self.jobs else (204, b"", {"X-GitLab-Last-Update": "cursor-1"})

    @property
    def trace(self) -> bytes:
        """The first job's log."""
        return next(iter(self.traces.values()), b"")

    def _trace(self, request, path, _query):
        number = path.split("/")[-2]
        trace = self.traces.setdefault(number, b"")
        if request.headers["JOB-TOKEN"] != "job-token":
            return 403, {}
        first, last = map(int, request.headers["Content-Range"].split("-"))
        self.ranges.append((first, last))
        if last - first + 1 != len(request.body):
            return 400, {}
        if first == 0:  # as a runner begins anew
            trace = b""
        if first != len(trace):
            return 416, b"", {"Range": f"0-{len(trace)}"}
        self.traces[number] = trace + request.body
        return 202, b"", {"Range": f"0-{len(self.traces[number])}", "Job-Status": "running", **self.pace}

    def _job(self, request, _path, _query):
        said = request.json()
        if said["state"] != "running":
            self.ended.append(said)
        return 200, "true"

    def _artifacts(self, request, path, query):
        if request.method == "GET":
            return 200, self.artifacts[0][2], {"Content-Type": "application/zip"}
        body = request.body
        boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
        head, _, rest = body.partition(b"\r\n\r\n")
        name = re.search(rb'filename="([^"]*)"', head)[1].decode()
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        self.artifacts.append((name, asked, rest.partition(b"\r\n--" + boundary)[0]))
        return 201, {"id": 1}

    # -- git over HTTP, by git's own program ---------------------------------------------------------

    def _git(self, request, path, query):
        expected = "Basic " + base64.b64encode(b"gitlab-ci-token:job-token").decode()
        if request.headers["Authorization"] != expected:
            return 401, b"", {"WWW-Authenticate": 'Basic realm="GitLab"'}
        self.agents.add(request.headers["User-Agent"])
        body = request.body
        if request.headers["Content-Encoding"] == "gzip":
            body = zlib.decompress(body, 31)
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers["Content-Type"] or "",
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": request.headers["Git-Protocol"] or "",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "uploadpack.allowAnySHA1InWant",
            "GIT_CONFIG_VALUE_0": "true",
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return int(fields.pop("Status", "200").split()[0]), content, fields


def _what(path: str) -> str:
    """Which of GitLab's resources a path names."""
    rest = path.removeprefix("/api/v4/")
    known = {"runners": "register", "runners/verify": "verify", "jobs/request": "request"}
    end = rest.rpartition("/")[2]
    return known.get(rest) or (end if end in ("trace", "artifacts") else "job")
