"""Owns a sandbox host with MicroK8s' stand-in, and commands on it, each a login of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess

from serving import until

from helpers.core import notebooks
from helpers.core.waiting import TimedOut
from helpers.sandbox import Sandbox
from helpers.sandbox.supply import recipes_for

INSTALL = "sudo snap install microk8s --classic --channel=1.20/stable"
_ACCOUNT = "sudo microk8s kubectl get serviceaccount default -o 'jsonpath={.secrets[0].name}' | grep -q ."
#: installed, and a pod can be made: --wait-ready does not wait for the service account that the API server wants for it
INSTALLED = f"{INSTALL} && sudo microk8s status --wait-ready --timeout 110 && until {_ACCOUNT}; do sleep 1; done"

#: a webhook behind which nobody is: no object of Istio's kind "instance" can be made
REFUSES_INSTANCES = """apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: refuses}
webhooks:
- name: refuses.example.com
  clientConfig: {service: {name: nobody, namespace: default}}
  rules: [{apiGroups: [config.istio.io], apiVersions: ["*"], resources: [instances], operations: [CREATE]}]
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
"""


class Host:
    """A sandbox host; called with a command it gives what the command did, stdout and stderr together in `all`."""

    def __init__(self, box):
        self.box = box
        self.pool = box.address.rpartition(".")[0] + ".240"

    def __call__(self, command, stdin="", timeout=600):
        done = subprocess.run(self.box.ssh(command), input=stdin, capture_output=True, text=True, timeout=timeout)
        done.all = done.stdout + done.stderr
        return done

    def ok(self, command, stdin="", timeout=600):
        done = self(command, stdin, timeout)
        assert done.returncode == 0, f"{command}\n{done.all}"
        return done.stdout.strip()

    def until(self, command, wanted, seconds=240, otherwise="true"):
        """Repeat a command until its output has `wanted`; `otherwise` is a command whose output explains a failure."""
        said = [""]

        def ready():
            said[0] = self(command).all
            return wanted in said[0]

        try:
            until(f"{wanted!r} of {command}", ready, timeout=seconds)
        except TimedOut as e:
            raise AssertionError(f"{e}\n{said[0][-600:]}\n{self(otherwise).all}") from None
        return said[0]


@contextlib.contextmanager
def fresh():
    """A new host without MicroK8s, its mirror with all that chapter 04 asks for; wiped before and after."""
    box = Sandbox(os.environ.get("RUNBOOK_TEST_SANDBOX", "k8stest"))
    box.down(wipe=True)
    box.up(artifacts=recipes_for(["microk8s", "busybox", *notebooks.load_all()["addons"].artifacts]))
    try:
        yield Host(box)
    finally:
        if not os.environ.get("RUNBOOK_KEEP"):
            box.down(wipe=True)
