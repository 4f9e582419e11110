"""Tasks of the double of determined-master as pods: its image as it is, over a stand-in for Kubernetes' API server."""

from __future__ import annotations

import base64
import gzip
import io
import socket
import tarfile

import pytest
from image_files import unpacked
from kubernetes_api import Pods
from test_determined_double import Master, database, pytestmark  # noqa: F401

from helpers.sandbox import processes
from tests.serving import serving, until

WORDS = {"PENDING", "ASSIGNED", "PULLING", "STARTING", "RUNNING", "TERMINATED"}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    root, config = unpacked("determined-master", "determined-master", tmp_path_factory.mktemp("image") / "root")
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


def test_a_command_from_its_files_to_its_exit_status(master, api):
    task = master.launch(
        "command",
        config={
            "description": "mine",
            "entrypoint": ["sh", "-c", "cat a/b.txt"],
            "resources": {"slots": 0},
            "environment": {"image": "busybox:1.35.0", "environment_variables": ["COLOUR=red"]},
        },
        files=[{"path": "a", "type": 53, "mode": 0o755}, file("a/b.txt", b"hello")],
    )
    name = api.only_pod()
    made = dict(api.made)
    pod, main = made["pods"], made["pods"]["spec"]["containers"][0]
    assert (
        name.startswith(f"cmd-{task}-")
        and pod["metadata"]["labels"] == {"determined": task}
        and pod["spec"]["restartPolicy"] == "Never"
    )
    assert (main["name"], main["image"], main["command"], main["workingDir"]) == (
        "determined-container",
        "busybox:1.35.0",
        ["sh", "-c", "cat a/b.txt"],
        "/run/determined/workdir",
    )
    env = {e["name"]: e["value"] for e in main["env"]}
    assert (
        env["DET_MASTER"] == "10.1.2.3:8080"
        and env["DET_TASK_ID"] == task
        and env["COLOUR"] == "red"
        and env["DET_USE_GPU"] == "false"
    )
    assert main["resources"] == {}
    packed = base64.b64decode(made["configmaps"]["binaryData"]["context.tar.gz"])
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        entry = tar.getmember("workdir/a/b.txt")
        assert tar.extractfile(entry).read() == b"hello" and (entry.mode, entry.mtime) == (0o640, 1700000000)

    assert master.state("command", task, "ASSIGNED")["exit_status"] is None
    api.become(name, "Pending", running=True)
    master.state("command", task, "STARTING")
    api.become(name, "Running", running=True)
    api.logs[name] += ["first", "second"]
    master.state("command", task, "RUNNING")
    shown = master.ask("GET", f"/api/v1/commands/{task}", master.token).json()["command"]
    assert shown["state"] == shown["container"]["state"] == "STATE_RUNNING"
    api.logs[name] += ["last"]
    api.become(name, "Succeeded", code=0)
    assert master.state("command", task, "TERMINATED")["exit_status"] == "command exited successfully"
    assert [line.split(" || ")[1] for line in master.lines("command", task) if "[RUNNING]" in line] == [
        "first",
        "second",
        "last",
    ]
    assert any(f"Pod {name}: Pulling image" in line for line in master.lines("command", task))
    until("nothing to be left", lambda: set(api.deleted) == {("pods", name), ("configmaps", name)})


def test_a_command_that_fails(master, api):
    task = master.launch("command", config={"entrypoint": ["false"], "resources": {"slots": 0}})
    name = api.only_pod()
    api.logs[name] += ["what went wrong"]
    api.become(name, "Failed", code=3)
    assert (
        master.state("command", task, "TERMINATED")["exit_status"]
        == "container failed with non-zero exit code:  (exit code 3)"
    )
    assert master.lines("command", task)[-1].endswith(" [RUNNING] || what went wrong")


def test_kill_ends_a_running_command(master, api):
    task = master.launch("command", config={"entrypoint": ["sleep", "1000"], "resources": {"slots": 0}})
    name = api.only_pod()
    api.become(name, "Running", running=True)
    master.state("command", task, "RUNNING")
    assert master.ask("POST", f"/api/v1/commands/{task}/kill", master.token).status_code == 200
    assert "exit code 137" in master.state("command", task, "TERMINATED")["exit_status"]
    assert not api.named("pods")


