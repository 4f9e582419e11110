"""What pods wait for, read from what the cluster says of them, and whether that is for ever."""

from __future__ import annotations

import re

_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")
#: restarts after which a crash is no accident
_CRASHES = 3


def of_pod(pod, last_lines):
    """(what it waits for, whether that is for ever), as often as there is something. pod: as kubectl's JSON has it.

    last_lines(namespace, pod, container): the end of the log of a container that crashed.
    """
    if pod["metadata"].get("deletionTimestamp"):  # it is going: what it waits for no longer matters
        return
    name = "pod {namespace}/{name}".format(**pod["metadata"])
    yield from _scheduling(name, pod["status"].get("conditions", []))
    status = pod["status"]
    for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
        yield from _container(name, pod["metadata"], container, last_lines)


def _scheduling(name, conditions):
    for condition in conditions:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            why = condition.get("message", "")
            yield f"{name} cannot be scheduled: {why}", _never_fits(why)


def _never_fits(why):
    """A device (nvidia.com/gpu, with a / in its name) comes seconds after its plugin; the node's own does not grow."""
    lacks = re.findall(r"Insufficient ([\w./-]+)", why)
    return any("/" not in name for name in lacks) or "didn't match" in why


def _container(name, meta, container, last_lines):
    waiting = container.get("state", {}).get("waiting", {})
    reason = waiting.get("reason")
    if reason in _NO_IMAGE:
        why = waiting.get("message", reason)
        yield f"{name} gets no image {container['image']}: {why}", reason != "ErrImagePull"
    elif reason == "CrashLoopBackOff":
        times = container.get("restartCount", 0)
        last = last_lines(meta["namespace"], meta["name"], container["name"])
        yield f"{name} crashes, {times} times so far. Its last lines:\n{last}", times >= _CRASHES
    elif reason:
        yield f"{name} waits: {reason}", False
