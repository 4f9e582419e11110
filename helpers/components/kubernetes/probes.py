"""Probes of the cluster: bash texts that hold (exit 0) or print why not, to be asked many at a time."""

from __future__ import annotations

from pathlib import Path

from helpers.core.shell import script

_SCRIPTS = Path(__file__).with_name("scripts")

_CLUSTER = script(_SCRIPTS / "cluster.sh")

#: MicroK8s is provably not on the host
NOT_INSTALLED = _CLUSTER + "\nnot_installed"

#: the one node of MicroK8s is Ready
READY = script(_SCRIPTS / "node_ready.sh")


def available(namespace, kind, name):
    """All wanted pods of a Deployment, StatefulSet or DaemonSet are available, and at least one is wanted."""
    return script(_SCRIPTS / "available.sh", kind, namespace, name)


def pod_runs(namespace, name):
    """The pod runs."""
    return script(_SCRIPTS / "pod_runs.sh", name, namespace)


def gone(*what):
    """What `kubectl get` lists with each of these arguments is gone: it says so itself, or there is no MicroK8s."""
    return with_cluster("\n".join("nothing_of " + arguments for arguments in what))


def with_cluster(text):
    """A script that uses the functions of cluster.sh."""
    return f"{_CLUSTER}\n{text}"


def when_it_answers(undo):
    """An undo of what is in the cluster: one whose API server does not answer stops it, in words."""
    return with_cluster("cluster_answers\n" + undo)


def all_of(*probes):
    """One probe that holds when all of them do."""
    return "\n".join(probes)
