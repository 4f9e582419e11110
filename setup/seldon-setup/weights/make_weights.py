"""Makes flowers.csv, a small data set, and the weights that are learnt from it: 1.json and 2.json, beside this file.

    PYTHONPATH=. python setup/seldon-setup/weights/make_weights.py [another folder]

Plain Python with a fixed seed makes the same bytes on every machine. Chapter 09 reads what lies here; who wants other
weights changes this script, runs it, and runs the chapter again.
"""

import csv
import json
import random
import sys
from pathlib import Path

from helpers.components.seldon.flowers import probabilities

FEATURES = ("sepal length", "sepal width", "petal length", "petal width")  # in cm
#: a class's typical lengths, and how far one flower is from them
CLASSES = {
    "daisy": ((4.9, 3.4, 1.5, 0.3), 0.35),
    "poppy": ((6.0, 2.8, 4.2, 1.3), 0.45),
    "tulip": ((6.7, 3.1, 5.6, 2.1), 0.5),
}
EACH, SEED = 30, 2021
#: version: (flowers of each class that it learns from, steps of learning)
VERSIONS = {1: (4, 30), 2: (EACH, 600)}


def flowers():
    """{class: the lengths of its flowers}."""
    return {
        name: draw(random.Random(SEED + number), middle, spread)
        for number, (name, (middle, spread)) in enumerate(CLASSES.items())
    }


def draw(rnd, middle, spread):
    """The lengths of a class's flowers. The sum of six is nearly normal, and random() is the same in every Python."""
    return [
        [round(max(0.1, m + spread * (sum(rnd.random() for _ in range(6)) - 3)), 1) for m in middle]
        for _ in range(EACH)
    ]


def learn(known, steps):
    """(coefficients, intercepts) by multinomial logistic regression: gradient descent, a little regularized."""
    weights = {"coef": [[0.0] * len(FEATURES) for _ in CLASSES], "intercept": [0.0] * len(CLASSES)}
    rows = [row for row, _ in known]
    for _ in range(steps):
        wrong = [
            [p - (k == label) for k, p in enumerate(line)]
            for line, (_, label) in zip(probabilities(weights, rows), known, strict=True)
        ]
        for k in range(len(CLASSES)):
            descend(weights, k, [line[k] for line in wrong], rows)
    return weights["coef"], weights["intercept"]


def descend(weights, k, wrong, rows):
    """One step of class k against its errors."""
    for f in range(len(FEATURES)):
        slope = sum(w * row[f] for w, row in zip(wrong, rows, strict=True)) / len(rows)
        weights["coef"][k][f] -= 0.1 * (slope + 0.01 * weights["coef"][k][f])
    weights["intercept"][k] -= 0.1 * sum(wrong) / len(rows)


def weights(version):
    """What a version of the model is, as its file holds it."""
    each, steps = VERSIONS[version]
    known = [(row, number) for number, rows in enumerate(flowers().values()) for row in rows[:each]]
    coef, intercept = learn(known, steps)
    return {
        "name": "flowers",
        "version": str(version),
        "features": list(FEATURES),
        "classes": list(CLASSES),
        "coef": [[round(c, 4) for c in line] for line in coef],
        "intercept": [round(b, 4) for b in intercept],
    }


def main(folder):
    with open(folder / "flowers.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*FEATURES, "class"])
        table.writerows([*row, name] for name, rows in flowers().items() for row in rows)
    for version in VERSIONS:
        (folder / f"{version}.json").write_bytes(json.dumps(weights(version), indent=1).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
