"""The doubles of Seldon Core 1.7.0 (chart, operator, executor), held to recordings of the real ones."""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from concurrent import futures

import grpc
import jsonschema
import pytest
import seldon_recording as recording
import yaml
from image_files import unpacked
from kubernetes_api import Api

from helpers.core import catalogue
from helpers.core.ssh import free_port
from helpers.sandbox import builds
from tests.certificates import self_signed
from tests.serving import serving, until

BASE, OLD = recording.exchanges("Executor v1.7.0 and microservice"), recording.exchanges("Only what differs")
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The programs out of the images that the mirror serves."""
    folder = tmp_path_factory.mktemp("seldon")
    return {
        name: unpacked("seldon-core", "seldon-core-" + name, folder / name)[0] / program
        for name, program in (("operator", "manager"), ("executor", "executor"))
    }


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- the executor ----------------------------------------------------------------------------------------------------


def answers(exchanges):
    """{(method, path, body, content type): exchange}: what the recorded model said."""
    kinds = {"form json=": FORM, "no content type": ""}
    return {
        (e.method, e.path, e.body, kinds.get(e.title, JSON if e.method == "POST" else "")): e
        for e in exchanges
        if e.who == "microservice"
    }


def model(*recordings, slow=None):
    """Says what the recorded model said. slow: set when it begins to answer the word slow, half a second later."""
    said = {asked: e for recording in recordings for asked, e in answers(recording).items()}

    def answer(request):
        body = request.body.decode()
        if "slow" in body:
            slow.set()
            time.sleep(0.5)
            return 200, {}
        asked = (request.method, request.path, body, request.headers.get("Content-Type") or "")
        # A malformed feedback of a model was not written down: it is refused as a malformed prediction is.
        e = said.get(asked) or said["POST", "/predict", '{"data":', JSON]
        return e.status, e.answer.encode(), {"Content-Type": e.headers.get("Content-Type", JSON)}

    return serving(answer)


class Executor:
    def __init__(self, program, rest, grpc_port=1):
        self.port, self.grpc = free_port(), free_port()
        predictor = {
            "name": "default",
            "graph": {
                "name": "classifier",
                "type": "MODEL",
                "endpoint": {
                    "service_host": "localhost",
                    "service_port": rest,
                    "type": "REST",
                    "httpPort": rest,
                    "grpcPort": grpc_port,
                },
            },
        }
        self.command = [
            program,
            "--sdep",
            "name",
            "--namespace",
            "models",
            "--predictor",
            "default",
            "--http_port",
            str(self.port),
            "--grpc_port",
            str(self.grpc),
            "--protocol",
            "seldon",
            "--prometheus_path",
            "/prometheus",
            "--server_type",
            "rpc",
        ]
        self.env = {"ENGINE_PREDICTOR": base64.b64encode(json.dumps(predictor).encode()).decode()}

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        until("the executor to listen", lambda: listens(self.port) and listens(self.grpc))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, method, path, body="", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body or None, headers or {})
        got = connection.getresponse()
        said = got.status, dict(got.getheaders()), got.read().decode()
        connection.close()
        return said

    def replay(self, e):
        headers = {
            "form json=": {"Content-Type": FORM},
            "no content type": {},
            "caller sets Seldon-Puid": {"Seldon-Puid": "my-puid", "Content-Type": JSON},
            "CloudEvent headers": {
                "Ce-Specversion": "1.0",
                "Ce-Id": "x",
                "Ce-Source": "y",
                "Ce-Type": "z",
                "Content-Type": JSON,
            },
        }
        return self.ask(
            e.method, e.path, e.body, headers.get(e.title, {"Content-Type": JSON} if e.method == "POST" else {})
        )


@pytest.fixture(scope="module")
def executor(programs):
    with model(BASE) as server, Executor(programs["executor"], server.port) as running:
        yield running


@pytest.fixture(scope="module")
def executor_of_an_old_model(programs):
    with model(BASE, OLD) as server, Executor(programs["executor"], server.port) as running:
        yield running


@pytest.mark.parametrize("e", [e for e in BASE if e.who == "executor"], ids=str)
def test_the_executor_answers_as_recorded(executor, e):
    assert recording.differences(e, *executor.replay(e)) == []


@pytest.mark.parametrize("e", [e for e in OLD if e.who == "executor"], ids=str)
def test_an_error_page_of_an_old_model_goes_out_as_recorded(executor_of_an_old_model, e):
    assert recording.differences(e, *executor_of_an_old_model.replay(e)) == []


def test_one_changed_field_of_an_answer_is_noticed(executor):
    e = next(e for e in BASE if e.who == "executor" and e.title == "wrong shape (model raises ValueError)")
    status, headers, body = executor.replay(e)
    assert recording.differences(e, status, headers, body) == []
    assert recording.differences(e, 400, headers, body) == ["status: 400, recorded 500"]
    assert recording.differences(e, status, {**headers, "Content-Type": JSON}, body) == [
        "header Content-Type: None, recorded text/plain; charset=utf-8"
    ]
    assert recording.differences(e, status, {**headers, "Seldon-Puid": "none"}, body) == [
        "header Seldon-Puid: none, recorded <uuid>"
    ]
    assert "body" in recording.differences(e, status, headers, body.replace("MICROSERVICE_INTERNAL_ERROR", "ERROR"))[0]


def test_without_a_model(programs):
    port = free_port()
    with Executor(programs["executor"], port) as running:
        for e in recording.down():
            e.answer = e.answer.replace("9000", str(port))
            status, headers, body = running.ask(e.method, e.path, e.body)
            assert recording.differences(e, status, headers, body.replace("[::1]", "127.0.0.1")) == [], str(e)


def test_sigterm_ends_an_idle_executor_at_once_and_a_busy_one_when_it_has_answered(programs):
    slow = threading.Event()
    with model(BASE, slow=slow) as server:
        with Executor(programs["executor"], server.port) as running:
            began = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            printed, _ = running.process.communicate(timeout=120)
            assert running.process.returncode == 0 and time.monotonic() - began < 10
            last = json.loads(printed.splitlines()[-1])
            assert (set(last), last["level"], last["logger"], last["msg"]) == (
                {"level", "ts", "logger", "msg"},
                "info",
                "entrypoint",
                "shutting down",
            )
        with Executor(programs["executor"], server.port) as running:
            said = queue.Queue()
            threading.Thread(
                target=lambda: said.put(running.ask("POST", "/api/v1.0/predictions", "slow", {"Content-Type": JSON}))
            ).start()
            assert slow.wait(30)
            running.process.send_signal(signal.SIGTERM)
            assert said.get(timeout=30)[0] == 200
            running.process.communicate(timeout=120)
            assert running.process.returncode == 0


@contextlib.contextmanager
def grpc_model(predict):
    """A model's gRPC API with this predict(request, context): its port, and the server."""
    raw = {"request_deserializer": None, "response_serializer": None}
    methods = {
        "Predict": grpc.unary_unary_rpc_method_handler(predict, **raw),
        "SendFeedback": grpc.unary_unary_rpc_method_handler(lambda r, c: b"heard", **raw),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("seldon.protos.Model", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, server
    finally:
        server.stop(0)


def test_grpc_reaches_the_model_and_its_errors_come_back(programs):
    def predict(request, context):
        if request == b"bad":
            context.abort(grpc.StatusCode.INTERNAL, "expected shape (n, 4)")
        return b"model says: " + request

    with (
        grpc_model(predict) as (port, server),
        Executor(programs["executor"], free_port(), port) as running,
        grpc.insecure_channel(f"127.0.0.1:{running.grpc}") as channel,
    ):

        def call(method, message):
            return channel.unary_unary("/seldon.protos.Seldon/" + method)(message, timeout=10)

        assert call("Predict", b"four numbers") == b"model says: four numbers"
        assert call("SendFeedback", b"good") == b"heard"
        assert call("Predict", b"x" * 1_000_000) == b"model says: " + b"x" * 1_000_000
        with pytest.raises(grpc.RpcError) as error:
            call("Predict", b"bad")
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.INTERNAL, "expected shape (n, 4)")
        with pytest.raises(grpc.RpcError) as error:
            call("NoSuch", b"")
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
        server.stop(0).wait()
        with pytest.raises(grpc.RpcError) as error:
            call("Predict", b"four numbers")
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE


def test_sigterm_cuts_off_a_grpc_call_in_flight(programs):
    asked, ended = threading.Event(), threading.Event()

    def predict(request, context):
        asked.set()
        ended.wait(200)
        return b"answered"

    with (
        grpc_model(predict) as (port, _),
        Executor(programs["executor"], free_port(), port) as running,
        grpc.insecure_channel(f"127.0.0.1:{running.grpc}") as channel,
    ):
        call = channel.unary_unary("/seldon.protos.Seldon/Predict").future(b"four numbers", timeout=200)
        assert asked.wait(60)
        running.process.send_signal(signal.SIGTERM)
        try:
            assert running.process.wait(60) == 0
            assert call.code() == grpc.StatusCode.UNAVAILABLE
        finally:
            ended.set()


def test_it_refuses_a_graph_that_it_cannot_serve(programs):
    running = Executor(programs["executor"], 9000)
    running.env = {"ENGINE_PREDICTOR": base64.b64encode(b'{"name":"p","graph":{"name":"r","type":"ROUTER"}}').decode()}
    done = subprocess.run(running.command, env=running.env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "graphs of one MODEL only" in done.stdout


# --- the operator ----------------------------------------------------------------------------------------------------

SDEP = "/apis/machinelearning.seldon.io/v1/namespaces/models/seldondeployments"
ROUTES = "/apis/networking.istio.io/v1alpha3/namespaces/models/virtualservices"
DEPLOYMENT = "/apis/apps/v1/namespaces/models/deployments/name-default-0-classifier"


def sdep(**graph):
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "name", "namespace": "models", "uid": "u"},
        "spec": {
            "predictors": [
                {
                    "name": "default",
                    "graph": {"name": "classifier", "type": "MODEL", **graph},
                    "componentSpecs": [
                        {"spec": {"containers": [{"name": "classifier", "image": "example/classifier:1"}]}}
                    ],
                }
            ]
        },
    }


