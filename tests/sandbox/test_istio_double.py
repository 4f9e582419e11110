"""The gateway that stands in for Istio's, routed by objects of an API that is played here, asked by real clients."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import http.server
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import yaml
from image_files import unpacked
from kubernetes_api import Api
from serving import until

from helpers.core import catalogue, notebooks
from helpers.core.paths import SETUP
from helpers.core.ssh import free_port
from helpers.sandbox import builds, mirror, needs, registry

pytestmark = pytest.mark.skipif(
    bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox: ./runbook doctor"
)

ISTIO = "/apis/networking.istio.io/v1alpha3/"
KINDS = {
    "services": "/api/v1/services",
    "endpoints": "/api/v1/endpoints",
    "pods": "/api/v1/pods",
    "gateways": ISTIO + "gateways",
    "virtualservices": ISTIO + "virtualservices",
    "destinationrules": ISTIO + "destinationrules",
}
LABELS = {"app": "istio-ingressgateway", "istio": "ingressgateway"}
RELEASE = SETUP / "sandbox/substitutes/istio/release"


class Routes(Api):
    """Kubernetes as far as a gateway asks it."""

    def __init__(self):
        super().__init__(kinds=set(KINDS.values()))

    def put(self, kind, name, namespace="default", labels=None, **content):
        path = self._path(kind, name, namespace)
        old = self.objects.get(path, {"metadata": {"creationTimestamp": f"2021-05-01T00:00:{self.version % 60:02}Z"}})
        about = {"name": name, "namespace": namespace, "labels": labels or {}}
        self.store(path, {"metadata": {**old["metadata"], **about}, **content})

    def delete(self, kind, name, namespace="default"):
        self.remove(self._path(kind, name, namespace))

    @staticmethod
    def _path(kind, name, namespace):
        group = KINDS[kind].rpartition("/")[0]
        return f"{group}/namespaces/{namespace}/{kind}/{name}"


class Upstream(http.server.ThreadingHTTPServer):
    """A server behind the gateway that tells what it was asked."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self, name, port=0):
        super().__init__(("127.0.0.1", port), Echo)
        self.name, self.seen = name, []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def log_message(self, *words):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append(self.path)
        query = parse_qs(urlsplit(self.path).query)
        time.sleep(float(query.get("sleep", ["0"])[0]))
        if "drop" in query:  # the connection ends with no word
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        text = json.dumps(
            {
                "by": self.server.name,
                "path": self.path,
                "method": self.command,
                "length": len(body),
                "headers": {k.lower(): v for k, v in self.headers.items()},
            }
        ).encode()
        self.send_response(int(query.get("code", ["200"])[0]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Old", "1")
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_DELETE = do_GET


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The binary, out of the image as the recipe left it, under its name there."""
    folder, config = unpacked("istio", "proxyv2", tmp_path_factory.mktemp("image") / "root")
    return folder, str(folder) + config["Entrypoint"][0]


class Gateway:
    """One running gateway on an API of its own."""

    def __init__(self, program, api, drain="1s"):
        self.api, self.port, self.status = api, free_port(), free_port()
        environment = {"ISTIO_METAJSON_LABELS": json.dumps(LABELS), "POD_NAMESPACE": "istio-system"}
        self.process = subprocess.Popen(
            [
                program,
                "proxy",
                "router",
                "--domain",
                "istio-system.svc.cluster.local",
                "--statusPort",
                str(self.status),
                "--bind",
                "127.0.0.1",
                "--api",
                api.url,
                "--terminationDrainDuration",
                drain,
            ],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.log = []
        threading.Thread(target=lambda: self.log.extend(iter(self.process.stdout.readline, "")), daemon=True).start()

    def get(  # noqa: PLR0913 - what a request may have
        self, path, host="a.example.com", method="GET", body=None, headers=None, port=None, connection=None
    ):
        """status, headers, body; a body in JSON is read."""
        one = connection or http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            one.request(method, path, body=body, headers={"Host": host, **(headers or {})})
            response = one.getresponse()
            text = response.read()
            return (
                response.status,
                response.headers,
                json.loads(text) if response.headers.get("Content-Type") == "application/json" else text.decode(),
            )
        finally:
            if connection is None:
                one.close()

    def routes(self, name, http, hosts=("a.example.com",), gateways=("istio-system/main",), namespace="default"):
        """A VirtualService; the gateway knows of it a moment later."""
        self.api.put(
            "virtualservices", name, namespace, spec={"hosts": list(hosts), "gateways": list(gateways), "http": http}
        )

    def becomes(self, wanted):
        """Ask until it is so: no AssertionError, no OSError."""
        return until("it to be so", lambda: (wanted(), True))[0]


@pytest.fixture(scope="module")
def api():
    with Routes() as api:
        yield api


@pytest.fixture(scope="module")
def gateway(program, api):
    one = Gateway(program[1], api)
    api.put(
        "gateways",
        "main",
        "istio-system",
        spec={
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": one.port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    )
    one.becomes(lambda: one.get("/"))
    yield one
    one.process.terminate()
    assert one.process.wait(30) == 0


@pytest.fixture
def fresh(gateway, api):
    """The gateway with no routes and no services, before and after."""
    yield gateway
    for kind in ("virtualservices", "destinationrules", "services", "endpoints", "pods"):
        for about in [one["metadata"] for one in api.below(KINDS[kind])]:
            api.delete(kind, about["name"], about["namespace"])
    gateway.becomes(lambda: check(gateway.get("/")[0] == 404))


@contextlib.contextmanager
def stopping(process, upstream):
    """Both end, whatever happens."""
    try:
        yield
    finally:
        process.kill()
        upstream.close()


def check(so):
    assert so
    return True


def by(answer):
    return found(answer)[2]["by"]


def service(  # noqa: PLR0913 - what a Service may have
    api, name, upstreams, port_name="http", namespace="default", port=80, labels=None
):
    """A Service whose Endpoints are these servers (or ports), each a pod with the labels at its place."""
    api.put("services", name, namespace, spec={"type": "ClusterIP", "ports": [{"name": port_name, "port": port}]})
    subsets = []
    for number, one in enumerate(upstreams):
        pod = f"{name}-{number}"
        api.put("pods", pod, namespace, labels=(labels or {}).get(number, {}))
        subsets.append(
            {
                "addresses": [{"ip": "127.0.0.1", "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}],
                "ports": [{"name": port_name, "port": one if isinstance(one, int) else one.server_port}],
            }
        )
    api.put("endpoints", name, namespace, subsets=subsets)


def to(name, subset=None, weight=None, port=80, **more):
    destination = {"host": name, "port": {"number": port}, **({"subset": subset} if subset else {})}
    return {"destination": destination, **({"weight": weight} if weight is not None else {}), **more}


@pytest.fixture
def one(api):
    upstream = Upstream("one")
    yield upstream
    upstream.close()


@pytest.fixture
def two(api):
    upstream = Upstream("two")
    yield upstream
    upstream.close()


# What it is asked -------------------------------------------------------------------------------------------------


def test_without_a_route_it_says_404_as_envoy_does(fresh):
    status, headers, body = fresh.get("/anything")
    assert (status, headers["Server"], headers["Content-Length"], body) == (404, "istio-envoy", "0", "")
    assert "Content-Type" not in headers


def test_a_prefix_is_routed_and_rewritten(fresh, api, one):
    """As Seldon writes it: a short name and a subset, both in the VirtualService's own namespace."""
    service(api, "iris-default", [one], namespace="models", port=8000, labels={0: {"version": "default"}})
    api.put(
        "destinationrules",
        "iris",
        "models",
        spec={"host": "iris-default", "subsets": [{"name": "default", "labels": {"version": "default"}}]},
    )
    fresh.routes(
        "iris-http",
        [
            {
                "match": [{"uri": {"prefix": "/seldon/models/iris/"}}],
                "rewrite": {"uri": "/"},
                "route": [to("iris-default", "default", port=8000)],
            }
        ],
        hosts=["*"],
        namespace="models",
    )
    path = "/seldon/models/iris/api/v1.0/predictions?a=b%2Fc"
    status, headers, body = fresh.becomes(lambda: found(fresh.get(path, method="POST", body=b"x" * 1000)))
    assert (body["path"], body["method"], body["length"]) == ("/api/v1.0/predictions?a=b%2Fc", "POST", 1000)
    assert headers["Server"] == "istio-envoy" and headers["X-Envoy-Upstream-Service-Time"].isdigit()
    told = body["headers"]
    assert (
        told["host"] == "a.example.com"
        and told["x-forwarded-proto"] == "http"
        and told["x-forwarded-for"] == "127.0.0.1"
    )
    assert told["x-envoy-original-path"] == path and re.fullmatch(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", told["x-request-id"]
    )
    assert fresh.get("/seldon/models/other/")[0] == 404
    fresh.becomes(
        lambda: check(any(re.search(r'"POST /seldon/models/iris/api\S+ HTTP/1.1" 200 - ', line) for line in fresh.log))
    )


def found(answer):
    assert answer[0] == 200, answer
    return answer


@pytest.mark.parametrize(
    "match, good, bad",
    [
        ({"uri": {"exact": "/a"}}, ("/a", {}), ("/a/b", {})),
        (
            {"uri": {"regex": ".*tensorflow.*|.*seldon.protos.*"}},
            ("/seldon.protos.Seldon/Predict", {}),
            ("/seldon/models/iris", {}),
        ),
        ({"uri": {"regex": "/a"}}, ("/a", {}), ("/a/b", {})),
        ({"uri": {"prefix": "/A"}, "ignoreUriCase": True}, ("/abc", {}), ("/b", {})),
        ({"headers": {"seldon": {"exact": "iris"}}}, ("/", {"Seldon": "iris"}), ("/", {"Seldon": "other"})),
        ({"headers": {"seldon": {}}}, ("/", {"Seldon": "any"}), ("/", {})),
        ({"authority": {"regex": r"^a\.example\.com(?::\d{1,5})?$"}}, ("/", {}), ("/", {"Host": "b.example.com"})),
        ({"authority": {"prefix": "a."}, "method": {"exact": "GET"}}, ("/", {}), ("/", {"Host": "b.example.com"})),
        ({"queryParams": {"v": {"exact": "2"}}}, ("/?v=2", {}), ("/?v=3", {})),
    ],
)
def test_matches(fresh, api, one, match, good, bad):  # noqa: PLR0913 - three fixtures, three values
    service(api, "one", [one])
    fresh.routes("v", [{"match": [match], "route": [to("one")]}], hosts=["*.example.com"])
    fresh.becomes(lambda: found(fresh.get(good[0], headers=good[1])))
    assert fresh.get(bad[0], headers=bad[1])[0] == 404


def test_the_first_match_wins_and_what_matches_all_comes_last_over_two_virtualservices(fresh, api, one, two):
    service(api, "one", [one])
    service(api, "two", [two])
    fresh.routes("all", [{"route": [to("one")]}])
    fresh.routes("some", [{"match": [{"uri": {"prefix": "/two"}}], "route": [to("two")]}])
    fresh.becomes(lambda: check(by(fresh.get("/two")) == "two"))
    assert by(fresh.get("/three")) == "one"


def test_the_host_decides_with_the_port_or_without_and_the_narrowest_wins(fresh, api, one, two):
    service(api, "one", [one])
    service(api, "two", [two])
    fresh.routes("wide", [{"route": [to("one")]}], hosts=["*.example.com"])
    fresh.routes("narrow", [{"route": [to("two")]}], hosts=["a.example.com"])
    fresh.becomes(lambda: check(by(fresh.get("/")) == "two"))
    assert by(fresh.get("/", host=f"A.example.com:{fresh.port}")) == "two"
    assert by(fresh.get("/", host="b.example.com")) == "one"
    assert fresh.get("/", host="example.org")[0] == 404


def test_only_gateways_that_a_virtualservice_names_and_that_select_us_count(fresh, api, one):
    service(api, "one", [one])
    other = free_port()
    api.put(
        "gateways",
        "not-ours",
        "istio-system",
        spec={
            "selector": {"istio": "egressgateway"},
            "servers": [{"port": {"number": other, "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    )
    fresh.routes("mesh", [{"route": [to("one")]}], gateways=["mesh"])
    fresh.routes("not-ours", [{"route": [to("one")]}], gateways=["istio-system/not-ours"])
    fresh.routes("other-host", [{"route": [to("one")]}], hosts=["b.example.com"])
    fresh.becomes(lambda: found(fresh.get("/", host="b.example.com")))
    assert fresh.get("/")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        fresh.get("/", port=other)
    api.delete("gateways", "not-ours", "istio-system")


def test_a_port_is_open_as_long_as_a_gateway_names_it_and_a_namespace_may_be_asked_for(fresh, api, one):
    service(api, "one", [one], namespace="yes")
    port = free_port()
    api.put(
        "gateways",
        "second",
        "default",
        spec={
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": port, "protocol": "HTTP2"}, "hosts": ["yes/*"]}],
        },
    )
    fresh.routes("yes", [{"route": [to("one")]}], gateways=["default/second"], namespace="yes")
    fresh.routes(
        "no",
        [{"route": [to("one.yes.svc.cluster.local")]}],
        hosts=["b.example.com"],
        gateways=["default/second"],
        namespace="no",
    )
    fresh.becomes(lambda: found(fresh.get("/", port=port)))
    assert fresh.get("/", host="b.example.com", port=port)[0] == 404
    api.delete("gateways", "second", "default")

    def closed():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) != 0

    fresh.becomes(lambda: check(closed()))


def test_weights_and_subsets(fresh, api, one, two):
    service(api, "both", [one, two], labels={0: {"version": "v1", "more": "x"}, 1: {"version": "v2"}})
    api.put(
        "destinationrules",
        "both",
        spec={
            "host": "both.default.svc.cluster.local",
            "subsets": [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}],
        },
    )
    fresh.routes("v", [{"route": [to("both", "v1", 75), to("both", "v2", 25)]}])
    fresh.becomes(lambda: found(fresh.get("/")))
    seen = [by(fresh.get("/")) for _ in range(400)]
    assert 250 < seen.count("one") < 350
    fresh.routes("v", [{"route": [to("both", "v1", 0), to("both", "v2", 100)]}])
    fresh.becomes(lambda: check({by(fresh.get("/")) for _ in range(20)} == {"two"}))
    fresh.routes("v", [{"route": [to("both", "v3")]}])
    fresh.becomes(lambda: check(fresh.get("/")[::2] == (503, "")))  # no such subset: Envoy knows no such cluster


def test_headers_are_set_added_and_removed(fresh, api, one):
    service(api, "one", [one])
    fresh.routes(
        "v",
        [
            {
                "rewrite": {"authority": "inside"},
                "route": [to("one", headers={"request": {"set": {"Knative-Serving-Revision": "r-1"}}})],
                "headers": {
                    "request": {"add": {"x-more": "m"}, "remove": ["x-gone"]},
                    "response": {"set": {"x-new": "2"}, "remove": ["x-old"]},
                },
            }
        ],
    )
    _, headers, body = fresh.becomes(lambda: found(fresh.get("/", headers={"X-Gone": "1", "X-Kept": "1"})))
    told = body["headers"]
    assert (
        told["knative-serving-revision"] == "r-1"
        and told["x-more"] == "m"
        and told["x-kept"] == "1"
        and told["host"] == "inside"
    )
    assert "x-gone" not in told and headers["X-New"] == "2" and "X-Old" not in headers


def test_redirect(fresh):
    fresh.routes("v", [{"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new", "redirectCode": 302}}])
    status, headers, _ = fresh.becomes(lambda: check((got := fresh.get("/old"))[0] == 302) and got)
    assert headers["Location"] == "http://a.example.com/new"


def test_a_mirror_gets_a_copy(fresh, api, one, two):
    service(api, "one", [one])
    service(api, "two", [two])
    fresh.routes("v", [{"route": [to("one")], "mirror": {"host": "two", "port": {"number": 80}}}])
    fresh.becomes(lambda: found(fresh.get("/first")))
    assert by(fresh.get("/copied", method="POST", body=b"12")) == "one"
    fresh.becomes(lambda: check("/copied" in two.seen))


# When something fails ---------------------------------------------------------------------------------------------


def test_no_endpoint_is_ready(fresh, api):
    service(api, "none", [])
    fresh.routes("v", [{"route": [to("none")]}])
    status, headers, body = fresh.becomes(lambda: check((got := fresh.get("/"))[0] == 503) and got)
    assert (headers["Server"], headers["Content-Type"], body) == ("istio-envoy", "text/plain", "no healthy upstream")


def test_no_endpoint_answers_or_the_answer_never_comes(fresh, api, one):
    service(api, "dead", [free_port()])
    service(api, "one", [one])
    fresh.routes(
        "dead",
        [
            {"match": [{"uri": {"prefix": "/dead"}}], "route": [to("dead")]},
            {"match": [{"uri": {"prefix": "/slow"}}], "timeout": "0.3s", "route": [to("one")]},
            {"route": [to("one")]},
        ],
    )
    before = "upstream connect error or disconnect/reset before headers. reset reason: "
    fresh.becomes(lambda: check(fresh.get("/dead")[::2] == (503, before + "connection failure")))
    assert fresh.get("/?drop=1", method="POST", body=b"1")[::2] == (503, before + "connection termination")
    assert len([p for p in one.seen if "drop" in p]) == 1  # it may have been carried out: not asked twice
    assert fresh.get("/slow?sleep=3")[::2] == (504, "upstream request timeout")


@pytest.mark.parametrize(
    "retries, tries",
    [
        (None, 3),
        ({"attempts": 0}, 1),
        ({"attempts": 1, "retryOn": "gateway-error"}, 2),
        ({"attempts": 3, "retryOn": "reset"}, 1),
    ],
)
def test_503_is_asked_again_as_often_as_istio_does(fresh, api, one, retries, tries):
    service(api, "one", [one])
    fresh.routes("v", [{"route": [to("one")], **({"retries": retries} if retries else {})}])
    fresh.becomes(lambda: found(fresh.get("/")))
    assert (
        fresh.get("/?code=503", method="POST", body=b"abc")[2]["length"] == 3 and one.seen.count("/?code=503") == tries
    )
    assert fresh.get("/?code=500")[0] == 500 and one.seen.count("/?code=500") == 1


@pytest.mark.parametrize("retry_on, tries", [("reset", 4), ("gateway-error", 4), ("connect-failure", 1)])
def test_one_that_was_cut_off_is_asked_again_where_the_route_says_so(fresh, api, one, retry_on, tries):
    """recordings/seldon.md: wouldRetryFromReset."""
    service(api, "one", [one])
    fresh.routes("v", [{"route": [to("one")], "retries": {"attempts": 3, "retryOn": retry_on}}])
    ask = "/?drop=1"
    fresh.becomes(lambda: check(fresh.get(ask)[2].endswith("connection termination")))
    before = one.seen.count(ask)
    assert fresh.get(ask, method="POST", body=b"1")[2].endswith("connection termination")
    assert one.seen.count(ask) - before == tries


def test_tries_are_a_quarter_of_a_second_apart_at_most(fresh, api, one):
    service(api, "dead", [free_port()])
    fresh.routes("v", [{"route": [to("dead")], "retries": {"attempts": 20, "retryOn": "gateway-error"}}])
    fresh.becomes(lambda: check(fresh.get("/")[2].endswith("connection failure")))
    began = time.monotonic()
    assert fresh.get("/")[2].endswith("connection failure")
    assert 0.5 < time.monotonic() - began < 30  # 2.2 s on the average; doubled each time it would be hours


def test_new_endpoints_are_taken_up_when_none_has_changed_for_a_while(fresh, api, one, two):
    """recordings/seldon.md: Pilot waits 100 ms."""
    service(api, "one", [one])
    fresh.routes("v", [{"route": [to("one")]}])
    fresh.becomes(lambda: found(fresh.get("/")))
    service(api, "one", [two])
    began = time.monotonic()
    while by(fresh.get("/")) == "one":
        assert time.monotonic() - began < 20
    assert time.monotonic() - began > 0.09


def test_a_change_that_means_nothing_to_it_keeps_none_waiting(fresh, api, one, two):
    """A pod's conditions, and an Endpoints written again as it was, are no news to Pilot."""
    service(api, "one", [one])
    api.put("endpoints", "leader", subsets=[])
    fresh.routes("v", [{"route": [to("one")]}])
    fresh.becomes(lambda: found(fresh.get("/")))
    over = threading.Event()

    def renew():
        while not over.wait(0.02):
            api.put("endpoints", "leader", subsets=[])
            api.put("pods", "one-0")

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        service(api, "one", [two])
        began = time.monotonic()
        fresh.becomes(lambda: check(by(fresh.get("/")) == "two"))
        assert time.monotonic() - began < 9  # as news they would keep it waiting for 10 s
    finally:
        over.set()
        renewing.join(60)


def test_a_dead_endpoint_among_living_ones_costs_no_request(fresh, api, one):
    service(api, "half", [one, free_port()])
    fresh.routes("v", [{"route": [to("half")]}])
    fresh.becomes(lambda: found(fresh.get("/")))
    assert all(fresh.get("/", method="POST", body=b"1" * 3000000)[2]["length"] == 3000000 for _ in range(10))


def test_no_request_is_lost_while_endpoints_roll(fresh, api):
    """Pods come and go under load; the Endpoints follow late, as they do. Connections that were kept are cut."""
    running = [Upstream("pod-0"), Upstream("pod-1")]
    service(api, "rolling", running)
    retries = {"attempts": 20, "retryOn": "gateway-error,connect-failure,refused-stream"}  # as chapter 09 has them
    fresh.routes("v", [{"route": [to("rolling")], "retries": retries}])
    fresh.becomes(lambda: found(fresh.get("/")))
    over, seen = threading.Event(), []

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", fresh.port, timeout=30)
        while not over.is_set():
            seen.append(fresh.get("/", method="POST", body=b"12345", connection=connection)[0])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for number in range(2, 8):
                running.append(Upstream(f"pod-{number}"))
                service(api, "rolling", running)
                time.sleep(0.1)
                old = running.pop(0)
                old.close()  # it takes no new connections, though the Endpoints still name it
                time.sleep(0.1)
                service(api, "rolling", running)
            until("requests enough", lambda: len(seen) > 100)
        finally:
            over.set()
        for each in asking:
            each.result(60)
    for each in running:
        each.close()
    assert set(seen) == {200} and len(seen) > 100


# HTTP/2 and gRPC --------------------------------------------------------------------------------------------------


def raw(text):
    return text


class Model(grpc.GenericRpcHandler):
    def service(self, details):
        seen = dict(details.invocation_metadata)

        def predict(request, context):
            if request == b"fail":
                context.set_trailing_metadata((("why", "because"),))
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no good")
            context.send_initial_metadata((("first", "1"),))
            context.set_trailing_metadata((("last", seen.get("seldon", "-")),))
            return request[::-1]

        def count(requests, context):
            for number, _ in enumerate(requests):
                yield str(number).encode()

        if details.method.endswith("/Predict"):
            return grpc.unary_unary_rpc_method_handler(predict, raw, raw)
        return grpc.stream_stream_rpc_method_handler(count, raw, raw) if details.method.endswith("/Count") else None


@pytest.fixture
def model():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Model()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()


@pytest.fixture
def channel(fresh):
    with grpc.insecure_channel(f"127.0.0.1:{fresh.port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        yield channel


def call(channel, request, name="/seldon.protos.Seldon/Predict", **metadata):
    return channel.unary_unary(name, raw, raw).with_call(request, metadata=tuple(metadata.items()), timeout=30)


def status_of(channel, *words, **metadata):
    try:
        call(channel, *words, **metadata)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


GRPC = [
    {
        "match": [
            {
                "uri": {"regex": ".*tensorflow.*|.*seldon.protos.*"},
                "headers": {"seldon": {"exact": "iris"}, "namespace": {"exact": "models"}},
            }
        ],
        "route": [to("model", port=5001)],
    }
]


@pytest.mark.parametrize("port_name", ["grpc", "http2-web", "any"])  # without a name that says so: as the request came
def test_grpc_goes_through_with_its_trailers(fresh, api, model, channel, port_name):
    service(api, "model", [model], port_name=port_name, port=5001)
    fresh.routes("v", GRPC, hosts=["*"])
    wanted = {"seldon": "iris", "namespace": "models"}
    fresh.becomes(lambda: check(status_of(channel, b"abc", **wanted)[0] == grpc.StatusCode.OK))
    answer, about = call(channel, b"abc" * 100000, **wanted)
    assert (
        answer == b"cba" * 100000
        and dict(about.initial_metadata())["first"] == "1"
        and dict(about.trailing_metadata())["last"] == "iris"
    )
    assert dict(about.initial_metadata())["server"] == "istio-envoy"
    assert {status_of(channel, b"fail", **wanted) for _ in range(30)} == {(grpc.StatusCode.INVALID_ARGUMENT, "no good")}
    assert status_of(channel, b"abc", "/seldon.protos.Seldon/Unknown", **wanted)[0] == grpc.StatusCode.UNIMPLEMENTED
    assert (
        status_of(channel, b"abc", seldon="iris")[0] == grpc.StatusCode.UNIMPLEMENTED
    )  # no route: 404 in gRPC's words


def test_a_stream_flows_both_ways_while_it_is_open(fresh, api, model, channel):
    service(api, "model", [model], port_name="grpc", port=5001)
    fresh.routes("v", GRPC, hosts=["*"])
    wanted = {"seldon": "iris", "namespace": "models"}
    fresh.becomes(lambda: check(status_of(channel, b"abc", **wanted)[0] == grpc.StatusCode.OK))
    asked = queue.Queue()
    asked.put(b"first")
    answers = channel.stream_stream("/seldon.protos.Seldon/Count", raw, raw)(
        iter(asked.get, None), metadata=tuple(wanted.items()), timeout=30
    )
    assert next(answers) == b"0"
    asked.put(b"second")
    assert next(answers) == b"1"
    asked.put(None)
    assert list(answers) == []


def test_grpc_failures_come_in_its_own_form(fresh, api, channel):
    service(api, "model", [], port_name="grpc", port=5001)
    fresh.routes("v", GRPC, hosts=["*"])
    wanted = {"seldon": "iris", "namespace": "models"}
    fresh.becomes(
        lambda: check(status_of(channel, b"abc", **wanted) == (grpc.StatusCode.UNAVAILABLE, "no healthy upstream"))
    )


def test_an_upgrade_goes_through(fresh, api, one):
    echo = socket.create_server(("127.0.0.1", 0))

    def upgrade():
        connection, _ = echo.accept()
        with connection:
            text = connection.recv(4096)
            assert b"Upgrade: websocket" in text
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            connection.sendall(connection.recv(100).upper())

    threading.Thread(target=upgrade, daemon=True).start()
    service(api, "one", [one])
    service(api, "sockets", [echo.getsockname()[1]])
    fresh.routes("v", [{"match": [{"uri": {"exact": "/ws"}}], "route": [to("sockets")]}, {"route": [to("one")]}])
    fresh.becomes(lambda: check(fresh.get("/known")[0] == 200))
    with socket.create_connection(("127.0.0.1", fresh.port), 30) as client:
        client.sendall(b"GET /ws HTTP/1.1\r\nHost: a.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        head = client.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        client.sendall(b"hello")
        assert client.recv(100) == b"HELLO"
    echo.close()


# What it knows of the cluster -------------------------------------------------------------------------------------


def test_a_watch_that_ends_goes_on_and_one_too_old_begins_anew(fresh, api, one):
    service(api, "one", [one])
    fresh.routes("v", [{"route": [to("one")]}])
    fresh.becomes(lambda: found(fresh.get("/")))
    lists = api.lists
    api.end_watches()
    fresh.routes("v", [{"match": [{"uri": {"prefix": "/second"}}], "route": [to("one")]}])
    fresh.becomes(lambda: check((fresh.get("/")[0], fresh.get("/second")[0]) == (404, 200)))
    assert api.lists == lists  # it went on, with no new list
    with api.lock:
        api.end_watches(forget=True)
        fresh.routes("v", [{"match": [{"uri": {"prefix": "/third"}}], "route": [to("one")]}])
    fresh.becomes(lambda: check((fresh.get("/second")[0], fresh.get("/third")[0]) == (404, 200)))
    assert api.lists > lists


def test_an_object_that_makes_no_sense_is_left_out_alone(fresh, api, one):
    service(api, "one", [one])
    fresh.routes("bad", [{"timeout": 5, "route": [to("one")]}], hosts=["b.example.com"])
    fresh.routes("expression", [{"match": [{"uri": {"regex": "("}}], "route": [to("one")]}], hosts=["c.example.com"])
    fresh.routes("v", [{"route": [to("one")]}])
    fresh.becomes(lambda: found(fresh.get("/")))
    assert fresh.get("/", host="b.example.com")[0] == fresh.get("/", host="c.example.com")[0] == 404


def test_it_is_ready_when_it_knows_the_cluster_and_drains_when_it_is_stopped(program):
    api, upstream = Routes(), Upstream("one")
    api.kinds.discard(KINDS["gateways"])  # the kinds are not there yet
    one = Gateway(program[1], api, drain="4s")
    with api, stopping(one.process, upstream):
        one.becomes(lambda: check(one.get("/healthz/ready", port=one.status)[0] == 503))
        with api.lock:
            api.kinds.add(KINDS["gateways"])
        service(api, "one", [upstream])
        one.routes("v", [{"route": [to("one")]}])
        api.put(
            "gateways",
            "main",
            "istio-system",
            spec={"selector": LABELS, "servers": [{"port": {"number": one.port, "protocol": "HTTP"}, "hosts": ["*"]}]},
        )
        one.becomes(lambda: check(one.get("/healthz/ready", port=one.status)[0] == 200))
        one.becomes(lambda: found(one.get("/")))
        kept = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
        assert one.get("/", connection=kept)[1]["Connection"] is None
        with concurrent.futures.ThreadPoolExecutor() as pool:
            slow = pool.submit(one.get, "/?sleep=8")  # twice as long as it goes on serving
            until("it to be under way", lambda: "/?sleep=8" in upstream.seen)
            one.process.send_signal(signal.SIGTERM)
            one.becomes(lambda: check(one.get("/healthz/ready", port=one.status)[0] == 503))
            for connection in (None, kept):  # one that was open before was not cut off
                status, headers, _ = one.get("/late", connection=connection)
                assert status == 200 and headers["Connection"] == "close"
            assert slow.result(30)[0] == 200
        assert one.process.wait(60) == 0


# What the sandbox installs ----------------------------------------------------------------------------------------


def test_the_manifest_names_twelve_deployments_two_jobs_and_only_images_that_are_served(program):
    objects = list(yaml.safe_load_all((RELEASE / "istio-demo.yaml").read_text()))
    deployments = {
        o["metadata"]["name"]: o["spec"]["template"]["spec"]["containers"]
        for o in objects
        if o["kind"] in ("Deployment", "Job")
    }
    assert sorted(deployments) == [
        "grafana",
        "istio-citadel",
        "istio-egressgateway",
        "istio-galley",
        "istio-grafana-post-install-1.5.1",
        "istio-ingressgateway",
        "istio-pilot",
        "istio-policy",
        "istio-security-post-install-1.5.1",
        "istio-sidecar-injector",
        "istio-telemetry",
        "istio-tracing",
        "kiali",
        "prometheus",
    ]
    asked = {c["image"] for containers in deployments.values() for c in containers}
    assert asked == set(catalogue.load()["istio"].entry["images"])
    served = {image for _, image in registry.images(builds.build("istio", print) / "out")}
    assert asked == served
    assert "istio" in notebooks.load_all()["addons"].artifacts
    assert mirror.fidelity()["istio"]["fidelity"] == "double"
    ingress = next(o for o in objects if o["kind"] == "Service" and o["metadata"]["name"] == "istio-ingressgateway")
    assert ingress["spec"]["type"] == "LoadBalancer"
    assert {p["name"]: p.get("nodePort") for p in ingress["spec"]["ports"]}["http2"] == 31380


@pytest.mark.parametrize(
    "name, port, path", [("mixs", 15014, "/version"), ("kiali", 20001, "/kiali/healthz"), ("all-in-one", 14269, "/")]
)
def test_the_others_are_ready_and_say_what_they_are(program, name, port, path):
    """Their ports are fixed, so each has a network of its own, as in its pod."""
    binary = os.path.join(program[0], "usr/local/bin", name)
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", binary, "server"])
    inside = ["nsenter", "--net", "--target", str(process.pid)]
    ask = [*inside, "curl", "-fsS", f"http://127.0.0.1:{port}{path}"]
    try:
        said = until(
            name,
            lambda: subprocess.run(ask, check=True, capture_output=True, text=True, timeout=30).stdout,
            lambda: f"exit code {process.returncode}" if process.poll() is not None else None,
        )
        assert f"a stand-in for {name}" in said
    finally:
        process.terminate()
        process.wait(30)
