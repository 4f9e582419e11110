"""Pipelines and their jobs, on answers that pachd really gave, over a real gRPC connection."""

import contextlib
import hashlib
import itertools
import json
import time

import pachd
import pytest
import stand_in
from google.protobuf.empty_pb2 import Empty
from pachd import pfs, pipeline_info, pps

from helpers.components.pachyderm import dataset, jobs, pipelines
from helpers.components.pachyderm.client import NotFound
from helpers.components.pachyderm.jobs import FAILURE, KILLED, RUNNING, SUCCESS
from helpers.components.pachyderm.pipelines import Pipeline, Pipelines
from helpers.components.pachyderm.proofs import Proofs
from helpers.core import notebooks, waiting
from helpers.core.errors import BadInput, RunbookError, TimedOut, Unmet
from helpers.core.paths import SETUP

#: a worker's own line when the user's code has failed
ENDED = (False, "errored running user code after 19.7ms: exit status 1")
SPEC = Pipeline("outline", "fmnist", "/*/*", "import os\nprint(1)")


@pytest.fixture
def cluster(monkeypatch, own_home):
    """cluster(items, **answers): Pipelines on a pachd with these answers, in a cluster with these objects."""
    with contextlib.ExitStack() as stack:

        def make(items=(), **answers):
            said = json.dumps({"items": list(items)})
            ch = stand_in.chapter(monkeypatch, "pachyderm", lambda script, stdin: said)
            return Pipelines(stack.enter_context(pachd.asked(ch, **answers)))

        yield make


def log(*messages):
    return [pps.LogMessage(user=user, message=text) for user, text in messages]


def commit(name):
    return pfs.Commit(id=name)


def output(name, *made_from):
    """A commit of a pipeline's output."""
    provenance = [pfs.CommitProvenance(commit=commit(c)) for c in made_from]
    return pfs.CommitInfo(commit=commit(name), provenance=provenance)


def job(state, made="out", **fields):
    return pps.JobInfo(job=pps.Job(id="j"), state=state, output_commit=commit(made), **fields)


def test_the_last_lines_are_those_of_the_last_try(cluster):
    lines = log(
        (False, "beginning to run user code"),
        (True, "ValueError: first"),
        (False, "beginning to run user code"),
        (True, "Traceback\n"),
        (True, ""),
        (True, "ValueError: last"),
        ENDED,
    )
    assert cluster(GetLogs=lines).jobs.log("j") == (["Traceback", "ValueError: last"], True)


def test_a_failed_job_is_told_by_its_last_lines(cluster):
    jobs = cluster(GetLogs=log((True, "ValueError: x"), ENDED)).jobs
    assert jobs.told(job(FAILURE, reason="datum failed"), "p").endswith("code:\nValueError: x")
    failed = job(FAILURE, reason="inputs failed: outline")
    assert cluster(GetLogs=[]).jobs.told(failed, "p") == "the job of pipeline p failed: inputs failed: outline"


def test_the_last_lines_are_waited_for_to_the_last(cluster, monkeypatch):
    """On a busy host a failed job's log comes later than its end, and piece by piece."""
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)
    pieces = [[], [], [], [], [], [], [], [], [], [], [], [(True, "Traceback")], [(True, "ValueError: x")], [ENDED]]
    asked = itertools.count(1)
    jobs = cluster(GetLogs=lambda request: log(*itertools.chain(*pieces[: next(asked)]))).jobs
    assert jobs.told(job(FAILURE, reason="datum failed"), "p").endswith("code:\nTraceback\nValueError: x")


def test_the_lines_of_a_worker_that_was_killed_are_told_as_far_as_they_came(cluster, monkeypatch):
    monkeypatch.setattr(jobs, "_LAST_WORDS", 1)
    killed = cluster(GetLogs=log((True, "page 1"))).jobs
    assert killed.told(job(KILLED, reason="killed"), "p").endswith("code:\npage 1")


def test_the_job_of_the_commit_before_is_not_taken_for_this_ones(cluster):
    stale, own, made = job(SUCCESS, "out1"), job(SUCCESS, "out2"), [output("out2", "in2")]
    assert cluster(ListCommitStream=made, ListJobStream=[stale]).jobs.job(commit("in2"), "p") is None
    assert cluster(ListCommitStream=made, ListJobStream=[stale, own]).jobs.job(commit("in2"), "p") == own
    assert cluster(ListCommitStream=made, ListJobStream=[own]).jobs.job(commit("in1"), "p") is None


