"""Pachyderm as a chapter deploys it: its manifest applied on the host, its data kept, and what it must not meet."""

from __future__ import annotations

import json
from pathlib import Path

import urllib3

from helpers.components.kubernetes import probes
from helpers.components.kubernetes.kube import all_of, available
from helpers.components.kubernetes.objects import APPLIED, put_secret
from helpers.components.pachyderm.client import S3, SPACE
from helpers.components.pachyderm.manifest import BUCKET, HOST_PATH, OPEN, REVISION, Manifest, as_list, essence, name
from helpers.core import actions, catalogue, notes, shell
from helpers.core.actions import Action
from helpers.core.errors import RunbookError, words

HERE = Path(__file__).parent
CLAIM = "etcd-storage-etcd-0"
_SERVICE_TYPES = (
    f"microk8s kubectl get services pachd {OPEN} -n {SPACE} --ignore-not-found -o jsonpath="
    "'{range .items[*]}{.metadata.name} {.spec.type}{\"\\n\"}{end}' 2>/dev/null || true"
)
_IMAGES = (
    "microk8s kubectl get deployment -A -l app=pachd,suite=pachyderm -o jsonpath="
    "'{range .items[*]}{.metadata.namespace} {.spec.template.spec.containers[0].image}{\"\\n\"}{end}'"
    " 2>/dev/null || true"
)
_STORE = (
    f"microk8s kubectl get deployment pachd -n {SPACE} -o jsonpath="
    "'{.spec.template.spec.containers[0].env[?(@.name==\"STORAGE_BACKEND\")].value}' 2>/dev/null || true"
)
# No MicroK8s, no such namespace, or one that is being deleted, which nothing can call back.
_GONE = probes.with_cluster(
    "if not_installed; then exit 0; fi\n"
    f"there=$(microk8s kubectl get namespace {SPACE} --ignore-not-found"
    " -o jsonpath='{.metadata.name} {.metadata.deletionTimestamp}') || cannot_tell || exit 1\n"
    f"case $there in '' | '{SPACE} '?*) ;; *) exit 1 ;; esac"
)
_REVISION = (
    f"microk8s kubectl get deployment pachd -n {SPACE} --ignore-not-found -o jsonpath="
    f"'it is {{.spec.template.metadata.annotations.{REVISION}}}'"
)


