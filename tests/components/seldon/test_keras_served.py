"""The Keras model under the real TensorFlow and Seldon's real Python package, as its pod runs them.

They are 260 MB to download: RUNBOOK_KERAS=1 puts them into the cache, once, and from then on these tests run.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from helpers.components.seldon import flowers, grpc_predict
from helpers.components.seldon.serving import SETUP_FOLDER
from helpers.core.paths import home
from tests.serving import free_port, serving, until

REQUIREMENTS = SETUP_FOLDER / "requirements-keras.txt"
#: what one would write first, and what the trouble note is about
IN_INIT = """
from KerasFlowers import KerasFlowers

class Early(KerasFlowers):
    def __init__(self):
        super().__init__()
        super().load()

    def load(self):
        pass
"""


@pytest.fixture(scope="session")
def packages():
    """A folder with a venv of the image's packages, in the cache."""
    folder = home("cache") / "keras-model"
    stamp = folder / "stamp"
    with open(home("locks") / "keras-model", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
            return folder
        if not os.environ.get("RUNBOOK_KERAS"):
            pytest.skip("TensorFlow is not in the cache: RUNBOOK_KERAS=1 downloads 260 MB")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "-q", "--no-deps"]
        subprocess.run([*pip, "-r", REQUIREMENTS], check=True)
        stamp.write_text(REQUIREMENTS.read_text())
    return folder


@pytest.fixture(scope="module")
def bucket():
    """The models in an S3 server: its answers to a list of a folder, and to an object of it."""
    held = {key: data for v in flowers.VERSIONS for key, data in flowers.files("keras", v).items()}

    def answer(request):
        path, _, query = request.path.partition("?")
        if "list-type=2" not in query:
            key = path.partition("/models/")[2]
            return 200, held[key], {"ETag": '"1"', "Last-Modified": "Thu, 26 Nov 2026 00:00:00 GMT"}
        folder = httpx.QueryParams(query)["prefix"]
        found = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-26T00:00:00.000Z</LastModified><ETag>1</ETag>"
            f"<Size>{len(data)}</Size></Contents>"
            for key, data in held.items()
            if key.startswith(folder)
        )
        return 200, f"<ListBucketResult><Name>models</Name>{found}</ListBucketResult>", {}

    with serving(answer) as server:
        yield server


class Served:
    """A model's process, as a pod has it: its ports, and all that it wrote."""

    def __init__(self, packages, bucket, tmp_path, name, uri):
        self.rest, self.grpc, self.log = free_port(), free_port(), tmp_path / "log"
        path = os.pathsep.join([str(SETUP_FOLDER), str(tmp_path)])
        keys = {"S3_ENDPOINT": f"127.0.0.1:{bucket.port}", "S3_ACCESS_KEY": "user", "S3_SECRET_KEY": "very-secret-key"}
        ports = {"HTTP": self.rest, "GRPC": self.grpc, "METRICS": free_port()}
        env = {f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT": str(port) for kind, port in ports.items()}
        env.update(keys, PATH=os.environ["PATH"], PYTHONPATH=path, MODEL_URI=uri, PYTHONDONTWRITEBYTECODE="1")
        argv = [packages / "bin/seldon-core-microservice", name, "--service-type", "MODEL"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True)

    def until_it_listens(self):
        for port in (self.rest, self.grpc):
            until(f"port {port}", lambda at=port: self._listens(at), self._why_ended, timeout=240)

    def _listens(self, port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True

    def _why_ended(self):
        return None if self.process.poll() is None else "it ended: " + self.log.read_text()[-2000:]

    def ask(self, rows, timeout):
        url = f"http://127.0.0.1:{self.rest}/predict"
        return httpx.post(url, json={"data": {"ndarray": rows}}, timeout=timeout, trust_env=False)


@pytest.fixture
def served(packages, bucket, tmp_path):
    """served(class, uri): a Served, ended with the test."""
    all_of_them = []

    def make(name, uri="s3://models/flowers/keras/2"):
        (tmp_path / "Early.py").write_text(IN_INIT)
        all_of_them.append(Served(packages, bucket, tmp_path, name, uri))
        return all_of_them[-1]

    yield make
    for one in all_of_them:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def test_it_answers_over_rest_and_grpc_what_its_weights_give(served):
    model, rows = served("KerasFlowers"), flowers.sample(30)
    model.until_it_listens()
    right = flowers.probabilities(flowers.weights(2, "keras"), rows)
    answer = model.ask(rows, timeout=120).json()
    assert answer["data"]["names"] == flowers.weights(2)["classes"]
    assert flowers.same(answer["data"]["ndarray"], right)
    assert answer["meta"]["tags"] == {"model_version": "2"}
    found, tags = grpc_predict.predict(f"127.0.0.1:{model.grpc}", "models", "flowers", rows)
    assert flowers.same(found, right) and tags == {"model_version": "2"}
    for bad, words in (([[1, 2, 3]], "a flower is 4 numbers"), ([["a", "b", "c", "d"]], "a flower is numbers")):
        refused = model.ask(bad, timeout=60)
        assert refused.status_code == 400 and words in refused.text


def test_a_model_that_is_made_in_init_never_answers(served):
    """The seed's trouble note: its ports are open, so its pod is ready, and each request hangs."""
    model = served("Early")
    model.until_it_listens()
    with pytest.raises(httpx.ReadTimeout):
        model.ask(flowers.sample(1), timeout=30)
    assert model.process.poll() is None and "Traceback" not in model.log.read_text()


def test_without_its_files_the_process_ends_and_says_so(served):
    model = served("KerasFlowers", "s3://models/flowers/keras/9")
    assert model.process.wait(240) != 0
    assert "NoSuchKey: there is nothing at s3://models/flowers/keras/9" in model.log.read_text()
