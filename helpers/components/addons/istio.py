"""Istio as MicroK8s 1.20 installs it: its Deployments, its gateway's address, and what answers there."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

from helpers.components.kubernetes import addon
from helpers.components.kubernetes.objects import put_secret
from helpers.components.kubernetes.probes import all_of, of_pods, owners_of, rollout, when_it_answers, with_cluster
from helpers.core.actions import Action
from helpers.core.errors import RunbookError, TimedOut, Unmet
from helpers.core.http import through
from helpers.core.shell import script

NAMESPACE, GATEWAY = "istio-system", "istio-ingressgateway"

#: the Deployments of Istio 1.5.1's demo profile: `microk8s enable knative` waits until exactly 12 are ready
DEPLOYMENTS = (
    "grafana",
    "istio-citadel",
    "istio-egressgateway",
    "istio-galley",
    GATEWAY,
    "istio-pilot",
    "istio-policy",
    "istio-sidecar-injector",
    "istio-telemetry",
    "istio-tracing",
    "kiali",
    "prometheus",
)

_SCRIPTS = Path(__file__).with_name("scripts")
_NAMES = f"microk8s kubectl get deployments -n {NAMESPACE} -o jsonpath='{{.items[*].metadata.name}}'"

#: a probe: each of Istio's Deployments has its pods ready. Names those that have not, the gateway first.
READY = of_pods(
    rollout(_SCRIPTS / "istio_ready.sh", *sorted(DEPLOYMENTS, key=lambda name: name != GATEWAY)),
    [(NAMESPACE, "deployment", name) for name in DEPLOYMENTS],
)

#: a probe: nothing in the namespaces of Istio and Knative that is neither's, as far as its kind or name tells
NO_STRANGERS = with_cluster(script(_SCRIPTS / "istio_no_strangers.sh", *DEPLOYMENTS))

_NOT_ADMIN = script(_SCRIPTS / "kiali_not_admin.sh")

#: what `microk8s enable istio` itself applies; there once it was fetched
_MANIFESTS = "/var/snap/microk8s/current/actions/istio"


def finish(name, folder):
    """A script that applies what an install that was cut off lacks, from the folder of its manifests."""
    return "{}\n{}".format(script(_SCRIPTS / "applied.sh"), script(_SCRIPTS / name, folder))


class Istio:
    """Istio on the chapter's target, through a Kube."""

    def __init__(self, kube):
        self.kube, self.ch = kube, kube.ch

    def enabled(self, delete_crds):
        """Action: the add-on istio, its 12 Deployments ready.

        delete_crds: remove takes Istio's kinds too, and all objects of them.
        """
        kinds = "yes" if delete_crds else "no"
        remove = addon.removing(self.kube, "istio", script(_SCRIPTS / "istio_remove.sh", kinds))
        undo, is_so = when_it_answers(remove), all_of(READY, addon.whole(self.kube, "istio"))
        gone = with_cluster(script(_SCRIPTS / "istio_gone.sh", kinds))
        return Action("microk8s enable istio", is_so, self._enable, undo, gone, makes=[f"namespace {NAMESPACE}"])

    def _enable(self):
        with addon.enabling(self.kube, "istio") as cut_off:
            self._enable_all(cut_off)

    def _enable_all(self, cut_off):
        run = self.ch.host.run
        there = set(DEPLOYMENTS).intersection(run(_NAMES, what="list Istio's Deployments", check=False).out.split())
        if not there:
            run(script(_SCRIPTS / "istio_earlier.sh"), what="take away what an earlier Istio left")
        elif len(there) < len(DEPLOYMENTS):
            # An install that was cut off: `enable` would say that it is enabled, and do nothing.
            self._take_away("take a half Istio away")
        try:
            addon.enable(self.kube, "istio", owners=owners_of(READY))
        except (Unmet, TimedOut) as e:
            if not self._finished():
                e.saw = f"{e.saw}\n{self._became_of_it()}"
                raise
        else:
            if cut_off:
                self._finish()
        run(script(_SCRIPTS / "scale_up.sh", NAMESPACE, *DEPLOYMENTS), what="start what was scaled down")
        self.kube.wait_for("Istio", READY, timeout=600, space=NAMESPACE)

    def _became_of_it(self):
        # Its Deployments may come up all the same, and the next run would take it for whole.
        try:
            self._take_away("take away what `enable istio` left")
        except RunbookError as e:
            return (
                f"what it left is there still ({e.what}: {e.saw}): run remove of this chapter before the next install"
            )
        return "what it left was taken away: the next run enables it anew"

    def _finished(self):
        """Whether all is applied that `enable` ended at: real ones refuse an object now and then, the first time."""
        try:
            self._finish()
        except RunbookError:
            return False
        return True

    def _finish(self):
        what = "apply once more what `enable istio` did not"
        self.ch.host.run(finish("istio_finish.sh", _MANIFESTS), timeout=1500, what=what)

    def _take_away(self, what):
        # Not by `disable istio`: its webhooks would stay, and refuse the next Istio's rules and Knative's pods.
        alone, seen = self.ch.host.ask(NO_STRANGERS)
        if not alone:
            do = f"The namespace {NAMESPACE} goes with it: move or delete what is not Istio's, then run again."
            raise RunbookError(what, self.ch.host.name, seen, do)
        self.ch.host.run(with_cluster(script(_SCRIPTS / "istio_remove.sh", "no")), what=what, timeout=900)

    def kiali_password(self):
        """Action: Kiali's login is a secret of this target instead of the demo's admin/admin."""
        self.ch.forgets("kiali")
        shown = "kubectl create, or replace, -f - (Secret istio-system/kiali), kubectl rollout restart deployment kiali"
        return Action(shown, _NOT_ADMIN, self._set_kiali_password)

    def _set_kiali_password(self):
        word = base64.b64encode(self.ch.secret("kiali").reveal().encode()).decode()
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "kiali", "namespace": NAMESPACE, "labels": {"app": "kiali"}},
            "data": {"username": "YWRtaW4=", "passphrase": word},
        }
        put_secret(self.kube, secret)
        self.kube.kubectl("rollout restart deployment kiali -n " + NAMESPACE)
        self.kube.wait_for("Kiali", READY, space=NAMESPACE)

    def gateway_answers(self):
        """The gateway answers at its address, through the proxy: for a name that nobody has, 404."""
        with gateway(self.kube) as client:
            got = self.ch.wait("the gateway to answer", lambda: client.get("/", headers={"Host": "nobody.invalid"}))
        if (got.status_code, got.headers.get("server")) != (404, "istio-envoy"):
            raise Unmet(
                "404 from istio-envoy for a name that nobody has",
                "{} from {}".format(got.status_code, got.headers.get("server", "an unnamed server")),
            )


