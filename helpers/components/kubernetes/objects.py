"""Objects of the cluster that several chapters make: a Secret, a namespace of ours, and how a Service is exposed."""

from __future__ import annotations

import base64
import json

import yaml

from helpers.components.kubernetes.probes import gone, when_it_answers
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed

#: the choices of a chapter's parameter `expose`, and the type of Service that each means
SERVICE_TYPES = {"cluster": "ClusterIP", "node": "NodePort", "loadbalancer": "LoadBalancer"}
#: where `kubectl apply` keeps what it was given
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def secret(kube, name, namespace, values, labels=None):
    """Action: the Secret has these values: {key: text, or a secret of this target}. They travel on standard input.

    Keys that others added stay. Remove deletes it; where its namespace goes as well: `.but(undo=None)`.
    """
    place = f"{namespace}/{name}"

    def wanted():
        return {key: _base64(value if isinstance(value, str) else value.reveal()) for key, value in values.items()}

    def why_not():
        try:
            found = _found(kube, name, namespace)
        except CommandFailed as e:
            return e.err.strip().split("\n")[-1]
        return _why_other(found, place, wanted()) if found else f"there is no Secret {place}"

    def apply():
        about = {"name": name, "namespace": namespace, "labels": labels or {}}
        put_secret(kube, {"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": wanted()})

    return Action(
        "kubectl create, or replace, -f -   (Secret {}: {})".format(place, ", ".join(sorted(values))),
        why_not,
        apply,
        when_it_answers(f"microk8s kubectl delete secret {name} -n {namespace} --ignore-not-found"),
        gone(f"secret {name} -n {namespace}"),
        makes=[f"object {namespace}/secret/{name}"],
    )


def put_secret(kube, manifest):
    """Make a Secret, or put these labels and this data into the one that is there. manifest: with `data` in base64.

    Not by `kubectl apply`: that keeps what it is given in an annotation, which `kubectl describe` shows in clear.
    """
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    found = _found(kube, name, namespace)
    text = json.dumps(_with(found, manifest) if found else manifest)
    kube.kubectl("replace -f -" if found else "create -f -", stdin=text)


def _found(kube, name, namespace):
    """The Secret as it is; None when there is none. CommandFailed when that cannot be told."""
    ask = f"microk8s kubectl get secret {name} -n {namespace} --ignore-not-found -o json"
    said = kube.ch.host.run(ask, raw=True, what=f"kubectl get secret {name}").out
    return json.loads(said) if said.strip() else None


def _why_other(found, place, wanted):
    is_so = found.get("data") or {}
    other = [f"{place} has another {key}" for key in sorted(wanted) if is_so.get(key) != wanted[key]]
    if APPLIED in (found["metadata"].get("annotations") or {}):  # one of an older runbook
        other.append(f"{place} has its values in an annotation, in clear")
    return " and ".join(other) or None


def _with(found, manifest):
    """The Secret that was found, with this data and these labels, and without kubectl's annotation."""
    old, new = found["metadata"], manifest["metadata"]
    kept = {key: text for key, text in (old.get("annotations") or {}).items() if key != APPLIED}
    about = {"annotations": kept, "labels": dict(old.get("labels") or {}, **(new.get("labels") or {}))}
    about.update(name=new["name"], namespace=new["namespace"], resourceVersion=old["resourceVersion"])
    data = dict(found.get("data") or {}, **manifest["data"])
    return dict(manifest, metadata=about, data=data, type=found.get("type", "Opaque"))


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
        lambda: kube.apply(json.dumps(manifest)),
        when_it_answers(f"microk8s kubectl delete {ours} --timeout=300s"),
        gone(ours),
        makes=[f"namespace {name}"],
    )


def why_not_as_written(kube, text):
    """None when each object of a manifest is in the cluster as it is written there; else the first that is not."""
    wanted = [each for each in yaml.safe_load_all(text) if each]
    listed = json.loads(kube.kubectl("get --ignore-not-found -o json -f -", stdin=text) or "{}").get("items", [])
    found = {(each["kind"], each["metadata"]["name"]): each for each in listed}
    for each in wanted:
        about = (each["kind"], each["metadata"]["name"])
        # Of its apiVersion the server may answer another one that means the same.
        fields = {key: value for key, value in each.items() if key != "apiVersion"}
        why = difference(fields, found[about]) if about in found else "is missing"
        if why:
            return "{}/{}: {}".format(*about, why)
    return None


def difference(wanted, live, where=""):
    """Where `live` is not what `wanted` says, in words; None when it is.

    What only `live` has (a server's defaults) is no difference.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        found = (difference(v, live.get(k), where + "." + k if where else k) for k, v in wanted.items())
        return next(filter(None, found), None)
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return next(filter(None, (difference(v, live[n], f"{where}[{n}]") for n, v in enumerate(wanted))), None)
    return None if wanted == live else f"{where} is {json.dumps(live)}, not {json.dumps(wanted)}"