class Cluster(Api):
    """Kubernetes as far as the operator asks for it. It tells of a change only when kick() is called.

    conflicts, late_status: how many writes of the Deployment, and of the status, come too late.
    """

    def __init__(self):
        super().__init__(tells=False)
        self.events, self.names, self.conflicts, self.late_status = queue.Queue(), {}, 0, 0

    def answer(self, asked):
        if asked.place.kind == "events":
            return self._event(asked)
        if self.conflicts and asked.path == DEPLOYMENT and asked.method not in ("GET", "DELETE"):
            self.conflicts -= 1
            return 409, {"message": "the object has been modified"}
        if self.late_status and asked.place.part == "status":
            self.late_status -= 1
            return 409, {"message": "the object has been modified"}
        return super().answer(asked)

    def _event(self, asked):
        """An event: made, or told again by its name."""
        about = asked.body
        if asked.method == "POST":
            self.names[about["metadata"]["name"]] = f"{about['type']} {about['reason']} {about['message']}"
        self.events.put(self.names[about["metadata"]["name"] if asked.method == "POST" else asked.place.name])
        return 201, {}

    def change(self, path, **fields):
        self.store(path, {**self.objects[path], **fields})

    def kick(self):
        """One reconcile: the events that it told, sorted as they came."""
        self.show(SDEP + "/name")
        return self.next_events()

    def show(self, path):
        """The watches hear of this object."""
        self.tell(path, json.dumps({"type": "MODIFIED", "object": self.objects[path]}))

    def next_events(self):
        told = []
        while not told or not told[-1].startswith(("Normal Updated ", "Warning ")):
            told.append(self.events.get(timeout=60))
        return told


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    self_signed(folder)
    return folder


