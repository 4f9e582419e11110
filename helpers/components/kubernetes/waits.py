"""A wait for pods: ready, without hope, or pulling images, asked of the host in one round trip."""

from __future__ import annotations

import contextlib
import json
import time

from helpers.components.kubernetes import troubles
from helpers.components.kubernetes.pods import KINDS, Snapshot
from helpers.core.errors import NotYet, RunbookError

#: seconds between two looks at the pods; a probe is asked more often
_EVERY = 4
#: pods that make room on the node when they end: those that are ending, and those that are not there for good
_ENDING = (
    "get pods -A -o jsonpath='{range .items[*]}"
    '{.spec.nodeName}|{.status.phase}|{.spec.restartPolicy}|{.metadata.deletionTimestamp}{"\\n"}{end}\''
)


class PodWait:
    """Waiting for pods: of these owners, {(namespace, kind, name)}, or all of a namespace. Of neither: for none.

    Its `ready`, which asks a probe, its `failed` and `stands` are what a chapter's wait takes.
    """

    def __init__(self, kube, owners=frozenset(), space=None, probe=""):
        self.kube, self._host, self._probe, self._owners = kube, kube.ch.host, probe, owners
        self._spaces = sorted({owner[0] for owner in owners}) or ([space] if space else [])
        self._troubles, self._now, self._looked = troubles.Troubles(self._last_lines, self._room_comes), [], None

    def ready(self):
        """The probe holds; NotYet with what it says, and what pods wait for. Only that is asked at first."""
        ask = {"": self._probe}
        if self._looked is None:
            self._looked = 0.0
        elif self._is_time():
            ask.update(self._questions())
        said = self._host.probe(ask)
        if said[""].ok:
            return True
        if len(ask) > 1:
            self._read(said)
        raise NotYet("; ".join(filter(None, [said[""].out, *self.texts(3)])))

    def look(self):
        """Ask the cluster now. Without a probe, it is asked now and then by itself."""
        try:
            self._read(self._host.probe(self._questions()))
        except RunbookError:
            self._forget()
        return self

    def failed(self):
        """Why some pod will never run; None while there is hope."""
        return next((t.text for t in self._news() if t.final), None)

    def stands(self):
        """Which image is being pulled; None when none is."""
        return next((t.text for t in self._news() if t.pulls), None)

    def texts(self, most):
        """What pods wait for, in one line each: of a log the last one."""
        parts = [t.text.strip().partition("\n") for t in self._news()[:most]]
        return [" ".join(filter(None, [first, rest.rpartition("\n")[2]])) for first, _, rest in parts]

    def told(self):
        """[(what something waits for, whether that is for ever)]."""
        return [(t.text, t.final) for t in self._news()]

    def _news(self):
        if not self._probe and self._is_time():
            self.look()
        return self._now

    def _is_time(self):
        return time.monotonic() - (self._looked or 0.0) >= _EVERY

    def _questions(self):
        return {space: f"microk8s kubectl get {KINDS} -n {space} -o json 2>/dev/null" for space in self._spaces}

    def _read(self, said):
        self._forget()
        with contextlib.suppress(ValueError):
            items = [item for space in self._spaces for item in json.loads(said[space].out)["items"]]
            self._now = self._troubles.of(Snapshot(items, self._owners))

    def _forget(self):
        """Nothing is known while the API does not answer."""
        self._now, self._looked = [], time.monotonic()

    def _last_lines(self, namespace, pod, container):
        try:
            return self.kube.kubectl(f"logs -n {namespace} {pod} -c {container} --previous --tail=6")
        except RunbookError:  # the container is gone already
            return ""

    def _room_comes(self):
        try:
            lines = self.kube.kubectl(_ENDING).splitlines()
        except RunbookError:
            return True
        return any(_makes_room(*line.split("|")) for line in lines)


def _makes_room(node, phase, restarts, ending):
    return bool(node) and phase in ("Pending", "Running") and bool(ending or restarts != "Always")
