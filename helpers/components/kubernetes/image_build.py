"""One build of an image: a pod of its base image that runs build_image.py, which pushes what it made."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.components.kubernetes.host_pip import CERTIFICATES, host_pip
from helpers.core.errors import NotYet

#: the registry as a pod reaches it; the node's container runtime calls it registry.PLACE
IN_CLUSTER = "registry.container-registry.svc.cluster.local:5000"
#: runs in the pod, not here. Its text is part of an image's tag: another byte in it, and every host builds anew.
BUILDER = Path(__file__).with_name("build_image.py")


class Build:
    """A build of an images.Image in this namespace, through a Kube."""

    def __init__(self, kube, namespace, image):
        self.kube, self.ch, self.namespace, self.image = kube, kube.ch, namespace, image
        self.pod = "build-" + image.name
        self._both = f"pod,secret {self.pod} -n {namespace}"
        self._seen = ""  # the pod's phase, as it was seen last

    def run(self, timeout):
        """Build and push it. RunbookError with the pod's last lines when it fails. timeout: seconds."""
        self.kube.kubectl(f"delete {self._both} --ignore-not-found --grace-period=0 --timeout=300s")
        try:
            self.kube.kubectl("create -f -", stdin=json.dumps(self.manifest()))
            pods = self.kube.pods(self.namespace, self.pod)
            self.ch.wait(
                f"the image {self.image.name} to be built",
                self._succeeded,
                failed=lambda: self._why_failed() or pods.failed(),
                stands=pods.stands,
                timeout=timeout,
                do=f"On the host: microk8s kubectl logs -n {self.namespace} {self.pod}",
            )
            self.ch.events.tell("wait", text=self._logs(1))
        finally:  # its secret may hold a password for the package index
            self.kube.kubectl(f"delete {self._both} --ignore-not-found --grace-period=0 --wait=false")

    def _logs(self, lines):
        return self.kube.kubectl(f"logs -n {self.namespace} {self.pod} --tail={lines}")

    def _phase(self):
        return self.kube.kubectl(f"get pod {self.pod} -n {self.namespace} -o jsonpath='{{.status.phase}}'")

    def _succeeded(self):
        self._seen = self._phase()
        if self._seen == "Running":
            raise NotYet(self._logs(1)[:120] or "it starts")
        return self._seen == "Succeeded"

    def _why_failed(self):
        if self._seen == "Failed":
            return "its pod failed. Its last lines:\n" + self._logs(8)
        return None

    # -- the manifest --------------------------------------------------------------------------

    def manifest(self):
        """The pod, and the Secret with its files. Not to be shown: pip's settings may hold a password."""
        settings, proxies, certificates = host_pip(self.ch.host)
        meta = {"name": self.pod, "namespace": self.namespace, "labels": {"app": self.pod}}
        texts = {
            "requirements.txt": self.image.requirements,
            "build_image": BUILDER.read_text("utf-8"),
            "pip.conf": settings + "\n",
        }
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
        secret["stringData"] = dict(self.image.files, **texts, **proxies)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": self._spec(proxies, certificates)}
        return {"apiVersion": "v1", "kind": "List", "items": [secret, pod]}

    def _kept(self, name):
        """A variable whose value is in the Secret: `kubectl describe pod` shows it not. A proxy may have a password."""
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": self.pod, "key": name}}}

    def _spec(self, proxies, certificates):
        env = {"PIP_CONFIG_FILE": "/build/pip.conf", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        volumes = [{"name": "build", "secret": {"secretName": self.pod}}]
        mounts = [{"name": "build", "mountPath": "/build", "readOnly": True}]
        if certificates:  # what the host trusts, also a certificate of a company's own
            volumes.append({"name": "trust", "hostPath": {"path": CERTIFICATES, "type": "File"}})
            mounts.append({"name": "trust", "mountPath": "/run/ca.crt", "readOnly": True})
            env["PIP_CERT"] = "/run/ca.crt"
        build = ["python3", "/build/build_image", IN_CLUSTER, self.image.name, self.image.tag]
        container = {
            "name": "build",
            "image": self.image.base,
            "env": [{"name": name, "value": value} for name, value in env.items()] + list(map(self._kept, proxies)),
            "volumeMounts": mounts,
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
            "command": build + list(self.image.command),
        }
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "volumes": volumes,
            "containers": [container],
        }
