"""What chapter 13 proves: a prediction, its lineage, what a push does, and what a push that fails its test does not."""

from __future__ import annotations

from helpers.components.end_to_end import checkpoints as kept
from helpers.components.end_to_end import lineage, pictures, timings
from helpers.components.pachyderm import dataset
from helpers.components.pachyderm.client import NotFound
from helpers.core import show
from helpers.core.errors import Unmet, words

#: a sneaker that the model never saw
_ONE = "7_Sneaker/5.png"


class Proofs:
    """Proofs of a chapter's stages. lookup: the Lineage; cluster: the Cluster."""

    def __init__(self, ch, lookup, cluster):
        self.ch, self.lookup, self.cluster = ch, lookup, cluster
        self.serving, self.delivery, self.checkpoints = lookup.serving, lookup.delivery, lookup.checkpoints
        self.unseen = pictures.unseen()
        self._links, self._asked = [], None

    def knows_a_picture(self):
        """A picture that the model never saw gets its class."""
        (path, label, rows) = next(each for each in self.unseen if each[0] == _ONE)
        learnt = self.lookup.pictures.repos.names(pictures.REPOSITORY)
        if path in learnt:
            raise Unmet(f"{path} kept back", f"it is in the repository {pictures.REPOSITORY}")
        answer = self.serving.ask([rows])
        if answer.classes() != [dataset.LABELS[label]]:
            raise Unmet(dataset.LABELS[label], answer.classes()[0], "e2e-wrong")
        return f"{path}: {answer.classes()[0]}, {max(answer.rows[0]):.0%}"

    def answers_as_its_checkpoint(self):
        """Every unseen picture's probabilities are those that the checkpoint in MinIO gives."""
        answer = self.serving.ask([rows for _, _, rows in self.unseen])
        self._asked, trained = answer.seconds, self.checkpoints.read(answer.revision)
        model = kept.model()
        wanted = [model.predict(trained, rows) for _, _, rows in self.unseen]
        off = max(abs(a - b) for pair in zip(answer.rows, wanted) for a, b in zip(*pair))
        if len(answer.rows) != len(wanted) or off > 1e-6:
            raise Unmet("the checkpoint's own numbers", f"they differ by {off:.6f}", "e2e-lineage")
        right, many = kept.right_of(trained)
        return f"{many} pictures, {right} of them right"

    def served_is_newest(self):
        """What answers is the newest commit's model, and its pipeline ended well."""
        why = self.delivery.why_not_served(self.serving.why_another)
        if why:
            raise Unmet("the newest commit's model", why, "e2e-pipeline")

    def has_lineage(self):
        """Each link from a prediction to the pictures is looked up, and the links agree."""
        self._links = self.lookup.of(next(each for each in self.unseen if each[0] == _ONE))
        return " <- ".join(each.what for each in self._links)

    def deployer_is_narrow(self):
        """The pipeline's ServiceAccount may change SeldonDeployments in its namespace, and reads no secret."""
        may = [("patch", "seldondeployments", "clothes")]
        may_not = [
            ("get", "secrets", "clothes"),
            ("get", "secrets", self.cluster.tasks),
            ("patch", "seldondeployments", "models"),
        ]
        wrong = [each for each in may if not self.cluster.may(*each)] + [
            each for each in may_not if self.cluster.may(*each)
        ]
        if wrong:
            raise Unmet("rights in its own namespace only", "{} {} in {}".format(*wrong[0]), "e2e-rights")

    def logs_hold_no_secret(self):
        """No key stands in a log of the newest pipelines."""
        pipelines = self.delivery.some(4)
        jobs = [job for each in pipelines for job in self.delivery.jobs(each["id"])]
        for job in jobs:
            if self.ch.masker.holds_secret(self.delivery.trace(job["id"])):
                raise Unmet("no secret in any log", f"job {job['id']} ({job['name']}) shows one", "e2e-masked")
        return f"{len(jobs)} logs"

    # -- what a push does ------------------------------------------------------------------------------

    def broken_is_not_served(self):
        """A push whose test fails ends there: nothing is trained, built or rolled out, and the old model answers."""
        before, was = self.serving.deployment()["metadata"], self.serving.revision()
        jobs = self.delivery.push_broken()
        states = {job["name"]: job["status"] for job in jobs}
        if states.get("test") != "failed" or set(states.values()) - {"failed", "skipped"}:
            raise Unmet("test failed, all others skipped", states, "e2e-pipeline")
        after, now = self.serving.deployment()["metadata"], self.serving.revision()
        if (before["generation"], was) != (after["generation"], now):
            raise Unmet("nothing rolled out", f"{now} answers now", "e2e-pipeline")
        return ", ".join("{} {}".format(*each) for each in sorted(states.items()))

    def changed_is_served(self):
        """A push with another setting gives another answer, without a step by hand."""
        rows = next(each for each in self.unseen if each[0] == _ONE)[2]
        before = self.serving.ask([rows])
        commit = self.delivery.push_changed()
        after = self.serving.ask([rows])
        if after.revision != commit or after.rows == before.rows:
            raise Unmet(f"an answer of commit {commit[:8]}'s model", f"{after.revision[:8]} answers", "e2e-pipeline")
        return f"{max(before.rows[0]):.1%} before the push, {max(after.rows[0]):.1%} after it"

    # -- what is shown ---------------------------------------------------------------------------------

    def show_lineage(self):
        """The lineage as a picture and a table, of the check that looked it up."""
        if self._links:
            lineage.show_links(self.ch, self._links)

    def show_accuracy(self):
        """How many unseen pictures each checkpoint knows, the oldest first."""
        heads = ("trained", "commit", "wrong labels", "unseen pictures known")
        self._show("the table of checkpoints", heads, self._accuracy)

    def _accuracy(self):
        for when, commit in self.checkpoints.in_order():
            right, many = kept.right_of(self.checkpoints.read(commit))
            row = (when.strftime("%H:%M:%S"), commit[:8], self._wrong_labels(commit), f"{right} of {many}")
            yield tuple(map(show.varying, row))

    def _wrong_labels(self, commit):
        try:
            return str(len(self.lookup.labels.wrong_in(self.checkpoints.note(commit)["labels"])))
        except NotFound:
            return "a commit that Pachyderm no longer has"

    def show_timings(self):
        """How long each stage took, as the systems say."""
        self._show("the table of stages", timings.HEADS, lambda: timings.rows(self.lookup, self._asked))

    def _show(self, what, heads, rows):
        if not self.ch.proving:
            return
        try:
            found = list(rows())
        except Exception as e:  # a check has said it already; a table is no proof
            show.display(*show.line("left out", what, words(e)))
        else:
            self.ch.table(heads, found)
