"""Sidekiq's part: what is done after the answer. It is kept in the store, and stays there while sidekiq is down."""

from __future__ import annotations

import threading
import time
import traceback

import ci_status
import environments
import services
import store
from pipelines import Maker, NotMade
from repository import Repository

WAKE = threading.Event()
CHECKED = 600.0  # seconds from one look at jobs that are stuck to the next
TRIES = 25
STUCK = 3600  # seconds without a word of a running job
UNWANTED = 86400  # and without a runner for one that waits
UNMET = {"failure_reason": "unmet_prerequisites"}


def later(kept: store.Store, what: str, **about: object) -> None:
    kept.add("work", what=what, **about)
    WAKE.set()


def pushed(kept: store.Store, project: dict, user: dict, moved: tuple[str, str, str], options: list[str]) -> None:
    """A ref (old, new, name) that moved: of a branch or a tag that is still there comes a pipeline."""
    old, new, ref = moved
    if set(new) - {"0"} and ref.startswith(("refs/heads/", "refs/tags/")):
        later(kept, "push", project_id=project["id"], user_id=user["id"], old=old, new=new, ref=ref, options=options)


def push(kept: store.Store, work: dict, url: str) -> None:
    project, user = kept.one("project", id=work["project_id"]), kept.one("user", id=work["user_id"])
    if not project or not user:
        return
    options = work["options"]
    given = [o.partition("=")[2].strip('"').partition("=") for o in options if o.startswith("ci.variable=")]
    _, kind, ref = work["ref"].split("/", 2)
    sha = Repository(project).commit_of(work["new"])
    if not sha:
        raise LookupError(f"{project['path_with_namespace']} has no commit {work['new']}")
    about = {"sha": sha, "tag": kind == "tags", "before_sha": work["old"], "skip": "ci.skip" in options}
    about["variables"] = [{"key": key, "value": value} for key, _, value in given]
    try:
        made = Maker(kept, project, user, url).of(ref, "push", **about)
    except NotMade:
        return
    ci_status.process(kept, made["id"])


def process(kept: store.Store, work: dict, url: str) -> None:
    ci_status.process(kept, work["pipeline_id"])


def prepare(work: dict, url: str) -> None:
    """The namespace of a job's environment. The store is free while the cluster is asked."""
    with store.opened() as kept:
        job, settings = kept.one("job", id=work["job_id"]), kept.settings()
        project = kept.one("project", id=job["project_id"]) if job else None
        name = job["options"]["environment"]["name"] if job else ""
        cluster = environments.cluster_of(kept, project, name) if project else None
    made = None
    if cluster and project:
        space = environments.namespace(cluster, project, name)
        try:
            token = environments.prepare(cluster, space, settings, url)
            made = {"cluster_id": cluster["id"], "project_id": project["id"], "name": space, "token": token}
        except environments.Unmet as error:
            print(f"job {work['job_id']}: unmet prerequisites: {error}", flush=True)
    with store.opened() as kept:
        if made and not kept.one("namespace", cluster_id=made["cluster_id"], project_id=made["project_id"], name=space):
            kept.add("namespace", **made)
        _prepared(kept, work["job_id"], bool(made) or not cluster)


def _prepared(kept: store.Store, number: int, well: bool) -> None:
    job = kept.one("job", id=number)
    if job and job["status"] == "preparing":
        ci_status.enter(kept, job, "pending" if well else "failed", **({} if well else UNMET))
        ci_status.process(kept, job["pipeline_id"])


def drop_stuck(kept: store.Store) -> None:
    for status, seconds in (("running", STUCK), ("pending", UNWANTED)):
        for job in kept.all("job", status=status):
            if time.time() - job["updated"] > seconds:
                ci_status.enter(kept, job, "failed", failure_reason="stuck_or_timeout_failure")
                ci_status.process(kept, job["pipeline_id"])


def turn(url: str) -> None:
    """All the work there is. A piece that fails is tried again later, as Sidekiq does."""
    while True:
        with store.opened() as kept:
            work = kept.one("work")
        if not work:
            return
        try:
            do(work, url)
        except Exception:
            traceback.print_exc()
            return again(work)


def do(work: dict, url: str) -> None:
    if work["what"] == "prepare":
        prepare(work, url)
    with store.opened() as kept:
        if work["what"] != "prepare":
            {"push": push, "process": process}[work["what"]](kept, work, url)
        kept.drop("work", work)


def again(work: dict) -> None:
    """To the end of the queue, until it was tried often enough."""
    with store.opened() as kept:
        kept.drop("work", work)
        tried = work.pop("tried", 0) + 1
        del work["id"]
        if tried < TRIES:
            kept.add("work", **work, tried=tried)


def run(url: str) -> None:
    checked = -CHECKED
    while True:
        WAKE.wait(1)
        WAKE.clear()
        try:
            if services.pid("sidekiq") and services.pid("postgresql"):
                turn(url)
                checked = look_for_stuck(checked)
        except Exception:  # a full disk ends a turn, not the server
            traceback.print_exc()


def look_for_stuck(checked: float) -> float:
    """Now and then; the time of the last look."""
    if time.monotonic() - checked < CHECKED:
        return checked
    with store.opened() as kept:
        drop_stuck(kept)
    return time.monotonic()


def start(url: str) -> None:
    WAKE.set()  # what was left when the server ended
    threading.Thread(target=run, args=(url,), daemon=True).start()
