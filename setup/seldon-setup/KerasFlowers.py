"""The same question as Flowers.py, answered by a Keras model: a SavedModel in MinIO, served by TensorFlow alone.

seldon-core's microservice makes one KerasFlowers(), and then forks: one process answers REST, another gRPC.
TensorFlow's threads do not live on in a fork. So __init__ leaves TensorFlow alone, and load(), which each process calls
after the fork, makes the model. Made in __init__, it would never answer: no error, no line in the log, only requests
that hang.
"""

import json
import os
import tempfile

import numpy
import tensorflow
import urllib3
from minio import Minio
from seldon_core.flask_utils import SeldonMicroserviceException


def fetch(uri):
    """The objects below s3://bucket/folder, in a folder here; by the keys in the environment."""
    bucket, _, folder = uri.partition("://")[2].partition("/")
    patience = urllib3.PoolManager(timeout=5, retries=urllib3.Retry(1))  # as it comes, it tries for minutes
    keys = os.environ["S3_ACCESS_KEY"], os.environ["S3_SECRET_KEY"]
    store = Minio(os.environ["S3_ENDPOINT"], *keys, secure=False, region="us-east-1", http_client=patience)
    here = tempfile.mkdtemp()
    for found in store.list_objects(bucket, folder + "/", recursive=True):
        store.fget_object(bucket, found.object_name, os.path.join(here, found.object_name[len(folder) + 1 :]))
    if not os.listdir(here):
        raise SystemExit("NoSuchKey: there is nothing at " + uri)
    return here


class Wrong(SeldonMicroserviceException):
    """The caller's mistake, told him: over REST as status 400 with this text, over gRPC as the call's details."""

    def __str__(self):
        return self.message


class KerasFlowers:
    def __init__(self):
        # Without its files the process ends, and its pod is not ready: better than answers of nothing.
        self.folder = fetch(os.environ["MODEL_URI"])
        with open(os.path.join(self.folder, "model.json")) as file:
            self.about = json.load(file)

    def load(self):
        """Make the model. seldon-core takes an AttributeError in here for "there is no load()", and says nothing."""
        self.model = tensorflow.saved_model.load(self.folder)  # to be kept: the signature only borrows its variables
        self.answer = self.model.signatures["serving_default"]
        (self.asked,) = self.answer.structured_input_signature[1]

    def predict(self, X, names, meta=None):
        """A row of probabilities for each row of lengths."""
        features = self.about["features"]
        try:
            rows = numpy.array(X, dtype="float32")  # a request brings float64, which the signature does not take
        except (TypeError, ValueError):
            raise Wrong("a flower is numbers: " + ", ".join(features)) from None
        if rows.ndim != 2 or rows.shape[1] != len(features):
            came = list(rows.shape)
            raise Wrong("a flower is {} numbers: {}; shape {} came".format(len(features), ", ".join(features), came))
        if not numpy.isfinite(rows).all():
            raise Wrong("a flower's lengths are finite numbers")
        (found,) = self.answer(**{self.asked: tensorflow.constant(rows)}).values()
        return found.numpy()

    def class_names(self):
        return self.about["classes"]

    def tags(self):
        """Comes with every answer: which weights gave it."""
        return {"model_version": self.about["version"]}
