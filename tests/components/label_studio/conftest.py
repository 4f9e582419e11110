"""A Label Studio of a few lines, an S3 gateway beside it, and bash for the scripts that run on a host."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.parse
from pathlib import Path

import pytest
import stand_in
from serving import serving

from helpers.components import minio
from helpers.components.label_studio.client import LabelStudio
from helpers.components.label_studio.gateway import Gateway
from helpers.components.label_studio.layout import SCRIPTS
from helpers.components.pachyderm.client import Pachyderm
from helpers.core import catalogue, shell

LEGACY = "0123456789abcdef"


@pytest.fixture
def serve():
    """serve(answer) -> its port on loopback, as serving.serving has it; after serve.stop() nobody listens there."""
    with contextlib.ExitStack() as servers:

        def start(answer):
            return servers.enter_context(serving(answer)).port

        start.stop = servers.close
        yield start


class Server:
    """Knows one refresh token; its access tokens are good for one request each, to see that new ones are fetched.

    routes: {(method, path): the JSON that it answers, or a function of the content that was sent}.
    """

    def __init__(self):
        self.good, self.handed, self.revoked, self.password = set(), 0, False, ""
        self.routes, self.asked = {}, []
        self.sign_up_is_open, self.accounts = False, []

    def answer(self, request):
        if request.path == "/user/login/":
            right = urllib.parse.parse_qs(request.body.decode()).get("password") == [self.password]
            let_in = {"Location": "/projects/", "Set-Cookie": "sessionid=ours; Path=/"}
            return (302, "", let_in) if request.method == "POST" and right else (200, "a form")
        if request.path == "/user/signup/":
            return self._sign_up(urllib.parse.parse_qs(request.body.decode())), ""
        status, content = self._api(request.method, request.path, request.headers, request.json())
        return status, json.dumps(content), {"Content-Type": "application/json"}

    def _sign_up(self, form):
        """As Label Studio does: first whether anybody may, then whether the form is whole."""
        if not self.sign_up_is_open:
            return 403
        if "email" in form and "password" in form:
            self.accounts.append(form["email"])
            return 302
        return 200

    def _api(self, method, path, headers, content):
        if path == "/api/token/refresh/":
            if self.revoked:
                return 401, {"detail": "Token is blacklisted"}
            self.handed += 1
            self.good.add(f"access-{self.handed}")
            return 200, {"access": f"access-{self.handed}"}
        kind, _, value = headers.get("Authorization", " ").partition(" ")
        person = "sessionid=ours" in headers.get("Cookie", "")
        if not (person or kind == "Token" and value == LEGACY or kind == "Bearer" and value in self.good):
            return 401, {"detail": "Invalid token."}
        self.good.discard(value)
        self.asked.append((method, path, content))
        said = self.routes.get((method, path.split("?")[0]), {"path": path})
        if path.split("?")[0].endswith("/tasks/") and method == "GET" and not said:
            return 404, {"detail": "Not found."}  # as 1.23.2 answers for a page of none
        return said(content) if callable(said) else (200, said)

    def sent(self, method):
        """(path, content) of the requests by this method."""
        return [(path, content) for m, path, content in self.asked if m == method]


@pytest.fixture
def make(own_home, monkeypatch, serve):
    """make(artifact, token, answer) -> a LabelStudio whose port leads to the small server, its `.server`.

    answer(script, stdin): what the host says.
    """

    def client(name="label-studio", token="auto", answer=lambda script, stdin: ""):
        server = Server()
        ch = stand_in.chapter(monkeypatch, "label_studio", answer)
        version = catalogue.load()[name].version
        ls = LabelStudio(ch, version, port=serve(server.answer), listen="127.0.0.1", admin="a@b", token=token)
        ls.server, server.password = server, ls.password.reveal()
        return ls

    return client


@pytest.fixture
def known(make):
    """A LabelStudio of 1.23 with a token that the small server takes."""
    ls = make()
    ls.ch.secrets.keep("label-studio-token", "the-refresh-token")
    return ls


def _xml(kind, inside):
    return f'<{kind} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{kind}>'.encode()


@pytest.fixture
def gateway(known, serve, monkeypatch):
    """A Gateway on an S3 server whose `.buckets` are {name: {key: bytes}}."""
    buckets = {}
    when = "2021-06-01T00:00:00.000Z"

    def answer(request):
        bucket, _, key = urllib.parse.unquote(request.path.split("?")[0]).strip("/").partition("/")
        if key:
            return 200, buckets[bucket][key]
        if bucket:
            rest = f"<LastModified>{when}</LastModified><Size>1</Size>"
            inside = "".join(f"<Contents><Key>{key}</Key>{rest}</Contents>" for key in buckets[bucket])
            return 200, _xml("ListBucketResult", f"<Name>{bucket}</Name>{inside}")
        rest = f"<CreationDate>{when}</CreationDate>"
        inside = "".join(f"<Bucket><Name>{name}</Name>{rest}</Bucket>" for name in buckets)
        return 200, _xml("ListAllMyBucketsResult", f"<Buckets>{inside}</Buckets>")

    monkeypatch.setattr(Pachyderm, "s3", minio.connect(f"127.0.0.1:{serve(answer)}"))
    made = Gateway(Pachyderm(known.ch))
    made.buckets = buckets
    return made


@pytest.fixture
def on_host(tmp_path):
    """on_host(script, *arguments, stdin=, **programs) -> (exit code, output) of one of the room's scripts.

    programs: {name: text of a bash program that stands in for the host's}.
    """

    def run(name, *arguments, stdin="", **programs):
        folder = tmp_path / "programs"
        folder.mkdir(exist_ok=True)
        for program, text in programs.items():
            _program(folder / program, text)
        command = ["bash", "--norc", "-euo", "pipefail", "-c", shell.script(SCRIPTS / name, *arguments)]
        env = dict(os.environ, PATH=f"{folder}:/usr/bin:/bin")
        done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    return run


def _program(path: Path, text):
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)
