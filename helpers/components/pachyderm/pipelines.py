"""Pachyderm's repositories and pipelines as a chapter makes and proves them: jobs, logs, provenance, what is left over."""

from __future__ import annotations

import base64
import collections
import html
import time

import python_pachyderm
import urllib3
from minio.error import S3Error

from helpers.components.pachyderm import dataset
from helpers.components.pachyderm.deployment import SPACE
from helpers.core import catalogue, show
from helpers.core.actions import Action
from helpers.core.errors import BadInput, RunbookError, Unmet

#: a pipeline in Python: `code` runs for each datum that `glob` makes of the repository `repo`
Pipeline = collections.namedtuple("Pipeline", "name repo glob code gpu")
Pipeline.__new__.__defaults__ = (0,)

STARTING, RUNNING, FAILURE, SUCCESS, KILLED = range(5)  # pps.JobState
_FAILED, _CRASHING = 3, 6  # pps.PipelineState
BRANCH = "master"


class Pipelines:
    """Repositories and pipelines of one Pachyderm (helpers.pachyderm)."""

    def __init__(self, pachyderm):
        self.p, self.ch, self.kube = pachyderm, pachyderm.ch, pachyderm.kube
        self.image = catalogue.load()["python"].entry["image"]

    @property
    def client(self):
        return self.p.client

    # -- steps -----------------------------------------------------------------------------------

    def repository(self, name):
        """Action: the repository exists."""
        return Action(
            "pachctl create repo " + name,
            lambda: None if name in self.p.repositories() else "there is no repository " + name,
            lambda: self.client.create_repo(name),
        )

    def filled(self, repo, files):
        """Action: these files are on the branch master of the repository; others there stay."""

        def done():
            if repo not in self.p.repositories():
                return "there is no repository " + repo
            if self.unfinished(repo):
                return self.unfinished(repo)
            found = self.read_all(repo, files)
            bad = [path for path in files if found.get(path) != files[path]]
            return f"{len(bad)} of {len(files)} files are missing or others, like {bad[0]}" if bad else None

        def apply():
            self.put(repo, files)

        return Action(f"pachctl put file -r {repo}@{BRANCH} -f ...   ({len(files)} files, one commit)", done, apply)

    def pipeline(self, spec):
        """Action: the pipeline exists with this code, and has processed the newest commit. Refused when it wants a GPU that no node has.

        Applying runs it on everything again where its last job failed or never was.
        """

        def other():
            try:
                found = self.client.inspect_pipeline(spec.name)
            except RunbookError as e:
                return "there is no pipeline " + spec.name if "not found" in e.saw else e.saw
            same = (
                list(found.transform.stdin) == spec.code.splitlines()
                and found.transform.image == self.image
                and (found.input.pfs.repo, found.input.pfs.glob) == (spec.repo, spec.glob)
            )
            return None if same else f"pipeline {spec.name} runs other code"

        def done():
            why = other()
            if why:
                return why
            job = self.job(self.head(spec.repo), spec.name)
            if job is None:
                return f"pipeline {spec.name} has not processed the newest commit of {spec.repo}"
            return (
                None
                if job.state == SUCCESS
                else self.told(job, spec.name)
                if job.state in (FAILURE, KILLED)
                else f"pipeline {spec.name} is at work"
            )

        def apply():
            head = self.head(spec.repo)
            if other():
                self.create(spec)
            else:
                job = self.job(head, spec.name)
                if job is None or job.state in (FAILURE, KILLED):
                    self.create(spec, reprocess=True)
            self.follow(head, spec.name)

        return Action(
            f"pachctl create pipeline -f -   ({spec.name}: {spec.repo}, glob {spec.glob}, {self.image})", done, apply
        )

    def tidy(self):
        """Action: nothing in the cluster is left of pipelines that were deleted."""
        return Action(
            "kubectl delete replicationcontroller,service,pod ...   (those of deleted pipelines)",
            lambda: self.left_over_text() or None,
            self.delete_left_over,
        )

    # -- use -------------------------------------------------------------------------------------

    def create(self, spec, tries=3, reprocess=False):
        """Create or update a pipeline; BadInput when it asks for a GPU and no node has one to give. reprocess: run on all data again."""
        self.require_gpu(spec)
        limits = (
            {
                "resource_limits": python_pachyderm.ResourceSpec(
                    gpu=python_pachyderm.GPUSpec(type="nvidia.com/gpu", number=spec.gpu)
                )
            }
            if spec.gpu
            else {}
        )
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
        """A worker that wants a GPU where there is none never starts, and its pipeline crashes without a word: ask before."""
        if not spec.gpu:
            return
        has = [n["status"]["allocatable"].get("nvidia.com/gpu", "0") for n in self.kube.get("nodes")["items"]]
        if max(map(int, has), default=0) < spec.gpu:
            raise BadInput(
                f"create the pipeline {spec.name}",
                self.ch.host.name,
                "it asks for nvidia.com/gpu: {}, and no node has that many to give (they have {})".format(
                    spec.gpu, ", ".join(has)
                ),
                "Leave gpu out, or run chapter 04 on a host with an NVIDIA driver.",
            )

    def put(self, repo, files, delete=()):
        """Put files on master, and delete others, in one commit; returns it. A commit that was cut off before is dropped."""
        if self.unfinished(repo):
            self.client.delete_commit(self.head(repo))
        with self.client.commit(repo, BRANCH) as commit, self.client.put_file_client() as put:
            for path, content in files.items():
                put.put_file_from_bytes(commit, "/" + path, content, overwrite_index=0)
            for path in delete:
                put.delete_file(commit, "/" + path)
        return commit

    def unfinished(self, repo):
        """Why nothing can be read or written: the newest commit was begun and never ended. None otherwise."""
        for last in self.client.list_commit(repo, to_commit=(repo, BRANCH), number=1) if self.has_head(repo) else ():
            if not last.finished.seconds:
                return f"the newest commit of {repo} was begun and never finished"
        return None

    def head(self, repo):
        """The newest commit on master."""
        return self.client.inspect_branch(repo, BRANCH).head

    def names(self, repo):
        """The paths of all files on master, without the leading /."""
        return sorted(f.file.path.lstrip("/") for f in self.client.walk_file((repo, BRANCH), "/") if f.file_type == 1)

    def read(self, repo, path):
        return self.client.get_file((repo, BRANCH), "/" + path).read()

    def read_all(self, repo, paths):
        """{path: content} of those that are there."""
        there = set(self.names(repo)) if self.has_head(repo) else set()
        return {path: self.read(repo, path) for path in paths if path in there}

    def has_head(self, repo):
        return any(b.name == BRANCH and b.head.id for b in self.client.list_branch(repo))

    def follow(self, commit, pipeline, timeout=180):
        """Wait for the job that this commit starts in a pipeline, also one further down; returns its JobInfo.

        RunbookError with the last lines of the pipeline's code when it fails, and with the cluster's words when its
        workers cannot start; TimedOut otherwise.
        """
        crashing = []

        def job():
            info = self.job(commit, pipeline)
            return info if info is not None and info.state == SUCCESS else None

        def failed():
            info = self.job(commit, pipeline)
            if info is not None and info.state in (FAILURE, KILLED):
                return self.told(info, pipeline)
            state = self.client.inspect_pipeline(pipeline)
            if state.state != _CRASHING:
                del crashing[:]
            elif not crashing:
                crashing.append(time.monotonic())
            if (
                state.state == _FAILED or crashing and time.monotonic() - crashing[0] > 15
            ):  # a pod that waits for an image is called crashing, too
                return f"pipeline {pipeline} cannot run: {state.reason}"
            return next(
                (
                    text
                    for text, final in self.kube.troubles()
                    if final and "/pipeline-{}-v".format(pipeline.replace("_", "-").lower()) in text
                ),
                None,
            )

        return self.ch.wait(
            f"pipeline {pipeline} to process the commit",
            job,
            failed,
            timeout=timeout,
            do=f"On the host: microk8s kubectl get pods -n {SPACE}; the worker's log: microk8s kubectl logs -n {SPACE} -l pipelineName={pipeline} -c user",
        )

    def job(self, commit, pipeline):
        """The JobInfo of the newest job that this commit, or what was made from it, started in a pipeline; None when there is none yet."""
        for output in self.client.list_commit(pipeline, number=50):
            if any(p.commit.id == commit.id for p in output.provenance):
                # Before a commit's own job is made, the one of the commit before is listed.
                for info in self.client.list_job(pipeline_name=pipeline, output_commit=output.commit):
                    if info.output_commit.id == output.commit.id:
                        return info
        return None

    def told(self, job, pipeline):
        """A failed job in words: the last lines of its code, or Pachyderm's reason."""
        for _ in range(10):  # the last lines come a moment after the job's end
            lines = self.last_lines(job.job.id)
            if lines or job.reason.startswith("inputs failed"):
                break
            time.sleep(0.5)
        if not lines:
            return f"the job of pipeline {pipeline} failed: {job.reason}"
        return "the job of pipeline {} failed. The last lines of its code:\n{}".format(pipeline, "\n".join(lines))

    def last_lines(self, job, most=8):
        """What the user's code printed last in a job, in the last of its tries."""
        lines = []
        for message in self.client.get_job_logs(job):
            if message.user:
                lines.append(message.message.rstrip())
            elif "beginning to run user code" in message.message:
                lines = []
        return [line for line in lines if line][-most:]

    def delete(self, name):
        """Delete a pipeline, and what Pachyderm leaves of it in the cluster."""
        self.client.delete_pipeline(name, force=True)
        self.delete_left_over()

    def left_over(self):
        """[(kind, name, pipeline)] of workers, services and pods whose pipeline, or whose version of it, is no more."""
        known = {
            "pipeline-{}-v{}".format(i.pipeline.name.replace("_", "-").lower(), i.version): i.pipeline.name
            for i in self.client.list_pipeline().pipeline_info
        }
        objects = self.kube.get(f"replicationcontroller,service,pod -n {SPACE} -l suite=pachyderm,component=worker")[
            "items"
        ]
        found = []
        for o in objects:
            labels = o["metadata"]["labels"]
            app, pipeline = labels.get("app", ""), labels.get("pipelineName", "")
            if app not in known if app.startswith("pipeline-") else pipeline not in known.values():
                found.append((o["kind"].lower(), o["metadata"]["name"], pipeline))
        return sorted(found)

    def left_over_text(self):
        return ", ".join(f"{kind} {name}" for kind, name, _ in self.left_over())

    def delete_left_over(self):
        """Delete what is left over; returns what it was."""
        found = self.left_over()
        order = {"replicationcontroller": 0, "service": 1}
        for kind, name, _ in sorted(found, key=lambda f: order.get(f[0], 2)):
            self.kube.kubectl(f"delete {kind} {name} -n {SPACE} --ignore-not-found --timeout=60s", timeout=90)
        return found

    # -- proofs ----------------------------------------------------------------------------------

    def reads_back(self, repo, files):
        """Every file of the data set, read from master, is what was put."""
        found = self.read_all(repo, files)
        bad = [p for p in files if found.get(p) != files[p]]
        if bad:
            raise Unmet(f"{len(files)} files as they were put", f"{len(bad)} missing or other, like {bad[0]}")
        return f"{len(files)} files"

    def outlines(self, repo, output):
        """For each picture in repo, output has its outline: drawn here a second time, and compared."""
        pictures = self.names(repo)
        if self.names(output) != pictures:
            raise Unmet(f"{len(pictures)} outlines", f"{len(self.names(output))} files")
        for path in pictures:
            if dataset.pixels(self.read(output, path)) != dataset.outline(dataset.pixels(self.read(repo, path))):
                raise Unmet("the outline of " + path, "another picture")
        return f"{len(pictures)} outlines"

    def census(self, repo, output):
        """The table of how many pictures there are in each class is right."""
        wanted = collections.Counter(p.split("/")[0] for p in self.names(repo))
        text = "".join(f"{name},{count}\n" for name, count in sorted(wanted.items()))
        got = self.read(output, "census.csv").decode()
        if got != text:
            raise Unmet(f"{len(wanted)} classes, {sum(wanted.values())} pictures", repr(got[:80]))
        return f"{len(wanted)} classes, {sum(wanted.values())} pictures"

    def incremental(self, repo, pipeline):
        """One new picture: the job processes it alone and skips the rest. It is taken away again."""
        before = len(self.names(repo))
        path, content = dataset.one_more()
        job = self.follow(self.put(repo, {path: content}), pipeline)
        self.follow(self.put(repo, {}, delete=[path]), pipeline)
        if (job.data_processed, job.data_skipped) != (1, before):
            raise Unmet(
                f"1 datum processed, {before} skipped", f"{job.data_processed} processed, {job.data_skipped} skipped"
            )
        return f"1 processed, {job.data_skipped} skipped"

    def through_s3(self, repo, files):
        """The same files through the S3 gateway, bucket branch.repository: as many, and one compared byte by byte."""
        bucket = f"{BRANCH}.{repo}"
        try:
            keys = {o.object_name for o in self.p.s3.list_objects(bucket, recursive=True)}
        except S3Error as e:
            raise Unmet("bucket " + bucket, e.code)
        except urllib3.exceptions.HTTPError:
            raise Unmet("bucket " + bucket, "the S3 gateway does not answer", "pach-down")
        if not set(files) <= keys:
            raise Unmet(f"{len(files)} objects in bucket {bucket}", f"{len(keys)} objects")
        path = sorted(files)[-1]
        answer = self.p.s3.get_object(bucket, path)
        try:
            if answer.read() != files[path]:
                raise Unmet(f"{path} as it was put", "other bytes")
        finally:
            answer.close()
            answer.release_conn()
        return f"bucket {bucket}, {len(keys)} objects"

    def failure_is_told(self, repo):
        """A pipeline whose code raises: the error tells its last lines, and soon. The pipeline is deleted again."""
        spec = Pipeline(
            "broken",
            repo,
            "/",
            f"import os\nprint('found', len(os.listdir('/pfs/{repo}')), 'classes')\nraise ValueError('this code fails on purpose')",
        )
        self.create(spec, tries=1)
        try:
            self.follow(self.head(repo), spec.name)
        except RunbookError as e:
            if "ValueError: this code fails on purpose" not in (e.saw or ""):
                raise
            return "told: " + " / ".join(line.strip() for line in e.saw.splitlines()[1:])
        finally:
            self.delete(spec.name)
        raise Unmet("a failure", "the job ended well")

    def survives(self, restart, repo, files):
        """The data are as they were after restart()."""
        restart()
        return self.reads_back(repo, files)

    def gpu_is_refused(self, repo):
        """A pipeline that asks for more GPUs than there are is refused before it is made."""
        try:
            self.create(Pipeline("wants_gpu", repo, "/", "pass", 99))
        except BadInput as e:
            return e.saw.split(" (")[0]
        self.delete("wants_gpu")
        raise Unmet("refused", "the pipeline was made")

    def nothing_left_over(self):
        found = self.left_over_text()
        if found:
            raise Unmet("nothing", found)

    def workers_run(self, *names):
        """Each pipeline has its replication controller, and all its workers are ready."""
        found = {
            rc["metadata"]["labels"]["pipelineName"]: rc
            for rc in self.kube.get(f"replicationcontroller -n {SPACE} -l suite=pachyderm,component=worker")["items"]
        }
        bad = []
        for name in names:
            rc = found.get(name)
            ready, wanted = (rc["status"].get("readyReplicas", 0), rc["spec"]["replicas"]) if rc else (0, 1)
            if ready < max(wanted, 1):
                bad.append("{}: {}".format(name, "no workers" if rc is None else f"{ready} of {wanted} workers ready"))
        if bad:
            raise Unmet("workers for " + ", ".join(names), "; ".join(bad))

    def processed(self, repo, *pipelines):
        """Each pipeline has made its newest output from the newest commit of repo; a job that failed tells its last lines."""
        head = self.head(repo)
        if self.unfinished(repo):
            raise Unmet("a finished commit", self.unfinished(repo))
        for name in pipelines:
            self.follow(head, name, timeout=60)

    # -- pictures --------------------------------------------------------------------------------

    def show_pictures(self, repo, output):
        """The first picture of each class above its outline, as Pachyderm has them now. Nothing in plan and remove."""

        def make():
            paths = [p for p in self.names(repo) if p.endswith("/0.png")]
            rows = [
                sum(parts, [])
                for name in (repo, output)
                for parts in zip(*(dataset.pixels(self.read(name, p)) for p in paths))
            ]
            text = f"{len(paths)} pictures, and below them their outlines"
            return text, _image(rows, 2, text)

        self._show(make)

    def show_provenance(self, repo):
        """What is made from what, from repo on, as a picture. Nothing in plan and remove."""

        def make():
            nodes, edges = self.provenance(repo)
            return "\n".join("{} -> {}".format(a.replace(":", " "), b.replace(":", " ")) for a, b in edges), graph(
                nodes, edges
            )

        self._show(make)

    def _show(self, make):
        if not self.ch.proving:
            return
        try:
            text, markup = make()
        except Exception:  # a check has said it already; a picture is no proof
            show.display(*show.line("left out", "the picture", "it could not be read from Pachyderm"))
        else:
            show.display(text, markup)

    def provenance(self, repo):
        """(nodes, edges) from repo on: {"repo:x" or "pipeline:x": note}, [(from, to)]."""
        nodes, edges, todo = {"repo:" + repo: f"{len(self.names(repo))} files"}, [], [repo]
        infos = sorted(self.client.list_pipeline().pipeline_info, key=lambda i: i.pipeline.name)
        while todo:
            source = todo.pop(0)
            for info in infos:
                if source in _inputs(info.input):
                    name = info.pipeline.name
                    nodes["pipeline:" + name] = "glob " + _inputs(info.input)[source]
                    nodes["repo:" + name] = "{} file{}".format(
                        len(self.names(name)), "" if len(self.names(name)) == 1 else "s"
                    )
                    edges += [
                        e
                        for e in (("repo:" + source, "pipeline:" + name), ("pipeline:" + name, "repo:" + name))
                        if e not in edges
                    ]
                    todo.append(name)
        return nodes, edges


