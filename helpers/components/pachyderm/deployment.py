"""Pachyderm as a chapter deploys it: pachctl's manifest, made safe, applied on the host; its clients; its data kept."""

from __future__ import annotations

import base64
import hashlib
import json
import socket

import helpers.core.grpc_settings  # noqa: F401, I001 - gRPC reads them as it is imported
import grpc
import python_pachyderm
import urllib3
from minio import Minio

from helpers.components.kubernetes.kube import Kube, all_of, available
from helpers.core import catalogue
from helpers.core.actions import Action
from helpers.core.errors import RunbookError, Unmet
from helpers.core.paths import home

SPACE = "pachyderm"
#: ports of the service at its cluster address, and on the host where it is exposed there
GRPC, S3 = 30650, 30600
HOST_PATH, BUCKET = "/var/pachyderm", "pachyderm"
#: stand in for MinIO's keys in what pachctl is given: its command line is no place for them
_ID, _KEY = "access-key", "secret-key"
_CLAIM = "etcd-storage-etcd-0"


class _Answers:
    """A stream of answers that fails in words."""

    def __init__(self, stream, told):
        self._stream, self._told = stream, told

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self._stream)
        except grpc.RpcError as e:
            raise self._told(e)

    def __getattr__(self, name):
        return getattr(self._stream, name)


class Client(python_pachyderm.Client):
    """python_pachyderm's client; each call ends within half a minute, and one that fails is a RunbookError.

    While etcd is away calls would not end at all; after one that did not, the next ones are given two seconds.
    """

    def _req(self, grpc_service, grpc_method_name, req=None, **fields):
        if grpc_service not in self._stubs:
            self._patience = 30
            self._stubs[grpc_service] = self._in_time(grpc_service.stub(grpc.insecure_channel(self.address)))
        try:
            answer = python_pachyderm.Client._req(self, grpc_service, grpc_method_name, req, **fields)
        except grpc.RpcError as e:
            raise self._told(grpc_method_name, e)
        if hasattr(answer, "cancel"):
            return _Answers(answer, lambda e: self._told(grpc_method_name, e))
        self._patience = 30
        return answer

    def _in_time(self, stub):
        def call(method):
            return lambda request, **kw: getattr(stub, method)(request, timeout=self._patience, **kw)

        return type("Stub", (), {"__getattr__": lambda _, method: call(method)})()

    def _told(self, method, error):
        do = f"On the host: microk8s kubectl get pods -n {SPACE}; microk8s kubectl logs -n {SPACE} deploy/pachd --tail=30"
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            said, self._patience = f"pachd gives no answer within {self._patience} s: does its etcd run?", 2
        elif error.code() == grpc.StatusCode.UNAVAILABLE:
            said = "pachd does not answer"
        else:
            return RunbookError(
                "ask pachd: " + method, saw=(error.details() or str(error.code())).split("\n")[0], do=do
            )
        away = RunbookError("ask pachd: " + method, saw=said, do=do)
        away.entry = "pach-down"
        return away


