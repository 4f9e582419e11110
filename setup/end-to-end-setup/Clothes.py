"""What Seldon serves: pictures of 28 x 28 grey pixels in, the probability of each class out.

seldon-core's microservice makes one Clothes() and calls predict() for each request. The checkpoint is in the image,
beside this file: one image is one model.
"""

import json
import os

import model
import numpy
from seldon_core.flask_utils import SeldonMicroserviceException


class Wrong(SeldonMicroserviceException):
    """The caller's mistake, told him: over REST as status 400 with this text."""

    def __str__(self):
        return self.message


class Clothes:
    def __init__(self):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoint.json")) as file:
            self.trained = json.load(file)

    def predict(self, X, names, meta=None):
        """A row of probabilities for each picture, given as a row of 784 grey values from 0 to 255."""
        try:
            pictures = numpy.array(X, dtype=float)
        except (TypeError, ValueError):
            raise Wrong("a picture is 784 numbers") from None
        if pictures.ndim != 2 or pictures.shape[1] != model.SIZE * model.SIZE:
            raise Wrong(f"a picture is 784 numbers; shape {list(pictures.shape)} came")
        if not ((pictures >= 0) & (pictures <= 255)).all():
            raise Wrong("a pixel is a number from 0 to 255")
        return [model.predict(self.trained, self._rows(picture)) for picture in pictures.tolist()]

    def _rows(self, picture):
        return [picture[n : n + model.SIZE] for n in range(0, len(picture), model.SIZE)]

    def class_names(self):
        return list(model.CLASSES)

    def tags(self):
        """Comes with every answer: the commit of this repository that it was trained and built from."""
        return {"revision": self.trained["revision"]}
