"""Tasks of the double of determined-master as pods: its image as it is, over a stand-in for Kubernetes' API server."""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tomllib
from typing import NamedTuple

import determined_recording as recording
import pytest
from image_files import unpacked
from kubernetes_api import Pods
from test_determined_double import Master, database, pytestmark  # noqa: F401

from helpers.sandbox import builds, processes
from tests.serving import serving, until

AGENT_FAILED = "task failed without an associated exit code: agent failed while container was running"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    root, config = unpacked("determined-master", "determined-master", tmp_path_factory.mktemp("image") / "root")
    if os.environ.get("RUNBOOK_DETERMINED_BIN"):
        shutil.copy(os.environ["RUNBOOK_DETERMINED_BIN"], root / "usr/bin/determined-master")
    (root / "var").mkdir(exist_ok=True)
    (root / "var/run").symlink_to("../run")
    return root, config["Entrypoint"]


@pytest.fixture
def api(tmp_path):
    with Pods(tmp_path / "serviceaccount") as server:
        yield server


class InPod(Master):
    """The image's program with a service account, as in a pod."""

    def __init__(self, image, api, database, folder, **manager):  # noqa: F811
        super().__init__(
            "",
            database,
            folder,
            resource_manager={
                "type": "kubernetes",
                "namespace": "default",
                "max_slots_per_pod": 0,
                "master_service_name": "master",
                **manager,
            },
        )
        self.root, self.argv = image
        self.api = api

    def __enter__(self):
        binds = {self.file.parent: "/etc/determined", self.api.account: "/run/secrets/kubernetes.io/serviceaccount"}
        env = {
            **processes.MINIMAL,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.api.port),
        }
        self.start(processes.entered(self.root, self.argv, binds), env)
        self.wait()
        self.token = self.login()
        return self

    def launch(self, kind: str, **request) -> str:
        answer = self.ask("POST", f"/api/v1/{kind}s", self.token, json=request)
        assert answer.status_code == 200, answer.text
        return answer.json()[kind]["id"]

    def summary(self, kind: str, task: str) -> dict:
        return self.ask("GET", f"/{kind}s/{task}", self.token).json()

    def state(self, kind: str, task: str, wanted: str) -> dict:
        """The summary, once the task is in that state."""
        until(f"{kind} to be {wanted}", lambda: self.summary(kind, task)["state"] == wanted)
        return self.summary(kind, task)

    def lines(self, kind: str, task: str) -> list[str]:
        return [e["log_event"] for e in self.ask("GET", f"/{kind}s/{task}/events", self.token).json() if e["log_event"]]


@pytest.fixture
def master(image, api, database, tmp_path):  # noqa: F811
    (tmp_path / "etc").mkdir()
    with InPod(image, api, database, tmp_path / "etc") as running:
        yield running


def file(path, content=b"", **more):
    return {
        "path": path,
        "type": 48,
        "content": base64.b64encode(content).decode(),
        "mode": 0o640,
        "mtime": "1700000000",
        "uid": 0,
        "gid": 0,
        **more,
    }


class Entry(NamedTuple):
    """A file or folder of an archive; content: None for a folder."""

    mode: int
    mtime: int
    content: bytes | None


def archives(made) -> list[dict[str, Entry]]:
    """The entries of each of the ConfigMap's archives, by their names."""
    found = []
    for number in range(6):
        packed = base64.b64decode(made["configmaps"]["binaryData"][f"{number}.tar.gz"])
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
            files = {one.name: tar.extractfile(one).read() if one.isfile() else None for one in tar.getmembers()}
            found.append({one.name: Entry(one.mode, one.mtime, files[one.name]) for one in tar.getmembers()})
    return found


def container(made) -> dict:
    return next(c for c in made["pods"]["spec"]["containers"] if c["name"] == "determined-container")


def environment(made) -> dict[str, str]:
    return {e["name"]: e["value"] for e in container(made)["env"]}


def mounted(made) -> dict[str, str]:
    """{where in determined-container: which entry of which archive}"""
    mounts = container(made)["volumeMounts"]
    return {m["mountPath"]: m["subPath"] for m in mounts if m["name"] == "additional-files-volume"}


def events(master, kind: str, task: str) -> list[str]:
    """The names of a task's events, in order."""
    told = master.ask("GET", f"/{kind}s/{task}/events", master.token).json()
    return [name for event in told for name in event if name.endswith("_event") and event[name] is not None]


