"""MicroK8s' add-ons as steps: names, volumes, the dashboard, the GPU, addresses, the host's address."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.components.addons import dns, host_access
from helpers.components.addons.istio import Istio
from helpers.components.addons.knative import Knative
from helpers.components.addons.leftovers import with_leftovers
from helpers.components.kubernetes import microk8s, networks
from helpers.components.kubernetes.kube import Kube, all_of, available
from helpers.components.kubernetes.probes import when_it_answers
from helpers.components.kubernetes.proofs import Proofs
from helpers.components.kubernetes.registry import Registry
from helpers.core import address_pools as addresses
from helpers.core import notes
from helpers.core.actions import why_not_so
from helpers.core.shell import filled, script

_SCRIPTS = Path(__file__).with_name("scripts")

#: a probe: the metrics API answers. While it does not, no namespace can be deleted.
METRICS = script(_SCRIPTS / "metrics_answer.sh")


#: the thing, as core/ownership.py names it, that says whose the add-on storage is
STORAGE = "object kube-system/deployment/hostpath-provisioner"
#: those that come with another one, or that the cluster does not show
_METRICS_SERVER = "object kube-system/deployment/metrics-server"
_PLUGIN = "nvidia-device-plugin-daemonset"
_GPU = f"object kube-system/daemonset/{_PLUGIN}"
#: those that are never taken over
_NEVER = ("istio-system", "knative-serving", "knative-eventing")


class Addons:
    """The add-ons of the chapter's target. proofs: a namespace for what proves them."""

    def __init__(self, ch):
        self.ch, self.kube = ch, Kube(ch)
        self.proofs = Proofs(self.kube)
        self.istio, self.knative = Istio(self.kube), Knative(self.proofs)
        self.registry = Registry(self.proofs)

    def why_pool_collides(self, pool, address):
        """For a precondition: None when nobody has an address of this pool: not the host, not the cluster.

        address: the one at which pods reach the host.
        """
        mine = [*self.ch.run("hostname -I", sudo=False).split(), address]
        return addresses.collision(pool, mine, reversed(tuple(networks.TAKEN)))

    def why_never(self):
        """For a precondition: None when no Istio or Knative was here that is not ours."""
        return self.ch.own.why_theirs(*(f"namespace {name}" for name in _NEVER))

    def why_other_address(self, address):
        """For a precondition: None unless host-access was here before, with another address, which would go."""
        if not self.ch.own.was_before(host_access.MARK):
            return None
        mark = host_access.MARK.partition(" ")[2]
        return why_not_so(self.ch.host, script(_SCRIPTS / "host_access_other.sh", address, mark))

    def why_other_metrics_server(self):
        """For a precondition: None unless one was here before that is not MicroK8s': its dashboard writes over it."""
        if not self.ch.own.was_before(_METRICS_SERVER):
            return None
        return why_not_so(self.ch.host, script(_SCRIPTS / "metrics_server_other.sh"))

    def dns(self, servers):
        """Action: CoreDNS, forwarding to these servers (the host's own when empty). Others later are applied, too."""
        return dns.enabled(self.kube, servers)

    def storage(self):
        """Action: the hostPath provisioner, and its StorageClass as the default one."""
        pods = available("kube-system", "deployment", "hostpath-provisioner")
        enable = self.kube.addon("storage", "", pods, "deployment hostpath-provisioner -n kube-system")

        def apply():
            enable.apply()
            mark = "storageclass.kubernetes.io/is-default-class=true"
            self.kube.kubectl(f"annotate storageclass microk8s-hostpath {mark} --overwrite")

        probe = all_of(pods, script(_SCRIPTS / "storage_is_default.sh"))
        # Plain `disable storage` asks whether to delete the volumes; here that is said.
        undo = when_it_answers("microk8s disable storage:destroy-storage </dev/null")
        theirs = ["object kube-system/storageclass/microk8s-hostpath"] * self.ch.own.was_before(STORAGE)
        return enable.but(probe=probe, apply=apply, undo=undo, makes=[*enable.makes, *theirs])

    def dashboard(self):
        """Action: dashboard, its scraper and metrics-server, which stays at remove where it was here before."""
        names = ("metrics-server", "kubernetes-dashboard", "dashboard-metrics-scraper")
        pods = [available("kube-system", "deployment", name) for name in names]
        left = "deployment kubernetes-dashboard dashboard-metrics-scraper -n kube-system"
        enable = self.kube.addon("dashboard", "", all_of(*pods, METRICS), left)
        if self.ch.own.was_before(_METRICS_SERVER):
            return enable
        return with_leftovers(enable.but(makes=[*enable.makes, _METRICS_SERVER]), "dashboard")

    def has_gpu(self, wish):
        """Whether the GPU's add-on is for this host. wish: the parameter gpu."""
        return wish != "no" and self.ch.run("lsmod | grep -c '^nvidia ' || true").strip() != "0"

    def gpu(self):
        """Action: NVIDIA's device plugin."""
        pods = available("kube-system", "daemonset", _PLUGIN)
        return self.kube.addon("gpu", "", pods, f"daemonset {_PLUGIN} -n kube-system")

    def metallb(self, pool):
        """Action: MetalLB with this pool. A changed one is written to its ConfigMap, since `enable` leaves the old."""
        ranges = [f"{first}-{last}" for first, last in addresses.parse_ranges(pool)]
        pods = all_of(
            available("metallb-system", "deployment", "controller"), available("metallb-system", "daemonset", "speaker")
        )
        probe = all_of(pods, script(_SCRIPTS / "metallb_has_pool.sh", " ".join(ranges)))
        enable = self.kube.addon("metallb", pool, pods, "namespace metallb-system")

        def apply():
            enable.apply()
            self.kube.apply(json.dumps(_metallb_config(ranges)))
            again = script(_SCRIPTS / "pods_again.sh", "metallb-system", "controller")
            self.ch.host.run(again, what="restart MetalLB's controller", timeout=300)
            self.kube.wait_for("MetalLB with its pool", probe, space="metallb-system")

        shown = [*enable.shown, "kubectl apply -f - (ConfigMap metallb-system/config)"]
        makes = [*enable.makes, "object metallb-system/configmap/config"]
        return with_leftovers(enable.but(shown=shown, probe=probe, apply=apply, makes=makes), "metallb")

    def istio_enabled(self, delete_crds):
        """Action: the add-on istio; see Istio.enabled. Remove takes what Istio's own labels do not tell, too."""
        return with_leftovers(self.istio.enabled(delete_crds), "istio", "yes" if delete_crds else "no")

    def host_access(self, address):
        """Actions: an address on the host's loopback, for pods, before each start of the proxy; the add-on for it."""
        return host_access.at_each_start(self.ch, address), host_access.enabled(self.kube, address)


