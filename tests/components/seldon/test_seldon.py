"""Flowers, Seldon's messages, images and predictions under load: real gRPC, real HTTP on loopback; no cluster here."""

import base64
import contextlib
import http.server
import json
import subprocess
import threading
import types
from concurrent import futures

import grpc
import pytest

from helpers.components.seldon import flowers
from helpers.components.seldon import grpc_predict as seldon_grpc
from helpers.components.seldon import serving as seldon
from helpers.core.errors import Unmet
from helpers.core.errors import CommandFailed, RunbookError
from helpers.core.paths import SETUP
from helpers.core.secrets import Secret

#: as seldon-core's generated code writes them: two rows of four; the same with names and a tag
TWO_ROWS = bytes.fromhex(
    "1a4812460a0202041240000000000000f03f000000000000004000000000000008400000000000001040000000000000144000000000000018400000000000001c400000000000002040"
)
WITH_TAG = bytes.fromhex("121612140a0d6d6f64656c5f76657273696f6e12031a01311a4b0a0161") + TWO_ROWS[2:]


# -- the data set and its weights -------------------------------------------------------------------


def test_the_flowers_are_the_same_each_time_and_of_three_classes():
    assert flowers.data() == flowers.data() and len(flowers.data()) == 90
    assert flowers.data(2) == [flower for n in range(3) for flower in flowers.data()[30 * n : 30 * n + 2]], (
        "fewer flowers are the first ones"
    )
    assert all(len(lengths) == 4 and min(lengths) > 0 for lengths, _ in flowers.data())


def test_version_2_knows_more_than_version_1_and_both_are_written_alike_each_time():
    one, two = flowers.weights(1), flowers.weights(2)
    assert flowers.right(one) < flowers.right(two) and flowers.right(two) >= 85
    assert (
        flowers.text(two) == flowers.text(flowers.weights(2)) != flowers.text(one)
        and json.loads(flowers.text(two)) == two
    )
    for line in flowers.probabilities(two, [[5.1, 3.5, 1.4, 0.2], [1e3, -1e3, 1e3, 1e3]]):
        assert abs(sum(line) - 1) < 1e-9 and all(0 <= p <= 1 for p in line)


def test_probabilities_are_those_of_a_softmax():
    weights = {"coef": [[1, 0], [0, 1]], "intercept": [0, 1]}
    ((a, b),) = flowers.probabilities(weights, [[2, 1]])
    assert a == pytest.approx(0.5) and b == pytest.approx(0.5)


# -- messages ---------------------------------------------------------------------------------------


def test_messages_are_byte_for_byte_those_of_the_generated_code():
    assert seldon_grpc.request([[1, 2, 3, 4], [5, 6, 7, 8]]).SerializeToString() == TWO_ROWS
    answer = seldon_grpc.SeldonMessage.FromString(WITH_TAG)
    assert (
        seldon_grpc.rows(answer) == [[1, 2, 3, 4], [5, 6, 7, 8]]
        and answer.meta.tags["model_version"].string_value == "1"
        and list(answer.data.names) == ["a"]
    )


def test_a_tensor_whose_shape_does_not_fit_is_no_answer():
    message = seldon_grpc.request([[1, 2]])
    message.data.tensor.shape[1] = 3
    with pytest.raises(RunbookError) as e:
        seldon_grpc.rows(message)
    assert "[1, 3] with 2 values" in e.value.saw


@pytest.fixture
def model():
    """A gRPC server that answers Predict with WITH_TAG to who names models/flowers, and refuses others."""
    asked = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            given = dict(details.invocation_metadata)
            asked.append((details.method, given.get("namespace"), given.get("seldon")))

            def answer(request, context):
                if given.get("seldon") != "flowers":
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no route\nat all")
                return WITH_TAG

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", asked
    server.stop(None)


def test_a_call_names_the_deployment_and_reads_numbers_and_tags(model):
    address, asked = model
    assert seldon_grpc.predict(address, "models", "flowers", [[1, 2, 3, 4]]) == (
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        {"model_version": "1"},
    )
    assert asked == [("/seldon.protos.Seldon/Predict", "models", "flowers")]