COMMAND = {"entrypoint": ["sh", "-c", "true"], "resources": {"slots": 0}}


def test_the_pod_of_a_command(master, api):
    task = master.launch(
        "command",
        config={
            **COMMAND,
            "environment": {"image": "busybox:1.35.0", "environment_variables": ["COLOUR=red"]},
        },
        files=[{"path": "a", "type": 53, "mode": 0o755}, file("a/b.txt", b"hello")],
    )
    name = api.only_pod()
    made = dict(api.made)
    pod, main = made["pods"], container(made)
    assert name.startswith(f"cmd-{task}-") and pod["metadata"]["labels"] == {"determined": task}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert (main["image"], main["command"], main["workingDir"]) == (
        "busybox:1.35.0",
        ["sh", "-c", "true"],
        "/run/determined/workdir",
    )
    assert main["resources"] == {kind: {"nvidia.com/gpu": "0"} for kind in ("limits", "requests")}
    assert main["securityContext"] == {"runAsUser": 0, "runAsGroup": 0}
    env = environment(made)
    assert env["DET_MASTER"] == "10.1.2.3:8080" and env["DET_TASK_ID"] == task and env["COLOUR"] == "red"
    assert env["DET_TASK_TOKEN"].startswith("v2.public.") and env["DET_SLOT_IDS"] == "[]"
    assert env["PYTHONUSERBASE"] == "/run/determined/pythonuserbase" and env["DET_USE_GPU"] == "false"
    assert env["DET_TRIAL_RUNNER_NETWORK_INTERFACE"] == "DET_AUTO_DETECT_NETWORK_INTERFACE"
    folders, account, harness, certificate, users, more = archives(made)
    workdir = folders["run/determined/workdir"]
    assert (workdir.content, workdir.mode, len(folders)) == (None, 0o700, 3)
    assert "run/determined/etc/passwd" in account and certificate == more == {}
    (wheel,) = harness
    assert wheel.startswith("opt/determined/wheels/determined-0.15.3-") and len(harness[wheel].content) > 340_000
    assert users["a/b.txt"] == Entry(0o640, 1700000000, b"hello")
    assert mounted(made)["/run/determined/workdir/a/b.txt"] == "4/a/b.txt"
    assert mounted(made)["/run/determined/workdir"] == "0/run/determined/workdir"


def test_its_files_are_unpacked_with_bash_seq_and_tar(master, api, tmp_path):
    master.launch("command", config=COMMAND, files=[file("a/b.txt", b"hello")])
    api.only_pod()
    made = dict(api.made)
    (init,) = made["pods"]["spec"]["initContainers"]
    script = "k8_init_container_entrypoint.sh"
    assert init["command"] == ["/run/determined/temp/" + script] and init["image"] == container(made)["image"]
    for name, value in made["configmaps"]["binaryData"].items():
        (tmp_path / name).write_bytes(base64.b64decode(value))
    (tmp_path / "out").mkdir()
    assert (tmp_path / script).read_text().startswith("#!/bin/bash\n")
    number, _, _ = init["args"]
    subprocess.run(["bash", tmp_path / script, number, tmp_path, tmp_path / "out"], check=True, capture_output=True)
    assert (tmp_path / "out/4/a/b.txt").read_bytes() == b"hello"
    for path in mounted(made).values():
        assert (tmp_path / "out" / path).exists(), path


