"""What chapter 07 proves of Pachyderm: one version, no open port, data, pipelines, failures, a redeployment."""

from __future__ import annotations

import collections
import json

import urllib3
from minio.error import S3Error

from helpers.components import minio
from helpers.components.pachyderm import dataset
from helpers.components.pachyderm.client import GRPC, S3, SPACE
from helpers.components.pachyderm.pipelines import Pipeline
from helpers.components.pachyderm.repositories import BRANCH
from helpers.core import actions, probes
from helpers.core.errors import BadInput, RunbookError, Unmet
from helpers.core.listening import from_here
from helpers.core.paths import home

#: etcd's port on the host, where `pachctl deploy` opens it
_ETCD = 32379
_FAILS = """import os
print('found', len(os.listdir('/pfs/REPOSITORY')), 'classes')
raise ValueError('this code fails on purpose')"""


class Proofs:
    """Proofs of one deployment.Deployment, with its pipelines (pipelines.Pipelines)."""

    def __init__(self, deployment, pipes):
        self.deployment, self.pipes = deployment, pipes
        self.pach, self.ch, self.kube = pipes.pach, pipes.ch, pipes.kube
        self.repos, self.jobs = pipes.repos, pipes.jobs

    # The deployment.

    def versions_are_one(self):
        """pachctl here and pachd there are the pinned version; so says pachctl, asking pachd."""
        pinned = self.deployment.version
        said = self._pachctl_version()
        found = dict(line.split()[:2] for line in said.splitlines() if line.startswith(("pachctl", "pachd")))
        ours, theirs = found.get("pachctl", "?"), found.get("pachd", "?")
        if not ours == theirs == pinned:
            raise Unmet(f"{pinned} and {pinned}", f"pachctl {ours}, pachd {theirs}")
        return f"pachctl {ours}, pachd {theirs}"

    def _pachctl_version(self):
        self.pach.client.get_remote_version()  # pachctl would wait long for a pachd that is away
        host, port = self.pach.way(GRPC)
        context = {"pachd_address": f"grpc://{host}:{port}"}
        settings = {"active_context": "here", "metrics": False, "contexts": {"here": context}}
        path = home("pachyderm") / f"{self.ch.host.target.slug}-{port}.json"
        path.write_text(json.dumps({"user_id": "runbook", "v2": settings}))
        try:
            return self.deployment.pachctl.run("version", env={"PACH_CONFIG": str(path)}, timeout=300)
        finally:
            path.unlink()

    def is_shut(self):
        """No port of the host leads to pachd or etcd but those asked for; from this machine no other answers."""
        wanted = {GRPC, S3} if self.deployment.manifest.open_type else set()
        found = self._node_ports()
        if found != wanted:
            raise Unmet("ports of the host: " + _listed(wanted), "services lead there from " + _listed(found))
        answers = from_here(self.ch.host.address, (GRPC, S3, _ETCD))
        opened = {port for port, answer in answers.items() if answer == "open"}
        if opened - wanted:
            saw = f"port {_listed(opened - wanted)} of the host answers: Pachyderm asks nobody for a password"
            raise Unmet("no way in from the network", saw)
        said = f"{_listed(opened)} answers from the network, " if opened else ""
        return said + f"ports of the host: {_listed(found)}"

    def _node_ports(self):
        """Those of all Services that lead to pachd or etcd, whoever made them."""
        services = (o["spec"] for o in self.kube.get(f"service -n {SPACE}")["items"])
        ours = (spec["ports"] for spec in services if (spec.get("selector") or {}).get("app") in ("pachd", "etcd"))
        return {port["nodePort"] for ports in ours for port in ports if port.get("nodePort")}

    def disk_is_free(self, percent):
        """More than `percent` of the disk with pods and images is left."""
        why = actions.why_not_so(self.ch.host, probes.percent_is_free("/var", percent))
        if why:
            raise Unmet("more", why)

    def survives_redeployment(self, repo, files):
        """The data are as they were after everything that runs was deleted and deployed again."""
        self.deployment.redeploy()
        return self.reads_back(repo, files)

    # The data.

    def reads_back(self, repo, files):
        """Every file of the data set, read from master, is what was put."""
        bad = self.repos.others(repo, files)
        if bad:
            raise Unmet(f"{len(files)} files as they were put", f"{len(bad)} missing or other, like {bad[0]}")
        return f"{len(files)} files"

    def through_s3(self, repo, files):
        """The same files through the S3 gateway, bucket branch.repository: as many, and one compared byte by byte.

        The gateway of 1.13 pages by the older list alone (pachyderm/s2, bucket.go).
        """
        bucket, path = f"{BRANCH}.{repo}", sorted(files)[-1]
        try:
            keys = {o.object_name for o in self.pach.s3.list_objects(bucket, recursive=True, use_api_v1=True)}
            if not set(files) <= keys:
                raise Unmet(f"{len(files)} objects in bucket {bucket}", f"{len(keys)} objects")
            if minio.read(self.pach.s3, bucket, path) != files[path]:
                raise Unmet(f"{path} as it was put", "other bytes")
        except S3Error as e:
            raise Unmet("bucket " + bucket, e.code) from e
        except urllib3.exceptions.HTTPError as e:
            raise Unmet("bucket " + bucket, "the S3 gateway does not answer", "pach-down") from e
        return f"bucket {bucket}, {len(keys)} objects"

    # The pipelines.

    def processed(self, repo, *pipelines):
        """Each pipeline has processed the newest commit of repo; a job that failed tells its last lines."""
        head = self.repos.head(repo)
        if self.repos.why_unfinished(repo):
            raise Unmet("a finished commit", self.repos.why_unfinished(repo))
        for name in pipelines:
            self.jobs.follow(head, name)

    def outlines(self, repo, output):
        """For each picture in repo, output has its outline: drawn here a second time, and compared."""
        pictures, there = self.repos.names(repo), self.repos.names(output)
        if there != pictures:
            raise Unmet(f"{len(pictures)} outlines", f"{len(there)} files")
        for path in pictures:
            picture = dataset.pixels(self.repos.read(repo, path))
            if dataset.pixels(self.repos.read(output, path)) != dataset.outline(picture):
                raise Unmet("the outline of " + path, "another picture")
        return f"{len(pictures)} outlines"

    def census(self, repo, output):
        """The table of how many pictures there are in each class is right."""
        wanted = collections.Counter(p.split("/")[0] for p in self.repos.names(repo))
        text = "".join(f"{name},{count}\n" for name, count in sorted(wanted.items()))
        got, counted = self.repos.read(output, "census.csv").decode(), sum(wanted.values())
        if got != text:
            raise Unmet(f"{len(wanted)} classes, {counted} pictures", repr(got[:80]))
        return f"{len(wanted)} classes, {counted} pictures"

    def workers_run(self, *names):
        """Each pipeline has its replication controller, and all its workers are ready."""
        found = {rc["metadata"]["labels"]["pipelineName"]: rc for rc in self.pipes.workers("replicationcontroller")}
        bad = [f"{name}: {why}" for name in names for why in [_why_not_ready(found.get(name))] if why]
        if bad:
            raise Unmet("workers for " + ", ".join(names), "; ".join(bad))

    def incremental(self, repo, pipeline):
        """One new picture: the job processes it alone and skips the rest. It is taken away again."""
        before = len(self.repos.names(repo))
        path, content = dataset.one_more()
        job = self.jobs.follow(self.repos.put(repo, {path: content}), pipeline)
        self.jobs.follow(self.repos.put(repo, {}, delete=[path]), pipeline)
        if (job.data_processed, job.data_skipped) != (1, before):
            saw = f"{job.data_processed} processed, {job.data_skipped} skipped"
            raise Unmet(f"1 datum processed, {before} skipped", saw)
        return f"1 processed, {job.data_skipped} skipped"

    def failure_is_told(self, repo):
        """A pipeline whose code raises: the error tells its last lines, and soon. The pipeline is deleted again."""
        spec = Pipeline("broken", repo, "/", _FAILS.replace("REPOSITORY", repo))
        self.pipes.create(spec, tries=1)
        try:
            self.jobs.follow(self.repos.head(repo), spec.name)
        except RunbookError as e:
            if "ValueError: this code fails on purpose" not in (e.saw or ""):
                raise
            return "told: " + " / ".join(line.strip() for line in e.saw.splitlines()[1:])
        finally:
            self.pipes.delete(spec.name)
        raise Unmet("a failure", "the job ended well")

    def gpu_is_refused(self, repo):
        """A pipeline that asks for more GPUs than there are is refused before it is made."""
        try:
            self.pipes.create(Pipeline("wants_gpu", repo, "/", "pass", 99))
        except BadInput as e:
            return e.saw.split(" (")[0]
        self.pipes.delete("wants_gpu")
        raise Unmet("refused", "the pipeline was made")

    def nothing_left_over(self):
        """Nothing in the cluster is left of deleted pipelines."""
        found = self.pipes.why_untidy()
        if found:
            raise Unmet("nothing", found)


def _listed(ports):
    return ", ".join(map(str, sorted(ports))) or "none"


def _why_not_ready(rc):
    """None when a pipeline's replication controller (None: there is none) has all its workers ready."""
    if rc is None:
        return "no workers"
    ready, wanted = rc["status"].get("readyReplicas", 0), rc["spec"]["replicas"]
    return None if ready >= max(wanted, 1) else f"{ready} of {wanted} workers ready"