def test_a_call_that_is_refused_or_reaches_nobody_ends_in_words(model):
    for address, name, words in (
        (model[0], "nobody", "UNIMPLEMENTED: no route"),
        ("127.0.0.1:1", "flowers", "UNAVAILABLE"),
    ):
        with pytest.raises(RunbookError) as e:
            seldon_grpc.predict(address, "models", name, [[1]], timeout=5)
        assert e.value.saw.startswith(words) and "\n" not in e.value.saw and "models/" + name in e.value.what


# -- what is there, and what should be ----------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted, live, words",
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),  # a server's default
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}]}}, None),
        ({"a": 1}, {"a": 2}, "a is 2, not 1"),
        ({"a": {"b": 1}}, {"a": {}}, "a.b is null, not 1"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1, 2], not [1]"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a[0].b is 2, not 1"),
    ],
)
def test_only_what_we_say_is_compared(wanted, live, words):
    assert seldon.other(wanted, live) == words


def test_numbers_are_the_same_within_a_millionth():
    assert (
        seldon.same([[0.1, 0.2]], [[0.1 + 1e-8, 0.2]])
        and not seldon.same([[0.1]], [[0.11]])
        and not seldon.same([[0.1]], [[0.1], [0.2]])
        and not seldon.same([[0.1]], [[0.1, 0.2]])
    )


class Chapter:
    """A chapter whose host runs commands here, and whose port forwarding leads to itself."""

    installing, mode = True, "install"

    def __init__(self, kubectl=None):
        self.host = types.SimpleNamespace(name="here", run=self._run)
        self.kubectl = kubectl or {}

    def _run(self, script, stdin=None, **kw):
        for start, answer in self.kubectl.items():
            if script.startswith(start):
                if isinstance(answer, str):
                    raise CommandFailed("kubectl", saw=answer, code=1, err=answer)
                return types.SimpleNamespace(out=json.dumps(answer) if answer else "", err="", code=0)
        done = subprocess.run(["bash", "-c", script], input=stdin, capture_output=True)
        return types.SimpleNamespace(out=done.stdout.decode(), err=done.stderr.decode(), code=done.returncode)

    def forward(self, port, address=None):
        return self.port


def made(kubectl=None, ch=None):
    return seldon.Seldon(
        ch or Chapter(kubectl),
        None,
        None,
        "python:3",
        "models",
        ("10.0.1.1:9000", "runbook", Secret("minio-root", "very-secret-key")),
    )


