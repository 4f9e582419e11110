"""Knative Serving as MicroK8s 1.20 installs it, its way through Istio's gateway, and a service that starts on a request."""

from __future__ import annotations

import json

from helpers.components.addons import istio
from helpers.components.kubernetes.kube import PROOF_NAMESPACE, all_of, available
from helpers.core.actions import Action
from helpers.core.errors import NotYet, RunbookError, Unmet
from helpers.core.paths import SETUP

#: what `microk8s enable knative` itself applies; there to finish an install that was cut off
_MANIFESTS = "/snap/microk8s/current/actions/knative"
_PODS = [
    available("knative-serving", "deployment", name) for name in ("webhook", "controller", "autoscaler", "activator")
]
_NAME = "starts-on-request"


def _service(name, image, *command):
    """A Knative Service of one container that listens on 8080, and that ends after 6 seconds without a request."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {
                    "annotations": {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/maxScale": "1"}
                },
                "spec": {
                    "containers": [
                        {
                            "image": image,
                            "command": list(command),
                            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                        }
                    ]
                },
            }
        },
    }


class Knative:
    """Knative on the chapter's target, through a Kube."""

    def __init__(self, kube):
        self.kube, self.ch = kube, kube.ch

    # -- steps ---------------------------------------------------------------------------------

    def enabled(self, delete_crds):
        """Action: the add-on knative, Serving's pods ready. delete_crds: remove takes Knative's kinds too, and all objects of them."""

        def apply():
            alone, seen = self.ch.host.ask(istio.NO_STRANGERS)
            if not alone:
                raise RunbookError(
                    "enable knative",
                    self.ch.host.name,
                    seen,
                    "The command would wait for ever: it counts exactly Istio's 12 Deployments there. "
                    "Move or delete what is not Istio's, then run again.",
                )
            self.ch.host.run("microk8s enable knative", stdin="", timeout=300, what="enable knative")
            self.ch.host.run(
                "for d in $(microk8s kubectl get deployment -n knative-serving -o jsonpath='{.items[?(@.spec.replicas==0)].metadata.name}'); do "
                "microk8s kubectl scale deployment $d -n knative-serving --replicas=1; done",
                what="start what was scaled down",
            )
            if not self._all_there():
                # "already enabled" is said as soon as one cluster role is there.
                self.ch.host.run(
                    f"k='microk8s kubectl'; $k apply -f {_MANIFESTS}/serving-crds.yaml; $k wait --for=condition=established --timeout=60s crd -l knative.dev/crd-install=true; "
                    f"$k apply -f {_MANIFESTS}",
                    timeout=180,
                    what="finish an install that was cut off",
                )
            self.kube.wait_for("Knative", all_of(*_PODS), timeout=300)

        return Action(
            "microk8s enable knative", all_of(*_PODS), apply, self._undo(delete_crds), self._gone(delete_crds)
        )

    def _all_there(self):
        return (
            self.ch.host.run(
                "microk8s kubectl get deployment webhook controller autoscaler activator -n knative-serving",
                check=False,
                quiet=True,
            ).code
            == 0
        )

    @staticmethod
    def _undo(delete_crds):
        # The webhooks first: while their configuration stands and their pod does not, nothing of Knative can be changed or deleted.
        script = (
            "k='microk8s kubectl'\n"
            "$k delete mutatingwebhookconfiguration,validatingwebhookconfiguration -l serving.knative.dev/release --ignore-not-found\n"
        )
        if delete_crds:
            # Without their controllers, nobody would take the finalizers away.
            script += (
                "for kind in $($k get crd -o name | sed -nE 's#.*/(ingresses\\.networking\\.internal|routes\\.serving|services\\.serving|configurations\\.serving)(\\.knative\\.dev)$#\\1\\2#p'); do\n"
                "  $k get $kind -A -o jsonpath='{range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}' | while read -r ns name; do\n"
                "    $k delete $kind $name -n $ns --ignore-not-found --wait=false </dev/null\n"
                '    $k patch $kind $name -n $ns --type=merge -p \'{"metadata":{"finalizers":null}}\' </dev/null >/dev/null 2>&1 || true\n'
                "  done\ndone\n"
            )
        # The activator would take 5 minutes to end.
        script += (
            "$k delete deployment --all -n knative-serving --wait=false >/dev/null 2>&1 || true\n"
            "$k delete pod --all -n knative-serving --force --grace-period=0 >/dev/null 2>&1 || true\n"
            "$k delete clusterrole,clusterrolebinding -l serving.knative.dev/release --ignore-not-found\n"
            "$k delete namespace knative-serving knative-eventing knative-monitoring --ignore-not-found --timeout=180s\n"
        )
        if delete_crds:
            script += (
                "$k get crd -o name | grep -E '\\.knative\\.dev$' | xargs -r microk8s kubectl delete --timeout=180s\n"
            )
        return script

    @staticmethod
    def _gone(delete_crds):
        gone = "! microk8s kubectl get namespace knative-serving >/dev/null 2>&1\n! microk8s kubectl get namespace knative-eventing >/dev/null 2>&1"
        return gone + (
            "\n! microk8s kubectl get crd -o name | grep -E >/dev/null '\\.knative\\.dev$'" if delete_crds else ""
        )

    def through_istio(self):
        """Action: what serving-istio.yaml of Knative's release brings, and MicroK8s 1.20 leaves out. It goes with Knative's namespace."""
        text = (SETUP / "knative-setup" / "istio.yaml").read_text("utf-8")
        probe = all_of(
            "microk8s kubectl get gateways.networking.istio.io knative-ingress-gateway -n knative-serving >/dev/null || exit 1",
            available("knative-serving", "deployment", "networking-istio"),
        )

        def apply():
            self.ch.wait(
                "Knative's webhook to answer",
                lambda: self.kube.kubectl("apply -f -", stdin=text),
                timeout=120,
                do="On the host: microk8s kubectl logs -n knative-serving deploy/webhook",
            )
            self.ch.host.run(
                "[ \"$(microk8s kubectl get deployment networking-istio -n knative-serving -o jsonpath='{.spec.replicas}')\" != 0 ] || "
                "microk8s kubectl scale deployment networking-istio -n knative-serving --replicas=1",
                what="start what was scaled down",
            )
            self.kube.wait_for("Knative's way through Istio", probe)

        return Action("kubectl apply -f - < setup/knative-setup/istio.yaml", probe, apply)

    # -- proofs --------------------------------------------------------------------------------

    def webhook_answers(self):
        """Knative's webhook takes a good Service and refuses a bad one; nothing is created."""
        good, bad = _service("good", "example.invalid/image:1"), _service("bad", "example.invalid/image:1")
        bad["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 8080}, {"containerPort": 8081}]
        ask = "create --dry-run=server -n default -f -"
        self.kube.kubectl(ask, stdin=json.dumps(good))
        try:
            self.kube.kubectl(ask, stdin=json.dumps(bad))
        except RunbookError as e:
            if "denied the request" in (e.saw or "") or "validation failed" in (e.saw or ""):
                return
            raise
        raise Unmet("a Service with two ports refused by Knative's webhook", "it was taken: no webhook looks at it")

    def starts_on_request(self):
        """A Knative Service ends when nobody asks for it, and starts again on a request through the gateway."""
        self.kube.hello()
        # By digest: of a tag, Knative's controller would ask the image's registry.
        pod = self.kube.get(f"pods -n {PROOF_NAMESPACE} -l app=hello")["items"][0]
        image = pod["status"]["containerStatuses"][0]["imageID"].split("://")[-1]
        script = f"mkdir -p /tmp/www; echo {self.kube.nonce} > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
        manifest = json.dumps(_service(_NAME, image, "sh", "-c", script))
        self.ch.wait(
            "Knative to take a Service",
            lambda: self.kube.kubectl(f"apply -n {PROOF_NAMESPACE} -f -", stdin=manifest),
            timeout=60,
        )
        host = self.ch.wait("the Service to be Ready", self._ready, failed=self.kube.hopeless, timeout=180).split(
            "://"
        )[-1]
        self.ch.wait("the Service to end, with no request", lambda: self._pods() == [], timeout=150)
        with istio.gateway(self.kube, timeout=90) as client:
            got = client.get("/", headers={"Host": host})
        if got.status_code != 200 or got.text.strip() != self.kube.nonce:
            raise Unmet("the word made up for this proof", f"{got.status_code}: {got.text[:60]!r}")
        if not self._pods():
            raise Unmet("a pod started by the request", "none: something else answered")

    def _ready(self):
        service = self.kube.get(f"services.serving.knative.dev {_NAME} -n {PROOF_NAMESPACE}")
        said = {c["type"]: c for c in service.get("status", {}).get("conditions", [])}
        if said.get("Ready", {}).get("status") != "True":
            raise NotYet(
                "; ".join(
                    "{}: {}".format(c["type"], c.get("message") or c.get("reason") or c["status"])
                    for c in said.values()
                    if c["status"] != "True"
                )
                or "no status yet"
            )
        return service["status"]["url"]

    def _pods(self):
        return [
            p
            for p in self.kube.get(f"pods -n {PROOF_NAMESPACE} -l serving.knative.dev/service={_NAME}")["items"]
            if "deletionTimestamp" not in p["metadata"]
        ]