def test_a_command_from_its_start_to_its_exit_status(master, api):
    task = master.launch("command", config=COMMAND)
    name = api.only_pod()
    assert master.summary("command", task)["state"] == "PENDING"
    shown = master.ask("GET", f"/api/v1/commands/{task}", master.token).json()["command"]
    assert (shown["state"], shown["container"]) == ("STATE_PENDING", None)
    api.happens(name, "Successfully assigned default/x to a-node")
    api.become(name, "Pending", running=True)
    assert master.state("command", task, "STARTING")["exit_status"] is None
    api.happens(name, "Started container determined-container")
    until("the second line", lambda: len(master.lines("command", task)) == 2)
    api.become(name, "Running", running=True)
    master.state("command", task, "RUNNING")
    api.happens(name, "of no interest any more")
    api.logs[name].append("first\nsecond\n")
    until("the output", lambda: len(master.lines("command", task)) == 3)
    shown = master.ask("GET", f"/api/v1/commands/{task}", master.token).json()["command"]
    assert shown["state"] == shown["container"]["state"] == "STATE_RUNNING"
    api.logs[name].append("last\n")
    until("its end", lambda: len(master.lines("command", task)) == 4)
    api.become(name, "Succeeded", code=0)
    assert master.state("command", task, "TERMINATED")["exit_status"] == "command exited successfully"
    mark = shown["container"]["id"][:8]
    lines = master.lines("command", task)
    assert [line.partition(" || ")[2] for line in lines] == [
        f"Pod {name}: Pod resources allocated.",
        f"Pod {name}: Started container determined-container",
        "first\nsecond",
        "last",
    ]
    assert all(re.fullmatch(rf"\[\S+Z\] {mark}", line.partition(" || ")[0]) for line in lines)
    assert lines[0].startswith("[2026-11-25T13:22:21Z] ")  # the event's time; output has the time of its reading
    assert events(master, "command", task) == [
        "scheduled_event",
        "assigned_event",
        "service_ready_event",
        "log_event",
        "log_event",
        "container_started_event",
        "log_event",
        "log_event",
        "exited_event",
    ]
    until("nothing to be left", lambda: set(api.deleted) == {("pods", name), ("configmaps", name)})


def test_the_output_of_a_command_that_was_never_seen_running_is_lost(master, api):
    task = master.launch("command", config=COMMAND)
    name = api.only_pod()
    api.logs[name].append("what went wrong\n")
    api.become(name, "Pending", running=True)
    master.state("command", task, "STARTING")
    api.become(name, "Failed", code=3)
    ended = master.state("command", task, "TERMINATED")
    assert ended["exit_status"] == "container failed with non-zero exit code:  (exit code 3)"
    assert master.lines("command", task) == []
    assert events(master, "command", task) == ["scheduled_event", "assigned_event", "exited_event"]


def test_an_image_that_is_not_there_is_waited_for(master, api):
    task = master.launch("command", config=COMMAND)
    name = api.only_pod()
    api.become(name, "Pending", running=True)
    master.state("command", task, "STARTING")
    for text in ('Failed to pull image "nobody": not found', "Error: ErrImagePull", 'Back-off pulling image "nobody"'):
        api.happens(name, text)
    until("its lines", lambda: len(master.lines("command", task)) == 3)
    assert master.lines("command", task)[-1].endswith(f' || Pod {name}: Back-off pulling image "nobody"')
    assert master.summary("command", task)["state"] == "STARTING"


MAIN = {
    "env of determined-container in environment.pod_spec, five of them": {"env": [{"name": n} for n in "abcde"]},
    'image of it, "busybox"': {"image": "busybox"},
    "command of it, of one word": {"command": ["x"]},
    "args of it, of one word": {"args": ["x"]},
    'workingDir of it, "/tmp"': {"workingDir": "/tmp"},
    "ports of it, one": {"ports": [{"containerPort": 1}]},
    "envFrom of it, one": {"envFrom": [{"secretRef": {"name": "x"}}]},
    "livenessProbe, readinessProbe, startupProbe, lifecycle of it": {
        name: {} for name in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
    },
    'terminationMessagePath "/x", terminationMessagePolicy "File", imagePullPolicy "Always" of it': {
        "terminationMessagePath": "/x",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always",
    },
    "securityContext of it": {"securityContext": {}},
}
CONFIGS = {
    'metadata.name "mine", metadata.namespace "mine", spec.hostNetwork true': {
        "environment": {
            "pod_spec": {"metadata": {"name": "mine", "namespace": "mine"}, "spec": {"hostNetwork": True}},
        }
    },
    "no entrypoint": {"entrypoint": []},
    "resources.slots -1": {"resources": {"slots": -1}},
}


@pytest.mark.parametrize("title, errors", recording.refusals().items())
def test_what_a_task_may_not_ask_for(master, api, title, errors):
    pod = {"spec": {"containers": [{"name": "determined-container", **MAIN.get(title, {})}]}}
    config = {**COMMAND, **(CONFIGS.get(title) or {"environment": {"pod_spec": pod}})}
    answer = master.ask("POST", "/api/v1/commands", master.token, json={"config": config})
    found = f"Check Failed! {len(errors)} errors found:\n\t" + "\n\t".join(errors)
    assert answer.status_code == 400 and not api.made
    assert answer.json()["error"]["error"] == "code=400, message=failed to launch command: " + found


