"""Stage 5: what a push starts: GitLab's pipeline, its jobs and their logs, until the model is served or not."""

from __future__ import annotations

import json
import re

from helpers.components.end_to_end import repository
from helpers.components.end_to_end.pictures import LABELS, OUTLINES
from helpers.components.pachyderm.client import NotFound
from helpers.core.actions import Action
from helpers.core.errors import NotYet

#: a pipeline's states in which it goes no further
_OVER = ("success", "failed", "canceled", "skipped")
#: of a log: colours, and the runner's marks of sections
_MARKS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|section_(start|end):\S+\r?")
#: the commit of the proof that nothing is rolled out, and what it puts below the model
_BROKEN = "A model that must not be served: the runbook's proof"
_BREAKS = '\n\nraise RuntimeError("this model must not be served")\n'


class Delivery:
    """The pipelines of a repository.Repository, and the pushes that start them.

    pictures, labels: on which commits a push trains.
    """

    def __init__(self, repo, pictures, labels):
        self.repo, self.ch, self.pictures, self.labels = repo, repo.ch, pictures, labels

    def why_others(self):
        """None when nothing of our names is somebody's in Pachyderm, Label Studio and GitLab; else what is."""
        return self.pictures.why_others() or self.labels.why_others() or self.repo.why_others()

    def why_peoples(self):
        """For remove: None when people have nothing in what goes; else what. A system that cannot tell is an error."""
        found = (stage.why_peoples() for stage in (self.pictures, self.labels, self.repo))
        return "; ".join(filter(None, found)) or None

    # -- pipelines -------------------------------------------------------------------------------------

    def newest(self, **which):
        """The newest pipeline on master; None when there is none. which: as GitLab's API filters (sha, status)."""
        found = self.some(1, **which)
        return found[0] if found else None

    def some(self, most, **which):
        """The newest pipelines on master, so many at most."""
        found = dict(which, ref=repository.BRANCH, per_page=most, page=1)
        return self.repo.api().http_get(self.repo.url("/pipelines"), query_data=found)

    def jobs(self, pipeline):
        """Its jobs as GitLab tells them, in their order."""
        found = self.repo.git.all_of(self.repo.url(f"/pipelines/{pipeline}/jobs"))
        return sorted(found, key=lambda job: job["id"])

    def trace(self, job):
        """A job's log, without colours."""
        said = self.repo.api().http_get(self.repo.url(f"/jobs/{job}/trace"), raw=True)
        return _MARKS.sub("", said.content.decode("utf-8", "replace"))

    def follow(self, sha, timeout=1800):
        """Wait until the pipeline of this commit ended well; returns it. RunbookError, with its log's end, else."""
        return self.ch.wait(
            f"the pipeline of commit {sha[:8]}",
            lambda: self._over(sha),
            failed=lambda: self.why_failed(self.newest(sha=sha)),
            timeout=timeout,
            do="Its jobs, and their logs: " + self.repo.git.url + "/" + repository.PATH + "/-/pipelines",
        )

    def _over(self, sha):
        found = self.newest(sha=sha)
        if not found:
            raise NotYet("GitLab has made no pipeline of it yet")
        if found["status"] != "success":
            states = (f"{job['name']} {job['status']}" for job in self.jobs(found["id"]))
            raise NotYet(", ".join(states) or found["status"])
        return found

    def why_failed(self, pipeline):
        """Why a pipeline will not come to a good end; None while it may."""
        if not pipeline or pipeline["status"] not in _OVER[1:]:
            return None
        bad = [job for job in self.jobs(pipeline["id"]) if job["status"] in ("failed", "canceled")]
        if not bad:
            return "pipeline {} is {}".format(pipeline["id"], pipeline["status"])
        lines = [line.rstrip() for line in self.trace(bad[0]["id"]).splitlines() if line.strip()]
        reason = bad[0].get("failure_reason") or bad[0]["status"]
        return "job {} of pipeline {}: {}. Its last lines:\n{}".format(
            bad[0]["name"], pipeline["id"], reason, "\n".join(lines[-12:])
        )

    # -- pushes ----------------------------------------------------------------------------------------

    def now(self):
        """data.json: the newest commits of pictures and labels, and their files."""
        of = (("pictures", OUTLINES, self.pictures.head()), ("labels", LABELS, self.labels.head()))
        found = {kind: {"repo": r, "commit": c, "files": self.pictures.names(r, c)} for kind, r, c in of}
        return json.dumps(found, indent=1) + "\n"

    def first(self):
        """Action: a first push has been trained, built and served."""
        return Action(
            f"git push   ({len(repository.files()) + 1} files to {repository.PATH}: tested, trained, built, served)",
            self._why_never,
            lambda: self._deliver(dict(repository.files(), **{repository.DATA: self.now()}), "The model of clothes"),
        )

    def _why_never(self):
        if self.repo.head() is None:
            return f"nothing was ever pushed to {repository.PATH}"
        return None if self.newest(status="success") else "no pipeline of it ended well yet"

    def _deliver(self, changes, message):
        """Push what differs, or start the pipeline again where nothing does; returns when it has ended well."""
        sha = self._pushed(changes, message)
        self.follow(sha)
        return sha

    def _pushed(self, changes, message):
        head = self.repo.head()
        if head:
            changes = {path: text for path, text in changes.items() if self._text(path) != text}
        if changes:
            return self.repo.push(changes, message)
        self.repo.api().http_post(self.repo.url("/pipeline"), post_data={"ref": repository.BRANCH})
        return head["id"]

    def _text(self, path):
        try:
            return self.repo.read(path)
        except repository.NoFile:
            return None

    def trained_on_corrected(self, why_another):
        """Action: the newest push is trained on labels of which none of the ten is wrong, and it is what is served.

        why_another: says why another commit's model answers, None when that one's does.
        """
        return Action(
            f"git push   ({repository.DATA}: the labels' newest commit)",
            lambda: self._why_not_on_corrected() or self.why_not_served(why_another),
            self._push_corrected,
        )

    def _why_not_on_corrected(self):
        head = self.repo.head()
        if head is None:
            return f"{repository.PATH} is empty"
        data = self.repo.data(head["id"])
        commit = data["labels"]["commit"]
        try:
            self.pictures.commit(data["pictures"]["repo"], data["pictures"]["commit"])
            bad = self.labels.wrong_in(commit)
        except NotFound as e:  # Pachyderm was made anew, or set back
            return f"it is trained on what Pachyderm does not have: {e.saw}"
        return f"it is trained on commit {commit[:8]}, where {len(bad)} labels are wrong" if bad else None

    def why_not_served(self, why_another):
        """None when what answers is the newest commit's model."""
        head, pipeline = self.repo.head(), self.newest()
        if not pipeline or pipeline["sha"] != head["id"]:
            return f"commit {head['id'][:8]} has no pipeline"
        why = self.why_failed(pipeline)
        if why or pipeline["status"] != "success":
            return why or "pipeline {} is {}".format(pipeline["id"], pipeline["status"])
        return why_another(head["id"])

    def _push_corrected(self):
        changes = {repository.DATA: self.now()} if self._why_not_on_corrected() else {}
        self._deliver(dict(changes, **self._mended()), "Ten labels are right now")

    def _mended(self):
        """The model as it was before a proof that was cut off: {} where none was."""
        head = self.repo.head()
        if head["title"] != _BROKEN:
            return {}
        return {repository.MODEL: self.repo.read(repository.MODEL, head["parent_ids"][0])}

    # -- proofs that push ------------------------------------------------------------------------------

    def push_broken(self):
        """Push a model that fails its test, and wait until its pipeline is over; the pipeline's jobs."""
        text = self.repo.read(repository.MODEL)
        sha = self.repo.push({repository.MODEL: text + _BREAKS}, _BROKEN)
        self.ch.wait("the pipeline of a broken model", lambda: self._is_over(sha), timeout=900)
        return self.jobs(self.newest(sha=sha)["id"])

    def _is_over(self, sha):
        found = self.newest(sha=sha)
        return bool(found) and found["status"] in _OVER

    def push_changed(self):
        """Push the model with another setting, as a person who changes it; the commit, when its pipeline ended well."""
        settings = json.loads(self.repo.read(repository.SETTINGS))
        settings["temperature"] = 2.0 if settings.get("temperature") == 1.0 else 1.0
        changes = dict(self._mended(), **{repository.SETTINGS: json.dumps(settings) + "\n"})
        return self._deliver(changes, "Temperature {}".format(settings["temperature"]))
