"""Seldon Core's operator on the target: its pod, its webhook and the webhook's certificate."""

from __future__ import annotations

import base64
import datetime
import email.utils
import json

from helpers.components.kubernetes.probes import available
from helpers.core.errors import CommandFailed, OutOfReach

SYSTEM, MANAGER, RELEASE = "seldon-system", "seldon-controller-manager", "seldon-core"
CRD = "seldondeployments.machinelearning.seldon.io"

#: a probe: the operator is available
OPERATOR = available(SYSTEM, "deployment", MANAGER)
#: a probe: what reports the use is available; the chart makes it with usageMetrics.enabled
REPORTER = available("kube-system", "deployment", "seldon-spartakus-volunteer")


def why_no_days(days):
    """None when a certificate of the chart can be good for so many more days."""
    return None if 1 <= days <= 364 else f"it is {days}: the chart makes certificates of one year"


class Operator:
    """The operator, through a Kube."""

    def __init__(self, kube):
        self.kube, self.host = kube, kube.ch.host

    def defined(self):
        """Is there a definition of SeldonDeployments?"""
        return bool(self.kube.kubectl(f"get crd {CRD} --ignore-not-found -o name"))

    def why_anothers(self):
        """None when the definition is not there, or of our release, as one that a removal kept is; else whose it is."""
        said = self.kube.kubectl(f"get crd {CRD} --ignore-not-found -o json")
        notes = (json.loads(said)["metadata"].get("annotations") or {}) if said else {}
        name, space = (notes.get("meta.helm.sh/release-" + key) for key in ("name", "namespace"))
        if not said or (name, space) == (RELEASE, SYSTEM):
            return None
        whose = f"of Helm's release {name} in {space}" if name else "not made by Helm (kubectl apply, Kubeflow)"
        return f"the definition {CRD} is there, and {whose}"

    def version(self):
        """The version of the operator that runs: its image's tag. Empty when none runs, or it cannot be asked."""
        path = "{.spec.template.spec.containers[0].image}"
        ask = f"microk8s kubectl get deployment {MANAGER} -n {SYSTEM} -o jsonpath='{path}'"
        try:
            return self.host.run(ask + " 2>/dev/null || true", quiet=True).out.strip().rpartition(":")[2]
        except OutOfReach:
            return ""

    def restart(self):
        self.kube.kubectl(f"rollout restart deployment/{MANAGER} -n {SYSTEM}")
        self.kube.kubectl(f"rollout status deployment/{MANAGER} -n {SYSTEM} --timeout=300s")

    def reports_use(self):
        """Is there a program that reports this installation's use to Seldon's makers?"""
        ask = "get deployment seldon-spartakus-volunteer -n kube-system --ignore-not-found -o name"
        return bool(self.kube.kubectl(ask))

    def why_webhook_silent(self, bad):
        """None when the webhook refuses a bad SeldonDeployment in its own words; else what came instead.

        bad: a manifest whose graph names no container of its own. Nothing is made of it.
        """
        said = self._refusal("apply --dry-run=server", bad)
        if said and "does not support dry run" in said:
            said = self._refusal_for_real(bad)
        if said is None:
            return "a SeldonDeployment without a container was taken: no webhook looks at it"
        return None if "Can't find container" in said else said

    def _refusal_for_real(self, bad):
        """While there is a webhook, a bad one is not taken."""
        said = self._refusal("create", bad)
        if said is None:
            name, space = bad["metadata"]["name"], bad["metadata"]["namespace"]
            self.kube.kubectl(f"delete seldondeployment {name} -n {space} --ignore-not-found")
        return said

    def _refusal(self, verb, manifest):
        """What the API server says when it does not take it; None when it does."""
        try:
            self.kube.kubectl(verb + " -f -", stdin=json.dumps(manifest))
        except CommandFailed as e:
            return (e.err or e.out or e.saw).strip().split("\n")[-1]
        return None

    def certificate(self):
        """When the webhook's certificates end, as (file, time in UTC) of the first of them."""
        data = self.kube.get("secret seldon-webhook-server-cert -n " + SYSTEM)["data"]
        when, name = min((self._end(data[name]), name) for name in ("ca.crt", "tls.crt"))
        return name, when

    def _end(self, certificate):
        said = self.host.run(
            "openssl x509 -noout -enddate",
            stdin=base64.b64decode(certificate),
            quiet=True,
            what="read the webhook's certificate",
        ).out
        # notAfter=Nov 26 03:42:00 2027 GMT
        words = said.strip().partition("=")[2].split()
        when = email.utils.parsedate_to_datetime("{1} {0} {3} {2} +0000".format(*words))
        return when.astimezone(datetime.timezone.utc)

    def why_certificate_ends(self, days):
        """None when the webhook's certificate is good for so many more days; else when it ends."""
        name, when = self.certificate()
        left = (when - datetime.datetime.now(datetime.timezone.utc)).days
        if left >= days:
            return None
        ends = "ended on" if left < 0 else "ends soon, on"
        return f"the webhook's certificate ({name}) {ends} {when:%Y-%m-%d}"
