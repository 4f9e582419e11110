"""Pachyderm's pipelines as a chapter makes them, and what is left of them in the cluster when they are deleted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import python_pachyderm

from helpers.components.pachyderm.client import SPACE, NotFound
from helpers.components.pachyderm.jobs import FAILURE, KILLED, SUCCESS, Jobs, worker
from helpers.components.pachyderm.repositories import BRANCH, Repositories
from helpers.core import catalogue
from helpers.core.actions import Action
from helpers.core.errors import BadInput, RunbookError


class Pipeline(NamedTuple):
    """A pipeline in Python: `code` runs for each datum that `glob` makes of the repository `repo`. gpu: how many."""

    name: str
    repo: str
    glob: str
    code: str
    gpu: int = 0


def code(path, repository):
    """A pipeline's code from a file: what follows its first comments, with the repository's name for REPOSITORY."""
    lines = Path(path).read_text("utf-8").splitlines(True)
    while lines[0].startswith("#"):
        del lines[0]
    return "".join(lines).replace("REPOSITORY", repository)


def why_bad_name(name):
    """None when it has letters, digits, _ and - only, as names in Pachyderm do; else the name."""
    return None if name.replace("_", "a").replace("-", "a").isalnum() else name


class Pipelines:
    """Pipelines of one Pachyderm (client.Pachyderm)."""

    def __init__(self, pach):
        self.pach, self.ch, self.kube = pach, pach.ch, pach.kube
        self.repos, self.jobs = Repositories(pach), Jobs(pach)
        self.image = catalogue.load()["python"].entry["image"]

    @property
    def client(self):
        return self.pach.client

    def pipeline(self, spec):
        """Action: the pipeline exists with this code, and has processed the newest commit.

        Applying runs it on everything again where its last job failed or never was. Refused when it wants a GPU that
        no node has.
        """
        return Action(
            f"pachctl create pipeline -f -   ({spec.name}: {spec.repo}, glob {spec.glob}, {self.image})",
            lambda: self._why_other(spec) or self._why_not_processed(spec),
            lambda: self._make(spec),
        )

    def _why_other(self, spec):
        try:
            found = self.client.inspect_pipeline(spec.name)
        except NotFound:
            return "there is no pipeline " + spec.name
        except RunbookError as e:
            return e.saw
        program, source = found.transform, found.input.pfs
        is_same = (list(program.stdin), program.image) == (spec.code.splitlines(), self.image)
        reads_same = (source.repo, source.glob) == (spec.repo, spec.glob)
        return None if is_same and reads_same else f"pipeline {spec.name} runs other code"

    def _why_not_processed(self, spec):
        job = self._newest_job(spec)
        if job is None:
            return f"pipeline {spec.name} has not processed the newest commit of {spec.repo}"
        if job.state in (FAILURE, KILLED):
            return self.jobs.told(job, spec.name)
        return None if job.state == SUCCESS else f"pipeline {spec.name} is at work"

    def _newest_job(self, spec):
        return self.jobs.job(self.repos.head(spec.repo), spec.name)

    def _make(self, spec):
        head = self.repos.head(spec.repo)
        if self._why_other(spec):
            self.create(spec)
        else:
            job = self.jobs.job(head, spec.name)
            if job is None or job.state in (FAILURE, KILLED):
                self.create(spec, reprocess=True)
        self.jobs.follow(head, spec.name)

    def create(self, spec, tries=3, reprocess=False):
        """Create or update a pipeline. reprocess: run it on all data again.

        BadInput when it asks for a GPU and no node has one to give.
        """
        self.require_gpu(spec)
        limits = {}
        if spec.gpu:
            gpus = python_pachyderm.GPUSpec(type="nvidia.com/gpu", number=spec.gpu)
            limits["resource_limits"] = python_pachyderm.ResourceSpec(gpu=gpus)
        self.client.create_pipeline(
            spec.name,
            update=True,
            datum_tries=tries,
            reprocess=reprocess,
            transform=python_pachyderm.Transform(
                image=self.image, cmd=["python3", "-"], stdin=spec.code.splitlines(), working_dir="/tmp", user=""
            ),
            input=python_pachyderm.Input(pfs=python_pachyderm.PFSInput(repo=spec.repo, branch=BRANCH, glob=spec.glob)),
            **limits,
        )

    def require_gpu(self, spec):
        """A worker that wants a GPU where there is none never starts, and its pipeline crashes without a word: ask."""
        if not spec.gpu:
            return
        has = [n["status"]["allocatable"].get("nvidia.com/gpu", "0") for n in self.kube.get("nodes")["items"]]
        if max(map(int, has), default=0) < spec.gpu:
            have = ", ".join(has)
            raise BadInput(
                f"create the pipeline {spec.name}",
                self.ch.host.name,
                f"it asks for nvidia.com/gpu: {spec.gpu}, and no node has that many to give (they have {have})",
                "Leave gpu out, or run chapter 04 on a host with an NVIDIA driver.",
            )

    def delete(self, name):
        """Delete a pipeline, and what Pachyderm leaves of it in the cluster."""
        self.client.delete_pipeline(name, force=True)
        self.delete_left_over()

    def tidy(self):
        """Action: nothing in the cluster is left of pipelines that were deleted."""
        return Action(
            "kubectl delete replicationcontroller,service,pod ...   (those of deleted pipelines)",
            self.why_untidy,
            self.delete_left_over,
        )

    def why_untidy(self):
        """None when nothing is left of deleted pipelines, else what it is."""
        return ", ".join(f"{kind} {name}" for kind, name, _ in self.left_over()) or None

    def left_over(self):
        """[(kind, name, pipeline)] of workers, services and pods whose pipeline, or whose version of it, is no more."""
        infos = self.client.list_pipeline().pipeline_info
        apps = {f"{worker(i.pipeline.name)}-v{i.version}" for i in infos}
        names = {i.pipeline.name for i in infos}
        found = []
        for o in self.workers("replicationcontroller,service,pod"):
            app, pipeline = (o["metadata"]["labels"].get(key, "") for key in ("app", "pipelineName"))
            if app not in apps if app.startswith("pipeline-") else pipeline not in names:
                found.append((o["kind"].lower(), o["metadata"]["name"], pipeline))
        return sorted(found)

    def delete_left_over(self):
        """Delete what is left over; returns what it was."""
        found = self.left_over()
        order = {"replicationcontroller": 0, "service": 1}
        for kind, name, _ in sorted(found, key=lambda f: order.get(f[0], 2)):
            self.kube.kubectl(f"delete {kind} {name} -n {SPACE} --ignore-not-found --timeout=300s")
        return found

    def workers(self, kinds):
        """Objects of these kinds that belong to pipelines' workers."""
        return self.kube.get(f"{kinds} -n {SPACE} -l suite=pachyderm,component=worker")["items"]
