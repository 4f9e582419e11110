"""Probes of the cluster: bash texts that hold (exit 0) or print why not, to be asked many at a time."""

from __future__ import annotations

from pathlib import Path

from helpers.core.shell import script

_SCRIPTS = Path(__file__).with_name("scripts")

_CLUSTER = script(_SCRIPTS / "cluster.sh")

#: a Python program of two words, a name server and a name: prints the addresses, or says why it cannot, and ends with 1
ASK_DNS = (_SCRIPTS / "ask_dns.py").read_text("utf-8")

#: MicroK8s is provably not on the host
NOT_INSTALLED = _CLUSTER + "\nnot_installed"

_ROLLOUT = script(_SCRIPTS / "rollout.sh")


class OfPods(str):
    """A probe that knows whose pods it waits for: `.owners`, {(namespace, kind, name)}, a kind as kubectl takes it."""

    owners = frozenset()


def of_pods(text, owners):
    """The probe `text`, which waits for pods of these owners: (namespace, kind, name) each."""
    probe = OfPods(text)
    probe.owners = frozenset(owners)
    return probe


def owners_of(probe):
    """Those whose pods a probe waits for; empty when it does not say."""
    return getattr(probe, "owners", frozenset())


#: the one node of MicroK8s is Ready, which it is when Calico runs there
READY = of_pods(script(_SCRIPTS / "node_ready.sh"), [("kube-system", "daemonset", "calico-node")])


def available(namespace, kind, name):
    """All wanted pods of a Deployment, StatefulSet or DaemonSet are available and of its newest template.

    At least one is wanted.
    """
    return of_pods(rollout(_SCRIPTS / "available.sh", kind, namespace, name), [(namespace, kind, name)])


def rollout(path, *arguments):
    """A script that uses the function of rollout.sh."""
    return f"{_ROLLOUT}\n{script(path, *arguments)}"


def pod_runs(namespace, name):
    """The pod runs."""
    return of_pods(script(_SCRIPTS / "pod_runs.sh", name, namespace), [(namespace, "pod", name)])


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
    """One probe that holds when all of them do, and waits for the pods of each."""
    return of_pods("\n".join(probes), frozenset().union(*map(owners_of, probes)))
