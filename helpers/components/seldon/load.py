"""Predictions asked all the time, while something happens to the model."""

from __future__ import annotations

import datetime
import http.client
import json
import threading
import time

from helpers.components.seldon import flowers

#: seconds for an answer; what is lost is refused or cut off long before, and `slowest` tells of a late one
_ANSWER = 90


class PredictionLoad:
    """Asks for predictions all the time, each on a connection of its own.

    address: (host, port); path: on it; framework: whose answers are right; threads: how many ask; pause: seconds
    after each answer.
    answered: {version: number}; lost: (when, why) of each; slowest: seconds of the longest that was answered.
    """

    def __init__(self, address, path, framework="sklearn", *, threads=3, pause=0.05):
        self.address, self.path, self.pause = address, path, pause
        rows = flowers.sample(2)
        self._body = json.dumps({"data": {"ndarray": rows}})
        known = {str(v): flowers.weights(v, framework) for v in flowers.VERSIONS}
        self._right = {version: flowers.probabilities(weights, rows) for version, weights in known.items()}
        self.answered, self.lost, self.slowest = {}, [], 0.0
        self._lock, self._end = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(threads)]

    def count(self):
        return sum(self.answered.values()) + len(self.lost)

    def what_was_lost(self):
        """How many, when, and of what kinds, each with one that came; "" when none was lost."""
        if not self.lost:
            return ""
        first, last = (f"{when:%H:%M:%S}" for when, _ in (self.lost[0], self.lost[-1]))
        of_kind = {}
        for _, why in self.lost:
            of_kind.setdefault(why.partition(":")[0], []).append(why.strip(": "))
        most = sorted(of_kind.values(), key=len, reverse=True)[:3]
        kinds = "; ".join(f"{len(whys)} like {whys[0]!r}" for whys in most)
        return f"{len(self.lost)} of {self.count()} lost, {first} to {last} UTC: {kinds}"

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(_ANSWER + 10)

    def _go(self):
        while not self._end.is_set():
            began = time.monotonic()
            version, why = self._one()
            with self._lock:
                if why:
                    self.lost.append((datetime.datetime.now(datetime.timezone.utc), why))
                else:
                    self.answered[version] = self.answered.get(version, 0) + 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(self.pause)

    def _one(self):
        """(version that answered, None) or (None, why it was not answered rightly)."""
        try:
            return self._asked()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
            return None, f"{type(e).__name__}: {e}"

    def _asked(self):
        connection = http.client.HTTPConnection(*self.address, timeout=_ANSWER)
        try:
            connection.request("POST", self.path, self._body, {"Content-Type": "application/json"})
            said = connection.getresponse()
            text = said.read().decode()
        finally:
            connection.close()
        if said.status != 200:
            return None, f"{said.status}: {text[:150]}"
        answer = json.loads(text)
        version = answer["meta"]["tags"]["model_version"]
        if not flowers.same(answer["data"]["ndarray"], self._right[version]):
            return None, f"a wrong answer: {text[:150]}"
        return version, None
