"""Kubernetes as chapters ask it: kubectl on the host, its objects, its add-ons, and waiting for its pods."""

from __future__ import annotations

import json
import re

from helpers.components.kubernetes import addon, objects
from helpers.components.kubernetes.probes import (
    NOT_INSTALLED,
    READY,
    all_of,
    available,
    gone,
    owners_of,
    when_it_answers,
)
from helpers.components.kubernetes.waits import PodWait
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed, NotYet

__all__ = ["READY", "Kube", "all_of", "available"]

#: the API server's words while a webhook does not answer (apiserver/pkg/util/webhook/error.go) or it is too busy: those
#: of canonical/microk8s #1199, #1664 and #1725
_LATE = ("failed calling webhook", "did not complete within requested timeout", "stream error", "unexpected EOF")
_LOOK = "On the host: microk8s kubectl get pods -A; microk8s kubectl describe pod ..."


class Kube:
    """The cluster on the chapter's target, by `microk8s kubectl` there."""

    def __init__(self, ch):
        self.ch, self._looks = ch, {}

    def kubectl(self, arguments, stdin=None, timeout=360):
        """kubectl on the host; returns its standard output. Output is not shown in the cell."""
        return self.ch.host.run(
            "microk8s kubectl " + arguments,
            stdin=stdin,
            timeout=timeout,
            quiet=True,
            what="kubectl " + arguments.split(" -o ")[0],
        ).out.strip()

    def apply(self, text, space=None):
        """`kubectl apply -f -`, of objects as one text; as `give`."""
        return self.give(f"apply -n {space} -f -" if space else "apply -f -", text)

    def give(self, arguments, text):
        """kubectl on objects as one text; returns what it printed.

        Tried again for up to five minutes while a webhook gives the API server no answer, or it has no time itself: a
        pod starts again where the host is busy, and what was refused so was not taken. What is denied ends it at once.
        """

        def answered():
            try:
                return True, self.kubectl(arguments, stdin=text)
            except CommandFailed as e:
                said = next((line for line in e.err.splitlines() if any(words in line for words in _LATE)), None)
                if said is None:
                    return False, e
                raise NotYet(said.rpartition("Internal error occurred: ")[2]) from e
            except Exception as e:  # a connection that is lost, a fault of ours: no word of a webhook
                return False, e

        taken, said = self.ch.wait("the cluster to take objects", answered, do=_LOOK)
        if not taken:
            raise said
        return said

    def get(self, arguments):
        """`kubectl get ... -o json` as a dict."""
        return json.loads(self.kubectl("get " + arguments + " -o json"))

    def service_address(self, name, space):
        """A Service's address: in a pod its name, elsewhere its number, which the host and a pod reach."""
        if self.ch.host.in_cluster:
            return f"{name}.{space}.svc.cluster.local"
        return self.kubectl(f"get service {name} -n {space} -o jsonpath='{{.spec.clusterIP}}'")

    def config(self):
        """The cluster's own kubeconfig, as `microk8s config` prints it. Its secrets are masked from now on."""
        text = self.ch.host.run("microk8s config", raw=True).out
        for secret in re.findall(r"(?:token|password|client-key-data): *(\S+)", text):
            self.ch.masker.add(secret)
        return text

    def secret(self, name, namespace, values, labels=None):
        """Action: a Secret with these values; see objects.secret."""
        return objects.secret(self, name, namespace, values, labels)

    def namespace(self, name, label):
        """Action: the namespace exists, ours with this label ("key=value"); see objects.namespace."""
        return objects.namespace(self, name, label)

    def installed(self):
        """Is MicroK8s on the host? Only what proves that it is not counts as a no."""
        return not self.ch.host.ask(NOT_INSTALLED).ok

    def addon(self, name, argument, probe, left):
        """Action: a MicroK8s add-on, enabled; installing waits until its pods are up, up to 5 minutes.

        left: what `kubectl get` lists with these arguments is away when the add-on is, its namespace the last word.
        None: nothing of the cluster, and the caller says how it is undone.
        """

        def apply():
            addon.enable(self, name, argument, owners_of(probe))
            self.wait_for(name, probe, space=left.split()[-1] if left else None)

        shown = addon.command(name, argument)
        if not left:
            return Action(shown, probe, apply)
        # Without the pods that it goes by, MicroK8s takes the add-on for disabled, and leaves the rest.
        leave = f"microk8s kubectl delete {left} --ignore-not-found --timeout=300s"
        undo = when_it_answers(f"microk8s disable {name} </dev/null\n{leave}")
        return Action(shown, probe, apply, undo, gone(left), makes=_things(left))

    # -- waiting -------------------------------------------------------------------------------

    def takes_pods(self, space):
        """Wait until pods can be made in a new namespace: the API server refuses them before its service account."""
        ask = f"get serviceaccount default -n {space} -o jsonpath='{{.secrets[0].name}}'"
        self.ch.wait(f"the service account of namespace {space}", lambda: self.kubectl(ask))

    def wait_for(self, what, probe, timeout=300, space=None, do=_LOOK):
        """Wait until a probe holds; shows what its pods wait for, and ends when there is no hope for one of them.

        Its pods: those that the probe knows (see probes.OfPods), else those of the namespace `space`. The clock stands
        while an image of theirs is pulled.
        """
        pods = PodWait(self, owners_of(probe), space, probe)
        self.ch.wait(what, pods.ready, pods.failed, timeout, do, stands=pods.stands)

    def pods(self, space, name=None, kind="pod"):
        """For a wait for the pods of a namespace, or the one of this name, or of what has it, that has no probe.

        `ch.wait(..., failed=pods.failed, stands=pods.stands)`; see PodWait.
        """
        return PodWait(self, frozenset([(space, kind, name)] if name else []), space)

    def troubles(self, space):
        """[(what a pod of a namespace waits for, whether that is for ever)]. Empty when the API does not answer."""
        return self._looks.setdefault(space, self.pods(space)).look().told()


def _things(left):
    """What an add-on makes, as core/ownership.py names it, of what `kubectl get` lists of it."""
    kind, *names = left.split()
    if kind == "namespace":
        return ["namespace " + names[0]]
    named = kind in ("deployment", "daemonset") and names[-2] == "-n"
    return [f"object {names[-1]}/{kind}/{name}" for name in names[:-2]] if named else []
