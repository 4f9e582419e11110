"""A small data set of flowers, made by a program, and a classifier on it in plain Python: what chapter 09 serves, and its own answer to compare with."""

from __future__ import annotations

import json
import math
import random

FEATURES = ("sepal length", "sepal width", "petal length", "petal width")  # in cm
#: a class's typical lengths, and how far one flower is from them
CLASSES = {
    "daisy": ((4.9, 3.4, 1.5, 0.3), 0.35),
    "poppy": ((6.0, 2.8, 4.2, 1.3), 0.45),
    "tulip": ((6.7, 3.1, 5.6, 2.1), 0.5),
}
EACH, SEED = 30, 2021
#: version: (flowers of each class that it learnt from, steps of learning)
VERSIONS = {1: (4, 30), 2: (EACH, 600)}


def data(each=EACH):
    """[(lengths, class's number)]; the same flowers on every machine."""
    found = []
    for number, (middle, spread) in enumerate(CLASSES.values()):
        rnd = random.Random(SEED + number)
        for _ in range(each):
            # the sum of six is nearly normal, and random() alone is the same in every Python
            found.append(
                ([round(max(0.1, m + spread * (sum(rnd.random() for _ in range(6)) - 3)), 1) for m in middle], number)
            )
    return found


def probabilities(weights, rows):
    """What the model answers: for each row of lengths the probability of each class (softmax of a linear function)."""
    out = []
    for row in rows:
        scores = [sum(c * x for c, x in zip(coef, row)) + b for coef, b in zip(weights["coef"], weights["intercept"])]
        powers = [math.exp(s - max(scores)) for s in scores]
        out.append([p / sum(powers) for p in powers])
    return out


def weights(version):
    """The weights of a version: multinomial logistic regression, learnt by gradient descent, a little regularized."""
    each, steps = VERSIONS[version]
    known = data(each)
    rows = [r for r, _ in known]
    found = {
        "name": "flowers",
        "version": str(version),
        "features": list(FEATURES),
        "classes": list(CLASSES),
        "coef": [[0.0] * len(FEATURES) for _ in CLASSES],
        "intercept": [0.0] * len(CLASSES),
    }
    for _ in range(steps):
        wrong = [
            [p - (k == label) for k, p in enumerate(line)]
            for line, (_, label) in zip(probabilities(found, rows), known)
        ]
        for k in range(len(CLASSES)):
            for f in range(len(FEATURES)):
                slope = sum(w[k] * row[f] for w, row in zip(wrong, rows)) / len(rows)
                found["coef"][k][f] -= 0.1 * (slope + 0.01 * found["coef"][k][f])
            found["intercept"][k] -= 0.1 * sum(w[k] for w in wrong) / len(rows)
    found["coef"] = [[round(c, 4) for c in line] for line in found["coef"]]
    found["intercept"] = [round(b, 4) for b in found["intercept"]]
    return found


def right(found):
    """How many of all flowers the weights name rightly."""
    return sum(
        line.index(max(line)) == label for line, (_, label) in zip(probabilities(found, [r for r, _ in data()]), data())
    )


def text(found):
    """The weights as the file that the model's pod reads."""
    return json.dumps(found, indent=1).encode()
