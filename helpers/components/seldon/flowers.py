"""Flowers of three kinds, told apart by four lengths: the data set, the model's weights, and what they must answer.

The files are those of setup/seldon-setup/weights; make_weights.py beside them makes them.
"""

from __future__ import annotations

import csv
import json
import math

from helpers.core.paths import SETUP

FOLDER = SETUP / "seldon-setup" / "weights"
VERSIONS = (1, 2)


def weights_file(version):
    """A version's weights, byte for byte as the model's pod reads them."""
    return (FOLDER / f"{version}.json").read_bytes()


def weights(version):
    """A version's weights: features, classes, a row of coefficients for each class, intercepts."""
    return json.loads(weights_file(version).decode())


def sample(each):
    """The first flowers of each class, as rows of lengths in cm."""
    found = {}
    with open(str(FOLDER / "flowers.csv"), newline="") as file:
        for *lengths, name in list(csv.reader(file))[1:]:
            found.setdefault(name, []).append([float(length) for length in lengths])
    return [row for rows in found.values() for row in rows[:each]]


def probabilities(weights, rows):
    """What the model answers: for each row of lengths the probability of each class (softmax of a linear function)."""
    out = []
    for row in rows:
        scores = [sum(c * x for c, x in zip(coef, row)) + b for coef, b in zip(weights["coef"], weights["intercept"])]
        powers = [math.exp(s - max(scores)) for s in scores]
        out.append([p / sum(powers) for p in powers])
    return out


def same(found, wanted, tolerance=1e-6):
    """Two lists of rows of numbers are the same."""
    return len(found) == len(wanted) and all(
        len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b)) for a, b in zip(found, wanted)
    )
