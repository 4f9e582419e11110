"""The proofs of chapter 09. Each returns a text to show or None, and raises Unmet."""

from __future__ import annotations

from helpers.components.seldon import flowers
from helpers.components.seldon.gateway import told
from helpers.components.seldon.load import PredictionLoad
from helpers.components.seldon.operator import OPERATOR, REPORTER
from helpers.components.seldon.serving import MODELS, NAME
from helpers.core.actions import why_not_so
from helpers.core.errors import Unmet
from helpers.core.waiting import NotYet, TimedOut

#: what is wrong with a question: (what is sent, words of the answer)
BAD = {
    "three numbers": ({"json": {"data": {"ndarray": [[1, 2, 3]]}}}, "a flower is 4 numbers: sepal length"),
    "a word": ({"json": {"data": {"ndarray": [["a", "b", "c", "d"]]}}}, "a flower is numbers"),
    "no data": ({"json": {"datum": [[1, 2, 3, 4]]}}, "Invalid request data type"),
    "no JSON": (
        {"content": b'{"data":', "headers": {"Content-Type": "application/json"}},
        "Can't find JSON in data",
    ),
}


class Proofs:
    """What a Seldon and its model must do."""

    def __init__(self, seldon):
        self.seldon, self.operator, self.gateway, self.ch = seldon, seldon.operator, seldon.gateway, seldon.ch
        self.framework = seldon.store.framework

    def operator_runs(self):
        """The operator is available."""
        _must_not(why_not_so(self.ch.host, OPERATOR), "the operator available")

    def webhook_refuses(self):
        """The webhook refuses a wrong SeldonDeployment in words."""
        _must_not(self.seldon.why_webhook_silent(), "a refusal by the webhook")

    def certificate_is_good(self, days):
        """The webhook's certificate is good for so many more days."""
        _must_not(self.operator.why_certificate_ends(days), f"a certificate for {days} more days", "seldon-cert")
        return f"until {self.operator.certificate()[1]:%Y-%m-%d}"

    def use_is_reported(self, wanted, patience=300):
        """Nobody reports this installation's use to Seldon's makers, or a program that runs does, as asked.

        patience: seconds for its pod to start.
        """
        if wanted:
            self._reporter_runs(patience)
        elif self.operator.reports_use():
            raise Unmet("usage metrics off", "seldon-spartakus-volunteer is there", "seldon-usage")

    def _reporter_runs(self, patience):
        def so():
            why = why_not_so(self.ch.host, REPORTER)
            if why:
                raise NotYet(why)
            return True

        try:
            self.ch.wait("the program that reports use", so, timeout=patience)
        except TimedOut as e:
            raise Unmet("usage metrics on", e.saw, "seldon-usage") from e

    def over_rest(self, version):
        """A prediction over REST is what the weights give."""
        rows, weights = flowers.sample(2), flowers.weights(version, self.framework)
        answer = self._routed(rows).json()
        if answer["data"].get("names") != weights["classes"]:
            raise Unmet("the classes {}".format(weights["classes"]), str(answer["data"].get("names")))
        _must_be(answer["data"]["ndarray"], flowers.probabilities(weights, rows))
        return "{} flowers, version {}".format(len(rows), answer["meta"]["tags"]["model_version"])

    def over_grpc(self, version):
        """A prediction over gRPC is what the weights give."""
        rows = flowers.sample(2)
        self._routed(rows)
        found, tags = self.gateway.over_grpc(rows)
        _must_be(found, flowers.probabilities(flowers.weights(version, self.framework), rows))
        return "{} flowers, version {}".format(len(rows), tags.get("model_version"))

    def bad_questions_are_refused(self):
        """What the caller did wrong is told him, with 4xx; an unknown name is 404."""
        self._routed(flowers.sample(2))
        for what, (sent, words) in BAD.items():
            said = self.gateway.post(**sent)
            if not 400 <= said.status_code < 500 or words not in told(said.text):
                raise Unmet(f"4xx with {words!r} for {what}", _short(said, 150), "seldon-bad")
        said = self.gateway.post("nobody", json={"data": {"ndarray": [[1, 2, 3, 4]]}})
        if said.status_code != 404:
            raise Unmet("404 for a name that nobody has", str(said.status_code), "seldon-route")
        return told(self.gateway.post(**BAD["three numbers"][0]).text)

    def _routed(self, rows):
        """The answer over REST to these rows. Unmet, with the entry that fits, when there is no way to the model."""
        said = self.gateway.over_rest(rows)
        if said.status_code in (404, 503):
            saw = f"status {said.status_code} {said.text[:100]}".strip()
            raise Unmet(f"a way through the gateway to {MODELS}/{NAME}", saw, "seldon-route")
        if said.status_code != 200:
            raise Unmet("status 200", _short(said, 200), "seldon-weights")
        return said

    def no_prediction_is_lost(self, version, least=500):
        """The other version is rolled out, and this one again, while predictions are asked all the time.

        Every one is answered rightly, the first time. least: how many are asked.
        """
        with PredictionLoad(self.gateway.address(), self.gateway.path(), self.framework) as load:
            for target in [v for v in flowers.VERSIONS if v != version] + [version]:
                self.seldon.roll_out(target)
            self.ch.wait(f"{least} predictions", lambda: load.count() >= least)
        return self._judged(load)

    def _judged(self, load):
        """What came of a PredictionLoad, in words; Unmet when one was lost, or a version did not answer."""
        lost = load.what_was_lost()
        if lost:
            raise Unmet("every prediction answered", "; ".join([lost, *self.seldon.ended()]), "seldon-lost")
        if set(load.answered) != set(map(str, flowers.VERSIONS)):
            raise Unmet("answers of both versions", "answers of version {}".format(", ".join(sorted(load.answered))))
        by_version = ", ".join(f"{n} by version {v}" for v, n in sorted(load.answered.items()))
        return f"{load.count()} predictions, 0 lost, the slowest {load.slowest:.1f} s: {by_version}"

    def show_answers(self):
        """What each version says to one flower of each class."""
        if self.ch.proving:
            lines = [line for version in flowers.VERSIONS for line in _answers(version, self.framework)]
            self.ch.table(("version", "flower (cm)", "says", "how sure"), lines)


def _answers(version, framework):
    rows, weights = flowers.sample(1), flowers.weights(version, framework)
    for row, line in zip(rows, flowers.probabilities(weights, rows)):
        best = max(range(len(line)), key=line.__getitem__)
        yield version, " × ".join(map(str, row)), weights["classes"][best], f"{line[best]:.0%}"


def _short(answer, width):
    return f"{answer.status_code}: {told(answer.text)[:width]}"


def _must_be(found, wanted):
    if not flowers.same(found, wanted):
        raise Unmet(f"the model's own answer, {wanted[0]}", str(found[:1]))


def _must_not(why, expected, entry=None):
    """Unmet with `why` when there is one."""
    if why:
        raise Unmet(expected, why, entry)