def _inputs(node):
    """{repository: glob} of a pipeline's input, also inside cross, union and join."""
    found = {node.pfs.repo: node.pfs.glob} if node.pfs.repo else {}
    for part in list(node.cross) + list(node.union) + list(node.join):
        found.update(_inputs(part))
    return found


def _image(rows, scale, alt):
    data = base64.b64encode(dataset.png(rows)).decode()
    return f'<img alt="{alt}" style="image-rendering:pixelated" width="{len(rows[0]) * scale}" height="{len(rows) * scale}" src="data:image/png;base64,{data}">'


def graph(nodes, edges):
    """An SVG of repositories (boxes) and pipelines (pills), left to right by the longest way to each.

    nodes: {"repo:name" or "pipeline:name": a note below the name}.  edges: [(from, to)].
    """
    level = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for a, b in edges:
            level[b] = max(level[b], level[a] + 1)
    columns = [[n for n in nodes if level[n] == k] for k in range(max(level.values()) + 1)]
    wide, high, gap = 116, 44, 36
    height = max(map(len, columns)) * (high + 20) + 4
    at = {}
    for x, column in enumerate(columns):
        for y, name in enumerate(column):
            at[name] = (2 + x * (wide + gap), height * (2 * y + 1) // (2 * len(column)) - high // 2)
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" style="max-width:100%;height:auto" font-family="sans-serif" text-anchor="middle">'.format(
            w=len(columns) * (wide + gap) - gap + 4, h=height
        ),
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>',
    ]
    for a, b in edges:
        (x1, y1), (x2, y2) = at[a], at[b]
        out.append(
            '<path d="M{} {} C{m} {} {m} {} {} {}" fill="none" stroke="#57606a" stroke-width="1.5" marker-end="url(#tip)"/>'.format(
                x1 + wide,
                y1 + high // 2,
                y1 + high // 2,
                y2 + high // 2,
                x2 - 1,
                y2 + high // 2,
                m=(x1 + wide + x2) // 2,
            )
        )
    for name, (x, y) in at.items():
        kind, _, label = name.partition(":")
        fill, line, radius = ("#ddf4ff", "#0969da", 4) if kind == "repo" else ("#fff8c5", "#9a6700", high // 2)
        out.append(
            f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="{radius}" fill="{fill}" stroke="{line}"/>'
        )
        for text, dy, size, colour in ((label, 19, 13, "#1f2328"), (nodes[name], 35, 11, "#57606a")):
            out.append(
                f'<text x="{x + wide // 2}" y="{y + dy}" font-size="{size}" fill="{colour}">{html.escape(text)}</text>'
            )
    return "".join(out) + "</svg>"
