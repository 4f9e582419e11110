"""The pods that a step waits for, and what the cluster says of them, at one moment: kubectl's JSON, read."""

from __future__ import annotations

#: what one `kubectl get` asks of a namespace
KINDS = "pods,deployments,replicasets,statefulsets,daemonsets,events"

_STARTS = ("ContainerCreating", "PodInitializing")
_SETS = ("replicaset", "statefulset", "daemonset")
_REVISION = "deployment.kubernetes.io/revision"
#: on a DaemonSet of apps/v1, and as a label without "deprecated" on its pods
_TEMPLATE, _OF_TEMPLATE = "deprecated.daemonset.template.generation", "pod-template-generation"


class Snapshot:
    """items: all that kubectl lists of KINDS.  owners: {(namespace, kind, name)} waited for; empty: all there are."""

    def __init__(self, items, owners=frozenset()):
        self._owners, self._by, self._events = owners, {}, {}
        for item in items:
            if item["kind"] == "Event":
                self._events.setdefault(_about(item), []).append(item)
            else:
                self._by[_key(item)] = item

    def pods(self):
        """Those that are waited for: not ending, and of the newest template of what made them."""
        return [pod for pod in self._live() if self._wanted(self.owner(pod)) and not self._is_old(pod)]

    def owner(self, pod):
        """(namespace, kind, name) of what has the pod made in the end: the pod itself when nobody has."""
        owner = _owner(pod) or _key(pod)
        return _owner(self._by.get(owner, {})) or owner

    def pulling(self, pod, container):
        """Is its image being pulled? The kubelet says when that begins, before it waits for its turn, and ends."""
        events = self._events.get(_about_container(pod, container), [])
        began = max((_time(e) for e in events if e.get("reason") == "Pulling"), default="")
        return began > max((_time(e) for e in events if e.get("reason") != "Pulling"), default="")

    def why_not_pulled(self, pod, container):
        """What the registry said last: the state of a pod that waits for its next try does not have it."""
        return self._last(_about_container(pod, container), _is_failed_pull)

    def somebody_starts(self, namespace):
        """Does any pod of the namespace, waited for or not, still pull its image or wait for what it mounts?"""
        pods = [pod for pod in self._live() if pod["metadata"]["namespace"] == namespace]
        found = [(pod, container) for pod in pods for container in waiting(pod)]
        return any(c["state"]["waiting"].get("reason") in _STARTS or self.pulling(pod, c["name"]) for pod, c in found)

    def not_created(self):
        """(kind namespace/name, why) of what is waited for and cannot make its pods."""
        for (namespace, kind, name), item in self._by.items():
            why = self._why_not_created((namespace, kind, name), item)
            if why and self._wanted((namespace, kind, name)):
                yield f"{kind} {namespace}/{name}", why

    def _why_not_created(self, key, item):
        for condition in item["status"].get("conditions", []) if key[1] == "deployment" else ():
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                return condition.get("message")
        if key[1] in _SETS[1:] and not any(self.owner(pod) == key for pod in self._live()):
            return self._last((item["metadata"]["uid"], ""), lambda e: e.get("reason") == "FailedCreate")
        return None

    def _last(self, about, which):
        """The message of the newest event of that kind."""
        events = [e for e in self._events.get(about, []) if which(e)]
        return max(events, key=_time).get("message", "") if events else None

    def _live(self):
        pods = [item for key, item in self._by.items() if key[1] == "pod"]
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    def _wanted(self, owner):
        return not self._owners or owner in self._owners

    def _is_old(self, pod):
        """Is its template being replaced? A change that nobody has taken up yet makes each pod an old one."""
        owner = self._by.get(self.owner(pod), {})
        about, status, labels = owner.get("metadata", {}), owner.get("status", {}), pod["metadata"].get("labels", {})
        if status.get("observedGeneration", 0) < about.get("generation", 0) or self._is_orphan(pod):
            return True
        if owner.get("kind") == "Deployment":
            return _owner(pod)[2] != self._newest(_key(owner))
        if owner.get("kind") == "StatefulSet":
            return labels.get("controller-revision-hash") != status.get("updateRevision")
        newest = about.get("annotations", {}).get(_TEMPLATE)
        return newest is not None and labels.get(_OF_TEMPLATE, newest) != newest

    def _is_orphan(self, pod):
        """Is what made it gone? Then it goes as well, a moment later."""
        owner = _owner(pod)
        return owner is not None and owner[1] in _SETS and owner not in self._by

    def _newest(self, deployment):
        """The name of its newest ReplicaSet."""
        sets = [item for key, item in self._by.items() if key[1] == "replicaset" and _owner(item) == deployment]
        return max(sets, key=_revision)["metadata"]["name"] if sets else None


def waiting(pod):
    """The states of its containers that do not run, in the order in which they start."""
    states = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
    return [container for container in states if container.get("state", {}).get("waiting")]


def _key(item):
    return item["metadata"]["namespace"], item["kind"].lower(), item["metadata"]["name"]


def _owner(item):
    for owner in item.get("metadata", {}).get("ownerReferences", []):
        if owner.get("controller"):
            return item["metadata"]["namespace"], owner["kind"].lower(), owner["name"]
    return None


def _about(event):
    about = event["involvedObject"]
    return about.get("uid"), about.get("fieldPath", "")


def _about_container(pod, container):
    kind = "initContainers" if container in [c["name"] for c in pod["spec"].get("initContainers", [])] else "containers"
    return pod["metadata"]["uid"], f"spec.{kind}{{{container}}}"


def _time(event):
    """When it was said last, to the second; the scheduler's events have another field for it."""
    return (event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])[:19]


def _is_failed_pull(event):
    return event.get("reason") == "Failed" and event.get("message", "").startswith("Failed to pull image")


def _revision(replicaset):
    return int(replicaset["metadata"].get("annotations", {}).get(_REVISION, 0))
