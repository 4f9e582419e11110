"""The platform's own image registry: MicroK8s' add-on at localhost:32000 of the host. Images are written here without Docker."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import tarfile

import httpx

from helpers.components.kubernetes.kube import PROOF_NAMESPACE, available
from helpers.core.errors import Unmet

PORT, PLACE = 32000, "localhost:32000"  # a NodePort; containerd takes plain HTTP from this name
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_REPOSITORY = "runbook-proof/web"

_POD = """
apiVersion: v1
kind: Pod
metadata: {name: from-registry}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: web, image: IMAGE, resources: {requests: {cpu: 10m, memory: 16Mi}}}]
"""


def digest(data):
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
    """The registry on the chapter's target, through a Kube."""

    def __init__(self, kube):
        self.kube, self.ch = kube, kube.ch

    def enabled(self):
        """Action: the add-on registry. Remove deletes its volume, and all images with it."""
        return self.kube.addon("registry", "", available("container-registry", "deployment", "registry"))

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
            got = self.ch.wait("the registry to answer", lambda: client.get("/v2/"), timeout=20)
        if got.status_code != 200 or got.headers.get("docker-distribution-api-version") != "registry/2.0":
            raise Unmet("a registry of API version 2", f"status {got.status_code}")

    def push(self, client, name, tag, manifest, blobs):
        """Push an image; returns its digest. RunbookError's parts in Unmet when the registry refuses a piece."""
        for key, data in blobs.items():
            begun = self._said(client.post(f"/v2/{name}/blobs/uploads/"), 202)
            place = httpx.URL(begun.headers["location"])
            self._said(
                client.put(
                    place.raw_path.decode() + ("&" if place.query else "?") + "digest=" + key,
                    content=data,
                    headers={"Content-Type": "application/octet-stream"},
                ),
                201,
            )
        self._said(client.put(f"/v2/{name}/manifests/{tag}", content=manifest, headers={"Content-Type": MANIFEST}), 201)
        return digest(manifest)

    @staticmethod
    def _said(answer, wanted):
        if answer.status_code != wanted:
            raise Unmet(f"status {wanted} of the registry", f"{answer.status_code}: {answer.text[:120]}")
        return answer

    def image_comes_back(self):
        """An image made here is pushed, comes back as it went, and a pod runs it under the name localhost:32000/..."""
        self.kube.hello()
        busybox = base64.b64decode(
            self.ch.host.run(
                f"microk8s kubectl exec -n {PROOF_NAMESPACE} deploy/hello -- base64 /bin/busybox",
                raw=True,
                what="read busybox",
            ).out
        )
        word, tag = self.kube.nonce, self.kube.nonce[:12]
        manifest, blobs = image(
            {"bin/busybox": (busybox, 0o755), "www/index.html": (word.encode() + b"\n", 0o644)},
            ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"],
        )
        name = f"{PLACE}/{_REPOSITORY}:{tag}"
        with self.client() as client:
            key = self.push(client, _REPOSITORY, tag, manifest, blobs)
            try:
                back = {k: client.get(f"/v2/{_REPOSITORY}/blobs/{k}").content for k in blobs}
                got = client.get(f"/v2/{_REPOSITORY}/manifests/{tag}", headers={"Accept": MANIFEST})
                if got.content != manifest or back != blobs:
                    raise Unmet("the image as it was pushed", "another one")
                self.kube.kubectl(f"apply -n {PROOF_NAMESPACE} -f -", stdin=_POD.replace("IMAGE", name))
                self.kube.wait_for(
                    "a pod of that image",
                    f"[ \"$(microk8s kubectl get pod from-registry -n {PROOF_NAMESPACE} -o jsonpath='{{.status.phase}}')\" = Running ] || "
                    "{ echo 'pod from-registry does not run yet'; exit 1; }",
                    120,
                )
                said = self.ch.wait(
                    "it to answer",
                    lambda: self.kube.kubectl(
                        f"exec -n {PROOF_NAMESPACE} from-registry -- /bin/busybox wget -qO- http://127.0.0.1:8080/"
                    ),
                    timeout=20,
                )
                if said != word:
                    raise Unmet("the word in the image", repr(said[:60]))
            finally:
                client.delete(f"/v2/{_REPOSITORY}/manifests/{key}")
                self.kube.kubectl(
                    f"delete pod from-registry -n {PROOF_NAMESPACE} --ignore-not-found --force --grace-period=0"
                )
                self.ch.host.run(
                    f"microk8s ctr images ls -q | grep '^{PLACE}/runbook-proof/' | xargs -r microk8s ctr images rm >/dev/null 2>&1 || true",
                    what="take the proof's image away",
                )
