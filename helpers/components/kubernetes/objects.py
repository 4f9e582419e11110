"""Objects of the cluster that several chapters make: a Secret, a namespace of ours, and how a Service is exposed."""

from __future__ import annotations

import base64
import json

from helpers.components.kubernetes.probes import gone, when_it_answers
from helpers.core.actions import Action

#: the choices of a chapter's parameter `expose`, and the type of Service that each means
SERVICE_TYPES = {"cluster": "ClusterIP", "node": "NodePort", "loadbalancer": "LoadBalancer"}


def secret(kube, name, namespace, values, labels=None):
    """Action: the Secret has these values: {key: text, or a secret of this target}. They travel on standard input.

    Keys that others added stay. Remove deletes it; where its namespace goes as well: `.but(undo=None)`.
    """
    place = f"{namespace}/{name}"
    ask = f"microk8s kubectl get secret {name} -n {namespace}"

    def wanted():
        return {key: value if isinstance(value, str) else value.reveal() for key, value in values.items()}

    def why_not():
        said = kube.ch.host.run(ask + " --ignore-not-found -o json", raw=True, check=False)
        if said.code:
            return said.err.strip().split("\n")[-1]
        if not said.out.strip():
            return f"there is no Secret {place}"
        found = json.loads(said.out).get("data") or {}
        other = sorted(key for key, value in wanted().items() if found.get(key) != _base64(value))
        return " and ".join(f"{place} has another {key}" for key in other) or None

    def apply():
        about = {"name": name, "namespace": namespace}
        if labels:
            about["labels"] = labels
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": about, "stringData": wanted()}
        kube.kubectl("apply -f -", stdin=json.dumps(manifest))

    return Action(
        "kubectl apply -f -   (Secret {}: {})".format(place, ", ".join(sorted(values))),
        why_not,
        apply,
        when_it_answers(f"microk8s kubectl delete secret {name} -n {namespace} --ignore-not-found"),
        gone(f"secret {name} -n {namespace}"),
    )


def _base64(text):
    return base64.b64encode(text.encode()).decode()


def namespace(kube, name, label):
    """Action: the namespace exists. label: "key=value", the mark of one that is made here.

    Remove deletes it, with all that is in it, only when it has that mark.
    """
    key, _, value = label.partition("=")
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {key: value}}}
    ours = f"namespace --field-selector metadata.name={name} -l {label}"
    return Action(
        "kubectl create namespace " + name,
        f"microk8s kubectl get namespace {name} >/dev/null 2>&1 || {{ echo 'there is no namespace {name}'; exit 1; }}",
        lambda: kube.kubectl("apply -f -", stdin=json.dumps(manifest)),
        when_it_answers(f"microk8s kubectl delete {ours} --timeout=180s"),
        gone(ours),
    )
