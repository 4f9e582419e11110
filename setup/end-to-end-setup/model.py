"""The model: which of ten kinds of clothes is on a picture of 28 x 28 grey pixels? Softmax regression, in plain Python.

What it sees of a picture is its outline, as the pipeline draws it, in 7 x 7 squares. Trained by train.py in a task of
Determined's, asked by Clothes.py in a pod of Seldon's. It runs on Python 3.7, without a package.
"""

import math

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SIZE, SQUARES = 28, 7


def outline(rows):
    """How much each pixel differs from its neighbours to the right and below: what the pipeline makes of a picture."""
    right = [row[1:] + row[-1:] for row in rows]
    below = rows[1:] + rows[-1:]
    return [[min(255, abs(a - b) + abs(a - c)) for a, b, c in zip(*lines)] for lines in zip(rows, right, below)]


def features(outlined):
    """49 numbers from 0 to 1, the mean of each square of an outline; and 1."""
    side = SIZE // SQUARES
    sums = [
        sum(outlined[y * side + i][x * side + j] for i in range(side) for j in range(side))
        for y in range(SQUARES)
        for x in range(SQUARES)
    ]
    return [total / (255.0 * side * side) for total in sums] + [1.0]


def softmax(scores, temperature=1.0):
    """Probabilities: the same order as the scores, and 1 in all. A higher temperature makes them more alike."""
    powers = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def train(rows, labels, epochs, rate):
    """Weights, a row a class, after so many steps of gradient descent over all rows of features at once."""
    weights = [[0.0] * len(rows[0]) for _ in CLASSES]
    for _ in range(epochs):
        steps = [[0.0] * len(rows[0]) for _ in CLASSES]
        for row, label in zip(rows, labels):
            for k, wrong in enumerate(_errors(weights, row, label)):
                steps[k] = [s + wrong * x for s, x in zip(steps[k], row)]
        weights = [[w - rate * s / len(rows) for w, s in zip(*pair)] for pair in zip(weights, steps)]
    return weights


def _errors(weights, row, label):
    return [p - (k == label) for k, p in enumerate(softmax(scores(weights, row)))]


def scores(weights, row):
    """A number a class: the higher, the likelier."""
    return [sum(w * x for w, x in zip(line, row)) for line in weights]


def predict(trained, rows):
    """The probability of each class for one picture. trained: what train.py wrote; rows: 28 of 28 grey values."""
    return softmax(scores(trained["weights"], features(outline(rows))), trained["temperature"])
