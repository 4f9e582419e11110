"""Images in the platform's registry, as lineage asks for them: what a digest is made of."""

from __future__ import annotations

import io
import json
import tarfile

import httpx

from helpers.components.kubernetes.registry import MANIFEST, PORT
from helpers.core.errors import Unmet


class Registered:
    """One repository of the registry on the chapter's target. name: the image's, without registry and tag."""

    def __init__(self, ch, name):
        self.ch, self.name, self._local = ch, name, None

    def _get(self, rest):
        if self._local is None:
            self._local = self.ch.forward(PORT)
        with httpx.Client(headers={"Accept": MANIFEST}, timeout=60, trust_env=False) as client:
            said = client.get(f"http://127.0.0.1:{self._local}/v2/{self.name}/{rest}")
        if said.status_code != 200:
            raise Unmet(f"{rest} of image {self.name}", f"the registry answered {said.status_code}", "e2e-image")
        return said

    def manifest(self, reference):
        """The manifest of a tag or a digest."""
        return self._get("manifests/" + reference).json()

    def labels(self, reference):
        """The labels of an image."""
        blob = self._get("blobs/" + self.manifest(reference)["config"]["digest"])
        return json.loads(blob.content.decode())["config"].get("Labels") or {}

    def file(self, reference, path):
        """A file's bytes in an image's last layer."""
        blob = self._get("blobs/" + self.manifest(reference)["layers"][-1]["digest"])
        with tarfile.open(fileobj=io.BytesIO(blob.content)) as tar:
            return tar.extractfile(path).read()