def test_following_a_commit_ends_with_its_job_or_with_the_reason_why_there_is_no_hope(cluster):
    made, info = [output("out", "in")], pipeline_info("p")
    jobs = cluster(ListCommitStream=made, ListJobStream=[job(SUCCESS, data_processed=3)]).jobs
    assert jobs.follow(commit("in"), "p").data_processed == 3
    broken = log((True, "ValueError: x"), ENDED)
    jobs = cluster(ListCommitStream=made, ListJobStream=[job(FAILURE)], GetLogs=broken, InspectPipeline=info).jobs
    with pytest.raises(RunbookError) as e:
        jobs.follow(commit("in"), "p")
    assert e.value.saw.endswith("ValueError: x")
    info = pps.PipelineInfo(state=pps.PIPELINE_FAILURE, reason="no such image")
    jobs = cluster(ListCommitStream=[], ListJobStream=[], InspectPipeline=info).jobs
    with pytest.raises(RunbookError) as e:
        jobs.follow(commit("in"), "p")
    assert e.value.saw == "pipeline p cannot run: no such image"


def test_an_answer_of_pachds_that_is_late_ends_no_wait_and_a_pipeline_that_is_gone_does(cluster):
    answers = {"ListCommitStream": [], "ListJobStream": []}
    with pytest.raises(TimedOut, match="pachd is busy"):
        cluster(InspectPipeline="pachd is busy", **answers).jobs.follow(commit("in"), "p", timeout=0.1)
    with pytest.raises(NotFound):
        cluster(InspectPipeline='pipeline "p" not found', **answers).jobs.follow(commit("in"), "p", timeout=0.1)


def test_a_pod_that_will_never_run_ends_the_wait_when_it_is_the_pipelines(cluster):
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    pod = {
        "kind": "Pod",
        "metadata": {"namespace": "pachyderm", "name": "pipeline-my-line-v1-x", "uid": "1"},
        "spec": {"containers": [{"name": "user"}]},
        "status": {"containerStatuses": [{"name": "user", "image": "python:0", "state": waiting}]},
    }
    answers = {"ListCommitStream": [], "ListJobStream": [], "InspectPipeline": pipeline_info("My_line")}
    with pytest.raises(RunbookError) as e:
        cluster([pod], **answers).jobs.follow(commit("in"), "My_line")
    assert "gets no image python:0" in e.value.saw
    with pytest.raises(RunbookError) as e:
        cluster([pod], **answers).jobs.follow(commit("in"), "other", timeout=0.1)
    assert e.value.saw == "not ready"


def test_a_pipeline_that_is_called_crashing_is_waited_for(cluster, monkeypatch):
    """One 429 of a registry makes it so, and the kubelet tries again: the wait ended after 15 s."""
    info = pps.PipelineInfo(state=pps.PIPELINE_CRASHING, reason="429 Too Many Requests")
    watch = jobs._Watch(cluster(ListCommitStream=[], ListJobStream=[], InspectPipeline=info).jobs, commit("in"), "p")
    assert watch.why_hopeless() is None
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert watch.why_hopeless() is None


def probed(cluster, info, *jobs, logs=()):
    head = pfs.BranchInfo(name="master", head=commit("in"))
    pipes = cluster(
        InspectPipeline=info,
        InspectBranch=head,
        ListCommitStream=[output("out", "in")],
        ListJobStream=list(jobs),
        GetLogs=log(*logs),
    )
    return pipes.pipeline(SPEC).probe()


def test_a_pipeline_is_as_it_should_be_when_it_runs_this_code_and_has_processed_the_newest_commit(cluster):
    image = cluster().image
    code = SPEC.code.splitlines()
    same = pipeline_info("outline", repo="fmnist", glob="/*/*", image=image, stdin=code)
    assert probed(cluster, same, job(SUCCESS)) is None
    assert probed(cluster, 'pipeline "outline" not found') == "there is no pipeline outline"
    assert probed(cluster, "etcd is away") == "etcd is away"
    for other in ({"glob": "/"}, {"repo": "other"}, {"image": "python:2"}, {"stdin": ["pass"]}):
        fields = {"repo": "fmnist", "glob": "/*/*", "image": image, "stdin": code}
        fields.update(other)
        assert probed(cluster, pipeline_info("outline", **fields)) == "pipeline outline runs other code"
    assert probed(cluster, same) == "pipeline outline has not processed the newest commit of fmnist"
    assert probed(cluster, same, job(RUNNING)) == "pipeline outline is at work"
    assert probed(cluster, same, job(FAILURE), logs=[(True, "ValueError: x"), ENDED]).endswith("ValueError: x")


