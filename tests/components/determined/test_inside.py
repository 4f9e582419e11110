"""What `./runbook notebook --verify` gives its pod, and what it does not."""

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
import stand_in
from serving import serving

from helpers.components.determined import inside, notebook, task_files
from helpers.core.errors import BadInput
from helpers.core.secrets import SecretStore


class Master:
    """Determined's master with one notebook, that starts when it is asked for. sent: the request."""

    def __init__(self, running=False):
        self.sent, self.running = None, running

    def __call__(self, request):
        if request.path == "/api/v1/auth/login":
            return 200, {"token": "a-token-of-the-masters"}
        if request.path == "/api/v1/notebooks" and request.method == "POST":
            self.sent = request.json()
            return 200, {"notebook": {"id": "task-1", "serviceAddress": "/proxy/task-1/lab"}}
        if request.path == "/api/v1/notebooks":
            one = {"id": "t", "description": "runbook", "username": "operator", "state": "STATE_RUNNING"}
            return 200, {"notebooks": [dict(one, serviceAddress="/proxy/t/lab")] if self.running else []}
        if request.path == "/notebooks/task-1":
            return 200, {"state": "RUNNING"}
        if request.path == "/proxy/task-1/lab":
            return 200, "<title>JupyterLab</title>"
        return 200, {}


@pytest.fixture
def asked(monkeypatch, own_home):
    """asked(master, **options) -> what the command said and [(script, stdin)] of the host."""
    store = SecretStore("local")
    for name in ("minio-root", "determined-operator", "label-studio-token", "postgres-mlflow"):
        store.keep(name, "the-value-of-" + name)

    def run(master, **options):
        lines, scripts = [], []

        def answer(script, stdin):
            scripts.append((script, stdin))
            return "127.0.0.1" if "clusterIP" in script else ""

        with serving(master) as web:
            ch = stand_in.chapter(monkeypatch, "determined", answer, port=web.port, minio_host="10.0.1.1")
            ch.installed = {"minio": {"port": 9010, "buckets": ["detai"], "mode": "install", "target": "local"}}
            try:
                notebook.run(ch, lines.append, **options)
            finally:
                ch.close()
        return lines, scripts

    return run


def files(master):
    return {
        f["path"]: base64.b64decode(f["content"]).decode("utf-8", "replace")
        for f in master.sent["files"]
        if f["content"]
    }


def secret(scripts):
    (made,) = [stdin for script, stdin in scripts if script.startswith("microk8s kubectl create -f -")]
    return json.loads(made)


def test_a_pod_that_verifies_has_parameters_address_and_the_secrets_of_its_services(asked):
    master = Master()
    said, scripts = asked(master, verify=True)
    made = secret(scripts)
    data = {name: base64.b64decode(text).decode() for name, text in made["data"].items()}
    assert made["metadata"] == {"name": "determined-incluster", "namespace": "determined"}
    assert data["address"] == "10.0.1.1"
    assert set(json.loads(data["secrets.json"])) >= {"minio-root", "determined-operator", "label-studio-token"}
    assert "postgres-mlflow" not in json.loads(data["secrets.json"]), "no chapter there asks for it"
    (volume,) = [
        v for v in master.sent["config"]["environment"]["pod_spec"]["spec"]["volumes"] if "incluster" in v["name"]
    ]
    assert volume["secret"] == {"secretName": "determined-incluster", "optional": False}
    book = "".join(files(master)["notebooks/05_minio.ipynb"])
    assert "port = 9010" in book and "target = 'incluster'" in book and "mode = 'verify'" in book
    assert not [path for path, text in files(master).items() if "the-value-of" in text], "files lie in a ConfigMap"
    assert not [script for script, _ in scripts if "the-value-of" in script]
    assert any("papermill notebooks/05_minio.ipynb" in line for line in said)


def test_one_that_was_not_asked_for_has_none_of_it(asked):
    master = Master()
    _, scripts = asked(master)
    assert not any("create" in script for script, _ in scripts)
    assert "determined-incluster" not in json.dumps(master.sent["config"])
    assert 'target = \\"sandbox\\"' in files(master)["notebooks/05_minio.ipynb"]


def test_one_that_runs_is_given_nothing_and_stop_takes_it_back(asked):
    with pytest.raises(BadInput, match="give the platform's passwords") as e:
        asked(Master(running=True), verify=True)
    assert "--stop" in e.value.do
    _, scripts = asked(Master(running=True), stop=True)
    assert any(s.startswith("microk8s kubectl delete secret determined-incluster -n determined") for s, _ in scripts)


def test_the_hook_puts_the_secrets_where_chapters_look_and_nobody_else(tmp_path):
    (tmp_path / "secrets.json").write_text('{"minio-root": "x"}')
    hook = dict(task_files.runbooks())["startup-hook.sh"].read_text().replace(inside.PLACE, str(tmp_path))
    (tmp_path / "python3").write_text("#!/bin/sh\n")
    (tmp_path / "python3").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path / "root")}
    subprocess.run(["bash", "-ec", hook], cwd=tmp_path, env=env, check=True, capture_output=True)
    path = Path(env["HOME"], ".mlops-runbook/secrets/incluster.json")
    assert json.loads(path.read_text()) == {"minio-root": "x"} and path.stat().st_mode & 0o77 == 0
    assert path.parent.stat().st_mode & 0o77 == 0
