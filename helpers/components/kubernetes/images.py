"""Images of the platform's own: built by a pod in the cluster, kept in its registry (chapter 04). No Docker is needed."""

from __future__ import annotations

import hashlib
import json
import shlex

import httpx

from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.registry import MANIFEST, PLACE, PORT
from helpers.core.actions import Action
from helpers.core.errors import NotYet, RunbookError
from helpers.core.paths import SETUP

#: the registry as a pod reaches it; the node's container runtime calls it PLACE
IN_CLUSTER = "registry.container-registry.svc.cluster.local:5000"
_BUILDER = SETUP / "seldon-setup" / "build_image.py"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Images:
    """The registry of the cluster on the chapter's target, and builds in a namespace."""

    def __init__(self, ch, namespace):
        self.ch, self.kube, self.namespace, self._local = ch, Kube(ch), namespace, None

    @staticmethod
    def tag(base, requirements, files, command):
        """A tag that says what is in the image: the same for the same input, and for nothing else."""
        parts = [base, requirements, _BUILDER.read_text("utf-8"), json.dumps([sorted(files.items()), command])]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def name(self, name, base, requirements, files, command):
        """The image's whole name, as a pod asks for it."""
        return f"{PLACE}/{name}:{self.tag(base, requirements, files, command)}"

    def registry_answers(self):
        """For a precondition: None when the registry answers on the node."""
        try:
            said = self._ask("GET", "/v2/")
        except httpx.HTTPError as e:
            return f"no answer from the registry at {PLACE}: {type(e).__name__}"
        return None if said.status_code == 200 else f"the registry at {PLACE} answered {said.status_code}"

    def _ask(self, method, path):
        if self._local is None:
            self._local = self.ch.forward(PORT)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self._local}", headers={"Accept": MANIFEST}, timeout=20, trust_env=False
        ) as client:
            return client.request(method, path)

    def built(self, name, base, requirements, files, command, timeout=900):
        """Action: the registry has an image of these packages and files on this base. requirements: a pip list with every package pinned.

        files: {name: text}, beside the packages in the image.  command: what a container of it runs.  timeout: seconds.
        """
        tag = self.tag(base, requirements, files, command)
        path = f"/v2/{name}/manifests/{tag}"

        def done():
            if self.registry_answers():
                return self.registry_answers()
            return None if self._ask("HEAD", path).status_code == 200 else f"the registry has no image {name}:{tag}"

        def apply():
            self._build(name, tag, base, dict(files, **{"requirements.txt": requirements}), command, timeout)

        def undo():
            for one in self._ask("GET", f"/v2/{name}/tags/list").json().get("tags") or []:
                digest = self._ask("HEAD", f"/v2/{name}/manifests/{one}").headers.get("docker-content-digest")
                said = self._ask("DELETE", f"/v2/{name}/manifests/{digest}") if digest else None
                if said is not None and said.status_code not in (202, 404):
                    raise RunbookError(
                        f"delete the image {name}:{one}",
                        self.ch.host.name,
                        f"the registry answered {said.status_code}",
                        "Where its deletion is switched off (405), it stays until the registry add-on is disabled.",
                    )
            self.ch.host.run(
                f"microk8s ctr images ls -q | grep '^{PLACE}/{name}[:@]' | xargs -r microk8s ctr images rm"
                + " || true",
                what="forget the image on the node",
            )

        def gone():
            if self.registry_answers():
                return None  # a registry that is away keeps nothing that could be reached
            said = self._ask("GET", f"/v2/{name}/tags/list")
            return f"the registry has images of {name}" if said.status_code == 200 and said.json().get("tags") else None

        shown = [
            "kubectl apply -f -   (a pod of {} in {}: pip install -r requirements.txt, {})".format(
                base, self.namespace, ", ".join(sorted(files))
            ),
            f"PUT http://{PLACE}{path}",
        ]
        return Action(shown, done, apply, undo, absent=gone)

    def _build(self, name, tag, base, files, command, timeout):
        pod, where = "build-" + name, "-n " + self.namespace
        self.kube.kubectl(
            f"delete pod,secret {pod} {where} --ignore-not-found --grace-period=0 --timeout=60s", timeout=90
        )
        try:
            self.kube.kubectl("apply -f -", stdin=json.dumps(self._manifest(pod, name, tag, base, files, command)))
            self.ch.wait(
                f"the image {name} to be built",
                lambda: self._phase(pod) == "Succeeded",
                failed=lambda: self._failed(pod),
                timeout=timeout,
                do=f"On the host: microk8s kubectl logs {where} {pod}",
            )
            self.ch.events.tell("wait", text=self.kube.kubectl(f"logs {where} {pod} --tail=1"))
        finally:  # its secret may hold a password for the package index
            self.kube.kubectl(
                f"delete pod,secret {pod} {where} --ignore-not-found --grace-period=0 --wait=false", timeout=90
            )

    def _phase(self, pod):
        status = self.kube.get(f"pod {pod} -n {self.namespace}")["status"]
        if status["phase"] == "Running":
            line = self.kube.kubectl(f"logs -n {self.namespace} {pod} --tail=1")
            raise NotYet(line[:120] or "it starts")
        return status["phase"]

    def _failed(self, pod):
        if self._phase_now(pod) == "Failed":
            return "its pod failed. Its last lines:\n" + self.kube.kubectl(f"logs -n {self.namespace} {pod} --tail=8")
        return next((text for text, final in self.kube.troubles() if final and f"/{pod} " in text), None)

    def _phase_now(self, pod):
        return self.kube.kubectl(f"get pod {pod} -n {self.namespace} -o jsonpath='{{.status.phase}}'")

    def _host_pip(self):
        """The host's settings for pip and its proxies: a pod has its own, and needs the same. Not to be shown: they may hold a password."""
        said = self.ch.host.run(
            f"cat /etc/pip.conf 2>/dev/null || true; echo @@@; env | grep -iE '^(https?|no)_proxy=' || true; echo @@@; [ ! -f {shlex.quote(_CERTIFICATES)} ] || echo yes",
            raw=True,
        ).out
        settings, proxies, certificates = (part.strip() for part in said.split("@@@"))
        return settings, dict(line.split("=", 1) for line in proxies.splitlines()), certificates == "yes"

    def _manifest(self, pod, name, tag, base, files, command):
        settings, proxies, certificates = self._host_pip()
        meta = {"name": pod, "namespace": self.namespace, "labels": {"app": pod}}
        env = [
            {"name": k, "value": v}
            for k, v in dict(
                {"PIP_CONFIG_FILE": "/build/pip.conf", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
                **proxies,
            ).items()
        ]
        volumes, mounts = (
            [{"name": "build", "secret": {"secretName": pod}}],
            [{"name": "build", "mountPath": "/build", "readOnly": True}],
        )
        if certificates:  # what the host trusts, also a certificate of a company's own
            volumes.append({"name": "trust", "hostPath": {"path": _CERTIFICATES, "type": "File"}})
            mounts.append({"name": "trust", "mountPath": "/run/ca.crt", "readOnly": True})
            env.append({"name": "PIP_CERT", "value": "/run/ca.crt"})
        texts = dict(files, **{"build_image": _BUILDER.read_text("utf-8"), "pip.conf": settings + "\n"})
        return {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": texts},
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": meta,
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": 0,
                        "automountServiceAccountToken": False,
                        "volumes": volumes,
                        "containers": [
                            {
                                "name": "build",
                                "image": base,
                                "env": env,
                                "volumeMounts": mounts,
                                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                                "command": ["python3", "/build/build_image", IN_CLUSTER, name, tag] + list(command),
                            }
                        ],
                    },
                },
            ],
        }
