"""The model that Seldon serves: which flower is it, from four lengths? A scikit-learn classifier; its weights come from MinIO.

seldon-core's microservice makes one Flowers() when it starts and calls predict() for each request, over REST and gRPC.
"""
import io
import json
import os

import numpy
import urllib3
from minio import Minio
from seldon_core.flask_utils import SeldonMicroserviceException
from sklearn.linear_model import LogisticRegression


def fetch(uri):
    """The object at s3://bucket/key, by the keys in the environment."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    store = Minio(os.environ["S3_ENDPOINT"], os.environ["S3_ACCESS_KEY"], os.environ["S3_SECRET_KEY"], secure=False, region="us-east-1",
                  http_client=urllib3.PoolManager(timeout=5, retries=urllib3.Retry(1)))     # as it comes, it tries for minutes
    answer = store.get_object(bucket, key)
    try:
        return io.BytesIO(answer.read())
    finally:
        answer.close()


class Wrong(SeldonMicroserviceException):
    """The caller's mistake, told him: over REST as status 400 with this text, over gRPC as the call's details."""

    def __str__(self):
        return self.message


class Flowers:
    def __init__(self):
        # Without weights the process ends, and its pod is not ready: better than answers of nothing.
        self.about = json.load(fetch(os.environ["MODEL_URI"]))
        self.model = LogisticRegression()
        self.model.classes_ = numpy.array(self.about["classes"])
        self.model.coef_, self.model.intercept_ = numpy.array(self.about["coef"]), numpy.array(self.about["intercept"])

    def predict(self, X, names, meta=None):
        """A row of probabilities for each row of lengths."""
        features = self.about["features"]
        try:
            rows = numpy.array(X, dtype=float)
        except (TypeError, ValueError):
            raise Wrong("a flower is numbers: " + ", ".join(features))
        if rows.ndim != 2 or rows.shape[1] != len(features):
            raise Wrong("a flower is {} numbers: {}; shape {} came".format(len(features), ", ".join(features), list(rows.shape)))
        if not numpy.isfinite(rows).all():
            raise Wrong("a flower's lengths are finite numbers")
        return self.model.predict_proba(rows)

    def class_names(self):
        return self.about["classes"]

    def tags(self):
        """Comes with every answer: which weights gave it."""
        return {"model_version": self.about["version"]}
