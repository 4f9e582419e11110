"""The states of jobs and pipelines: which job's turn it is, and what a pipeline's jobs make of it."""

from __future__ import annotations

import time

import environments
import store

DONE = ("success", "failed", "canceled", "skipped")
CANCELABLE = ("running", "waiting_for_resource", "preparing", "pending", "created", "scheduled")
FITS = {"on_success": ("success", "skipped"), "manual": ("success", "skipped"), "on_failure": ("failed",),
        "always": ("success", "failed", "skipped")}  # fmt: skip
#: The first row that has all the states there are gives the state.
ROWS = (
    ({"skipped", "ignored"}, "skipped"),
    ({"success", "skipped", "warning", "ignored"}, "success"),
    ({"created", "warning", "ignored"}, "created"),
    ({"preparing", "warning", "ignored"}, "preparing"),
    ({"canceled", "success", "skipped", "warning", "ignored"}, "canceled"),
    ({"pending", "created", "skipped", "warning", "ignored"}, "pending"),
)
ANY = (({"running", "pending"}, "running"), ({"waiting_for_resource"}, "waiting_for_resource"), ({"manual"}, "manual"),
       ({"scheduled"}, "scheduled"), ({"preparing"}, "preparing"), ({"created"}, "running"))  # fmt: skip


def _counted(job: dict) -> str:
    if job["allow_failure"] and job["status"] in ("failed", "canceled"):
        return "warning"
    return "ignored" if job["allow_failure"] and job["status"] == "manual" else job["status"]


def of_jobs(jobs: list[dict]) -> str | None:
    """The state of several jobs together; None when there are none."""
    there = {_counted(job) for job in jobs}
    if not there:
        return None
    whole = next((state for row, state in ROWS if there <= row), None)
    return whole or next((state for row, state in ANY if there & row), "failed")


def latest(kept: store.Store, pipeline: dict) -> list[dict]:
    return kept.all("job", pipeline_id=pipeline["id"], retried=False)


def enter(kept: store.Store, job: dict, status: str, **more: object) -> None:
    """A job into another state, with the time of it."""
    at = time.time()
    job.update(status=status, updated=at, **more)
    if status == "pending":
        job["queued"] = at
        tick(kept)
    elif status == "running":
        job["started"] = at
    elif status in ("success", "failed", "canceled"):
        job["finished"] = at
    kept.put("job", job)


def tick(kept: store.Store) -> None:
    """Runners that were told of nothing new shall look again."""
    for runner in kept.all("runner"):
        kept.put("runner", {**runner, "queue": store.token20()})


def process(kept: store.Store, number: int) -> None:
    """Each job whose turn has come, and the pipeline's own state after it."""
    pipeline = kept.one("pipeline", id=number)
    if not pipeline:
        return
    while any(_process(kept, pipeline, job) for job in latest(kept, pipeline) if job["status"] == "created"):
        pass
    settle(kept, pipeline)


def _before(jobs: list[dict], job: dict) -> tuple[str | None, bool]:
    """(the state of what comes before a job, is its turn a matter of needs?)."""
    if job["needs"] is None:
        return of_jobs([j for j in jobs if j["stage_idx"] < job["stage_idx"]]), False
    return of_jobs([j for j in jobs if j["name"] in {need["job"] for need in job["needs"]}]), True


def _process(kept: store.Store, pipeline: dict, job: dict) -> bool:
    jobs = latest(kept, pipeline)
    before, by_needs = _before(jobs, job)
    before = before or "success"
    if before not in DONE:
        return False
    if by_needs and any(j["status"] == "skipped" for j in jobs if j["name"] in {n["job"] for n in job["needs"]}):
        before = "skipped"
    fits = set(FITS[job["when"]]) - ({"skipped"} if by_needs else set())
    if before not in fits:
        enter(kept, job, "skipped")
    else:
        enter(kept, job, "manual") if job["when"] == "manual" else begin(kept, job)
    return True


def begin(kept: store.Store, job: dict) -> None:
    """It waits for a runner; before that for the namespace of its environment, when a cluster is joined for it."""
    environment = job["options"].get("environment") or {}
    project = kept.one("project", id=job["project_id"])
    starts = environment.get("action", "start") == "start"
    if project and starts and environments.is_unmet(kept, project, environment.get("name")):
        enter(kept, job, "preparing")
        kept.add("work", what="prepare", job_id=job["id"])
    else:
        enter(kept, job, "pending")


def settle(kept: store.Store, pipeline: dict) -> None:
    jobs = latest(kept, pipeline)
    state = of_jobs(jobs) or pipeline["status"]
    if state != pipeline["status"]:
        at = time.time()
        pipeline.update(status=state, updated=at)
        if state == "running" and not pipeline["started"]:
            pipeline["started"] = at
        ended = state in ("success", "failed", "canceled")
        pipeline.update(finished=at if ended else None, duration=_busy(jobs) if ended else None)
        kept.put("pipeline", pipeline)


def _busy(jobs: list[dict]) -> int | None:
    """Seconds in which at least one job ran."""
    spans = sorted((j["started"], j["finished"]) for j in jobs if j["started"] and j["finished"])
    total, end = 0.0, 0.0
    for first, last in spans:
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return round(total) if spans else None