@pytest.mark.parametrize(
    "spec, name",
    [
        ({"containers": []}, "containers"),
        ({"spec": {"nodeSelektor": {}}}, "nodeSelektor"),
        ({"spec": {"containers": [{"name": "determined-container", "mounts": []}]}}, "mounts"),
    ],
)
def test_a_pod_spec_with_an_unknown_name_is_refused(master, spec, name):
    config = {**COMMAND, "environment": {"pod_spec": spec}}
    answer = master.ask("POST", "/api/v1/commands", master.token, json={"config": config})
    assert answer.status_code == 400 and f'json: unknown field "{name}"' in answer.json()["error"]["error"]


def test_deeper_names_of_a_pod_spec_are_not_looked_at_as_fidelity_toml_says(master, api):
    differs = tomllib.loads((builds.RECIPES / "determined-master" / "fidelity.toml").read_text())["determined-master"]
    assert any("unknown names down to its containers' members" in text for text in differs["differs"])
    spec = {"containers": [{"name": "beside", "image": "x", "ports": [{"containerPort": 1, "nobodys": 2}]}]}
    config = {**COMMAND, "environment": {"pod_spec": {"spec": spec}}}
    assert master.ask("POST", "/api/v1/commands", master.token, json={"config": config}).status_code == 200
    until("its pod", lambda: api.made)


@pytest.mark.parametrize("variable", ["A=b=c", "A"])
def test_a_variable_of_another_form_ends_the_task_without_a_word(master, api, variable):
    config = {**COMMAND, "environment": {"environment_variables": [variable]}}
    task = master.launch("command", config=config)
    assert master.state("command", task, "TERMINATED")["exit_status"] == AGENT_FAILED
    assert master.lines("command", task) == [] and not api.made


def test_an_entrypoint_of_one_word_is_a_shells(master, api):
    master.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 0}})
    api.only_pod()
    assert container(dict(api.made))["command"] == ["/bin/sh", "-c", "true"]


def test_files_beside_the_wheel_have_to_fit_into_a_configmap(master, api):
    def notebook(kib):
        return master.launch("notebook", config={"resources": {"slots": 0}}, files=[file("x", os.urandom(kib * 1024))])

    notebook(680)
    api.only_pod()
    task = notebook(700)
    assert master.state("notebook", task, "TERMINATED")["exit_status"] == AGENT_FAILED
    (line,) = master.lines("notebook", task)
    text = r'ConfigMap "notebook-\S+" is invalid: \[\]: Too long: must have at most 1048576 bytes'
    assert re.fullmatch(text, line.partition(" || ")[2])
    until("it to clean up", lambda: "failed to delete configMap notebook-" + task in master.log.read_text())


def test_kill_ends_a_running_command(master, api):
    task = master.launch("command", config={"entrypoint": ["sleep", "1000"], "resources": {"slots": 0}})
    name = api.only_pod()
    api.become(name, "Running", running=True)
    master.state("command", task, "RUNNING")
    assert master.ask("POST", f"/api/v1/commands/{task}/kill", master.token).status_code == 200
    until("it to ask for the pod's end", lambda: ("pods", name) in api.deleted)
    assert "exit code 137" in master.state("command", task, "TERMINATED")["exit_status"]
    assert not api.named("pods")


def test_slots_are_gpus_of_a_pod(master, api, image, database, tmp_path):  # noqa: F811
    two = master.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 2}})
    one = master.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 1}})
    name = api.only_pod()
    assert one in name and "cuda" in container(dict(api.made))["image"]
    api.happens(name, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    until("a line", lambda: master.lines("command", one))
    said = f"Pod {name}: Waiting for resources. 0 GPUs available, 1 GPUs required."
    assert master.lines("command", one)[0].partition(" || ")[2] == said
    assert {master.summary("command", task)["state"] for task in (one, two)} == {"PENDING"}
    assert "set max_slots_per_pod > 0 to schedule tasks with slots" in master.log.read_text()
    (tmp_path / "other").mkdir()
    with InPod(image, api, database, tmp_path / "other", max_slots_per_pod=2) as other:
        api.made.clear()
        other.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 2}})
        until("a pod to be made", lambda: "pods" in dict(api.made))
        assert container(dict(api.made))["resources"]["limits"] == {"nvidia.com/gpu": "2"}
        assert environment(dict(api.made))["DET_SLOT_IDS"] == "[0,1]"
        assert other.ask("GET", "/api/v1/resource-pools", other.token).json()["resourcePools"][0]["slotsUsed"] == 2


