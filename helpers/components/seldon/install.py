"""The steps of chapter 09: each method makes the Action of one."""

from __future__ import annotations

import yaml

from helpers.components.kubernetes.microk8s import made_by_older
from helpers.components.kubernetes.objects import difference
from helpers.components.kubernetes.probes import when_it_answers, with_cluster
from helpers.components.seldon.operator import CRD, MANAGER, OPERATOR, RELEASE, SYSTEM
from helpers.components.seldon.serving import MODELS, NAME, SETUP_FOLDER
from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed

_GATEWAYS = "gateways.networking.istio.io"
_GATEWAY = f"{_GATEWAYS} seldon-gateway -n istio-system"
_LABEL = "app.kubernetes.io/managed-by=runbook"
#: never taken over: Helm would upgrade somebody's release, and remove uninstall it
THE_OPERATOR = f"object {SYSTEM}/deployment/{MANAGER}"
_KEEP = "helm.sh/resource-policy=keep"


class Install:
    """Steps on a Seldon. helm, chart: see helpers.components.kubernetes.helm."""

    def __init__(self, seldon, helm, chart, usage_metrics=False):
        self.seldon, self.helm, self.chart = seldon, helm, chart
        self.ch, self.kube, self.manager = seldon.ch, seldon.kube, seldon.operator
        self.values = {"istio": {"enabled": True}, "usageMetrics": {"enabled": usage_metrics}}

    def things(self):
        """What the chapter makes, as core/ownership.py names it."""
        objects = [f"object {MODELS}/{kind}" for kind in ("secret/minio", f"seldondeployment/{NAME}")]
        return [f"namespace {SYSTEM}", f"namespace {MODELS}", THE_OPERATOR, *objects]

    def made_by_older(self):
        """A probe of one of these: a runbook that kept no note made it, as a label says."""
        return made_by_older(self.ch, _LABEL, MODELS)

    def namespace(self, name):
        """Action: the namespace exists. Remove deletes it only when it was made here."""
        return self.kube.namespace(name, _LABEL)

    def operator(self, days, delete_crds=False):
        """Action: the chart is installed with our values, and its webhook's certificate is good for `days` more days.

        The chart makes a certificate of one year whenever helm renders it, so an upgrade to the same version renews it.
        delete_crds: remove deletes the definition of SeldonDeployments, too.
        """
        release = self.helm.installed(RELEASE, self.chart, SYSTEM, self.values, ready=OPERATOR)
        return release.but(
            probe=lambda: release.probe() or self.manager.why_certificate_ends(days),
            apply=lambda: self._upgrade(release),
            undo=lambda: self._uninstall(release, delete_crds),
            absent=lambda: release.absent() or self._why_defined(delete_crds),
        )

    def _upgrade(self, release):
        there = self.ch.host.ask(OPERATOR).ok
        release.apply()
        if there:  # it reads a new certificate only when it starts, or minutes later
            self.manager.restart()

    def _uninstall(self, release, delete_crds):
        if not delete_crds and self.manager.defined():
            self._keep_definition()
        if release.absent():
            release.undo()
        if delete_crds:  # also one that an earlier removal left
            self.kube.kubectl(f"delete crd {CRD} --ignore-not-found --timeout=300s")

    def _keep_definition(self):
        """The chart would take the definition away, and with it what others serve: helm leaves what says keep."""
        self.kube.kubectl(f"annotate crd {CRD} {_KEEP} --overwrite")
        self.helm.upgrade(RELEASE, self.chart, SYSTEM, dict(self.values, crd={"create": False}))

    def _why_defined(self, delete_crds):
        there = delete_crds and self.kube.installed() and self.manager.defined()
        return f"the definition {CRD} is there" if there else None

    def webhook(self):
        """Action: the webhook answers. Its pod runs a while before."""
        return actions.waits(
            self.ch,
            "kubectl apply --dry-run=server -f -   (a SeldonDeployment without a container, which must be refused)",
            "Seldon's webhook to answer",
            self.seldon.why_webhook_silent,
            do=f"On the host: microk8s kubectl logs -n {SYSTEM} deploy/{MANAGER}",
        )

    def gateway(self):
        """Action: the Gateway of setup/seldon-setup/gateway.yaml is there, unchanged."""
        text = (SETUP_FOLDER / "gateway.yaml").read_text("utf-8")
        return Action(
            "kubectl apply -f setup/seldon-setup/gateway.yaml",
            lambda: self._why_other_gateway(yaml.safe_load(text)["spec"]),
            lambda: self.kube.apply(text),
            when_it_answers(f"microk8s kubectl delete {_GATEWAY} --ignore-not-found"),
            # without their kind kubectl refuses to look for it
            with_cluster(f"if nothing_of crd {_GATEWAYS}; then exit 0; fi\nnothing_of {_GATEWAY}"),
        )

    def _why_other_gateway(self, wanted):
        try:
            return difference(wanted, self.kube.get(_GATEWAY)["spec"])
        except CommandFailed as e:
            return e.err.strip().split("\n")[-1]

    def weights(self):
        """Action: the weights of each version are in the bucket. Remove takes them away, and leaves the bucket."""
        store = self.seldon.store
        shown = [f"PUT /{store.bucket}/{key}" for key in store.wanted]
        return Action(shown, store.why_not_filled, store.fill, store.clear, absent=store.why_not_clear)

    def key(self):
        """Action: the Secret with MinIO's address and key, for the model's pods."""
        labels = {"app.kubernetes.io/managed-by": "runbook"}
        secret = self.kube.secret("minio", MODELS, self.seldon.store.credentials(), labels)
        shown = (
            f"kubectl create, or replace, -f -   (Secret {MODELS}/minio: MinIO's address and key, on standard input)"
        )
        return secret.but(shown=shown)

    def image(self):
        """Action: the model's image is in the registry."""
        return self.seldon.images.built(*self.seldon.image())

    def model(self, version):
        """Action: this version is served. It is Available, its pods are the new ones, and the gateway leads to it."""
        return Action(
            f"kubectl apply -f -   (SeldonDeployment {MODELS}/{NAME}, version {version})",
            lambda: self.seldon.why_not_served(version),
            lambda: self.seldon.roll_out(version),
            self.seldon.take_away,
            absent=self.seldon.why_not_gone,
            makes=[f"object {MODELS}/seldondeployment/{NAME}"],
        )
