"""GitLab over HTTP: health, the sign-in page, git by git's own http-backend, and the REST API of api.py."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import api
import config
import repository
import services
import store
import worker

DENIED = "HTTP Basic: Access denied\n"
NOT_FOUND = "The project you were looking for could not be found or you don't have permission to view it."
SIGN_IN = """<!DOCTYPE html><title>Sign in · GitLab</title><h1>GitLab (a stand-in for it)</h1>
<form action="/users/sign_in" method="post"><input name="user[login]">
<input name="user[password]" type="password"></form>
"""
SIGN_UP = """<!DOCTYPE html><title>Sign up · GitLab</title><h1>GitLab (a stand-in for it)</h1>
<form action="/users" method="post"><input name="new_user[username]"></form>
"""


def settings() -> dict:
    return json.loads((config.DATA / "double/running.json").read_text())


class Handler(BaseHTTPRequestHandler):
    """One request. The services that are down decide what can be answered at all."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nginx", ""

    def answer(self) -> None:
        self.path_only, _, self.query = self.path.partition("?")
        self.body = self.read_body()
        if not all(map(services.pid, ("gitlab-workhorse", "puma"))):
            page = "<title>GitLab is not responding (502)</title>Whoops, GitLab is taking too much time to respond."
            return self.send(502, page, "text/html")
        if self.path_only in HEALTH:
            return self.health()
        if not all(map(services.pid, ("postgresql", "redis"))):
            return self.send(500, '{"message":"500 Internal Server Error"}', "application/json")
        if self.path_only.startswith("/api/"):
            return self.api()
        if ".git/" in self.path_only:
            return self.git()
        return self.page()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(parts)

    def send(self, status: int, body: str | bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)

    def health(self) -> None:
        allowed = settings().get("gitlab_rails.monitoring_whitelist", ["127.0.0.0/8", "::1/128"])
        peer = ipaddress.ip_address(self.client_address[0].replace("::ffff:", ""))
        plain = self.path_only == "/-/health"
        if not any(peer in ipaddress.ip_network(a, strict=False) for a in allowed):
            return self.send(404, "" if plain else "<title>Not Found</title>", "text/plain" if plain else "text/html")
        if plain:
            return self.send(200, "GitLab OK", "text/plain")
        said: dict[str, object] = {"status": "ok"}
        if self.path_only == "/-/readiness":
            said["master_check"] = [{"status": "ok"}]
            checks = CHECKS if "all=1" in self.query.split("&") else {}
            for name, service in checks.items():
                up = bool(services.pid(service))
                said[name] = [{"status": "ok"} if up else {"status": "failed", "message": f"{service} is down"}]
                said["status"] = said["status"] if up else "failed"
        return self.send(200 if said["status"] == "ok" else 503, json.dumps(said), "application/json")

    def page(self) -> None:
        if self.path_only == "/help":
            return self.send(200, "<title>Help · GitLab</title>", "text/html")
        if self.path_only == "/users/sign_in" and self.command in ("GET", "HEAD"):
            with store.opened() as kept:
                opened = kept.settings()["signup_enabled"]
            link = '<a href="/users/sign_up">Register now</a>' if opened else ""
            return self.send(200, SIGN_IN + link, "text/html")
        if self.path_only == "/users/sign_up" and self.command in ("GET", "HEAD"):
            return self.send(200, SIGN_UP, "text/html")
        if self.path_only == "/":
            return self.send(302, "", "text/html", {"Location": settings()["external_url"] + "/users/sign_in"})
        return self.send(404, "<title>The page you're looking for could not be found (404)</title>", "text/html")

    def api(self) -> None:
        asked = api.Asked(self.command, self.path, self.headers, self.body, settings()["external_url"])
        said = api.answer(asked)
        body = said.body if isinstance(said.body, bytes) else json.dumps(said.body, separators=(",", ":"))
        self.send(said.status, b"" if said.body is None else body, said.kind, {**api.HEADERS, **said.headers})

    # -- git ---------------------------------------------------------------------------------------------

    def git(self) -> None:
        path, _, rest = urllib.parse.unquote(self.path_only).partition(".git/")
        service = urllib.parse.parse_qs(self.query).get("service", [rest])[-1]
        if service not in ("git-upload-pack", "git-receive-pack"):
            return self.send(403, "", "text/plain")
        with store.opened() as kept:
            refused = git_refused(kept, self.credentials(), path.strip("/"), service == "git-receive-pack")
            project = api.project_of(kept, path.strip("/"))
        if refused:
            status, text = refused
            challenge = {"WWW-Authenticate": 'Basic realm="GitLab"'} if text == DENIED else {}
            return self.send(status, text, "text/plain", challenge)
        if not services.pid("gitaly"):
            return self.send(503, "", "text/plain")
        with tempfile.NamedTemporaryFile("r", prefix="gitlab-push") as moved:
            kept = repository.Repository(project)
            kept.refresh()
            said = self.backend(kept, rest, {"GITLAB_DOUBLE_PUSH": moved.name})
            self.after_push(project, moved.read().splitlines())
        self.send(*said)

    def after_push(self, project: dict, lines: list[str]) -> None:
        """Sidekiq is told which refs have moved; of more than four no pipelines are made."""
        options = [line.partition(" ")[2] for line in lines if line.startswith("option ")]
        moved = [line.split(" ") for line in lines if not line.startswith("option ")]
        if not moved or len(moved) > 4:
            return
        with store.opened() as kept:
            user = git_user(kept, *(self.credentials() or ("", "")))[0]
            for old, new, ref in moved if user else []:
                worker.pushed(kept, project, user, (old, new, ref), options)

    def credentials(self) -> tuple[str, str] | None:
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        name, _, password = base64.b64decode(text).decode(errors="replace").partition(":")
        return name, password

    def backend(self, kept: repository.Repository, rest: str, more: dict[str, str]) -> tuple:
        """What git's own program answers: status, body, kind and headers."""
        env = {**os.environ, "GIT_PROJECT_ROOT": str(kept.path), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": "/" + rest,
               "REQUEST_METHOD": self.command, "QUERY_STRING": self.query, "REMOTE_USER": "git", "REMOTE_ADDR": "-",
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(self.body)),
               "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), **repository.OWNER, **more}  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=self.body, env=env, stdout=subprocess.PIPE)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        kept.settle_head()
        return status, body, headers.pop("Content-Type", "text/plain"), headers


