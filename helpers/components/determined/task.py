"""One task of Determined's on Kubernetes: what it waits for, what it said, and how it ended."""

from __future__ import annotations

import contextlib

from helpers.core.errors import NotYet, RunbookError

#: how much of a task's log an error shows
_LAST = 8


class Task:
    """A command or notebook of a user's. det: the client; kind: "commands" or "notebooks"; id: the master's."""

    def __init__(self, det, kind, id, user):
        self.det, self.kind, self.id, self.user = det, kind, id, user
        self._found, self._pod = {}, None

    def _ask(self, method, path, body=None):
        return self.det.ask(method, path, body, self.det.token(self.user))

    def pod(self):
        """Its pod's name; "" while the master has not made it."""
        ask = f"get pods -n {self.det.space} -l determined={self.id} -o jsonpath='{{.items[*].metadata.name}}'"
        return self.det.kube.kubectl(ask)

    def follow(self, until):
        """Wait until `until(summary)` is true, and return that; its pod may have to pull an image of gigabytes.

        RunbookError with its last lines as soon as it has ended otherwise, or will never run.
        """
        pods = f"pods -n {self.det.space}"
        do = f"On the host: microk8s kubectl get {pods}; microk8s kubectl describe {pods} -l determined"
        wait = self.det.ch.wait
        return wait("a task to run", lambda: self._ready(until), self._why_over, 900, do, stands=self._pulls)

    def _ready(self, until):
        self._found = {}
        self._found = self._ask("GET", f"/{self.kind}/{self.id}")
        if self._found and until(self._found):
            return self._found
        name = self._pod is None and self._found and self.pod()
        if name:  # from now on its own pod's troubles are looked at, and no others'
            self._pod = self.det.kube.pods(self.det.space, name)
        last = self.lines()[-1:] if self._found else []
        raise NotYet("; ".join([self._state().lower(), *last, *(self._pod.texts(2) if self._pod else [])]))

    def _state(self):
        return (self._found or {}).get("state", "")

    def _pulls(self):
        return self._pod.stands() if self._pod else None

    def _why_over(self):
        """Why it will not come to that any more; None while it may. The master keeps an ended task for a day."""
        if self._found is None:
            return "the master has forgotten it: was it restarted, or did it end more than a day ago?"
        if self._state() == "TERMINATED":
            return self.end(self._found)
        return self._pod.failed() if self._pod else None

    def end(self, found):
        """How it ended, in words, with its last lines. found: its summary."""
        return "\n".join(["it ended: {}".format(found.get("exit_status")), *self.lines()[-_LAST:]])

    def lines(self):
        """Its log: what its pod waited for, and its output. An event has one line or many, the first after bars."""
        events = self._ask("GET", f"/{self.kind}/{self.id}/events") or []
        texts = [event["log_event"] for event in events if event.get("log_event")]
        return [line for text in texts for line in text.split(" || ", 1)[-1].splitlines()]

    def kill(self):
        """End it, and be silent when that cannot be: for use after an error, which says more."""
        with contextlib.suppress(RunbookError):
            self._ask("POST", f"/api/v1/{self.kind}/{self.id}/kill", {})
