"""What the pods that a step waits for lack, and whether that is for ever."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from helpers.components.kubernetes.pods import waiting

#: seconds in which a container must have crashed again and again, with the same last line, to be given up
CRASHING_FOR = 180

#: what registries and containerd say of an image that is not there or that nobody may have, and of a name that is none
_NO_IMAGE = re.compile("not found|(manifest|name) unknown|denied|invalid (reference|name)", re.I)
#: what passes: time-outs, the limit for pulls, a server in trouble
_PASSES = re.compile(
    r"time-?out|timed out|deadline|too ?many ?requests|\b(429|5\d\d) [a-z]|\bEOF\b|connection (refused|reset)", re.I
)
_PULLS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")


class Trouble(NamedTuple):
    """text: what something waits for.  final: for ever.  pulls: for its image, which is being pulled."""

    text: str
    final: bool = False
    pulls: bool = False


class Troubles:
    """The troubles of pods over a time: whoever looks twice is told which of them stay.

    last_lines(namespace, pod, container): the end of the log of a container that crashed.  room_comes(): may there
    be more room on the node soon? Asked only when a pod finds none.
    """

    def __init__(self, last_lines, room_comes):
        self._last_lines, self._room_comes, self._crashes = last_lines, room_comes, {}

    def of(self, snapshot):
        """[Trouble] of all that a Snapshot's step waits for."""
        found = [Trouble(f"{what} cannot make its pods: {why}") for what, why in snapshot.not_created()]
        for pod in snapshot.pods():
            nobody_waits = snapshot.owner(pod)[1] == "job"  # what it is there for may come later; it tries again
            found += [t._replace(final=t.final and not nobody_waits) for t in self._of_pod(pod, snapshot)]
        return found

    def _of_pod(self, pod, snapshot):
        name = "pod {namespace}/{name}".format(**pod["metadata"])
        for condition in pod["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                why = condition.get("message", "")
                yield Trouble(f"{name} cannot be scheduled: {why}", _never_fits(why) and not self._room_comes())
        for container in waiting(pod):
            yield self._of_container(name, pod, container, snapshot)

    def _of_container(self, name, pod, container, snapshot):
        state = container["state"]["waiting"]
        reason, image = state.get("reason"), container["image"]
        if snapshot.pulling(pod, container["name"]):
            return Trouble(f"{name} pulls image {image}", pulls=True)
        if reason in _PULLS:
            why = state.get("message", reason)
            if reason == "ImagePullBackOff":
                why = snapshot.why_not_pulled(pod, container["name"]) or why
            return Trouble(f"{name} gets no image {image}: {why}", never_pulled(why))
        if reason == "CrashLoopBackOff":
            others = snapshot.somebody_starts(pod["metadata"]["namespace"])
            return self._crashing(name, pod["metadata"], container, others)
        return Trouble("{} waits: {}".format(name, ": ".join(filter(None, [reason, state.get("message")]))))

    def _crashing(self, name, meta, container, somebody_starts):
        """Final when it crashed again and again for CRASHING_FOR, with the same last line, while nobody else started.

        It may need what another pod gives.
        """
        key, times, now = (meta["uid"], container["name"]), container["restartCount"], time.monotonic()
        old = self._crashes.get(key)
        known = old is not None and old.times == times
        lines = old.lines if known else self._last_lines(meta["namespace"], meta["name"], container["name"])
        goes_on = old is not None and _about(old.lines) == _about(lines) and not somebody_starts
        crash = _Crash(old.since if goes_on else now, old.first if goes_on else times, times, lines)
        self._crashes[key] = crash
        final = times > crash.first and now - crash.since >= CRASHING_FOR
        return Trouble(f"{name} crashes, {times} times so far. Its last lines:\n{lines}", final)


class _Crash(NamedTuple):
    """A container that crashes: since when, and from which restart on, with this last line; its restarts, its lines."""

    since: float
    first: int
    times: int
    lines: str


def _about(lines):
    """The last line without its numbers: times, ports and addresses change."""
    return re.sub(r"\d+", "0", lines.strip().rpartition("\n")[2])


def _never_fits(why):
    """A device (nvidia.com/gpu, with a / in its name) comes seconds after its plugin; the node's own does not grow."""
    lacks = re.findall(r"Insufficient ([\w./-]+)", why)
    return any("/" not in name for name in lacks) or "didn't match" in why


def never_pulled(why):
    """Does this say that there will never be such an image? Only the words of a registry do."""
    return bool(_NO_IMAGE.search(why)) and not _PASSES.search(why)