HEALTH = ("/-/health", "/-/readiness", "/-/liveness")
CHECKS = {"db_check": "postgresql", "redis_check": "redis", "cache_check": "redis", "queues_check": "redis",
          "shared_state_check": "redis", "gitaly_check": "gitaly"}  # fmt: skip


def git_user(kept: store.Store, name: str, password: str) -> tuple[dict | None, set[str]]:
    """(user, scopes) of git's credentials: a job's token while it runs, a user's token, or a password."""
    if name == "gitlab-ci-token":
        job = kept.one("job", token=password, status="running")
        pipeline = kept.one("pipeline", id=job["pipeline_id"]) if job else None
        return kept.one("user", id=pipeline["user_id"]) if pipeline else None, {"read_repository"}
    token = kept.one("token", digest=store.digest(password))
    if token:
        user = kept.one("user", id=token["user_id"]) if api.is_usable(token) else None
        return user, set(token["scopes"])
    user = kept.one("user", username=name) if kept.settings()["password_authentication_enabled_for_git"] else None
    return user if user and store.is_password(user, password) else None, {"api"}


def git_refused(kept: store.Store, said: tuple[str, str] | None, path: str, push: bool) -> tuple[int, str] | None:
    """(status, text) when git may not; None when it may."""
    project = api.project_of(kept, path)
    if said is None:
        return None if project and project["visibility"] == "public" and not push else (401, DENIED)
    user, scopes = git_user(kept, *said)
    if not user:
        return 401, DENIED
    if user["state"] != "active":
        return 403, "Your account has been blocked."
    if not project or not api.may_read(user, project):
        return 404, NOT_FOUND
    if push and not scopes & {"api", "write_repository"}:
        return 403, "You are not allowed to upload code."
    if not push and not scopes & {"api", "read_repository"}:
        return 403, "You are not allowed to download code."
    return (
        (403, "You are not allowed to push code to this project.")
        if push and not api.may_write(user, project)
        else None
    )


class Status(BaseHTTPRequestHandler):
    """nginx's own status, for the host itself."""

    server_version, sys_version = "nginx", ""

    def do_GET(self) -> None:
        peer = self.client_address[0]
        known = self.path == "/nginx_status"
        status = 404 if not known else 200 if peer == "127.0.0.1" else 403
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"Active connections: 1 \n" if status == 200 else b"")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def gossip() -> None:
    """Alertmanager's port for others of its kind, on every address unless it is told of one."""
    Path("/proc/self/comm").write_text("alertmanager")
    said = settings().get("alertmanager.flags", {}).get("cluster.listen-address") or f":{config.GOSSIP_PORT}"
    address, _, port = said.rpartition(":")
    with socket.create_server((address, int(port))):
        signal.pause()


def main() -> None:
    url = urllib.parse.urlsplit(settings()["external_url"])
    Path("/proc/self/comm").write_text("nginx")  # as the host's list of listeners names the real one
    port = settings().get("nginx.listen_port") or url.port or 80
    status = settings().get("nginx.status") or {}
    for address in status.get("listen_addresses", ["*"]):
        own = Server((address.strip("*"), status.get("port", config.STATUS_PORT)), Status)
        threading.Thread(target=own.serve_forever, daemon=True).start()
    worker.start(settings()["external_url"])
    Server(("", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    gossip() if sys.argv[1:] == ["gossip"] else main()
