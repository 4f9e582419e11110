"""What `./runbook notebook --verify` gives its pod, and what it does not."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import programs
import pytest
import stand_in
from serving import serving

from helpers.components.determined import inside, notebook, run_chapters, task_files
from helpers.core.errors import BadInput, RunbookError, Unmet
from helpers.core.secrets import SecretStore


class Asked(NamedTuple):
    """What the command said, [(script, stdin)] of the host, and the Outcomes."""

    lines: list
    scripts: list
    came: list | None = None

    @property
    def took_back(self):
        return any("delete secret determined-incluster -n determined" in script for script, _ in self.scripts)


EVENT = {"kind": "step", "title": "the user exists", "state": "left out", "note": "needs the host", "seconds": 0.1}
TOLD = {"error": "", "events": [EVENT], "notebook": '{"cells": []}', "seconds": 2.5}
#: a pod in which the helpers load, and chapter 05 is verified
WELL = {"python3 -c": "Chapter", "run_chapters": "a line before\n" + json.dumps([TOLD])}


class Master:
    """Determined's master with one notebook, that starts when it is asked for. sent: the request; killed: tasks."""

    def __init__(self, running=False, ends=False):
        self.sent, self.running, self.ends, self.killed, self.log = None, running, ends, [], []

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
            return 200, {"state": "TERMINATED" if self.ends else "RUNNING", "exit_status": "no room"}
        if request.path == "/notebooks/task-1/events":
            return 200, [{"log_event": line} for line in self.log]
        if request.path.endswith("/kill"):
            self.killed.append(request.path.split("/")[-2])
        if request.path == "/proxy/task-1/lab":
            return 200, "<title>JupyterLab</title>"
        return 200, {}


@pytest.fixture
def asked(monkeypatch, own_home):
    """asked(master, **options) -> an Asked. pod: {a part of a script: what the cluster says to it}."""
    store = SecretStore("local")
    for name in ("minio-root", "determined-operator", "label-studio-token", "postgres-mlflow"):
        store.keep(name, "the-value-of-" + name)

    def run(master, pod=WELL, **options):
        lines, scripts = [], []

        def answer(script, stdin):
            scripts.append((script, stdin))
            said = {"clusterIP": "127.0.0.1", **pod}
            return next((text for part, text in said.items() if part in script), "")

        with serving(master) as web:
            ch = stand_in.chapter(monkeypatch, "determined", answer, port=web.port, minio_host="10.0.1.1")
            ch.installed = {"minio": {"port": 9010, "buckets": ["detai"], "mode": "install", "target": "local"}}
            run.asked = Asked(lines, scripts)
            try:
                came = notebook.run(ch, lines.append, **options)
            finally:
                ch.close()
        return run.asked._replace(came=came)

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
    said, scripts, came = asked(master, verify=True)
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
    (size,) = [line for line in said if line.startswith("files")]
    assert "of 3.94 MiB in Determined's request" in size and "of 0.64 MiB packed" in size
    (outcome,) = came
    assert (outcome.id, outcome.error, outcome.events, outcome.seconds) == ("minio", "", [EVENT], 2.5)
    assert outcome.parameters["target"] == "incluster" and outcome.parameters["port"] == 9010
    (run,) = [script for script, _ in scripts if "run_chapters" in script]
    assert run.startswith("microk8s kubectl exec -n determined ") and "notebooks/05_minio.ipynb" in run


def test_one_that_was_not_asked_for_has_none_of_it(asked):
    master = Master()
    scripts = asked(master).scripts
    assert not any("create" in script for script, _ in scripts)
    assert "determined-incluster" not in json.dumps(master.sent["config"])
    assert 'target = \\"sandbox\\"' in files(master)["notebooks/05_minio.ipynb"]


def test_one_that_runs_without_them_is_given_nothing_and_stop_takes_it_back(asked):
    with pytest.raises(BadInput, match="give the platform's passwords") as e:
        asked(Master(running=True), verify=True)
    assert "--stop" in e.value.do
    assert asked(Master(running=True), stop=True).took_back