def gateway_address(kube):
    """The gateway's address from MetalLB's pool. Unmet while it has none."""
    if kube.ch.host.in_cluster:
        return kube.service_address(GATEWAY, NAMESPACE)
    service = kube.get(f"service {GATEWAY} -n {NAMESPACE}")
    for entry in service["status"].get("loadBalancer", {}).get("ingress") or []:
        if entry.get("ip"):
            return entry["ip"]
    raise Unmet("an address of MetalLB for Istio's gateway", "none yet: EXTERNAL-IP is pending", "add-metallb")


@contextlib.contextmanager
def gateway(kube, timeout=60):
    """An HTTP client whose addresses begin at the gateway, through SSH as by the proxy of chapter 02.

    timeout: seconds for an answer.
    """
    address, host = gateway_address(kube), kube.ch.host
    if not any(s.get("addresses") for s in kube.get(f"endpoints {GATEWAY} -n {NAMESPACE}").get("subsets") or []):
        # The host would send a request to that address away, to whoever answers outside.
        raise Unmet("a pod behind Istio's gateway", "none is ready", "add-istio")
    with contextlib.ExitStack() as stack:
        socks = None if host.target.kind == "local" else stack.enter_context(host.socks())
        yield stack.enter_context(through(socks, base_url="http://" + address, timeout=timeout))