@contextlib.contextmanager
def operating(program, certificate, **env):
    """The operator on a cluster of this test's own, with the chart's settings."""
    cluster, webhook = Cluster(), free_port()
    settings = {
        "POD_NAMESPACE": "seldon-system",
        "ISTIO_ENABLED": "true",
        "ISTIO_GATEWAY": "istio-system/seldon-gateway",
        "AMBASSADOR_ENABLED": "true",
        "DEFAULT_USER_ID": "8888",
        "EXECUTOR_CONTAINER_USER": "8888",
        "EXECUTOR_SERVER_PORT": "8000",
        "PREDICTIVE_UNIT_SERVICE_PORT": "9000",
        **env,
    }
    with cluster:
        process = subprocess.Popen(
            [
                program,
                f"--api={cluster.url}",
                f"--webhook-port={webhook}",
                f"--certificates={certificate}",
                f"--metrics-addr=127.0.0.1:{free_port()}",
                "--enable-leader-election",
                "--create-resources=false",
                "",
            ],
            env=settings,
            stdout=subprocess.DEVNULL,
        )
        try:
            until("the operator to watch", lambda: len(cluster.watches) == 4 and listens(webhook))
            cluster.webhook = webhook
            yield cluster
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(programs, certificate):
    with operating(programs["operator"], certificate) as cluster:
        yield cluster


def pods(**counts):
    return {key + "Replicas" if key != "all" else "replicas": value for key, value in counts.items()}


