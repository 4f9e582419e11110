"""Makes chapter 09's Keras models from flowers.csv: keras/1 and keras/2, a SavedModel each, with its weights as text.

    python -m venv keras && keras/bin/pip install --no-deps -r setup/seldon-setup/requirements-keras.txt
    PYTHONPATH=. keras/bin/python setup/seldon-setup/weights/make_keras.py [another folder]

A seed is fixed, so model.json comes out the same on one kind of processor; TensorFlow's own files have a few bytes that
differ each time. The weights are rounded before they are saved, so that model.json has them whole: from it the chapter
works out, without TensorFlow, what the model must say.
"""

import csv
import json
import sys
from pathlib import Path

import numpy
import tensorflow as tf

HERE = Path(__file__).parent
#: version: (flowers of each class that it learns from, epochs), as make_weights.py has it
VERSIONS = {1: (4, 30), 2: (30, 600)}
SEED = 2021


def table():
    """(features, classes, [(lengths, number of the class)])."""
    with open(HERE / "flowers.csv", newline="") as file:
        head, *lines = csv.reader(file)
    classes = list(dict.fromkeys(line[-1] for line in lines))
    return head[:-1], classes, [([float(x) for x in line[:-1]], classes.index(line[-1])) for line in lines]


def learnt(rows, labels, classes, epochs):
    """A network with one hidden layer."""
    tf.keras.utils.set_random_seed(SEED)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((len(rows[0]),)),
            tf.keras.layers.Dense(8, activation="relu"),
            tf.keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(tf.keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(numpy.array(rows), numpy.array(labels), batch_size=len(rows), epochs=epochs, verbose=0)
    model.set_weights([numpy.round(w.astype("float64"), 4) for w in model.get_weights()])
    return model


def layers(model):
    """Its layers as 1.json has its one: a row of coefficients for each unit, and the intercepts."""
    numbers = [numpy.round(w.astype("float64"), 4).T.tolist() for w in model.get_weights()]
    return [{"coef": coef, "intercept": intercept} for coef, intercept in zip(numbers[::2], numbers[1::2], strict=True)]


def main(folder):
    features, classes, known = table()
    for version, (each, epochs) in VERSIONS.items():
        few = [one for n in range(len(classes)) for one in [k for k in known if k[1] == n][:each]]
        model = learnt([row for row, _ in few], [label for _, label in few], len(classes), epochs)
        model.export(str(folder / "keras" / str(version)))
        about = {"name": "flowers", "version": str(version), "features": features, "classes": classes}
        about["layers"] = layers(model)
        (folder / "keras" / str(version) / "model.json").write_bytes(json.dumps(about, indent=1).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else HERE)