_NAMES = ("coredns", "hostpath-provisioner", "kubernetes-dashboard", "dashboard-metrics-scraper")


def things(registry, knative, gpu):
    """What the chapter makes in the cluster, and its mark on the host, as core/ownership.py names them."""
    objects = [f"object kube-system/deployment/{name}" for name in _NAMES]
    more = [_METRICS_SERVER, *[_GPU] * gpu, host_access.MARK]
    return objects + [f"namespace {space}" for space in _spaces(registry, knative)] + more


def made_by_older(ch):
    """A probe of one of these things: a runbook made it that kept no note, or one that did not name it in its note."""
    later = (_METRICS_SERVER, _GPU, host_access.MARK)
    earlier = script(_SCRIPTS / "note_is_earlier.sh", notes.path(ch.notebook.id), *later)
    return f"{earlier}\n{microk8s.made_by_older(ch)}"


def deployments(registry, knative):
    """Where its Deployments are, for workloads.show."""
    return [*(f"kube-system/{name}" for name in (*_NAMES, "metrics-server")), *_spaces(registry, knative)]


def _spaces(registry, knative):
    """Namespaces that are the chapter's alone."""
    return ["metallb-system"] + ["container-registry"] * registry + [*_NEVER] * knative


def _metallb_config(ranges):
    addresses = "[{}]".format(", ".join(f'"{r}"' for r in ranges))
    config = filled(_SCRIPTS.with_name("manifests") / "metallb_pools.yaml", RANGES=addresses)
    meta = {"name": "config", "namespace": "metallb-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"config": config}}