def test_a_pod_spec_adds_its_own_parts(master, api):
    mine = {
        "name": "determined-container",
        "resources": {"requests": {"cpu": "100m", "nvidia.com/gpu": "7"}},
        "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
    }
    spec = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "containers": [mine, {"name": "beside", "image": "busybox"}],
            "volumes": [{"name": "keys", "secret": {"secretName": "determined-keys"}}],
            "nodeSelector": {"disk": "fast"},
            "restartPolicy": "Always",
        },
    }
    master.launch("command", config={**COMMAND, "environment": {"pod_spec": spec}})
    api.only_pod()
    pod = dict(api.made)["pods"]
    main = container(dict(api.made))
    assert main["resources"]["requests"] == {"cpu": "100m", "nvidia.com/gpu": "0"}
    assert main["volumeMounts"][-1] == mine["volumeMounts"][0] and main["command"] == ["sh", "-c", "true"]
    assert [c["name"] for c in pod["spec"]["containers"]] == ["beside", "determined-container"]
    assert pod["metadata"]["labels"].keys() == {"determined", "team"}
    assert (pod["spec"]["nodeSelector"], pod["spec"]["restartPolicy"]) == ({"disk": "fast"}, "Never")
    assert pod["spec"]["volumes"][0] == spec["spec"]["volumes"][0]


def test_what_an_earlier_master_left_is_deleted_and_nothing_else(image, api, database, tmp_path):  # noqa: F811
    for name, labels in (("old", {"determined": "x"}), ("other", {"app": "y"})):
        for kind in ("pods", "configmaps"):
            api.store(api.PLACE + f"{kind}/{name}", {"metadata": {"name": name, "labels": labels}})
    (tmp_path / "etc").mkdir()
    with InPod(image, api, database, tmp_path / "etc"):
        assert sorted(api.deleted) == [("configmaps", "old"), ("pods", "old")]


def test_a_pod_that_kubernetes_refuses_is_a_task_that_ended(master, api):
    api.refusal = "pods is forbidden: quota exceeded"
    task = master.launch("command", config=COMMAND)
    assert master.state("command", task, "TERMINATED")["exit_status"] == AGENT_FAILED
    assert master.lines("command", task)[-1].endswith(" || pods is forbidden: quota exceeded")
    until("nothing to be left", lambda: not api.named("configmaps"))


def test_agents_are_the_nodes_with_gpus(master, api):
    assert (
        master.ask("GET", "/api/v1/agents", master.token).json()["agents"] == []
        and master.ask("GET", "/agents").json() == {}
    )
    api.nodes.append(
        {
            "metadata": {"name": "gpu-1", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"capacity": {"nvidia.com/gpu": "2"}},
        }
    )
    (agent,) = master.ask("GET", "/api/v1/agents", master.token).json()["agents"]
    assert agent["id"] == "gpu-1" and set(agent["slots"]) == {"0", "1"}
    (pool,) = master.ask("GET", "/api/v1/resource-pools", master.token).json()["resourcePools"]
    assert (pool["name"], pool["numAgents"], pool["slotsAvailable"]) == ("kubernetes", 1, 2)


@pytest.mark.parametrize("kind", ["pods", "events"])
def test_a_watch_that_cannot_be_opened_again_is_the_end_of_the_masters_cluster(master, api, kind):
    """After the API server was away: determined-kubernetes.md."""
    task = master.launch("command", config=COMMAND)
    api.become(api.only_pod(), "Running", running=True)
    master.state("command", task, "RUNNING")
    api.refuses = {kind}
    api.end_watches()
    until("the cluster to be lost", lambda: master.ask("GET", "/agents").status_code == 404)
    api.refuses = set()
    assert master.ask("GET", "/agents").json() == {"message": "Not Found"}
    answer = master.ask("GET", "/api/v1/agents", master.token)
    said = "cannot find agents or pods actor"
    assert (answer.status_code, answer.json()["error"]["error"]) == (404, said)
    for path in ("/api/v1/notebooks", "/api/v1/commands"):
        assert master.ask("POST", path, master.token, json={"config": COMMAND}).status_code == 404
    assert master.ask("GET", "/api/v1/master").status_code == 200
    assert master.summary("command", task)["exit_status"] == AGENT_FAILED
    assert f"error initializing {kind.rstrip('s')} watch" in master.log.read_text()