def act(cluster, number):
    """What happened in the cluster before this reconcile of the transcript."""
    path = SDEP + "/name"
    if number in (3, 7):
        cluster.change(DEPLOYMENT, status=pods(all=1, unavailable=1))
    elif number in (4, 8, 11):
        cluster.change(DEPLOYMENT, status=pods(all=1, ready=1, available=1))
    elif number == 10:
        cluster.change(DEPLOYMENT, status=pods(all=2, ready=1, available=1, unavailable=1))
    elif number in (9, 12, 13):
        spec = copy.deepcopy(cluster.objects[path]["spec"])
        spec["predictors"][0]["graph"]["name"] = "nosuch" if number == 12 else "classifier"
        spec["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["image"] = "example/classifier:2"
        cluster.change(path, spec=spec)


def bare(thing):
    """An object without what the recorded one could not have: its owner, and what the cluster writes."""
    thing = {k: v for k, v in thing.items() if k not in ("status", "kind", "apiVersion")}
    thing["metadata"] = {k: v for k, v in thing["metadata"].items() if k not in ("ownerReferences", "resourceVersion")}
    return thing


def engine_predictor(thing):
    """The variable's value, cut out: it was not written down whole."""
    for container in thing["spec"].get("template", {}).get("spec", {}).get("containers", []):
        for variable in container["env"]:
            if variable["name"] == "ENGINE_PREDICTOR":
                return variable.pop("value")
    return ""


def leaves(thing, path=()):
    for key, value in thing.items() if isinstance(thing, dict) else enumerate(thing):
        if isinstance(value, (dict, list)) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def test_the_operator_lives_through_the_transcript(cluster):
    cluster.store(SDEP + "/name", sdep())
    for step in recording.steps():
        act(cluster, step.number)
        events = cluster.kick()
        assert (step.number, cluster.objects[SDEP + "/name"]["status"]) == (step.number, step.status)
        assert (step.number, events) == (step.number, step.events)
        if step.number == 6:
            made = {
                f"{o['kind']} {o['metadata']['name']}": o
                for o in map(copy.deepcopy, cluster.objects.values())
                if o["kind"] != "SeldonDeployment"
            }
            recorded = recording.objects()
            assert set(made) == set(recorded)
            for name, theirs in recorded.items():
                ours, theirs = bare(made[name]), bare(theirs)
                assert made[name]["metadata"]["ownerReferences"][0]["name"] == "name"
                said, began = engine_predictor(ours), engine_predictor(theirs)
                assert said.startswith(began.split("...")[0])
                assert ours == theirs, name
                for path in leaves(theirs):  # and each field of it counts
                    other = copy.deepcopy(ours)
                    inner = other
                    for key in path[:-1]:
                        inner = inner[key]
                    inner[path[-1]] = "changed"
                    assert other != theirs, path
                if said:
                    described = json.loads(base64.b64decode(said))
                    assert described["graph"] == {
                        "name": "classifier",
                        "type": "MODEL",
                        "implementation": "UNKNOWN_IMPLEMENTATION",
                        "endpoint": {
                            "service_host": "localhost",
                            "service_port": 9000,
                            "type": "REST",
                            "httpPort": 9000,
                            "grpcPort": 9500,
                        },
                    }
                    assert described["labels"] == {"version": "default"}
    spec = cluster.objects[DEPLOYMENT]["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "example/classifier:2"


def test_without_ambassador_a_service_comes_first(programs, certificate):
    with operating(programs["operator"], certificate, AMBASSADOR_ENABLED="false") as cluster:
        cluster.store(SDEP + "/name", sdep())
        for step in recording.without_ambassador():
            act(cluster, step.number)
            assert (step.number, cluster.kick()) == (step.number, step.events)


CONFLICT = (
    'Operation cannot be fulfilled on deployments.apps "name-default-0-classifier": the object has been modified; '
    "please apply your changes to the latest version and try again"
)


def test_a_write_of_another_in_between_is_told_and_is_no_failure(cluster):
    cluster.store(SDEP + "/name", sdep())
    cluster.kick()
    act(cluster, 9)
    cluster.conflicts = 1
    assert cluster.kick() == ["Warning InternalError the object has been modified"]
    assert cluster.objects[SDEP + "/name"]["status"]["state"] == "Creating"
    until("it to try again", lambda: not cluster.events.empty())
    assert cluster.next_events() == [
        'Normal UpdateDeployment Updated Deployment "name-default-0-classifier"',
        'Normal Updated Updated SeldonDeployment "name"',
    ]
    assert cluster.conflicts == 0
    assert cluster.objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]["image"] == "example/classifier:2"


def test_the_first_update_of_a_new_deployment_comes_too_late_once(cluster):
    cluster.store(SDEP + "/name", sdep())
    cluster.kick()
    made = copy.deepcopy(cluster.objects[DEPLOYMENT])
    made["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}  # the cluster has begun with it
    cluster.store(DEPLOYMENT, made)
    assert cluster.kick() == ["Warning InternalError " + CONFLICT]
    assert cluster.next_events() == ['Normal Updated Updated SeldonDeployment "name"']
    assert cluster.kick() == ['Normal Updated Updated SeldonDeployment "name"']
    assert "description" not in cluster.objects[SDEP + "/name"]["status"]


def test_a_status_that_was_written_in_between_is_told(cluster):
    cluster.store(SDEP + "/name", sdep())
    cluster.late_status = 1
    assert cluster.kick()[-1] == (
        'Warning UpdateFailed Failed to update status for SeldonDeployment "name": the object has been modified'
    )
    assert cluster.next_events()[-1] == 'Normal Updated Updated SeldonDeployment "name"'


def test_an_unknown_server_is_failed(cluster):
    cluster.store(
        "/api/v1/namespaces/seldon-system/configmaps/seldon-config",
        {"kind": "ConfigMap", "metadata": {}, "data": {"predictor_servers": json.dumps({"SKLEARN_SERVER": {}})}},
    )
    [step] = recording.unknown_server()
    cluster.store(SDEP + "/name", sdep(implementation="NOSUCH_SERVER", modelUri="s3://b/m"))
    assert cluster.kick() == step.events
    assert cluster.objects[SDEP + "/name"]["status"] == step.status


def test_what_the_stand_in_cannot_do_is_failed_in_words_that_say_so(cluster):
    cluster.store(SDEP + "/name", sdep(type="ROUTER"))
    assert cluster.kick() == [
        "Warning InternalError this stand-in for Seldon's operator serves graphs of one MODEL only"
    ]


def test_what_a_user_gives_is_kept(cluster):
    deployment = sdep(parameters=[{"name": "bias", "value": "1", "type": "INT"}])
    predictor = deployment["spec"]["predictors"][0]
    secret = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "minio", "key": "key"}}}
    probe = {"httpGet": {"path": "/health/ping", "port": 9000}, "periodSeconds": 2}
    predictor["componentSpecs"][0]["spec"]["containers"][0].update(
        env=[secret], readinessProbe=probe, resources={"limits": {"cpu": "0.5"}}
    )
    predictor["componentSpecs"][0]["spec"]["imagePullSecrets"] = [{"name": "pull"}]
    predictor.update(
        replicas=2,
        labels={"version": "v2"},
        svcOrchSpec={"resources": {"requests": {"cpu": "10m"}}, "env": [{"name": "A", "value": "b"}]},
    )
    cluster.store(SDEP + "/name", deployment)
    cluster.kick()
    made = cluster.objects[DEPLOYMENT]["spec"]
    pod, (model, engine) = made["template"]["spec"], made["template"]["spec"]["containers"]
    assert made["replicas"] == 2 and pod["imagePullSecrets"] == [{"name": "pull"}]
    assert (
        model["env"][0] == secret
        and model["readinessProbe"] == probe
        and model["resources"] == {"limits": {"cpu": "0.5"}}
    )
    assert {"name": "PREDICTIVE_UNIT_PARAMETERS", "value": '[{"name":"bias","type":"INT","value":"1"}]'} in model["env"]
    assert engine["resources"] == {"requests": {"cpu": "10m"}} and engine["env"][-1] == {"name": "A", "value": "b"}
    assert made["template"]["metadata"]["labels"]["version"] == "v2"
    cluster.change(DEPLOYMENT, status=pods(all=2, ready=2, available=2))
    cluster.kick()
    assert cluster.objects["/apis/networking.istio.io/v1alpha3/namespaces/models/destinationrules/name-default"][
        "spec"
    ]["subsets"] == [{"name": "default", "labels": {"version": "v2"}}]