class Deployment:
    """How Pachyderm is deployed on the chapter's target. pach: a client.Pachyderm; the rest: see Manifest."""

    def __init__(self, pach, pachctl, store="minio", minio=None, expose="cluster"):
        self.pach, self.ch, self.kube = pach, pach.ch, pach.kube
        self.pachctl, self.store, self.expose = pachctl, store, expose
        self.manifest = Manifest(self.ch, pachctl, store, minio, expose)
        self.version = catalogue.load()["pachyderm"].version
        self.etcd = "statefulset" if store == "minio" else "deployment"
        self._ended = set()  # workers that must come back, by their controllers' names

    # What it must not meet: for preconditions.

    def why_other_version(self):
        """None unless another version of pachd is deployed already."""
        for line in self.ch.run(_IMAGES).splitlines():
            space, image = line.split()
            if space != SPACE:
                return f"a Pachyderm is deployed in namespace {space} already: {image}"
            if not image.endswith(":" + self.version):
                return "pachd there is {}, pachctl here {}".format(image.rpartition(":")[2], self.version)
        return None

    def why_other_store(self):
        """None unless Pachyderm is there and keeps its data elsewhere."""
        found = self.ch.run(_STORE).strip()
        there = {"": self.store, "AMAZON": "minio", "LOCAL": "local"}.get(found, found)
        return None if there == self.store else f"its data lie in {there}"

    def why_data_of_others(self, ours):
        """None unless there are repositories beside ours, or may be: a pachd that does not answer cannot be asked."""
        try:
            extra = sorted(set(self.pach.repositories()) - set(ours))
        except Exception as e:  # of several libraries: it is not there, or nobody knows what it holds
            return None if self.ch.host.ask(_GONE).ok else "it cannot be asked: " + words(e, 200)
        return "repositories that this chapter did not make: " + ", ".join(extra) if extra else None

    def none_left(self):
        """A probe: no volume is here that an earlier Pachyderm left: remove would delete it."""
        return probes.with_cluster(shell.script(HERE / "volumes_left.sh", SPACE, notes.path(self.ch.notebook.id)))

    # What the chapter makes so.

    def things(self):
        """What it makes, as core/ownership.py names it. With MinIO, the host's folder is none of its business."""
        return [f"namespace {SPACE}", f"folder {HOST_PATH}" if self.store == "local" else f"bucket {BUCKET}"]

    def deployed(self):
        """Action: what pachctl's manifest says is in the cluster, unchanged, and pachd and etcd are available."""
        filled = ", MinIO's keys put in" if self.store == "minio" else ""
        shown = [
            "pachctl " + " ".join(self.manifest.arguments()),
            f"kubectl apply -f -   (pachctl's output{filled}; services: {self.expose})",
        ]
        undo = probes.when_it_answers(shell.script(HERE / "remove.sh", SPACE))
        makes = [f"namespace {SPACE}"]
        return Action(shown, self._why_not_deployed, self._deploy, undo, absent=_all_gone(), makes=makes)

    def folder(self):
        """Actions: the host's folder of the store local; none with MinIO. Remove takes it after what writes there."""
        if self.store != "local":
            return []
        missing = f"[ -d {HOST_PATH} ] || {{ echo {HOST_PATH} is missing; exit 1; }}"
        undo = actions.remove_directory(HOST_PATH)
        return [actions.commands(f"mkdir -p {HOST_PATH}", missing, undo, [f"folder {HOST_PATH}"])]

    def kept(self):
        """Action: the volume with the metadata is bound, and would outlive its claim (local: the folder is there)."""
        if self.store == "local":
            etcd, pachd = HOST_PATH + "/etcd", HOST_PATH + "/pachd"
            return Action(
                f"nothing to do: {etcd} and {pachd} are folders of the host",
                f'for d in {etcd} {pachd}; do [ -d $d ] || {{ echo "$d is missing"; exit 1; }}; done',
                "true",
            )
        return Action(
            [
                "kubectl patch pv ... persistentVolumeReclaimPolicy: Retain",
                "(where the claim was deleted: bind its volume to a new one)",
            ],
            shell.script(HERE / "claim_is_kept.sh", SPACE, CLAIM),
            self._keep,
        )

    def s3_answers(self):
        """Action: the S3 gateway answers at the service's address; installing waits up to 5 minutes."""
        return actions.waits(self.ch, f"wait for GET / on port {S3}", "the S3 gateway", self._why_no_gateway)

    def redeploy(self):
        """Delete what runs, not what is stored, and deploy again: what helps when pachd and the cluster disagree."""
        self.kube.kubectl(f"delete deployment/pachd {self.etcd}/etcd -n {SPACE} --timeout=300s")
        self._rest_workers()
        self.manifest.forget()
        self._apply()
        self._ready()

    def _why_not_deployed(self):
        if self.pachctl.missing():
            return self.pachctl.missing()
        why = self._why_too_open()
        if why:  # the server would refuse a second Service with the node ports of the first
            return why
        # The server says what each object would be after an apply; that is compared with what it is.
        compare = shell.script(HERE / "compare.sh")
        said = self.ch.host.run(compare, stdin=self.manifest.text(), raw=True, check=False, timeout=300)
        if said.code:
            text = self.ch.masker.mask(said.err.strip())
            return "not deployed" if f'namespaces "{SPACE}" not found' in text else text.split("\n")[-1]
        after, _, now = said.out.partition("@@@")
        away = actions.why_not_so(self.ch.host, self._available())
        found = _by_name(now)
        return "; ".join([*_differences(_by_name(after), found), *_in_clear(found), *([away] if away else [])]) or None

    def _available(self):
        return all_of(available(SPACE, self.etcd, "etcd"), available(SPACE, "deployment", "pachd"))

    def _deploy(self):
        self.manifest.forget()
        self._close()
        self._apply()
        self._ready()

    def _why_too_open(self):
        """None unless a Service opens what `expose` does not name, as pachd's own does by an older runbook."""
        types = self._service_types()
        if types.get("pachd", "ClusterIP") != "ClusterIP":
            return f"service pachd is of type {types['pachd']}: all its ports are the host's as well"
        return f"service {OPEN} opens ports of the host" if OPEN in types and not self.manifest.open_type else None

    def _close(self):
        """What apply would leave: node ports of pachd's own Service, whose address stays; another type of the other."""
        types = self._service_types()
        if types.get("pachd", "ClusterIP") != "ClusterIP":
            shut = {"type": "ClusterIP", "externalTrafficPolicy": None, "ports": self.manifest.ports_of_pachd()}
            self._patch(f"service pachd -n {SPACE}", {"spec": shut})
        if OPEN in types and types[OPEN] != self.manifest.open_type:
            self.kube.kubectl(f"delete service {OPEN} -n {SPACE} --ignore-not-found")

    def _service_types(self):
        return dict(line.split() for line in self.ch.run(_SERVICE_TYPES).splitlines())

    def _apply(self):
        """Secrets for themselves: apply keeps what it is given in an annotation, in clear; etcd does for a while."""
        documents = self.manifest.documents()
        self._give([d for d in documents if d["kind"] == "Namespace"])
        for secret in (d for d in documents if d["kind"] == "Secret"):
            put_secret(self.kube, dict(secret, metadata=dict(secret["metadata"], namespace=SPACE)))
        self.manifest.forget()  # pachd's pods are marked with the Secret as it is now
        self._end_workers()
        self._give([d for d in self.manifest.documents() if d["kind"] not in ("Namespace", "Secret")])

    def _end_workers(self):
        """Before pachd is told of another Secret: who is cut off in between ends them again. They come back by it."""
        said = self.ch.run(_REVISION).strip() if self.store == "minio" else ""
        if said and said != f"it is {self.manifest.revision()}".strip():
            self._ended |= self._workers()
            self.kube.kubectl(f"delete pods -n {SPACE} -l component=worker --wait=false")

    def _rest_workers(self):
        """End workers while etcd is away: they ask it without a pause, on all processors (1.13.2, pkg/watch/watch.go).

        pachd starts them again, whoever ended them: it looks every two seconds (pps/server/poller.go).
        """
        there = self._controllers()
        self._ended |= _at_work(there)
        if there:
            names = " ".join("replicationcontroller/" + o["metadata"]["name"] for o in there)
            self.kube.kubectl(f"scale -n {SPACE} --replicas=0 {names}")

    def _workers(self):
        """Names of the pipelines' replication controllers that have workers, all ready."""
        return _at_work(self._controllers())

    def _controllers(self):
        return self.kube.get(f"replicationcontroller -n {SPACE} -l component=worker")["items"]

    def _give(self, documents):
        self.kube.apply(as_list(documents))

    def _ready(self):
        self.kube.wait_for("pachd and etcd", self._available())
        self.ch.wait(
            "pachd to answer",
            lambda: self.pach.client.get_remote_version(),
            do=f"On the host: microk8s kubectl logs -n {SPACE} deploy/pachd",
        )
        if self._ended:
            self.ch.wait("the pipelines' workers", lambda: self._ended <= self._workers())

    def _why_no_gateway(self):
        try:
            self.pach.s3.list_buckets()
        except (urllib3.exceptions.HTTPError, OSError):
            return f"the S3 gateway does not answer on port {S3}"
        return None

    # etcd's volume, which outlives its claim.

    def _keep(self):
        claim = self._object(f"pvc {CLAIM} -n {SPACE}")
        volumes = [v["metadata"]["name"] for v in self.kube.get("pv")["items"] if _is_etcds(v)]
        for volume in volumes:
            self._patch("pv " + volume, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
        if claim is None or _goes(claim) or claim["status"]["phase"] != "Bound":
            self._rebind(claim, volumes)

    def _rebind(self, claim, volumes):
        """A deleted claim cannot be called back: end etcd, let the claim go, and bind its volume to a new one."""
        if not volumes:
            raise RunbookError(
                "bind etcd's volume again",
                self.ch.host.name,
                f"no volume of the claim {CLAIM} is left: the metadata are lost",
                "Remove the chapter and install again, or restore a backup made with pachctl extract.",
            )
        self.kube.kubectl(f"scale statefulset etcd -n {SPACE} --replicas=0")
        self._rest_workers()
        if claim is not None and not _goes(claim):
            self.kube.kubectl(f"delete pvc {CLAIM} -n {SPACE} --wait=false")
        self.ch.wait("the old claim to go", lambda: self._object(f"pvc {CLAIM} -n {SPACE}") is None)
        self._patch("pv " + volumes[0], {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})
        self.kube.apply(json.dumps(self._claim_on(volumes[0])))
        self.kube.kubectl(f"scale statefulset etcd -n {SPACE} --replicas=1")
        self.ch.wait("the new claim to be bound", self._is_bound)
        self._ready()

    def _claim_on(self, volume):
        template = self.manifest.claim()
        meta = {"name": CLAIM, "namespace": SPACE, "labels": template["metadata"]["labels"]}
        spec = dict(template["spec"], volumeName=volume)
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec, "metadata": meta}

    def _is_bound(self):
        return self._object(f"pvc {CLAIM} -n {SPACE}")["status"]["phase"] == "Bound"

    def _object(self, what):
        """One object as a dict; None when there is none."""
        out = self.kube.kubectl(f"get {what} -o json --ignore-not-found")
        return json.loads(out) if out else None

    def _patch(self, what, change):
        self.kube.kubectl(f"patch {what} --type merge -p '{json.dumps(change)}'")