def test_one_that_runs_with_them_verifies_once_more(asked):
    master = Master(running=True)
    said = asked(master, {**WELL, "secretName": "determined-pip determined-incluster"}, verify=True)
    assert master.sent is None and master.killed == [] and [o.id for o in said.came] == ["minio"]


def test_verify_and_stop_leaves_nothing_whatever_came_of_it(asked):
    master = Master()
    said = asked(master, verify=True, stop=True)
    assert master.killed == ["task-1"] and said.took_back and said.came[0].error == ""
    assert not any("papermill notebooks" in line for line in said.lines), "there is nothing to go on with"
    master = Master()
    with pytest.raises(RunbookError, match="run chapters in the notebook") as e:
        asked(master, {**WELL, "run_chapters": (1, "", "No module named papermill")}, verify=True, stop=True)
    assert "No module named papermill" in e.value.saw and e.value.entry == "det-notebook"
    assert master.killed == ["task-1"] and asked.asked.took_back


def test_one_that_does_not_start_keeps_no_passwords(asked):
    with pytest.raises(RunbookError):
        asked(Master(ends=True), verify=True)
    assert asked.asked.took_back


def test_where_the_helpers_do_not_load_no_chapter_is_run(asked):
    master, last = Master(), "ModuleNotFoundError: No module named 'minio'"
    built = "ERROR: Could not find a version that satisfies the requirement pytest-runner"
    master.log = ["Looking in indexes", "      " + built, "    result = f()", "ValueError: ZIP", "runbook: pip failed"]
    with pytest.raises(Unmet) as e:
        asked(master, {**WELL, "python3 -c": last}, verify=True)
    assert [line.strip() for line in e.value.saw.splitlines()] == [
        last,
        built,
        "ValueError: ZIP",
        "runbook: pip failed",
    ]
    assert not any("run_chapters" in script for script, _ in asked.asked.scripts)


@pytest.mark.parametrize("only", ["seldon", "minio,seldon", "postgres"])
def test_a_chapter_that_is_not_there_or_not_for_this_is_refused_before_anything_starts(asked, only):
    master = Master()
    with pytest.raises(BadInput) as e:
        asked(master, verify=True, only=only)
    assert e.value.saw == "there can be verified: minio" and master.sent is None
    assert [o.id for o in asked(Master(), verify=True, only="05").came] == ["minio"]


def test_a_tunnel_has_no_end_so_no_chapter_is_verified_before_it(asked):
    with pytest.raises(BadInput, match="verify chapters"):
        asked(Master(), verify=True, tunnel=True)


def _error(name, lines):
    return {"output_type": "error", "ename": name, "evalue": "'x'", "traceback": lines}


@pytest.mark.parametrize(
    "outputs, said, error",
    [
        ([_error("Verdict", ["error  verify: 1 of 3", "saw    y"])], "", "error  verify: 1 of 3\nsaw    y"),
        ([_error("KeyError", ["..."])], "", "KeyError: 'x'"),
        ([{"output_type": "stream", "text": "fine"}], "1\n2\nno such kernel\n", "1\n2\nno such kernel"),
        ([], "", "papermill said nothing"),
    ],
)
def test_why_a_chapter_ended_is_told_for_a_person(outputs, said, error):
    book = json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}, {"cell_type": "markdown"}]})
    assert run_chapters.error_of(book, said) == error


def test_the_hook_puts_the_secrets_where_chapters_look_and_nobody_else(tmp_path):
    (tmp_path / "secrets.json").write_text('{"minio-root": "x"}')
    hook = dict(task_files.runbooks())["startup-hook.sh"].read_text().replace(inside.PLACE, str(tmp_path))
    programs.put(tmp_path, "python3")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path / "root")}
    subprocess.run(["bash", "-ec", hook], cwd=tmp_path, env=env, check=True, capture_output=True)
    path = Path(env["HOME"], ".mlops-runbook/secrets/incluster.json")
    assert json.loads(path.read_text()) == {"minio-root": "x"} and path.stat().st_mode & 0o77 == 0
    assert path.parent.stat().st_mode & 0o77 == 0