def test_a_watch_that_ends_is_opened_again_and_nothing_is_missed(master, api):
    task = master.launch("command", config=COMMAND)
    name = api.only_pod()
    api.end_watches()
    api.become(name, "Running", running=True)
    master.state("command", task, "RUNNING")
    api.become(name, "Succeeded", code=0)
    assert master.state("command", task, "TERMINATED")["exit_status"] == "command exited successfully"
    assert master.ask("GET", "/agents").status_code == 200


def test_nodes_that_cannot_be_asked_for_are_those_that_were_seen(master, api):
    capacity = {"nvidia.com/gpu": "1"}
    node = {"name": "gpu-1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    api.nodes.append({"metadata": node, "status": {"capacity": capacity}})
    seen = master.ask("GET", "/agents").json()
    api.nodes = None
    assert "gpu-1" in seen and master.ask("GET", "/agents").json() == seen


def test_shells_are_refused(master):
    answer = master.ask("POST", "/api/v1/shells", master.token, json={})
    assert answer.status_code == 501 and "double" in answer.text


def lab(asked):
    """What stands for JupyterLab: says what it was asked, and lets itself be upgraded."""
    if not asked.headers.get("Upgrade"):
        return 200, f"{asked.path} for {asked.headers['Host']}"
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    asked.connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade)
    asked.connection.sendall(b"echo " + asked.connection.recv(100))
    return None


def test_a_notebook_is_reached_through_the_proxy(master, api):
    task = master.launch(
        "notebook", config={"description": "mine", "resources": {"slots": 0}}, files=[file("helpers/x.py", b"1")]
    )
    name = api.only_pod()
    made = dict(api.made)
    script = "/run/determined/jupyter/notebook-entrypoint.sh"
    assert name.startswith(f"notebook-{task}-") and container(made)["command"] == [script]
    *_, users, more = archives(made)
    assert more[script[1:]].mode == 0o700 and "helpers/x.py" in users
    assert f'"/proxy/{task}/"'.encode() in more["run/determined/workdir/jupyter-conf.py"].content
    assert mounted(made)["/run/determined/workdir/Notebook.ipynb"] == "5/run/determined/workdir/Notebook.ipynb"
    assert master.ask("GET", f"/proxy/{task}/").json() == {"message": f"service not found: {task}"}
    port = int(environment(made)["NOTEBOOK_PORT"])
    assert 2900 <= port < 3199
    api.become(name, "Running", running=True)
    master.state("notebook", task, "RUNNING")
    assert master.ask("GET", f"/proxy/{task}/lab").status_code == 502  # it runs, and does not listen yet
    with serving(lab, port):
        assert master.ask("GET", f"/proxy/{task}/lab?x=1").text == f"/proxy/{task}/lab?x=1 for 127.0.0.1:{master.port}"
        with socket.create_connection(("127.0.0.1", master.port), timeout=10) as link:
            asked = f"GET /proxy/{task}/api/kernels/k/channels HTTP/1.1\r\nHost: x\r\n"
            link.sendall(f"{asked}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n".encode())
            assert link.recv(1000).startswith(b"HTTP/1.1 101 ")
            link.sendall(b"hello")
            assert link.recv(100) == b"echo hello"
    api.logs[name].append("[I 2026-11-25 ServerApp] Jupyter Server 2.21.1 is running at:\n")
    until("its line", lambda: master.lines("notebook", task))
    assert not master.summary("notebook", task)["is_ready"]  # JupyterLab 4's line is not the one that is waited for
    api.logs[name].append("[I 13:22:21 NotebookApp] Jupyter Notebook 6.3.0 is running at:\n")
    until("it to be ready", lambda: master.summary("notebook", task)["is_ready"])
    logs = master.ask("GET", f"/api/v1/notebooks/{task}/logs", master.token).text
    assert "Jupyter Notebook 6.3.0 is running at:" in logs and '"logEntry"' in logs
    api.become(name, "Succeeded", code=0)
    master.state("notebook", task, "TERMINATED")
    assert master.ask("GET", f"/proxy/{task}/lab").status_code == 404