def test_versions_differ_in_their_weights_alone_and_no_secret_is_in_the_manifest():
    one, two = made().manifest(1), made().manifest(2)
    assert "very-secret-key" not in json.dumps(one) and one != two
    assert seldon.other(one, two).endswith(
        'value is "s3://models/flowers/2/model.json", not "s3://models/flowers/1/model.json"'
    )
    container = one["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]
    assert container["name"] == one["spec"]["predictors"][0]["graph"]["name"] and container["image"].startswith(
        "localhost:32000/flowers:"
    )


def test_a_webhook_that_cannot_be_asked_for_a_trial_is_asked_for_real():
    dry = {
        "microk8s kubectl apply --dry-run=server": 'admission webhook "v1.vseldondeployment.kb.io" does not support dry run'
    }
    assert (
        made(
            dict(dry, **{"microk8s kubectl create": "denied the request: Can't find container for Predictive Unit"})
        ).silent()
        is None
    )
    assert (
        "no webhook looks at it"
        in made(dict(dry, **{"microk8s kubectl create": {}, "microk8s kubectl delete": {}})).silent()
    )


@pytest.mark.parametrize(
    "answer, words",
    [
        (
            'Error from server: error when creating STDIN: admission webhook "v1.vseldondeployment.kb.io" denied the request: ... Can\'t find container for Predictive Unit',
            None,
        ),
        ("Error from server (InternalError): failed calling webhook: connection refused", "connection refused"),
        ({}, "no webhook looks at it"),
    ],
)
def test_the_webhook_answers_when_it_refuses_in_its_own_words(answer, words):
    why = made({"microk8s kubectl apply --dry-run=server": answer}).silent()
    assert why is None if words is None else words in why


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Certificates that end in so many days, as the chart's Secret has them."""
    folder, found = tmp_path_factory.mktemp("certificates"), {}
    for days in (365, 5):
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-keyout",
                str(folder / "key"),
                "-out",
                str(folder / "crt"),
                "-days",
                str(days),
                "-subj",
                "/CN=test",
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        found[days] = base64.b64encode((folder / "crt").read_bytes()).decode()
    return found


def test_a_certificate_is_told_in_time(certificates):
    def secret(ca, own):
        return made(
            {"microk8s kubectl get secret": {"data": {"ca.crt": certificates[ca], "tls.crt": certificates[own]}}}
        )

    assert secret(365, 365).certificate_is_good(30).startswith("until 2")
    assert secret(365, 5).certificate()[0] == "tls.crt" and secret(5, 365).certificate()[0] == "ca.crt", (
        "the first that ends counts"
    )
    assert secret(365, 5).certificate_is_good(3)
    with pytest.raises(Unmet) as e:
        secret(365, 5).certificate_is_good(30)
    assert "(tls.crt) ends soon, on 2" in e.value.seen and e.value.entry == "seldon-cert"


def test_what_seldon_says_is_read_from_its_status():
    assert (
        seldon.Seldon.info('{"status":{"code":-1,"info":"a flower is 4 numbers","status":1}}')
        == "a flower is 4 numbers"
    )
    assert seldon.Seldon.info("404 page not found") == "404 page not found" and seldon.Seldon.info("[1]") == "[1]"


# -- predictions under load ---------------------------------------------------------------------------


@contextlib.contextmanager
def serving(handle):
    """An HTTP server on loopback; handle(method, path, body) returns (status, headers, body). Yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            status, headers, body = handle(
                self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))
            )
            self.send_response(status)
            for key, value in dict(headers, **{"Content-Length": len(body)}).items():
                self.send_header(key, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def load(port, enough=30, **kw):
    weights = {str(v): flowers.weights(v) for v in (1, 2)}
    made = seldon.PredictionLoad(("127.0.0.1", port), "/p", weights, pause=0, **kw)
    with made:
        for _ in range(2000):
            if made.count() >= enough:
                break
            threading.Event().wait(0.005)
    return made


def right(version, body):
    rows = json.loads(body)["data"]["ndarray"]
    return json.dumps(
        {
            "data": {"ndarray": flowers.probabilities(flowers.weights(version), rows)},
            "meta": {"tags": {"model_version": str(version)}},
        }
    ).encode()


def test_answers_are_counted_by_version():
    seen = []

    def handle(method, path, body):
        seen.append(1)
        return 200, {}, right(1 + len(seen) % 2, body)

    with serving(handle) as port:
        done = load(port)
    assert not done.lost and set(done.answered) == {"1", "2"} and done.count() == sum(done.answered.values()) >= 30


@pytest.mark.parametrize(
    "bad, words",
    [
        (lambda body: (503, {}, b"no healthy upstream"), "503: no healthy upstream"),
        (lambda body: (200, {}, right(1, body).replace(b'"1"', b'"2"')), "a wrong answer"),
        (lambda body: (200, {}, b"{}"), "KeyError"),
    ],
)
def test_each_that_is_not_answered_rightly_is_lost(bad, words):
    seen = []

    def handle(method, path, body):
        seen.append(1)
        return bad(body) if len(seen) == 5 else (200, {}, right(1, body))

    with serving(handle) as port:
        done = load(port, threads=1)
    assert len(done.lost) == 1 and words in done.lost[0]


def test_a_gateway_that_is_away_loses_all():
    done = load(1, enough=3)
    assert not done.answered and "Refused" in done.lost[0]


def test_every_package_of_the_model_is_pinned():
    lines = [
        line
        for line in (SETUP / "seldon-setup/requirements-model.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(line.count("==") == 1 for line in lines) and {"seldon-core", "scikit-learn", "minio"} <= {
        line.split("==")[0] for line in lines
    }
