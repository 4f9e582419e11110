"""What others have in the cluster, which goes with it: asked before remove takes anything."""

from __future__ import annotations

from pathlib import Path

from helpers.components.kubernetes.probes import with_cluster
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE
from helpers.core import notes
from helpers.core.shell import script

_SCRIPTS = Path(__file__).with_name("scripts")

_WORK = "deployments,statefulsets,daemonsets,cronjobs,jobs,pods,persistentvolumeclaims"
#: Kubernetes' and the add-ons'. A chapter's namespace is ours when a note says that it made it: not by its name.
_OURS = (
    *("kube-system", "kube-public", "kube-node-lease", "ingress"),
    *("container-registry", "metallb-system", "istio-system", "knative-serving", "knative-eventing"),
    PROOF_NAMESPACE,
)


def nobody_elses_work(user):
    """A probe: no namespace but ours has workloads or volumes. A cluster that cannot be asked is a no.

    user: the host's user whom the chapter put into MicroK8s' group.
    """
    return with_cluster(script(_SCRIPTS / "strangers.sh", _WORK, "", user, notes.STATE, *_OURS))


def nobody_elses_volumes():
    """A probe: no namespace but ours has a claim on the add-on storage, which takes all of its volumes along."""
    return with_cluster(
        script(_SCRIPTS / "strangers.sh", "persistentvolumeclaims", "microk8s-hostpath", "", notes.STATE, *_OURS)
    )
