"""How many pods a chapter's Deployments want: a probe asks whether those are there, and takes any number for good."""

from __future__ import annotations

from helpers.core import state

_OWN = ("Deployment", "StatefulSet")
_FIELDS = (
    "{range .items[*]}{.kind}|{.metadata.namespace}/{.metadata.name}|{.spec.replicas}"
    '|{.metadata.namespace}/{.spec.scaleTargetRef.name}|{.spec.minReplicas}|{.spec.maxReplicas}{"\\n"}{end}'
)


def show(kube, *places):
    """Show them. places: a namespace, of which all are the chapter's, or "namespace/name"."""
    headers = ("Deployment", "pods wanted")
    state.show(kube.ch, "how many pods each Deployment wants", headers, wanted, kube, *places)


def wanted(kube, *places):
    """[(namespace/name, how many)], by name. Where an autoscaler decides, its bounds: the number changes by itself."""
    said = kube.kubectl(f"get deployments,statefulsets,hpa -A -o jsonpath='{_FIELDS}'")
    rows = [line.split("|") for line in said.splitlines()]
    scaled = {target: f"{low or 1} to {high}" for kind, _, _, target, low, high in rows if kind not in _OWN}
    found = {name: count for kind, name, count, *_ in rows if kind in _OWN}
    ours = sorted(name for name in found if name in places or name.split("/")[0] in places)
    missing = sorted(place for place in places if "/" in place and place not in found)
    return [(name, scaled.get(name) or found[name]) for name in ours] + [(name, "it is not there") for name in missing]
