"""Knative Serving as MicroK8s 1.20 installs it, its way through Istio's gateway, a service that starts on a request."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from helpers.components.addons import istio
from helpers.components.kubernetes import addon
from helpers.components.kubernetes.kube import all_of, available
from helpers.components.kubernetes.objects import why_not_as_written
from helpers.components.kubernetes.probes import when_it_answers, with_cluster
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE
from helpers.core.actions import Action, why_not_so
from helpers.core.errors import CommandFailed, NotYet, RunbookError, TimedOut, Unmet
from helpers.core.paths import SETUP
from helpers.core.shell import filled, script

#: what `microk8s enable knative` itself applies; there to finish an install that was cut off
_MANIFESTS = "/snap/microk8s/current/actions/knative"
_SPACE, _DEPLOYMENTS = "knative-serving", ("webhook", "controller", "autoscaler", "activator")
_PODS = [available(_SPACE, "deployment", name) for name in _DEPLOYMENTS]
#: what `enable` says when not all was applied, at the end of ten tries; its exit code is 0
_FAILED = "Knative failed to install"
_NAME = "starts-on-request"
_SCRIPTS = Path(__file__).with_name("scripts")
_MADE_OF = Path(__file__).with_name("manifests")

#: a probe: nobody has an object of Eventing's kinds
EVENTING_UNUSED = with_cluster(script(_SCRIPTS / "eventing_unused.sh"))


def _service(name, image, *command):
    """A Knative Service of one container."""
    words = {"NAME": name, "IMAGE": json.dumps(image), "COMMAND": json.dumps(command)}
    return yaml.safe_load(filled(_MADE_OF / "knative_service.yaml", **words))


_NAMESPACES = ["namespace knative-serving", "namespace knative-eventing"]


class Knative:
    """Knative on the chapter's target, and its proofs, which use the web server of kubernetes' Proofs."""

    def __init__(self, proofs):
        self.proofs, self.kube, self.ch = proofs, proofs.kube, proofs.ch

    def enabled(self, delete_crds):
        """Action: the add-on knative, Serving's pods ready.

        delete_crds: remove takes Knative's kinds too, and all objects of them.
        """
        kinds = "yes" if delete_crds else "no"
        remove = addon.removing(self.kube, "knative", script(_SCRIPTS / "knative_remove.sh", kinds))
        undo, is_so = when_it_answers(remove), all_of(*_PODS, addon.whole(self.kube, "knative"))
        gone = with_cluster(script(_SCRIPTS / "knative_gone.sh", kinds))
        return Action("microk8s enable knative", is_so, self._enable, undo, gone, makes=_NAMESPACES)

    def _enable(self):
        alone, seen = self.ch.host.ask(istio.NO_STRANGERS)
        if not alone:
            raise RunbookError(
                "enable knative",
                self.ch.host.name,
                seen,
                "The command would wait for ever: it counts exactly Istio's 12 Deployments there. "
                "Move or delete what is not Istio's, then run again.",
            )
        with addon.enabling(self.kube, "knative") as cut_off:
            self._enable_all(cut_off)

    def _enable_all(self, cut_off):
        late = None
        try:
            said = self.ch.host.run("microk8s enable knative", stdin="", timeout=300, what="enable knative").out
        except TimedOut as e:
            # Its Deployments may come up without the rest, and the next run would take it for whole.
            said, late = _FAILED, e
        try:
            self._finish(_FAILED if cut_off else said)
        except RunbookError as e:
            if late is None:
                raise
            late.saw = f"{late.saw}\n{e.what}: {e.saw}"
            raise late from e
        self.kube.wait_for("Knative", all_of(*_PODS), space=_SPACE)

    def _finish(self, said):
        run = self.ch.host.run
        there = run(f"microk8s kubectl get deployment -n {_SPACE} -o name", check=False, quiet=True).out
        there = [line.rpartition("/")[2] for line in there.split()]
        run(script(_SCRIPTS / "scale_up.sh", _SPACE, *there), what="start what was scaled down")
        if not set(_DEPLOYMENTS) <= set(there) or _FAILED in said:
            finish = istio.finish("knative_finish.sh", _MANIFESTS)
            run(finish, timeout=1500, what="finish an install that was cut off")

    def eventing(self, wanted):
        """Action: Knative's Eventing has its pods, or none but its webhook. It goes with Knative's namespaces.

        `enable knative` starts all of it, which asks for 1.2 CPUs (imc-dispatcher for a whole one), and nothing of the
        platform uses it.
        """
        answer = "yes" if wanted else "no"
        probe, scale = (script(_SCRIPTS / name, answer) for name in ("eventing_runs.sh", "eventing_scale.sh"))
        return Action(f"kubectl scale deployment -n knative-eventing --replicas={int(wanted)}", probe, scale)

    def through_istio(self):
        """Action: requests come through Istio, by objects as they are written in setup/. It goes with the namespace.

        Knative's release does it by its serving-istio.yaml, which MicroK8s 1.20 leaves out.
        """
        text = (SETUP / "knative-setup" / "istio.yaml").read_text("utf-8")
        probe = available(_SPACE, "deployment", "networking-istio")

        def why_not():
            try:
                return why_not_as_written(self.kube, text) or why_not_so(self.ch.host, probe)
            except CommandFailed as e:
                return e.err.strip().split("\n")[-1]

        def apply():
            self.kube.apply(text)
            start = script(_SCRIPTS / "scale_up.sh", _SPACE, "networking-istio")
            self.ch.host.run(start, what="start what was scaled down")
            self.kube.wait_for("Knative's way through Istio", probe, space=_SPACE)

        return Action("kubectl apply -f - < setup/knative-setup/istio.yaml", why_not, apply)

    def webhook_answers(self):
        """Knative's webhook takes a good Service and refuses a bad one; nothing is created."""
        good, bad = _service("good", "example.invalid/image:1"), _service("bad", "example.invalid/image:1")
        bad["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 8080}, {"containerPort": 8081}]
        ask = "create --dry-run=server -n default -f -"
        self.kube.give(ask, json.dumps(good))
        try:
            self.kube.give(ask, json.dumps(bad))
        except RunbookError as e:
            if "denied the request" in (e.saw or "") or "validation failed" in (e.saw or ""):
                return
            raise
        raise Unmet("a Service with two ports refused by Knative's webhook", "it was taken: no webhook looks at it")

    def starts_on_request(self):
        """A Knative Service ends when nobody asks for it, and starts again on a request through the gateway."""
        self.proofs.hello()
        self._sidecar_is_there()
        self.kube.apply(json.dumps(self._says_our_word()), PROOF_NAMESPACE)
        pods = self.kube.pods(PROOF_NAMESPACE)
        url = self.ch.wait("the Service to be Ready", self._ready, pods.failed, stands=pods.stands)
        self.ch.wait("the Service to end, with no request", lambda: self._pods() == [], timeout=400)
        with istio.gateway(self.kube, timeout=90) as client:
            got = client.get("/", headers={"Host": url.split("://")[-1]})
        if got.status_code != 200 or got.text.strip() != self.proofs.nonce:
            raise Unmet("the word made up for this proof", f"{got.status_code}: {got.text[:60]!r}")
        if not self._pods():
            raise Unmet("a pod started by the request", "none: something else answered")

    def _sidecar_is_there(self):
        """The node has the image that Knative puts beside each Service's own.

        Knative takes a pod away that is not ready after 130 s, its images pulled or not (0.13.0, kpa/scaler.go).
        """
        config = f"configmap config-deployment -n {_SPACE}"
        image = self.kube.kubectl(f"get {config} -o jsonpath='{{.data.queueSidecarImage}}'")
        self.proofs.apply(filled(_MADE_OF / "knative_sidecar.yaml", IMAGE=json.dumps(image)))
        pods = self.kube.pods(PROOF_NAMESPACE, "sidecar")
        self.ch.wait("the image of Knative's sidecar", self._sidecar_started, pods.failed, stands=pods.stands)

    def _sidecar_started(self):
        """It ends at once: nobody tells it of a Service."""
        phase = self.kube.kubectl(f"get pod sidecar -n {PROOF_NAMESPACE} -o jsonpath='{{.status.phase}}'")
        if phase not in ("Running", "Succeeded", "Failed"):
            raise NotYet("its pod is " + phase)
        return True

    def _says_our_word(self):
        # By digest: of a tag, Knative's controller would ask the image's registry.
        pod = self.kube.get(f"pods -n {PROOF_NAMESPACE} -l app=hello")["items"][0]
        image = pod["status"]["containerStatuses"][0]["imageID"].split("://")[-1]
        says = f"mkdir -p /tmp/www; echo {self.proofs.nonce} > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
        return _service(_NAME, image, "sh", "-c", says)

    def _ready(self):
        service = self.kube.get(f"services.serving.knative.dev {_NAME} -n {PROOF_NAMESPACE}")
        conditions = service.get("status", {}).get("conditions", [])
        if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            raise NotYet("; ".join(_waits_for(c) for c in conditions if c["status"] != "True") or "no status yet")
        return service["status"]["url"]

    def _pods(self):
        """Those that are not ending."""
        pods = self.kube.get(f"pods -n {PROOF_NAMESPACE} -l serving.knative.dev/service={_NAME}")["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _waits_for(condition):
    return "{}: {}".format(
        condition["type"], condition.get("message") or condition.get("reason") or condition["status"]
    )