def parse(text):
    """pachctl's `-o json`: documents one after the other."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def _name(o):
    return "{}/{}".format(o["kind"].lower(), o["metadata"]["name"])


def _essence(o):
    """An object without what the server and kubectl note on it."""
    meta = {k: v for k, v in o["metadata"].items() if k in ("name", "namespace", "labels")}
    notes = {k: v for k, v in o["metadata"].get("annotations", {}).items() if "kubernetes.io/" not in k}
    return dict({k: v for k, v in o.items() if k not in ("metadata", "status")}, metadata=meta, notes=notes)


class Pachyderm:
    """Pachyderm on the chapter's target.

    store: "minio" or "local"; minio: (endpoint as pods reach it, access key, Secret).  expose: "cluster", "node" or
    "loadbalancer".  pachctl: a tools.Tool, for deploying only.
    """

    def __init__(self, ch, pachctl=None, store="local", minio=None, expose="cluster"):
        self.ch, self.kube = ch, Kube(ch)
        self.pachctl, self.store, self.minio, self.expose = pachctl, store, minio, expose
        self.version = catalogue.load()["pachyderm"].version
        self._address, self._client, self._s3, self._docs = None, None, None, None

    # -- the manifest ----------------------------------------------------------------------------

    def command(self):
        """pachctl's arguments that print the manifest."""
        small = [
            "--pachd-cpu-request",
            "250m",
            "--pachd-memory-request",
            "256M",
            "--block-cache-size",
            "256M",
            "--etcd-cpu-request",
            "250m",
            "--etcd-memory-request",
            "512M",
        ]
        common = [
            "--namespace",
            SPACE,
            "--no-expose-docker-socket",
            "--no-dashboard",
            "--dash-image",
            "pachyderm/dash:none",
            "--no-guaranteed",
            "--cluster-deployment-id",
            self._id(),
            "--dry-run",
            "-o",
            "json",
        ]
        if self.store == "local":
            return ["deploy", "local"] + common + ["--host-path", HOST_PATH]
        return (
            [
                "deploy",
                "custom",
                "--persistent-disk",
                "aws",
                "--object-store",
                "s3",
                "--dynamic-etcd-nodes",
                "1",
                "--etcd-storage-class",
                "microk8s-hostpath",
                "--disable-ssl",
            ]
            + small
            + common
            + ["none", "10", BUCKET, _ID, _KEY, self.minio[0]]
        )

    def _id(self):
        if not hasattr(self, "_machine"):
            self._machine = hashlib.sha256(self.ch.run("cat /etc/machine-id", quiet=True).encode()).hexdigest()[:32]
        return self._machine

    def manifest(self):
        """What is applied: pachctl's documents with our services and, for MinIO, its keys. Not to be shown: it holds them."""
        if self._docs is None:
            out = self.pachctl.run(*self.command(), env={"PACH_CONFIG": str(self.settings())})
            self._docs = [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": {"suite": "pachyderm"}}}
            ]
            self._docs += [self._ours(doc) for doc in parse(out)]
        return self._docs

    def settings(self):
        """pachctl's own configuration file: no reports about use to its makers, also not from pachd."""
        path = home("pachyderm") / (self.ch.host.target.slug + ".json")
        if not path.exists():
            path.write_text(
                json.dumps({"user_id": hashlib.sha256(str(path).encode()).hexdigest()[:32], "v2": {"metrics": False}})
            )
        return path

    def _ours(self, doc):
        kind, name = doc["kind"], doc["metadata"]["name"]
        doc.pop("status", None)
        if kind == "Service":
            spec = doc["spec"]
            for port in spec["ports"]:
                port.pop("nodePort", None)
                port["targetPort"] = port.get("targetPort") or port["port"]
            if name == "pachd":  # the same numbers at the cluster's address as on the host
                spec["ports"] += [
                    {"name": "grpc", "port": GRPC, "targetPort": 650},
                    {"name": "s3", "port": S3, "targetPort": 600},
                ]
                if self.expose != "cluster":
                    for port in spec["ports"]:
                        if port["port"] in (GRPC, S3):
                            port["nodePort"] = port["port"]
            if spec.get("type") == "NodePort":  # etcd's as well: it has no password
                spec["type"] = (
                    {"node": "NodePort", "loadbalancer": "LoadBalancer"}.get(self.expose, "ClusterIP")
                    if name == "pachd"
                    else "ClusterIP"
                )
        if kind == "StatefulSet":  # the annotation is the way of before Kubernetes 1.6
            for claim in doc["spec"]["volumeClaimTemplates"]:
                claim["spec"].update(
                    storageClassName=claim["metadata"].pop("annotations")["volume.beta.kubernetes.io/storage-class"]
                )
        if kind == "Secret" and self.store == "minio":
            doc["data"]["amazon-id"] = base64.b64encode(self.minio[1].encode()).decode()
            doc["data"]["amazon-secret"] = base64.b64encode(self.minio[2].reveal().encode()).decode()
        return doc

    # -- steps -----------------------------------------------------------------------------------

    def deployed(self):
        """Action: what pachctl's manifest says is in the cluster, unchanged, and pachd and etcd are available."""
        shown = [
            "pachctl " + " ".join(a for a in self.command() if a != self._id()).replace("--cluster-deployment-id ", ""),
            "kubectl apply -f -   (pachctl's output{}; services: {})".format(
                ", MinIO's keys put in" if self.store == "minio" else "", self.expose
            ),
        ]

        def apply():
            self._docs = None
            self._replace_services()
            self._apply()
            self._ready()

        return Action(shown, self._differs, apply, self._remove, absent=self._still_there)

    def _list(self):
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": self.manifest()})

    def _apply(self):
        self.kube.kubectl("apply -f -", stdin=self._list(), timeout=120)

    def _replace_services(self):
        """apply cannot take a node port away from a service that becomes a cluster's own: such a one is made anew."""
        done = self.ch.host.run(
            f"microk8s kubectl get service pachd -n {SPACE} -o jsonpath='{{.spec.type}}' 2>/dev/null || true",
            quiet=True,
        ).out.strip()
        if done and done != {"node": "NodePort", "loadbalancer": "LoadBalancer"}.get(self.expose, "ClusterIP"):
            self.kube.kubectl(f"delete service pachd -n {SPACE}")
            self._address = None

    def _ready(self):
        self.kube.wait_for("pachd and etcd", self._available(), 300)
        self.ch.wait(
            "pachd to answer",
            lambda: self.client.get_remote_version(),
            timeout=60,
            do="On the host: microk8s kubectl logs -n pachyderm deploy/pachd",
        )

    def _differs(self):
        if self.pachctl.missing():
            return self.pachctl.missing()
        # The server says what each object would be after an apply; that is compared with what it is.
        said = self.ch.host.run(
            'm=$(cat); k=\'microk8s kubectl\'\n$k apply --dry-run=server -o json -f - <<< "$m"; echo @@@; $k get --ignore-not-found -o json -f - <<< "$m"',
            stdin=self._list(),
            raw=True,
            check=False,
            timeout=60,
        )
        if said.code:
            text = self.ch.masker.mask(said.err.strip())
            return "not deployed" if f'namespaces "{SPACE}" not found' in text else text.split("\n")[-1]
        after, _, now = said.out.partition("@@@")
        wanted, found = (
            {_name(o): o for o in json.loads(text or "{}").get("items", [])} for text in (after, now.strip())
        )
        missing, changed = (
            [n for n in wanted if n not in found],
            [n for n in wanted if n in found and _essence(wanted[n]) != _essence(found[n])],
        )
        ok, seen = self.ch.host.ask(self._available())
        return (
            "; ".join(
                filter(
                    None,
                    [
                        missing and "missing: " + ", ".join(missing),
                        changed and "changed: " + ", ".join(changed),
                        "" if ok else seen,
                    ],
                )
            )
            or None
        )

    def _available(self):
        return all_of(
            available(SPACE, "statefulset" if self.store == "minio" else "deployment", "etcd"),
            available(SPACE, "deployment", "pachd"),
        )

    def _still_there(self):
        left = self.ch.run(
            "microk8s kubectl get namespace,clusterrole,clusterrolebinding -o name 2>/dev/null | grep -xE '[a-z.0-9]*/pachyderm(-worker)?' || true",
            quiet=True,
        ).split()
        left += self.ch.run(f"[ ! -e {HOST_PATH} ] || echo {HOST_PATH}", quiet=True).split()
        return "still there: " + ", ".join(left) if left else None

    def _remove(self):
        # The claim's volume outlives it (see kept), so its folder goes by hand.
        self.ch.host.run(
            f"""k="microk8s kubectl"
volumes=$($k get pv -o jsonpath='{{range .items[?(@.spec.claimRef.namespace=="{SPACE}")]}}{{.metadata.name}} {{end}}')
$k delete namespace {SPACE} --ignore-not-found --timeout=180s
$k delete clusterrole,clusterrolebinding -l suite=pachyderm --ignore-not-found
for name in $volumes; do $k delete pv "$name" --ignore-not-found --timeout=60s; done
rm -rf --one-file-system {HOST_PATH} /var/snap/microk8s/common/default-storage/{SPACE}-etcd-storage-etcd-0-pvc-*""",
            timeout=400,
            what="delete Pachyderm and its data",
        )

    def kept(self):
        """Action: the volume with the metadata is bound, and would stay if its claim were deleted (local: the folder is there)."""
        if self.store == "local":
            return Action(
                f"nothing to do: {HOST_PATH}/etcd and {HOST_PATH}/pachd are folders of the host",
                f'for d in etcd pachd; do [ -d {HOST_PATH}/$d ] || {{ echo "{HOST_PATH}/$d is missing"; exit 1; }}; done',
                "true",
            )
        probe = f"""k="microk8s kubectl"
said=$($k get pvc {_CLAIM} -n {SPACE} -o jsonpath='{{.status.phase}} {{.spec.volumeName}} {{.metadata.deletionTimestamp}}' 2>&1) || {{ echo "etcd's claim {_CLAIM} is missing: its pods have nowhere to write"; exit 1; }}
set -- $said; [ "$1" = Bound ] || {{ echo "etcd's claim {_CLAIM} is $1, not Bound"; exit 1; }}
[ -z "${{3:-}}" ] || {{ echo "etcd's claim {_CLAIM} is being deleted: it goes when etcd's pod ends"; exit 1; }}
volume=$2; said=$($k get pv $volume -o jsonpath='{{.status.phase}} {{.spec.persistentVolumeReclaimPolicy}} {{.spec.claimRef.name}} {{.metadata.deletionTimestamp}}' 2>&1) || {{ echo "etcd's volume $volume is missing"; exit 1; }}
set -- $said; [ "$1 ${{3:-}}" = 'Bound {_CLAIM}' ] || {{ echo "etcd's volume $volume is $1, not bound to {_CLAIM}"; exit 1; }}
[ -z "${{4:-}}" ] || {{ echo "etcd's volume $volume is being deleted"; exit 1; }}
[ "$2" = Retain ] || {{ echo "etcd's volume would be deleted with its claim (policy $2)"; exit 1; }}"""
        return Action(
            [
                "kubectl patch pv ... persistentVolumeReclaimPolicy: Retain",
                "(where the claim was deleted: bind its volume to a new one)",
            ],
            probe,
            self._keep,
        )

    def _keep(self):
        claim = self._json(f"pvc {_CLAIM} -n {SPACE}")
        volumes = [
            v
            for v in self.kube.get("pv")["items"]
            if (v["spec"].get("claimRef") or {}).get("name") == _CLAIM and v["spec"]["claimRef"]["namespace"] == SPACE
        ]
        for volume in volumes:
            self._patch("pv " + volume["metadata"]["name"], {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
        if claim is None or claim["metadata"].get("deletionTimestamp") or claim["status"]["phase"] != "Bound":
            self._rebind(claim, volumes)

    def _rebind(self, claim, volumes):
        """A deleted claim cannot be called back: end etcd, let the claim go, and bind its volume to a new one."""
        if not volumes:
            raise RunbookError(
                "bind etcd's volume again",
                self.ch.host.name,
                f"no volume of the claim {_CLAIM} is left: the metadata are lost",
                "Remove the chapter and install again, or restore a backup made with pachctl extract.",
            )
        volume = volumes[0]["metadata"]["name"]
        self.kube.kubectl(f"scale statefulset etcd -n {SPACE} --replicas=0")
        if claim is not None and not claim["metadata"].get("deletionTimestamp"):
            self.kube.kubectl(f"delete pvc {_CLAIM} -n {SPACE} --wait=false")
        self.ch.wait("the old claim to go", lambda: self._json(f"pvc {_CLAIM} -n {SPACE}") is None, timeout=120)
        self._patch("pv " + volume, {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})
        template = [d for d in self.manifest() if d["kind"] == "StatefulSet"][0]["spec"]["volumeClaimTemplates"][0]
        spec = dict(template["spec"], volumeName=volume)
        self.kube.kubectl(
            "apply -f -",
            stdin=json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "spec": spec,
                    "metadata": {"name": _CLAIM, "namespace": SPACE, "labels": template["metadata"]["labels"]},
                }
            ),
        )
        self.kube.kubectl(f"scale statefulset etcd -n {SPACE} --replicas=1")
        self.ch.wait(
            "the new claim to be bound",
            lambda: self._json(f"pvc {_CLAIM} -n {SPACE}")["status"]["phase"] == "Bound",
            timeout=60,
        )
        self._ready()

    def _json(self, what):
        """One object as a dict; None when there is none."""
        out = self.kube.kubectl(f"get {what} -o json --ignore-not-found")
        return json.loads(out) if out else None

    def _patch(self, what, change):
        self.kube.kubectl(f"patch {what} --type merge -p '{json.dumps(change)}'")

    def s3_answers(self):
        """Action: the S3 gateway answers at the service's address; installing waits up to 60 s."""
        return Action(
            f"wait for GET / on port {S3}",
            self._no_gateway,
            lambda: self.ch.wait("the S3 gateway", lambda: self._no_gateway() is None, timeout=60),
        )

    def _no_gateway(self):
        try:
            self.s3.list_buckets()
        except (urllib3.exceptions.HTTPError, OSError):
            return f"the S3 gateway does not answer on port {S3}"
        return None

    # -- preconditions ---------------------------------------------------------------------------

    def disk(self, percent):
        """A probe: more than `percent` of the disk with pods and images is left. Below 10% kubelet throws images away and evicts pods."""
        return (
            "set -- $(df -P /var | awk 'NR==2 {print $2, $4}'); free=$(( $2 * 100 / $1 ))\n"
            f'[ $free -ge {percent} ] || {{ echo "$free% free below /var"; exit 1; }}'
        )

    def other_version(self):
        """None unless another version of pachd is deployed already."""
        found = self.ch.run(
            "microk8s kubectl get deployment -A -l app=pachd,suite=pachyderm -o jsonpath='{range .items[*]}{.metadata.namespace} "
            '{.spec.template.spec.containers[0].image}{"\\n"}{end}\' 2>/dev/null || true',
            quiet=True,
        ).splitlines()
        for line in found:
            space, image = line.split()
            if space != SPACE:
                return f"a Pachyderm is deployed in namespace {space} already: {image}"
            if not image.endswith(":" + self.version):
                return "pachd there is {}, pachctl here {}".format(image.rpartition(":")[2], self.version)
        return None

    def other_store(self):
        """None unless Pachyderm is there and keeps its data elsewhere."""
        found = self.ch.run(
            f"microk8s kubectl get deployment pachd -n {SPACE} -o jsonpath='{{.spec.template.spec.containers[0].env[?(@.name==\"STORAGE_BACKEND\")].value}}' "
            "2>/dev/null || true",
            quiet=True,
        ).strip()
        there = {"": self.store, "AMAZON": "minio", "LOCAL": "local"}.get(found, found)
        return None if there == self.store else f"its data lie in {there}"

    def others(self, ours):
        """For remove: None unless there are repositories beside ours. A pachd that does not answer cannot be asked."""
        try:
            extra = sorted(set(self.repositories()) - set(ours))
        except Exception:  # not deployed, or half deployed: nothing can be asked, and remove has to work
            return None
        return "repositories that this chapter did not make: " + ", ".join(extra) if extra else None

    # -- clients ---------------------------------------------------------------------------------

    @property
    def address(self):
        """pachd's address in the cluster, reached from the host and from pods."""
        if self._address is None:
            self._address = self.kube.kubectl(f"get service pachd -n {SPACE} -o jsonpath='{{.spec.clusterIP}}'")
        return self._address

    def s3_url(self):
        """The S3 gateway for programs on the host and in pods."""
        return f"http://{self.address}:{S3}"

    def _way(self, port):
        """(address, port) of the service as this machine reaches it."""
        if self.ch.host.target.kind == "local":
            return self.address, port
        return "127.0.0.1", self.ch.forward(port, self.address)

    @property
    def client(self):
        """A python_pachyderm.Client."""
        if self._client is None:
            self._client = Client(*self._way(GRPC))
        return self._client

    @property
    def s3(self):
        """A minio client on the S3 gateway, without keys."""
        if self._s3 is None:
            self._s3 = Minio(
                "{}:{}".format(*self._way(S3)),
                secure=False,
                region="us-east-1",
                http_client=urllib3.PoolManager(timeout=urllib3.Timeout(30), retries=False),
            )
        return self._s3

    def repositories(self):
        """The names of all repositories."""
        return sorted(r.repo.name for r in self.client.list_repo())

    def found_version(self):
        """The version of the pachd that answers; "" when none does, or nothing is to be asked."""
        if not self.ch.proving:
            return ""
        try:
            v = self.client.get_remote_version()
        except RunbookError:
            return ""
        return f"{v.major}.{v.minor}.{v.micro}{v.additional}"

    # -- proofs ----------------------------------------------------------------------------------

    def holds(self, probe):
        """A probe as a proof."""
        ok, seen = self.ch.host.ask(probe)
        if not ok:
            raise Unmet("more", seen)

    def same_version(self):
        """pachctl here and pachd there are the pinned version; so says pachctl, asking pachd."""
        self.client.get_remote_version()  # pachctl would wait long for a pachd that is away
        host, port = self._way(GRPC)
        path = home("pachyderm") / f"{self.ch.host.target.slug}-{port}.json"
        path.write_text(
            json.dumps(
                {
                    "user_id": "runbook",
                    "v2": {
                        "active_context": "here",
                        "metrics": False,
                        "contexts": {"here": {"pachd_address": f"grpc://{host}:{port}"}},
                    },
                }
            )
        )
        try:
            said = self.pachctl.run("version", env={"PACH_CONFIG": str(path)}, timeout=30)
        finally:
            path.unlink()
        found = dict(line.split()[:2] for line in said.splitlines() if line.startswith(("pachctl", "pachd")))
        if found.get("pachctl") != found.get("pachd") or found.get("pachd") != self.version:
            raise Unmet(
                f"{self.version} and {self.version}",
                "pachctl {}, pachd {}".format(found.get("pachctl", "?"), found.get("pachd", "?")),
            )
        return f"pachctl {found['pachctl']}, pachd {found['pachd']}"

    def shut(self):
        """From this machine straight to the host's address: no way in, unless it was asked for."""
        opened = [port for port in (GRPC, S3, 32379) if self._open(port)]
        if self.expose == "cluster" and opened:
            raise Unmet(
                "no way in from the network",
                "port {} of the host answers: Pachyderm asks nobody for a password".format(", ".join(map(str, opened))),
            )
        return (
            "{} answers from the network".format(", ".join(map(str, opened)))
            if opened
            else "neither gRPC, S3 nor etcd answers from the network"
        )

    def _open(self, port):
        try:
            socket.create_connection((self.ch.host.address, port), timeout=3).close()
            return True
        except OSError:
            return False

    def redeploy(self):
        """Delete what runs, not what is stored, and deploy again: what helps when pachd and the cluster disagree."""
        kind = "statefulset" if self.store == "minio" else "deployment"
        self.kube.kubectl(f"delete deployment/pachd {kind}/etcd -n {SPACE} --timeout=90s", timeout=100)
        self._docs = None
        self._apply()
        self._ready()
