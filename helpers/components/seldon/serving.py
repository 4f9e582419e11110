"""The SeldonDeployment flowers: its image, its manifest, and what it still lacks to be served."""

from __future__ import annotations

import json

import yaml

from helpers.components.kubernetes.images import Images
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.objects import difference
from helpers.components.seldon.gateway import Gateway
from helpers.components.seldon.operator import CRD, Operator
from helpers.core.errors import CommandFailed, NotYet
from helpers.core.paths import SETUP
from helpers.core.shell import filled

MODELS, NAME = "models", "flowers"
#: what the operator makes of it: SeldonDeployment, predictor, number, container
DEPLOYMENT = f"{NAME}-default-0-classifier"
SETUP_FOLDER = SETUP / "seldon-setup"
#: how many of the containers that were ended are told
_LAST = 4
_LATE = {"initialDelaySeconds": 300}
_LARGE = {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
#: framework: (the model's class, in a file of its name; the packages of its image; what its container has of its own)
_FRAMEWORKS = {
    "sklearn": ("Flowers", "requirements-model.txt", {}),
    # On a busy node it takes TensorFlow more than a minute to listen.
    "keras": ("KerasFlowers", "requirements-keras.txt", {"livenessProbe": _LATE, "resources": _LARGE}),
}

_PARTS = f"-n {MODELS} -l seldon-deployment-id={NAME}"


class Seldon:
    """Seldon Core on the chapter's target, with one model.

    store: a ModelStore; base: the image that the model's is built on.
    """

    def __init__(self, ch, store, base):
        self.ch, self.store, self.base = ch, store, base
        self.kube, self.images = Kube(ch), Images(ch, MODELS)
        self.operator, self.gateway = Operator(self.kube), Gateway(self.kube, MODELS, NAME)

    def image(self):
        """What the model's image is made of, as Images takes it."""
        model, requirements, _ = _FRAMEWORKS[self.store.framework]
        files = {model + ".py": (SETUP_FOLDER / (model + ".py")).read_text("utf-8")}
        command = ["seldon-core-microservice", model, "--service-type", "MODEL"]
        return NAME, self.base, (SETUP_FOLDER / requirements).read_text("utf-8"), files, command

    def manifest(self, version):
        """The SeldonDeployment that serves this version."""
        image, weights = self.images.name(*self.image()), self.store.uri(version)
        made = yaml.safe_load(filled(SETUP_FOLDER / "seldondeployment.yaml", IMAGE=image, WEIGHTS=weights))
        (container,) = made["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
        for part, own in _FRAMEWORKS[self.store.framework][2].items():
            container[part].update(own)
        container["env"].append({"name": "S3_KEY_REVISION", "value": self._revision()})
        return made

    def _revision(self):
        """A word that changes when the Secret with MinIO's key does: a pod has the key that was there at its start."""
        ask = f"microk8s kubectl get secret minio -n {MODELS} --ignore-not-found -o "
        said = self.ch.host.run(ask + "jsonpath='{.metadata.resourceVersion}'", quiet=True, check=False).out
        return said.strip() or "none"

    def why_others_are_served(self):
        """For removing: None when there is no SeldonDeployment but ours."""
        names = "{range .items[*]}{.metadata.namespace}/{.metadata.name} {end}"
        try:
            if not self._has_kind():
                return None
            said = self.kube.kubectl(f"get {CRD} -A -o jsonpath='{names}'")
        except CommandFailed as e:
            return f"cannot tell whether others are served: {(e.err or e.out).strip()}"
        found = [name for name in said.split() if name != f"{MODELS}/{NAME}"]
        return "others are served: " + ", ".join(found) if found else None

    def why_webhook_silent(self):
        """None when the webhook refuses a SeldonDeployment whose graph names no container; else what came instead."""
        bad = self.manifest(1)
        bad["metadata"]["name"], bad["spec"]["predictors"][0]["graph"]["name"] = "runbook-refused", "nobody"
        return self.operator.why_webhook_silent(bad)

    def roll_out(self, version):
        """Serve this version; returns when it is served. RunbookError when it never will be."""
        self.kube.apply(json.dumps(self.manifest(version)))
        pods = self.kube.pods(MODELS, DEPLOYMENT, "deployment")  # others may serve models beside it
        self.ch.wait(
            f"version {version} to be served",
            lambda: self._is_served(version, pods),
            failed=pods.failed,
            stands=pods.stands,
            do=f"On the host: microk8s kubectl get pods -n {MODELS}; "
            f"microk8s kubectl describe seldondeployment {NAME} -n {MODELS}",
        )

    def ended(self):
        """["time pod: why"] of the last containers that the cluster ended, within an hour; empty when it tells none."""
        fields = '{range .items[*]}{.lastTimestamp} {.involvedObject.name}: {.message}{"\\n"}{end}'
        ask = f"microk8s kubectl get events -n {MODELS} --field-selector reason=Killing --sort-by=.lastTimestamp"
        said = self.ch.host.run(f"{ask} -o jsonpath='{fields}'", quiet=True, check=False).out
        return [line.partition("T")[2] for line in said.splitlines() if NAME in line][-_LAST:]

    def served(self):
        """[(what, the place of its weights, pods)] of each predictor of the SeldonDeployment, for state.show."""
        live = self._live()
        if live is None:
            return [(f"{MODELS}/{NAME}", "it is not there", "")]
        return [(f"{MODELS}/{NAME}/{p['name']}", _weights(p), p.get("replicas", 1)) for p in live["spec"]["predictors"]]

    def take_away(self):
        """Delete the SeldonDeployment; returns when its pods have ended."""
        if self._live():
            self.kube.kubectl(f"delete seldondeployment {NAME} -n {MODELS} --timeout=300s")
        self.ch.wait("the model's pods to end", lambda: self.why_not_gone() is None)

    def why_not_gone(self):
        if not self.kube.installed():
            return None
        parts = self.kube.kubectl(f"get deployment,service,pod {_PARTS} -o name").split()
        if parts:
            return "there is " + parts[0]
        return "the SeldonDeployment is there" if self._live() else None

    def why_not_served(self, version):
        """None when the version is served through the gateway by new pods alone; else what is missing."""
        live = self._live()
        if live is None:
            return f"there is no SeldonDeployment {MODELS}/{NAME}"
        why = difference(self.manifest(version)["spec"], live["spec"], "spec")
        if why:
            return f"{MODELS}/{NAME} is another: {why}"
        status = live.get("status", {})
        if status.get("state") != "Available":
            said = "{}/{} is {} {}".format(MODELS, NAME, status.get("state") or "new", status.get("description") or "")
            return said.strip()
        return self._why_old_pods(version) or self.gateway.why_not_reached(version)

    def _why_old_pods(self, version):
        for d in self.kube.get(f"deployment {_PARTS}")["items"]:
            why = why_not_rolled_out(d, self.store.uri(version))
            if why:
                return why
        return None

    def _is_served(self, version, pods):
        why = self.why_not_served(version)
        if why:
            raise NotYet("; ".join([why, *pods.texts(1)]))
        return True

    def _live(self):
        if not self.operator.defined():
            return None
        text = self.kube.kubectl(f"get seldondeployment {NAME} -n {MODELS} --ignore-not-found -o json")
        return json.loads(text) if text else None

    def _has_kind(self):
        """Can there be a SeldonDeployment? An error when the cluster does not say."""
        return self.kube.installed() and self.operator.defined()


def _weights(predictor):
    """The places from which a predictor's containers fetch their weights."""
    containers = [c for spec in predictor.get("componentSpecs", []) for c in spec["spec"]["containers"]]
    return ", ".join(e["value"] for c in containers for e in c.get("env", []) if e["name"] == "MODEL_URI")


def why_not_rolled_out(deployment, uri):
    """None when a Deployment's pods all fetch their weights from this place; else what is under way."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    containers = deployment["spec"]["template"]["spec"]["containers"]
    places = [e.get("value") for c in containers for e in c.get("env", []) if e["name"] == "MODEL_URI"]
    if uri not in places or status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the operator has not taken up the change"
    if not wanted == status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas"):
        name, updated = deployment["metadata"]["name"], status.get("updatedReplicas", 0)
        return f"{name}: {updated} of {wanted} new pods available"
    return None
