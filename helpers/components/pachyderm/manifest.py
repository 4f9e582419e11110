"""What is applied: pachctl's manifest, with services that open nothing, claims of today, and MinIO's keys."""

from __future__ import annotations

import base64
import hashlib
import json

from helpers.components.kubernetes.objects import SERVICE_TYPES
from helpers.components.pachyderm.client import GRPC, S3, SPACE
from helpers.core.paths import home

HOST_PATH, BUCKET = "/var/pachyderm", "pachyderm"
#: the Service with the ports that `expose` asks for; pachd's own has others, which it would open with them
OPEN = "pachd-open"
#: the Secret with MinIO's key, and where pachd's pods say which version of it they began with
STORAGE, REVISION = "pachyderm-storage-secret", "storageSecret"
_SECRET = (
    f"microk8s kubectl get secret {STORAGE} -n {SPACE} --ignore-not-found -o jsonpath='{{.metadata.resourceVersion}}'"
)

_COMMON = (
    f"--namespace {SPACE} --no-expose-docker-socket --no-dashboard --dash-image pachyderm/dash:none "
    "--no-guaranteed --dry-run -o json"
)
_LOCAL = f"deploy local {_COMMON} --host-path {HOST_PATH}".split()
# The last two words stand in for MinIO's keys: a command line is no place for them.
_MINIO = (
    "deploy custom --persistent-disk aws --object-store s3 --dynamic-etcd-nodes 1 "
    "--etcd-storage-class microk8s-hostpath --disable-ssl "
    "--pachd-cpu-request 250m --pachd-memory-request 256M --block-cache-size 256M "
    "--etcd-cpu-request 250m --etcd-memory-request 512M "
    f"{_COMMON} none 10 {BUCKET} access-key secret-key"
).split()


class Manifest:
    """Pachyderm's objects for one target.

    pachctl: a tools.Tool.  store: "minio" or "local".  minio: (endpoint as pods reach it, access key, Secret).
    expose: "cluster", "node" or "loadbalancer".
    """

    def __init__(self, ch, pachctl, store, minio, expose):
        self.ch, self.pachctl, self.store, self.minio = ch, pachctl, store, minio
        self.open_type = None if expose == "cluster" else SERVICE_TYPES[expose]
        self._documents = None

    def arguments(self):
        """pachctl's arguments that print the manifest, without the deployment's id."""
        return _LOCAL if self.store == "local" else [*_MINIO, self.minio[0]]

    def documents(self):
        """pachctl's documents as ours. Not to be shown: they hold MinIO's keys."""
        if self._documents is None:
            machine = hashlib.sha256(self.ch.run("cat /etc/machine-id").encode()).hexdigest()[:32]
            deploy, kind, *rest = self.arguments()
            given = [deploy, kind, "--cluster-deployment-id", machine, *rest]
            printed = self.pachctl.run(*given, env={"PACH_CONFIG": str(self._settings())})
            ours = [_namespace(), *map(self._ours, parse(printed))]
            self._documents = ours + (self._opened(ours) if self.open_type else [])
        return self._documents

    def forget(self):
        """Ask pachctl again."""
        self._documents = None

    def text(self):
        """All of it for kubectl's standard input."""
        return as_list(self.documents())

    def ports_of_pachd(self):
        """Those of pachd's own Service: none is one of the host."""
        (pachd,) = (d for d in self.documents() if name(d) == "service/pachd")
        return pachd["spec"]["ports"]

    def claim(self):
        """etcd's volume claim, as the StatefulSet asks for it."""
        sets = [d for d in self.documents() if d["kind"] == "StatefulSet"]
        return sets[0]["spec"]["volumeClaimTemplates"][0]

    def revision(self):
        """The Secret with MinIO's key as the cluster counts its versions; "" when there is none."""
        return self.ch.run(_SECRET).strip()

    def _settings(self):
        """pachctl's own configuration file: no reports about use to its makers, also not from pachd."""
        path = home("pachyderm") / (self.ch.host.target.slug + ".json")
        if not path.exists():
            user = hashlib.sha256(str(path).encode()).hexdigest()[:32]
            path.write_text(json.dumps({"user_id": user, "v2": {"metrics": False}}))
        return path

    def _ours(self, doc):
        doc.pop("status", None)
        changes = {
            "Service": _shut,
            "StatefulSet": _name_the_class,
            "Secret": self._fill,
            "Deployment": self._mark,
        }
        change = changes.get(doc["kind"])
        if change:
            change(doc)
        return doc

    def _opened(self, documents):
        """A second Service with gRPC and S3 alone: one of type NodePort opens all of its ports."""
        (pachd,) = (d for d in documents if name(d) == "service/pachd")
        about = {"name": OPEN, "namespace": SPACE, "labels": pachd["metadata"]["labels"]}
        ports = [dict(port, nodePort=port["port"]) for port in pachd["spec"]["ports"] if port["port"] in (GRPC, S3)]
        spec = {"type": self.open_type, "selector": pachd["spec"]["selector"], "ports": ports}
        return [{"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}]

    def _mark(self, deployment):
        """pachd reads its key at its start only: another Secret is another pod."""
        if self.store == "minio" and deployment["metadata"]["name"] == "pachd":
            about = deployment["spec"]["template"]["metadata"]
            about["annotations"] = dict(about.get("annotations") or {}, **{REVISION: self.revision()})

    def _fill(self, secret):
        if self.store == "minio":
            _, user, key = self.minio
            secret["data"]["amazon-id"] = base64.b64encode(user.encode()).decode()
            secret["data"]["amazon-secret"] = base64.b64encode(key.reveal().encode()).decode()


def as_list(documents):
    """Documents for kubectl's standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def parse(text):
    """pachctl's `-o json`: documents one after the other."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def name(o):
    """kind/name, as kubectl writes it."""
    return "{}/{}".format(o["kind"].lower(), o["metadata"]["name"])


def essence(o):
    """An object without what the server and kubectl note on it."""
    meta = {k: v for k, v in o["metadata"].items() if k in ("name", "namespace", "labels")}
    notes = {k: v for k, v in o["metadata"].get("annotations", {}).items() if "kubernetes.io/" not in k}
    return dict({k: v for k, v in o.items() if k not in ("metadata", "status")}, metadata=meta, notes=notes)


def _namespace():
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": {"suite": "pachyderm"}}}


def _shut(service):
    """A Service without ports of the host; pachd's gets, at its cluster address, the numbers of those on a host."""
    spec = service["spec"]
    for port in spec["ports"]:
        port.pop("nodePort", None)
        port["targetPort"] = port.get("targetPort") or port["port"]
    if name(service) == "service/pachd":
        spec["ports"] += [
            {"name": "grpc", "port": GRPC, "targetPort": 650},
            {"name": "s3", "port": S3, "targetPort": 600},
        ]
    if spec.get("type") == "NodePort":  # etcd's as well: it has no password
        spec["type"] = "ClusterIP"


def _name_the_class(stateful_set):
    # pachctl names it by an annotation, the way of before Kubernetes 1.6.
    for claim in stateful_set["spec"]["volumeClaimTemplates"]:
        notes = claim["metadata"].pop("annotations")
        claim["spec"]["storageClassName"] = notes["volume.beta.kubernetes.io/storage-class"]