def _all_gone():
    roles = (f"{kind} pachyderm pachyderm-worker" for kind in ("clusterrole", "clusterrolebinding"))
    return probes.gone(f"namespace {SPACE}", *roles)


def _at_work(controllers):
    """Names of those that want workers and have them all ready."""
    return {
        o["metadata"]["name"] for o in controllers if 0 < o["spec"]["replicas"] <= o["status"].get("readyReplicas", 0)
    }


def _by_name(text):
    return {name(o): o for o in json.loads(text.strip() or "{}").get("items", [])}


def _differences(wanted, found):
    missing = [n for n in wanted if n not in found]
    changed = [n for n in wanted if n in found and essence(wanted[n]) != essence(found[n])]
    return [f"{word}: {', '.join(names)}" for word, names in (("missing", missing), ("changed", changed)) if names]


def _in_clear(found):
    """Secrets that have what `kubectl apply` was given in its annotation, MinIO's keys, as `describe` shows it."""
    noted = [n for n, o in found.items() if o["kind"] == "Secret" and APPLIED in o["metadata"].get("annotations", {})]
    return [f"in clear in an annotation: {', '.join(noted)}"] if noted else []


def _is_etcds(volume):
    claim = volume["spec"].get("claimRef") or {}
    return (claim.get("namespace"), claim.get("name")) == (SPACE, CLAIM)


def _goes(o):
    return bool(o["metadata"].get("deletionTimestamp"))