def test_left_over_is_what_belongs_to_no_pipeline_or_to_an_older_version_of_one(cluster):
    def thing(kind, name, app, pipeline):
        return {"kind": kind, "metadata": {"name": name, "labels": {"app": app, "pipelineName": pipeline}}}

    pipes = cluster(
        [
            thing("ReplicationController", "pipeline-out-line-v2", "pipeline-out-line-v2", "Out_line"),
            thing("Pod", "pipeline-out-line-v2-x", "pipeline-out-line-v2", "Out_line"),
            thing("ReplicationController", "pipeline-out-line-v1", "pipeline-out-line-v1", "Out_line"),
            thing("Service", "pipeline-gone-v1", "pipeline-gone-v1", "gone"),
            thing("Service", "s3-job", "job-1", "Out_line"),
            thing("Service", "s3-old", "job-2", "gone"),
        ],
        ListPipeline=pps.PipelineInfos(pipeline_info=[pipeline_info("Out_line", 2)]),
    )
    assert pipes.left_over() == [
        ("replicationcontroller", "pipeline-out-line-v1", "Out_line"),
        ("service", "pipeline-gone-v1", "gone"),
        ("service", "s3-old", "gone"),
    ]
    assert pipes.tidy().probe().startswith("replicationcontroller pipeline-out-line-v1, service")
    with pytest.raises(Unmet):
        Proofs(None, pipes).nothing_left_over()


@pytest.mark.parametrize(
    "allocatable, wish, refused",
    [({}, 1, True), ({"nvidia.com/gpu": "1"}, 2, True), ({"nvidia.com/gpu": "2"}, 2, False), ({}, 0, False)],
)
def test_a_wish_for_gpus_is_held_against_the_nodes(cluster, allocatable, wish, refused):
    pipes = cluster([{"status": {"allocatable": allocatable}}])
    spec = Pipeline("train", "fmnist", "/", "pass", wish)
    if not refused:
        pipes.require_gpu(spec)
        return
    with pytest.raises(BadInput) as e:
        pipes.require_gpu(spec)
    assert f"nvidia.com/gpu: {wish}" in e.value.saw and "chapter 04" in e.value.do


def test_a_name_is_letters_digits_and_two_signs():
    assert pipelines.why_bad_name("fm-nist_2") is None
    assert pipelines.why_bad_name("fm.nist") == "fm.nist" and pipelines.why_bad_name("--") is None


class Made:
    """What the chapter's two cells make, kept instead of applied."""

    def __init__(self):
        self.specs = {}

    def step(self, title, spec):
        if spec:
            self.specs[spec.name] = spec

    def pipeline(self, spec):
        return spec

    def tidy(self):
        return None


@pytest.fixture(scope="module")
def specs():
    """The pipelines that the chapter's own cells make, for the repository fmnist."""
    made = Made()
    space = {"Pipeline": Pipeline, "code": pipelines.code, "SETUP": SETUP, "repository": "fmnist"}
    space.update(ch=made, pipes=made)
    for cell in notebooks.find("pachyderm").content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith(("outline =", "census =")):
            exec(source, space)
    return made.specs


def test_the_specs_are_those_of_hosts_that_were_installed_before(specs):
    found = {s.name: hashlib.sha256(s.code.encode()).hexdigest() for s in specs.values()}
    assert found == {
        "outline": "d514cb4eba25f2e3f1a7c97a882b2b56809a545b6603da8f12edbe7da40eb979",
        "census": "ea57b036b9bc247b519a3e899e9af66dcd37fd7b78f794a6e0f7376ca45d8451",
    }
    assert [(s.repo, s.glob, s.gpu) for s in specs.values()] == [("fmnist", "/*/*", 0), ("outline", "/", 0)]


def test_the_pipelines_code_draws_the_outlines_that_the_check_draws(specs, tmp_path):
    """The chapter's own code, run on the data set in folders like those of a worker."""
    for path, content in dataset.files().items():
        file = tmp_path / "fmnist" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for name in ("outline", "census"):
        (tmp_path / "out").mkdir()
        exec(specs[name].code.replace("/pfs", str(tmp_path)), {})
        (tmp_path / "out").rename(tmp_path / name)
    assert (tmp_path / "census" / "census.csv").read_text().splitlines()[:2] == ["0_T-shirt_top,6", "1_Trouser,6"]
    for path, content in dataset.files().items():
        assert dataset.pixels((tmp_path / "outline" / path).read_bytes()) == dataset.outline(dataset.pixels(content))


@pytest.mark.parametrize("description, goes", [("", False), ("my upload", False), ("the runbook's pictures", True)])
def test_only_an_open_commit_of_ours_is_dropped(cluster, description, goes):
    deleted, begun = [], []

    def start(request):
        begun.append(request.description)
        raise ValueError("no further")

    last = pfs.CommitInfo(commit=commit("open"), description=description)
    calls = {"DeleteCommit": lambda request: deleted.append(request.commit.id) or Empty(), "StartCommit": start}
    repos = cluster(**dict(pachd.holding({"fmnist": {}}), ListCommitStream=[last], **calls)).repos
    assert "never finished" in repos.why_unfinished("fmnist")
    with pytest.raises(RunbookError) as e:
        repos.put("fmnist", {"a": b"1"})
    assert deleted == (["open"] if goes else []) and begun == (["the runbook's pictures"] if goes else [])
    assert goes or e.value.saw == "open was begun by somebody and is not finished"
