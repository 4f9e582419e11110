"""The platform's own image registry, MicroK8s' add-on at localhost:32000 of the host; images made without Docker."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import httpx

from helpers.components.kubernetes.kube import available
from helpers.components.kubernetes.probes import pod_runs
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE
from helpers.core.errors import Unmet
from helpers.core.shell import filled

PORT, PLACE = 32000, "localhost:32000"  # a NodePort; containerd takes plain HTTP from this name
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_REPOSITORY, _POD = "runbook-proof/web", "from-registry"
_MANIFEST = Path(__file__).with_name("manifests") / "pod_from_registry.yaml"


def digest(data):
    """The name by which a registry knows these bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(files, command):
    """(manifest, {digest: blob}) of an image of one layer. files: {path: (bytes, mode)}; command: what it runs."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for path, (data, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    layer = gzip.compress(plain.getvalue(), 1)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [digest(plain.getvalue())]},
            "history": [{"created_by": "runbook"}],
        }
    ).encode()
    kind = "application/vnd.docker."
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": kind + "container.image.v1+json", "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": kind + "image.rootfs.diff.tar.gzip", "size": len(layer), "digest": digest(layer)}],
        }
    ).encode()
    return manifest, {digest(config): config, digest(layer): layer}


class Registry:
    """The registry on the chapter's target, and its proofs, which use the web server of Proofs."""

    def __init__(self, proofs):
        self.proofs, self.kube, self.ch = proofs, proofs.kube, proofs.ch

    def enabled(self):
        """Action: the add-on registry. Remove deletes its volume, and all images with it."""
        pods = available("container-registry", "deployment", "registry")
        return self.kube.addon("registry", "", pods, "deployment registry -n container-registry")

    @contextlib.contextmanager
    def client(self):
        """An HTTP client of the registry's API, through SSH."""
        with self.ch.host.forward(PORT) as port, httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
        ) as client:
            yield client

    def answers(self):
        """Its API answers on the host."""
        with self.client() as client:
            got = self.ch.wait("the registry to answer", lambda: client.get("/v2/"))
        if got.status_code != 200 or got.headers.get("docker-distribution-api-version") != "registry/2.0":
            raise Unmet("a registry of API version 2", f"status {got.status_code}")

    def image_comes_back(self):
        """An image made here is pushed, comes back as it went, and a pod runs it under the name localhost:32000/..."""
        self.proofs.hello()
        word = self.proofs.nonce
        manifest, blobs = image(
            {"bin/busybox": (self._busybox(), 0o755), "www/index.html": (word.encode() + b"\n", 0o644)},
            ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"],
        )
        with self.client() as client:
            key = push(client, _REPOSITORY, word[:12], manifest, blobs)
            try:
                _comes_back(client, word[:12], manifest, blobs)
                self._runs(f"{PLACE}/{_REPOSITORY}:{word[:12]}", word)
            finally:
                client.delete(f"/v2/{_REPOSITORY}/manifests/{key}")
                self._forget()

    def _busybox(self):
        ask = f"microk8s kubectl exec -n {PROOF_NAMESPACE} deploy/hello -- base64 /bin/busybox"
        return base64.b64decode(self.ch.host.run(ask, raw=True, what="read busybox").out)

    def _runs(self, name, word):
        self.proofs.apply(filled(_MANIFEST, IMAGE=name))
        self.kube.wait_for("a pod of that image", pod_runs(PROOF_NAMESPACE, _POD), space=PROOF_NAMESPACE)
        ask = f"exec -n {PROOF_NAMESPACE} {_POD} -- /bin/busybox wget -qO- http://127.0.0.1:8080/"
        said = self.ch.wait("it to answer", lambda: self.kube.kubectl(ask))
        if said != word:
            raise Unmet("the word in the image", repr(said[:60]))

    def _forget(self):
        self.kube.kubectl(f"delete pod {_POD} -n {PROOF_NAMESPACE} --ignore-not-found --force --grace-period=0")
        ours = f"microk8s ctr images ls -q | grep '^{PLACE}/runbook-proof/'"
        script = ours + " | xargs -r microk8s ctr images rm >/dev/null 2>&1 || true"
        self.ch.host.run(script, what="take the proof's image away")


def push(client, name, tag, manifest, blobs):
    """Push an image; returns its digest. Unmet when the registry refuses a piece."""
    for key, data in blobs.items():
        begun = _said(client.post(f"/v2/{name}/blobs/uploads/"), 202)
        place = httpx.URL(begun.headers["location"])
        to = place.raw_path.decode() + ("&" if place.query else "?") + "digest=" + key
        _said(client.put(to, content=data, headers={"Content-Type": "application/octet-stream"}), 201)
    _said(client.put(f"/v2/{name}/manifests/{tag}", content=manifest, headers={"Content-Type": MANIFEST}), 201)
    return digest(manifest)


def _said(answer, wanted):
    if answer.status_code != wanted:
        raise Unmet(f"status {wanted} of the registry", f"{answer.status_code}: {answer.text[:120]}")
    return answer


def _comes_back(client, tag, manifest, blobs):
    back = {key: client.get(f"/v2/{_REPOSITORY}/blobs/{key}").content for key in blobs}
    got = client.get(f"/v2/{_REPOSITORY}/manifests/{tag}", headers={"Accept": MANIFEST})
    if got.content != manifest or back != blobs:
        raise Unmet("the image as it was pushed", "another one")
