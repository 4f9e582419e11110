"""Probes of the cluster: bash texts that hold (exit 0) or print why not, to be asked many at a time."""

from __future__ import annotations

from pathlib import Path

from helpers.core.shell import script

_SCRIPTS = Path(__file__).with_name("scripts")

#: the one node of MicroK8s is Ready
READY = script(_SCRIPTS / "node_ready.sh")


def available(namespace, kind, name):
    """All wanted pods of a Deployment, StatefulSet or DaemonSet are available, and at least one is wanted."""
    return script(_SCRIPTS / "available.sh", kind, namespace, name)


def pod_runs(namespace, name):
    """The pod runs."""
    return script(_SCRIPTS / "pod_runs.sh", name, namespace)


def all_of(*probes):
    """One probe that holds when all of them do."""
    return "\n".join(probes)
