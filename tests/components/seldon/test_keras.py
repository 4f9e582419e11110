"""The Keras model beside scikit-learn's: its files, its answers, and the chapter with framework=keras."""

import struct

import pytest

from helpers.components.seldon import flowers
from helpers.components.seldon.load import PredictionLoad
from helpers.components.seldon.proofs import Proofs
from helpers.components.seldon.serving import SETUP_FOLDER
from helpers.components.seldon.store import ModelStore
from helpers.core.errors import Unmet
from tests.components.seldon.test_proofs import model
from tests.components.seldon.test_store import minio


@pytest.fixture
def keras(made):
    """made(...) for framework=keras."""

    def make(kubectl=None, port=9):
        seldon = made(kubectl, port)
        old = seldon.store
        seldon.store = ModelStore(old.s3, old.bucket, old.endpoint, old.secret, "keras")
        return seldon

    return make


@pytest.mark.parametrize("version", flowers.VERSIONS)
def test_a_saved_model_lies_in_a_folder_of_its_own_and_is_small(version):
    held = flowers.files("keras", version)
    where = f"flowers/keras/{version}/"
    assert {where + "saved_model.pb", where + "variables/variables.index", where + "model.json"} <= set(held)
    assert sum(map(len, held.values())) < 60_000
    assert flowers.weights(version, "keras")["version"] == str(version)


@pytest.mark.parametrize("version", flowers.VERSIONS)
def test_a_saved_model_holds_the_weights_of_the_text_beside_it(version):
    saved = flowers.files("keras", version)[f"flowers/keras/{version}/variables/variables.data-00000-of-00001"]
    for layer in flowers.weights(version, "keras")["layers"]:
        kernel = [number for inputs in zip(*layer["coef"], strict=True) for number in inputs]
        for numbers in (kernel, layer["intercept"]):
            assert struct.pack(f"<{len(numbers)}f", *numbers) in saved


def test_version_2_of_keras_knows_more_than_version_1():
    right = {}
    for version in flowers.VERSIONS:
        answers = flowers.probabilities(flowers.weights(version, "keras"), flowers.sample(30))
        right[version] = sum(line.index(max(line)) == n // 30 for n, line in enumerate(answers))
    assert right[1] < right[2] and right[2] >= 85


def test_a_network_is_worked_out_layer_by_layer():
    hidden = {"coef": [[1, 0], [0, 1]], "intercept": [0, 0]}
    last = {"coef": [[1, 1], [0, 0]], "intercept": [0, 2]}
    ((a, b),) = flowers.probabilities({"layers": [hidden, last]}, [[2, -5]])  # relu makes the -5 a 0
    assert a == pytest.approx(0.5) and b == pytest.approx(0.5)


def test_the_framework_decides_image_class_place_memory_and_patience(made, keras):
    name, base, requirements, files, command = keras().image()
    assert set(files) == {"KerasFlowers.py"} and command[1] == "KerasFlowers" and "tensorflow-cpu==" in requirements
    container = keras().manifest(1)["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]
    assert container["env"][0] == {"name": "MODEL_URI", "value": "s3://models/flowers/keras/1"}
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    one = made().manifest(1)["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]
    assert one["resources"]["limits"] == {"memory": "1Gi"}
    assert [c["livenessProbe"]["initialDelaySeconds"] for c in (one, container)] == [60, 300]
    assert (name, base) == made().image()[:2] and container["image"] != made().images.name(*made().image())


def test_packages_that_both_images_have_are_the_same():
    both = []
    for file in ("requirements-model.txt", "requirements-keras.txt"):
        lines = (SETUP_FOLDER / file).read_text().splitlines()
        both.append(dict(line.split("==") for line in lines if line and not line.startswith("#")))
    ours, theirs = both
    assert {"seldon-core", "protobuf", "numpy", "minio"} <= set(ours) & set(theirs)
    assert not {name: (ours[name], theirs[name]) for name in set(ours) & set(theirs) if ours[name] != theirs[name]}


def test_its_files_are_in_the_bucket_and_remove_knows_those_of_both(made, keras):
    held = {f"/models/{key}": data for v in flowers.VERSIONS for key, data in flowers.files("keras", v).items()}
    with minio(held) as server:
        assert keras(port=server.port).store.why_not_filled() is None
        assert made(port=server.port).store.why_not_clear().endswith("fingerprint.pb is there")
        held["/models/flowers/keras/2/saved_model.pb"] += b"\n"
        why = keras(port=server.port).store.why_not_filled()
    assert why == "missing in bucket models, or others: flowers/keras/2/saved_model.pb"


def test_its_proofs_hold_it_to_its_own_weights(made, keras):
    with model(2, framework="keras") as server:
        assert Proofs(keras(port=server.port)).over_rest(2) == "6 flowers, version 2"
        with pytest.raises(Unmet):
            Proofs(made(port=server.port)).over_rest(2)
        with PredictionLoad(("127.0.0.1", server.port), keras().gateway.path(), "keras", pause=0) as load:
            while not load.count():
                pass
    assert not load.lost and set(load.answered) == {"2"}
