"""The jobs that a commit starts in Pachyderm's pipelines: which, how they end, and what their code said last."""

from __future__ import annotations

import contextlib

from helpers.components.pachyderm.client import SPACE
from helpers.core.errors import TimedOut

STARTING, RUNNING, FAILURE, SUCCESS, KILLED = range(5)  # pps.JobState
#: pps.PipelineState. CRASHING is no end: one failed pull of a worker's image makes it so until all workers are up.
_FAILED = 3
#: how much of a job's log an error shows
_LINES = 8
#: seconds for the log of a job that has failed
_LAST_WORDS = 120


class Jobs:
    """Jobs of one Pachyderm (client.Pachyderm)."""

    def __init__(self, pach):
        self.pach = pach

    @property
    def client(self):
        return self.pach.client

    def job(self, commit, pipeline):
        """The newest JobInfo that this commit, or what was made from it, started in a pipeline; None while none."""
        for output in self.client.list_commit(pipeline, number=50):
            if any(p.commit.id == commit.id for p in output.provenance):
                # Before a commit's own job is made, the one of the commit before is listed.
                for info in self.client.list_job(pipeline_name=pipeline, output_commit=output.commit):
                    if info.output_commit.id == output.commit.id:
                        return info
        return None

    def follow(self, commit, pipeline, timeout=600):
        """Wait for the job that this commit starts in a pipeline, also one further down; returns its JobInfo.

        RunbookError with the last lines of the pipeline's code when it fails, and with the cluster's words when its
        workers cannot start; TimedOut otherwise.
        """
        watch = _Watch(self, commit, pipeline)
        return self.pach.ch.wait(
            f"pipeline {pipeline} to process the commit",
            watch.done,
            watch.why_hopeless,
            stands=watch.pods.stands,
            timeout=timeout,
            do=f"On the host: microk8s kubectl get pods -n {SPACE}; the worker's log: "
            f"microk8s kubectl logs -n {SPACE} -l pipelineName={pipeline} -c user",
        )

    def told(self, job, pipeline):
        """A failed job in words: the last lines of its code, or Pachyderm's reason."""
        lines = [] if job.reason.startswith("inputs failed") else self._lines_to_come(job.job.id, pipeline)
        if not lines:
            return f"the job of pipeline {pipeline} failed: {job.reason}"
        return "the job of pipeline {} failed. The last lines of its code:\n{}".format(pipeline, "\n".join(lines))

    def _lines_to_come(self, job, pipeline):
        """The last ones once all are there: they come after the job's end, on a busy host many seconds later."""
        lines = []

        def all_there():
            lines[:], ended = self.log(job)
            return ended

        with contextlib.suppress(TimedOut):  # a worker that was killed has no last word
            self.pach.ch.wait(f"the last words of pipeline {pipeline}", all_there, timeout=_LAST_WORDS)
        return lines[-_LINES:]

    def log(self, job):
        """The lines of the user's code in the last of its tries, and did that try end?"""
        lines, ended = [], False
        for message in self.client.get_job_logs(job):
            if message.user:
                lines.append(message.message.rstrip())
            elif "beginning to run user code" in message.message:
                lines, ended = [], False
            elif "running user code after" in message.message:  # it errored, or finished
                ended = True
        return [line for line in lines if line], ended


class _Watch:
    """A pipeline while its job is waited for."""

    def __init__(self, jobs, commit, pipeline):
        self.jobs, self.commit, self.pipeline = jobs, commit, pipeline
        self.pods = jobs.pach.kube.pods(SPACE)

    def done(self):
        info = self.jobs.job(self.commit, self.pipeline)
        return info if info is not None and info.state == SUCCESS else None

    def why_hopeless(self):
        info = self.jobs.job(self.commit, self.pipeline)
        if info is not None and info.state in (FAILURE, KILLED):
            return self.jobs.told(info, self.pipeline)
        state = self.jobs.client.inspect_pipeline(self.pipeline)
        if state.state == _FAILED:
            return f"pipeline {self.pipeline} cannot run: {state.reason}"
        return self._trouble()

    def _trouble(self):
        pod = f"/{worker(self.pipeline)}-v"
        return next((text for text, final in self.pods.told() if final and pod in text), None)


def worker(pipeline):
    """What the workers of a pipeline are called in the cluster; -v and the pipeline's version follow."""
    return "pipeline-" + pipeline.replace("_", "-").lower()