@pytest.mark.parametrize("place", ["spec", "metadata"])
def test_retries_are_written_into_both_routes(cluster, place):
    deployment = sdep()
    deployment["metadata"]["annotations"] = {"seldon.io/istio-retries": "3"}
    deployment[place]["annotations"] = {"seldon.io/istio-retries": "20", "seldon.io/istio-retries-timeout": "60"}
    cluster.store(SDEP + "/name", deployment)
    cluster.kick()
    cluster.change(DEPLOYMENT, status=pods(all=1, ready=1, available=1))
    cluster.kick()
    for kind in ("http", "grpc"):
        (route,) = cluster.objects[ROUTES + "/name-" + kind]["spec"]["http"]
        assert route["retries"] == {
            "attempts": 20,
            "perTryTimeout": "60s",
            "retryOn": "gateway-error,connect-failure,refused-stream",
        }


@pytest.mark.parametrize(
    "given, made",
    [({"": "2"}, {"attempts": 2, "perTryTimeout": "1s"}), ({"": "0"}, None), ({"": "many"}, "many")],
)
def test_how_many_retries_and_how_long_each(cluster, given, made):
    deployment = sdep()
    deployment["spec"]["annotations"] = {"seldon.io/istio-retries" + name: value for name, value in given.items()}
    cluster.store(SDEP + "/name", deployment)
    events = cluster.kick()
    if made == "many":
        assert events == ['Warning InternalError strconv.Atoi: parsing "many": invalid syntax']
        assert cluster.objects[SDEP + "/name"]["status"]["state"] == "Failed"
        return
    cluster.change(DEPLOYMENT, status=pods(all=1, ready=1, available=1))
    cluster.kick()
    (route,) = cluster.objects[ROUTES + "/name-http"]["spec"]["http"]
    assert made == ({k: v for k, v in route["retries"].items() if k != "retryOn"} if made else route.get("retries"))


def two_predictors():
    deployment = sdep()
    first = deployment["spec"]["predictors"][0]
    deployment["spec"]["predictors"] = [
        {**copy.deepcopy(first), "name": name, "traffic": traffic} for name, traffic in (("a", 75), ("b", 25))
    ]
    return deployment


def test_a_predictor_that_is_taken_out_is_failed_for_a_moment_and_leaves_its_rule(cluster):
    path, ready = SDEP + "/name", pods(all=1, ready=1, available=1)
    first, second = (DEPLOYMENT.replace("default", name) for name in "ab")
    rules = "/apis/networking.istio.io/v1alpha3/namespaces/models/destinationrules/name-"
    cluster.store(path, two_predictors())
    cluster.kick()
    cluster.change(first, status=ready)
    cluster.change(second, status=ready)
    cluster.kick()
    cluster.kick()
    assert set(cluster.objects[path]["status"]["deploymentStatus"]) == {"name-a-0-classifier", "name-b-0-classifier"}
    spec = two_predictors()["spec"]
    spec["predictors"] = [{**spec["predictors"][0], "traffic": 100}]
    cluster.change(path, spec=spec)
    cluster.kick()  # the executor of the other one is told its new share
    assert second in cluster.objects
    assert 'Normal DeleteDeployment Deleted Deployment "name-b-0-classifier"' in cluster.kick()
    assert second not in cluster.objects and first in cluster.objects
    assert cluster.kick() == ['Warning InternalError deployments.apps "name-b-0-classifier" not found']
    status = cluster.objects[path]["status"]
    assert (status["state"], status["description"]) == ("Failed", 'deployments.apps "name-b-0-classifier" not found')
    assert cluster.next_events() == ['Normal Updated Updated SeldonDeployment "name"']  # a second later, by itself
    cluster.kick()
    status = cluster.objects[path]["status"]
    assert status["state"] == "Available" and "description" not in status
    assert set(status["deploymentStatus"]) == {"name-a-0-classifier"}
    assert set(status["serviceStatus"]) == {"name-a", "name-a-classifier"}
    services = "/api/v1/namespaces/models/services/name-"
    assert services + "a" in cluster.objects and services + "b" not in cluster.objects
    assert {rules + "a", rules + "b"} <= set(cluster.objects)


