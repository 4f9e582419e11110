"""Flowers of three kinds, told apart by four lengths: the data set, the model's weights, and what they must answer.

The files are those of setup/seldon-setup/weights; make_weights.py and make_keras.py beside them make them.
"""

from __future__ import annotations

import csv
import json
import math

from helpers.core.paths import SETUP

FOLDER = SETUP / "seldon-setup" / "weights"
VERSIONS = (1, 2)
FRAMEWORKS = ("sklearn", "keras")


def weights_file(version):
    """A version's weights for scikit-learn, byte for byte as the model's pod reads them."""
    return (FOLDER / f"{version}.json").read_bytes()


def place(framework, version):
    """Where in the bucket the model's pod looks: a file for scikit-learn, a folder for Keras."""
    return f"flowers/{version}/model.json" if framework == "sklearn" else f"flowers/keras/{version}"


def files(framework, version):
    """{key in the bucket: bytes} of one version of a framework's model."""
    where = place(framework, version)
    if framework == "sklearn":
        return {where: weights_file(version)}
    folder = FOLDER / "keras" / str(version)
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return {f"{where}/{file.relative_to(folder).as_posix()}": file.read_bytes() for file in found}


def weights(version, framework="sklearn"):
    """A version's weights: features, classes, and `coef`, `intercept`, or `layers` with these two for each."""
    name = f"{version}.json" if framework == "sklearn" else f"keras/{version}/model.json"
    return json.loads((FOLDER / name).read_bytes().decode())


def sample(each):
    """The first flowers of each class, as rows of lengths in cm."""
    found = {}
    with open(str(FOLDER / "flowers.csv"), newline="") as file:
        for *lengths, name in list(csv.reader(file))[1:]:
            found.setdefault(name, []).append([float(length) for length in lengths])
    return [row for rows in found.values() for row in rows[:each]]


def probabilities(weights, rows):
    """What the model answers: for each row of lengths the probability of each class (softmax of the last layer)."""
    *hidden, last = weights.get("layers") or [weights]
    out = []
    for row in rows:
        for layer in hidden:
            row = [max(0.0, unit) for unit in _linear(layer, row)]
        scores = _linear(last, row)
        powers = [math.exp(s - max(scores)) for s in scores]
        out.append([p / sum(powers) for p in powers])
    return out


def _linear(layer, row):
    return [sum(c * x for c, x in zip(coef, row)) + b for coef, b in zip(layer["coef"], layer["intercept"])]


def same(found, wanted, tolerance=1e-6):
    """Two lists of rows of numbers are the same."""
    return len(found) == len(wanted) and all(
        len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b)) for a, b in zip(found, wanted)
    )
