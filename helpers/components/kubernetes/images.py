"""Images of the platform's own: built by a pod in the cluster, kept in its registry. No Docker is needed."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import httpx

from helpers.components.kubernetes.image_build import BUILDER, Build
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.probes import gone
from helpers.components.kubernetes.registry import MANIFEST, PLACE, PORT
from helpers.core.actions import Action
from helpers.core.errors import RunbookError


class Image(NamedTuple):
    """What an image is made of.

    requirements: a pip list with every package pinned.  files: {name: text}, beside the packages in the image.
    command: what a container of it runs.
    """

    name: str
    base: str
    requirements: str
    files: dict
    command: list

    @property
    def tag(self):
        """It says what is in the image: the same for the same input, and for nothing else."""
        what = json.dumps([sorted(self.files.items()), self.command])
        parts = [self.base, self.requirements, BUILDER.read_text("utf-8"), what]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


class Images:
    """The registry of the cluster on the chapter's target, and builds in a namespace."""

    def __init__(self, ch, namespace):
        self.ch, self.kube, self.namespace, self._local = ch, Kube(ch), namespace, None

    @staticmethod
    def name(*image):
        """The whole name of Image(*image), as a pod asks for it."""
        made = Image(*image)
        return f"{PLACE}/{made.name}:{made.tag}"

    def why_no_registry(self):
        """For a precondition: None when the registry answers on the node."""
        try:
            said = self._ask("GET", "/v2/")
        except httpx.HTTPError as e:
            return f"no answer from the registry at {PLACE}: {type(e).__name__}"
        return None if said.status_code == 200 else f"the registry at {PLACE} answered {said.status_code}"

    def _ask(self, method, path):
        if self._local is None:
            self._local = self.ch.forward(PORT)
        url = f"http://127.0.0.1:{self._local}{path}"
        with httpx.Client(headers={"Accept": MANIFEST}, timeout=20, trust_env=False) as client:
            return client.request(method, url)

    def built(self, *image, timeout=900):
        """Action: the registry has Image(*image). timeout: seconds, to build it."""
        made = Image(*image)
        what = "pip install -r requirements.txt, " + ", ".join(sorted(made.files))
        return Action(
            [
                f"kubectl create -f -   (a pod of {made.base} in {self.namespace}: {what})",
                f"PUT http://{PLACE}{_manifest_path(made.name, made.tag)}",
            ],
            lambda: self._why_missing(made),
            lambda: Build(self.kube, self.namespace, made).run(timeout),
            lambda: self._delete(made.name),
            absent=lambda: self._why_still_there(made.name),
        )

    def away(self, name):
        """(undo, absent) of an action that leads to images of this name, whoever pushed them."""
        return lambda: self._delete(name), lambda: self._why_still_there(name)

    def _why_missing(self, image):
        why = self.why_no_registry()
        if why:
            return why
        there = self._ask("HEAD", _manifest_path(image.name, image.tag)).status_code == 200
        return None if there else f"the registry has no image {image.name}:{image.tag}"

    def _why_still_there(self, name):
        no_add_on = self.ch.host.ask(gone("namespace container-registry")).ok
        if no_add_on:
            return None
        return self.why_no_registry() or self._why_tagged(name)

    def _why_tagged(self, name):
        return f"the registry has images of {name}" if self._tags(name) else None

    def _tags(self, name):
        said = self._ask("GET", f"/v2/{name}/tags/list")
        if said.status_code not in (200, 404):  # 404: no such repository
            saw = f"{said.status_code} {said.text[:200]}"
            raise RunbookError(f"see which images of {name} the registry has", self.ch.host.name, saw)
        return said.json().get("tags") or [] if said.status_code == 200 else []

    def _delete(self, name):
        for tag in self._tags(name):
            self._delete_tag(name, tag)
        images = f"microk8s ctr images ls -q | grep '^{PLACE}/{name}[:@]'"
        script = images + " | xargs -r microk8s ctr images rm || true"
        self.ch.host.run(script, what="forget the image on the node")

    def _delete_tag(self, name, tag):
        digest = self._ask("HEAD", _manifest_path(name, tag)).headers.get("docker-content-digest")
        said = self._ask("DELETE", _manifest_path(name, digest)) if digest else None
        if said is not None and said.status_code not in (202, 404):
            raise RunbookError(
                f"delete the image {name}:{tag}",
                self.ch.host.name,
                f"the registry answered {said.status_code}",
                "Where its deletion is switched off (405), it stays until the registry add-on is disabled.",
            )


def _manifest_path(name, reference):
    return f"/v2/{name}/manifests/{reference}"
