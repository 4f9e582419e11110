"""Kubernetes as chapters ask it: kubectl on the host, its objects, its add-ons, and waiting for its pods."""

from __future__ import annotations

import json
import re

from helpers.components.kubernetes import objects, troubles
from helpers.components.kubernetes.probes import NOT_INSTALLED, READY, all_of, available, gone, when_it_answers
from helpers.core.actions import Action
from helpers.core.errors import NotYet, RunbookError, Unmet

__all__ = ["READY", "Kube", "all_of", "available"]


class Kube:
    """The cluster on the chapter's target, by `microk8s kubectl` there."""

    def __init__(self, ch):
        self.ch = ch

    def kubectl(self, arguments, stdin=None, timeout=60):
        """kubectl on the host; returns its standard output. Output is not shown in the cell."""
        return self.ch.host.run(
            "microk8s kubectl " + arguments,
            stdin=stdin,
            timeout=timeout,
            quiet=True,
            what="kubectl " + arguments.split(" -o ")[0],
        ).out.strip()

    def get(self, arguments):
        """`kubectl get ... -o json` as a dict."""
        return json.loads(self.kubectl("get " + arguments + " -o json"))

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
        None: nothing of the cluster.
        """
        command = "microk8s enable " + name + (":" + argument if argument else "")

        def apply():
            done = self.ch.host.run(command, timeout=300, stdin="", what="enable " + name)
            if "Aborting" in done.out:  # its exit code is 0 all the same
                raise Unmet("the add-on enabled", done.out.strip().splitlines()[-1])
            self.wait_for(name, probe, space=left.split()[-1] if left else None)

        undo = when_it_answers(f"microk8s disable {name} </dev/null")
        return Action(command, probe, apply, undo, gone(left) if left else None)

    # -- waiting -------------------------------------------------------------------------------

    def wait_for(self, what, probe, timeout=300, space=None):
        """Wait until a probe holds; shows what pods wait for, and ends at once when there is no hope.

        space: the namespace whose pods it waits for; None: all.
        """

        def ready():
            ok, seen = self.ch.host.ask(probe)
            if not ok:
                raise NotYet("; ".join([seen] + [text for text, _ in self.troubles(space)][:3]))
            return True

        self.ch.wait(
            what,
            ready,
            failed=lambda: self.hopeless(space),
            timeout=timeout,
            do="On the host: microk8s kubectl get pods -A; microk8s kubectl describe pod ...",
        )

    def hopeless(self, space=None):
        """Why some pod will never run: no such image, crashing again and again, nowhere to run. None otherwise."""
        return next((text for text, final in self.troubles(space) if final), None)

    def troubles(self, space=None):
        """[(what a pod waits for, whether that is for ever)] of the pods that are not ready: of a namespace, or all.

        Empty when the API does not answer.
        """
        try:
            pods = self.get("pods " + (f"-n {space}" if space else "-A"))["items"]
        except (RunbookError, ValueError):
            return []
        return [trouble for pod in pods for trouble in troubles.of_pod(pod, self._last_lines)]

    def _last_lines(self, namespace, pod, container):
        return self.kubectl(f"logs -n {namespace} {pod} -c {container} --previous --tail=6")