def test_slots_wait_without_max_slots_per_pod_and_ask_for_gpus_with_it(master, api, image, database, tmp_path):  # noqa: F811
    task = master.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 1}})
    assert master.summary("command", task)["state"] == "PENDING" and not api.made
    (tmp_path / "other").mkdir()
    with InPod(image, api, database, tmp_path / "other", max_slots_per_pod=2) as other:
        task = other.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 2}})
        api.only_pod()
        main = dict(api.made)["pods"]["spec"]["containers"][0]
        assert main["resources"]["limits"] == {"nvidia.com/gpu": "2"} and "cuda" in main["image"]
        assert other.state("command", task, "ASSIGNED")
        assert other.ask("GET", "/api/v1/resource-pools", other.token).json()["resourcePools"][0]["slotsUsed"] == 2


def test_a_pod_spec_adds_its_own_parts(master, api):
    mine = {
        "name": "determined-container",
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}],
        "resources": {"requests": {"cpu": "100m"}},
        "volumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    spec = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "containers": [mine, {"name": "beside", "image": "busybox"}],
            "volumes": [{"name": "more", "emptyDir": {}}],
            "nodeSelector": {"disk": "fast"},
        },
    }
    master.launch(
        "command", config={"entrypoint": ["true"], "resources": {"slots": 0}, "environment": {"pod_spec": spec}}
    )
    api.only_pod()
    pod = dict(api.made)["pods"]
    main, beside = pod["spec"]["containers"]
    assert (
        main["env"][-1] == mine["env"][0]
        and main["resources"]["requests"] == {"cpu": "100m"}
        and main["command"] == ["true"]
    )
    assert {m["mountPath"] for m in main["volumeMounts"]} == {"/run/determined", "/dev/shm", "/more"} and beside[
        "name"
    ] == "beside"
    assert pod["metadata"]["labels"].keys() == {"determined", "team"} and pod["spec"]["nodeSelector"] == {
        "disk": "fast"
    }
    assert "more" in {v["name"] for v in pod["spec"]["volumes"]}


def test_what_an_earlier_master_left_is_deleted_and_nothing_else(image, api, database, tmp_path):  # noqa: F811
    for name, labels in (("old", {"determined": "x"}), ("other", {"app": "y"})):
        for kind in ("pods", "configmaps"):
            api.store(api.PLACE + f"{kind}/{name}", {"metadata": {"name": name, "labels": labels}})
    (tmp_path / "etc").mkdir()
    with InPod(image, api, database, tmp_path / "etc"):
        assert sorted(api.deleted) == [("configmaps", "old"), ("pods", "old")]


def test_a_pod_that_kubernetes_refuses_is_a_task_that_ended(master, api):
    api.refusal = "pods is forbidden: quota exceeded"
    task = master.launch("command", config={"entrypoint": ["true"], "resources": {"slots": 0}})
    assert "without an associated exit code" in master.state("command", task, "TERMINATED")["exit_status"]
    assert "quota exceeded" in master.lines("command", task)[-1] and not api.named("configmaps")


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
    main = made["pods"]["spec"]["containers"][0]
    assert name.startswith(f"notebook-{task}-") and main["command"] == [
        "/run/determined/jupyter/notebook-entrypoint.sh"
    ]
    with tarfile.open(
        fileobj=io.BytesIO(gzip.decompress(base64.b64decode(made["configmaps"]["binaryData"]["context.tar.gz"])))
    ) as tar:
        assert {"jupyter/notebook-entrypoint.sh", "workdir/Notebook.ipynb", "workdir/helpers/x.py"} <= set(
            tar.getnames()
        )
        assert tar.getmember("jupyter/notebook-entrypoint.sh").mode == 0o755
    assert master.ask("GET", f"/proxy/{task}/").json() == {"message": f"service not found: {task}"}
    port = int({e["name"]: e["value"] for e in main["env"] if "value" in e}["NOTEBOOK_PORT"])
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
    assert not master.summary("notebook", task)["is_ready"]
    api.logs[name].append("[I 2026-11-25 ServerApp] Jupyter Server 2.21.1 is running at:")
    until("it to be ready", lambda: master.summary("notebook", task)["is_ready"])
    with_follow = master.ask("GET", f"/api/v1/notebooks/{task}/logs", master.token).text
    assert "Jupyter Server 2.21.1 is running at:" in with_follow and '"logEntry"' in with_follow
    api.become(name, "Succeeded", code=0)
    master.state("notebook", task, "TERMINATED")
    assert master.ask("GET", f"/proxy/{task}/lab").status_code == 404