def test_what_somebody_changes_by_hand_is_put_back_but_for_a_label(cluster):
    cluster.store(SDEP + "/name", sdep())
    cluster.kick()
    act(cluster, 4)
    cluster.kick()
    service = "/api/v1/namespaces/models/services/name-default"
    route = ROUTES + "/name-http"
    cluster.change(service, spec={**cluster.objects[service]["spec"], "selector": {"seldon-app": "x"}})
    cluster.show(service)
    cluster.next_events()
    assert cluster.objects[service]["spec"]["selector"] == {"seldon-app": "name-default"}
    gone = cluster.objects.pop(route)
    cluster.tell(route, json.dumps({"type": "DELETED", "object": gone}))
    cluster.next_events()
    assert cluster.objects[route]["spec"] == gone["spec"]
    labelled = copy.deepcopy(cluster.objects[DEPLOYMENT])
    labelled["metadata"]["labels"]["fluentd"] = "false"
    cluster.store(DEPLOYMENT, labelled)
    cluster.show(DEPLOYMENT)
    assert cluster.next_events() == ['Normal Updated Updated SeldonDeployment "name"']
    assert cluster.objects[DEPLOYMENT]["metadata"]["labels"]["fluentd"] == "false"


#: what the API server fills in where the operator says nothing
FILLED_IN = {
    "progressDeadlineSeconds": 600,
    "revisionHistoryLimit": 10,
    "maxSurge": "25%",
    "type": "RollingUpdate",
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def unlike(ours, theirs, at=""):
    """[where ours differs from theirs, which has been through an API server]."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        ours = {**{key: value for key, value in FILLED_IN.items() if key in theirs}, **ours}
        keys = sorted(set(ours) | set(theirs))
        return [w for key in keys for w in unlike(ours.get(key), theirs.get(key), f"{at}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [w for n, pair in enumerate(zip(ours, theirs, strict=True)) for w in unlike(*pair, f"{at}[{n}]")]
    return [] if ours == theirs else [f"{at}: {ours!r}, recorded {theirs!r}"]


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_cluster_gets_the_objects_that_the_real_operator_made_there(cluster, name):
    path, deployment, recorded = f"{SDEP}/{name}", recording.created(name), recording.made_of(name)
    asked = {"cpu": "20m", "memory": "64Mi"}  # of resources it was written down only what became of them
    for predictor in deployment["spec"]["predictors"]:
        predictor["componentSpecs"][0]["spec"]["containers"][0]["resources"] = {
            "requests": {**asked, "memory": "128Mi"}
        }
        predictor["svcOrchSpec"] = {"resources": {"limits": {"memory": "512Mi"}, "requests": asked}}
    cluster.store(path, {**sdep(), **deployment})
    cluster.show(path)
    told = cluster.next_events()
    for ready in [p for p in cluster.objects if "/deployments/" in p]:
        cluster.change(ready, status=pods(all=1, ready=1, available=1))
    cluster.show(path)
    told += cluster.next_events()
    assert name != "one" or set(told) == recording.told_of_creating()
    made, found = {f"{o['kind']} {o['metadata']['name']}": o for o in cluster.objects.values()}, []
    for what, theirs in recorded.items():
        ours = {"labels": made[what]["metadata"].get("labels", {}), "spec": made[what]["spec"]}
        assert bool(engine_predictor(ours)) == bool(engine_predictor(theirs)), "its value was not written down"
        found += [what + where for where in unlike(ours, theirs)]
    assert len(recorded) >= 4 and not found, "\n".join(found)


def test_a_pod_takes_its_time_to_end(cluster):
    cluster.store(SDEP + "/name", sdep())
    cluster.kick()
    pod = cluster.objects[DEPLOYMENT]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 20
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}}


@pytest.mark.parametrize("version", ["v1", "v1alpha2", "v1alpha3"])
def test_the_webhook_refuses_what_the_real_one_refuses(cluster, version):
    good = sdep()
    cases = {name: copy.deepcopy(good) for name in recording.refusals()}
    cases["no predictors"]["spec"]["predictors"] = []
    cases["graph without container"]["spec"]["predictors"][0]["graph"]["name"] = "other"
    cases["bad protocol"]["spec"]["protocol"] = "zz"
    cases["duplicate predictors"]["spec"]["predictors"] *= 2
    cases["traffic 50 single"]["spec"]["predictors"][0]["traffic"] = 50
    assert len(cases) == 6
    for name, said in recording.refusals().items():
        answer = reviewed(cluster, cases[name], version)
        assert (answer["kind"], answer["apiVersion"], answer["response"]["uid"]) == (
            "AdmissionReview",
            "admission.k8s.io/v1beta1",
            "u1",
        )
        assert answer["response"]["allowed"] == (said == ""), name
        assert answer["response"]["status"].get("reason", "") == said


def reviewed(cluster, deployment, version="v1"):
    """The webhook's answer to a SeldonDeployment that is to be created."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", cluster.webhook, timeout=10, context=context)
    review = {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1beta1",
        "request": {"uid": "u1", "operation": "CREATE", "object": deployment},
    }
    connection.request("POST", f"/validate-machinelearning-seldon-io-{version}-seldondeployment", json.dumps(review))
    return json.loads(connection.getresponse().read())


@pytest.mark.parametrize("one", [a for a in recording.admissions() if not a.unlike], ids=lambda one: one.title)
def test_the_webhook_says_what_the_real_one_said_on_a_cluster(cluster, one):
    servers = {"SKLEARN_SERVER": {}, "MLFLOW_SERVER": {}}
    cluster.store(
        "/api/v1/namespaces/seldon-system/configmaps/seldon-config",
        {"kind": "ConfigMap", "metadata": {}, "data": {"predictor_servers": json.dumps(servers)}},
    )
    deployment = {"metadata": {"name": "one", "namespace": "models"}, "spec": one.spec}
    if one.crashed:
        with pytest.raises(http.client.RemoteDisconnected):
            reviewed(cluster, deployment, one.version)
        return
    response = reviewed(cluster, deployment, one.version)["response"]
    assert (response["allowed"], response["status"].get("reason", "")) == (not one.denied, one.denied)


# --- the chart -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def helm(tmp_path_factory):
    program = shutil.which("helm")
    if not program:
        folder = tmp_path_factory.mktemp("helm")
        with tarfile.open(next((builds.build("helm", print) / "out").rglob("*amd64.tar.gz"))) as tar:
            tar.extractall(folder, filter="data")
        program = next(folder.rglob("helm"))
    home = tmp_path_factory.mktemp("home")
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "NO_PROXY": "*", "no_proxy": "*"}

    def run(*arguments, **values):
        given = [f"--set={name}={value}" for name, value in values.items()]
        return subprocess.run(
            [program, *arguments, *given], env=env, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    return run


def objects(text):
    """{(kind, namespace or -, name): object} of what helm rendered."""
    made = [o for o in yaml.safe_load_all(text) if o]
    return {(o["kind"], o["metadata"].get("namespace", "-"), o["metadata"]["name"]): o for o in made}


@pytest.fixture(scope="module")
def template(helm):
    """The chart as helm takes it from the repository, rendered with these values."""
    out = builds.build("seldon-core", print) / "out"
    folder = (out / catalogue.load()["seldon-core"].path).parent

    def repository(request):
        file = folder / request.path.rsplit("/", 1)[1]
        return (200, file.read_bytes()) if file.is_file() else (404, b"")

    with serving(repository) as server:

        def render(values):
            text = helm(
                "template",
                "seldon-core",
                "seldon-core-operator",
                "--repo",
                server.url + "/seldon-charts",
                "--version",
                "1.7.0",
                "-n",
                "seldon-system",
                **values,
            )
            return objects(text)

        yield render


def test_the_chart_makes_the_objects_of_the_real_one(template):
    made = template({"istio.enabled": "true", "usageMetrics.enabled": "true"})
    assert set(made) == recording.chart()
    labels = {
        "app": "seldon",
        "app.kubernetes.io/instance": "seldon-core",
        "app.kubernetes.io/name": "seldon-core-operator",
        "app.kubernetes.io/version": "1.7.0",
    }
    manager = made["Deployment", "seldon-system", "seldon-controller-manager"]
    control = {"control-plane": "seldon-controller-manager"}
    assert (
        manager["metadata"]["labels"]
        == {**labels, **control}
        == made["ConfigMap", "seldon-system", "seldon-config"]["metadata"]["labels"]
    )
    fixed = {
        "app": "seldon",
        "app.kubernetes.io/instance": "seldon1",
        "app.kubernetes.io/name": "seldon",
        "app.kubernetes.io/version": "v0.5",
        **control,
    }
    service = made["Service", "seldon-system", "seldon-webhook-service"]["spec"]
    assert (
        manager["spec"]["template"]["metadata"]["labels"]
        == fixed
        == service["selector"]
        == manager["spec"]["selector"]["matchLabels"]
    )
    assert [(p["port"], p["targetPort"]) for p in service["ports"]] == [(443, 4443)]
    [container] = manager["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        "--enable-leader-election",
        "--webhook-port=4443",
        "--create-resources=$(MANAGER_CREATE_RESOURCES)",
        "",
    ]
    assert {p["name"]: p["containerPort"] for p in container["ports"]} == {"webhook-server": 4443, "metrics": 8080}
    assert not {"livenessProbe", "readinessProbe"} & set(container)
    assert manager["spec"]["template"]["spec"]["securityContext"] == {"runAsUser": 8888}
    known = catalogue.load()
    assert container["image"] == known["seldon-operator"].entry["image"]
    env = {v["name"]: v.get("value") for v in container["env"]}
    assert env["EXECUTOR_CONTAINER_IMAGE_AND_VERSION"] == known["seldon-executor"].entry["image"]
    assert (env["ISTIO_ENABLED"], env["ISTIO_GATEWAY"], env["DEFAULT_USER_ID"], env["EXECUTOR_CONTAINER_USER"]) == (
        "true",
        "istio-system/seldon-gateway",
        "8888",
        "8888",
    )
    usage = made["Deployment", "kube-system", "seldon-spartakus-volunteer"]["spec"]["template"]["spec"]["containers"][0]
    assert (
        usage["image"] == known["seldon-usage"].entry["image"]
        and "http://seldon-core-stats.seldon.io" in usage["args"][1]
    )
    crd = made["CustomResourceDefinition", "-", "seldondeployments.machinelearning.seldon.io"]["spec"]
    assert [(v["name"], v["served"], v["storage"]) for v in crd["versions"]] == [
        ("v1", True, True),
        ("v1alpha2", True, False),
        ("v1alpha3", True, False),
    ]
    assert crd["names"]["shortNames"] == ["sdep"] and all(
        set(v["subresources"]) == {"status", "scale"} for v in crd["versions"]
    )
    assert set(made["ConfigMap", "seldon-system", "seldon-config"]["data"]) == {
        "credentials",
        "explainer",
        "predictor_servers",
        "storageInitializer",
    }
    hook = made["ValidatingWebhookConfiguration", "-", "seldon-validating-webhook-configuration-seldon-system"]
    assert hook["apiVersion"] == "admissionregistration.k8s.io/v1beta1"
    assert [(w["name"].split(".")[0], w["failurePolicy"]) for w in hook["webhooks"]] == [
        (v, "Fail") for v in ("v1", "v1alpha2", "v1alpha3")
    ]


SELECTORS = {"namespaceSelector", "objectSelector"}
NO_ID = {"matchExpressions": [{"key": "seldon.io/controller-id", "operator": "DoesNotExist"}]}
SET = {"singleNamespace": "true", "controllerId": "mine"}
MINE = {
    "namespaceSelector": {"matchLabels": {"seldon.io/controller-id": "seldon-system"}},
    "objectSelector": {"matchLabels": {"seldon.io/controller-id": "mine"}},
}


@pytest.mark.parametrize(
    "version, values, selectors",
    [
        ("v1.20.2", {}, dict.fromkeys(SELECTORS, NO_ID)),
        ("v1.14.10", {}, {}),
        ("v1.20.13-35+d877e7a8ac536e", {}, {}),  # MicroK8s 1.20: a pre-release, which >=1.15.0 leaves out
        ("v1.20.13-35+d877e7a8ac536e", SET, MINE),
    ],
)
def test_the_webhooks_have_selectors_by_the_clusters_version_as_the_real_ones(
    helm, tmp_path, version, values, selectors
):
    """helm 3.5.4 takes no version for `template`: it is written in the place where the chart asks for it."""
    shutil.copytree(builds.RECIPES / "seldon-core/chart", tmp_path / "chart")
    file = tmp_path / "chart/templates/webhook.yaml"
    asks = file.read_text().replace('semverCompare ">=1.15.0" .Capabilities.KubeVersion.GitVersion', "CONDITION")
    assert asks.count("CONDITION") == 1
    file.write_text(asks.replace("CONDITION", f'semverCompare ">=1.15.0" "{version}"'))
    made = objects(helm("template", "seldon-core", str(tmp_path / "chart"), "-n", "seldon-system", **values))
    hook = made["ValidatingWebhookConfiguration", "-", "seldon-validating-webhook-configuration-seldon-system"]
    assert [{name: w[name] for name in SELECTORS & set(w)} for w in hook["webhooks"]] == [selectors] * 3


def closed(schema):
    """The schema as kubectl reads it: no names but those that it knows."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    return schema


WORDS = {
    "required": lambda e: "missing required field " + json.dumps(e.message.split("'")[1]),
    "type": lambda e: "invalid type for io.seldon.machinelearning.v1.SeldonDeployment.spec.predictors.replicas: got",
    "additionalProperties": lambda e: "unknown field " + json.dumps(e.message.split("'")[1]),
}


def test_the_definition_refuses_what_the_real_one_refuses(template):
    crd = template({})["CustomResourceDefinition", "-", "seldondeployments.machinelearning.seldon.io"]
    for version in crd["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        kubectls, servers = jsonschema.Draft4Validator(closed(schema)), jsonschema.Draft4Validator(schema)
        for one in recording.admissions():
            given = {name: value for name, value in one.spec.items() if value is not None}  # null is missing
            deployment = {"metadata": {"name": "one"}, "spec": given}
            by_server = "client-side" in one.title
            errors = list((servers if by_server else kubectls).iter_errors(deployment))
            assert len(errors) == bool(one.unlike), (one.title, errors)
            if errors and not by_server:
                assert one.unlike.startswith(WORDS[errors[0].validator](errors[0])), one.title


def test_the_webhooks_certificate_is_new_each_time_and_ends_after_a_year(template):
    first, second = (template({})["Secret", "seldon-system", "seldon-webhook-server-cert"] for _ in range(2))
    assert first["type"] == "kubernetes.io/tls" and set(first["data"]) == {"ca.crt", "tls.crt", "tls.key"}
    assert first["data"]["ca.crt"] != second["data"]["ca.crt"]
    for name in ("ca.crt", "tls.crt"):
        ends = subprocess.run(
            ["openssl", "x509", "-noout", "-enddate"],
            input=base64.b64decode(first["data"][name]),
            capture_output=True,
            check=True,
        ).stdout.decode()
        left = ssl.cert_time_to_seconds(ends.strip().partition("=")[2]) - time.time()
        assert 364 < left / 86400 <= 365


def test_values_change_what_they_change(template):
    made = template(
        {
            "crd.create": "false",
            "istio.gateway": "other/gateway",
            "defaultUserID": "0",
            "executor.resources.cpuRequest": "10m",
        }
    )
    assert not any(kind == "CustomResourceDefinition" for kind, *_ in made) and not any(
        namespace == "kube-system" for _, namespace, _ in made
    )
    env = {
        v["name"]: v.get("value")
        for v in made["Deployment", "seldon-system", "seldon-controller-manager"]["spec"]["template"]["spec"][
            "containers"
        ][0]["env"]
    }
    assert (
        env["ISTIO_ENABLED"],
        env["ISTIO_GATEWAY"],
        env["DEFAULT_USER_ID"],
        env["EXECUTOR_DEFAULT_CPU_REQUEST"],
    ) == ("false", "other/gateway", "0", "10m")
    assert (
        template({"crd.forceV1beta1": "true"})[
            "CustomResourceDefinition", "-", "seldondeployments.machinelearning.seldon.io"
        ]["apiVersion"]
        == "apiextensions.k8s.io/v1beta1"
    )
