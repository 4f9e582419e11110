"""REST v4 of pipelines and jobs."""

from __future__ import annotations

import time

import ci_files
import ci_status
import pipelines
import store
import worker
from api import Answer, Asked, Refused, find_project, message, paged, route
from endpoints import basic
from projects import shown_commit
from repository import Repository

STATES = ("created", "waiting_for_resource", "preparing", "pending", "running", "failed", "success", "canceled",
          "skipped", "manual", "scheduled")  # fmt: skip
TEXTS = {"success": "passed", "manual": "blocked"}


# -- pipelines -----------------------------------------------------------------------------------------


def whole(asked: Asked, project: dict, pipeline: dict) -> dict:
    state, user = pipeline["status"], asked.kept.one("user", id=pipeline["user_id"])
    jobs = ci_status.latest(asked.kept, pipeline)
    warned = state == "success" and any(j["allow_failure"] and j["status"] == "failed" for j in jobs)
    text = TEXTS.get(state, state)
    icon = "status_warning" if warned else "status_" + state
    detail = {"icon": icon, "text": text, "label": "passed with warnings" if warned else text, "group": state,
              "tooltip": text, "has_details": True, "illustration": None,
              "details_path": f"/{project['path_with_namespace']}/-/pipelines/{pipeline['id']}"}  # fmt: skip
    return {**pipelines.brief(asked.url, project, pipeline),
            "before_sha": pipeline["before_sha"], "tag": pipeline["tag"],
            "yaml_errors": pipeline["yaml_errors"], "user": basic(asked, user) if user else None,
            "started_at": store.clock(pipeline["started"]), "finished_at": store.clock(pipeline["finished"]),
            "committed_at": None, "duration": pipeline["duration"], "queued_duration": None, "coverage": None,
            "detailed_status": detail}  # fmt: skip


PIPELINES = "/projects/:project/pipelines"


def _of_project(kind: str, asked: Asked, project: str, number: str, write: bool) -> tuple[dict, dict]:
    """The project, and what is kept of that kind under this number: another project's is not found."""
    owner = find_project(asked, project, write)
    found = asked.kept.numbered(kind, number)
    if not found or found["project_id"] != owner["id"]:
        raise message(404, "404 Not found")
    return owner, found


def find_pipeline(asked: Asked, project: str, number: str, write: bool = False) -> tuple[dict, dict]:
    return _of_project("pipeline", asked, project, number, write)


def of_project(asked: Asked, project: dict) -> list[dict]:
    """Those that the request asks for, the newest first."""
    found = asked.kept.all("pipeline", project_id=project["id"])
    for name in ("ref", "sha", "status"):
        if name in asked.given:
            found = [p for p in found if p[name] == asked.given[name]]
    user = asked.kept.one("user", username=asked.given.get("username"))
    if "username" in asked.given:
        found = [p for p in found if user and p["user_id"] == user["id"]]
    if asked.flag("yaml_errors"):
        found = [p for p in found if p["yaml_errors"]]
    for name, sign in (("updated_after", 1), ("updated_before", -1)):
        moment = asked.given.get(name, "")
        found = [p for p in found if not moment or (store.moment(p["updated"]) > moment) == (sign > 0)]
    return _in_order(asked, _of_scope(asked, found))


def _of_scope(asked: Asked, found: list[dict]) -> list[dict]:
    scopes = ("running", "pending", "finished", "branches", "tags")
    scope = asked.chosen("scope", (*scopes, ""), "")
    fits = {"finished": ("success", "failed", "canceled"), "running": ("running",), "pending": ("pending",)}
    if scope in fits:
        found = [p for p in found if p["status"] in fits[scope]]
    elif scope:
        found = [p for p in found if p["tag"] == (scope == "tags")]
    asked.chosen("status", STATES, "created")
    return found


def _in_order(asked: Asked, found: list[dict]) -> list[dict]:
    key = asked.chosen("order_by", ("id", "status", "ref", "updated_at", "user_id"), "id")
    key = "updated" if key == "updated_at" else key
    return sorted(found, key=lambda p: p[key], reverse=asked.chosen("sort", ("asc", "desc"), "desc") == "desc")


@route("GET", PIPELINES, "open")
def listed(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project)
    return paged(asked, [pipelines.brief(asked.url, owner, p) for p in of_project(asked, owner)])


@route("POST", "/projects/:project/pipeline")
def make(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project, write=True)
    (ref,) = asked.need("ref")
    repository = Repository(owner)
    short = ref.replace("refs/heads/", "").replace("refs/tags/", "")
    tag = not repository.sha("refs/heads/" + short) and bool(repository.sha("refs/tags/" + short))
    sha = repository.commit_of(("refs/tags/" if tag else "refs/heads/") + short)
    if not sha:
        raise message(400, {"base": ["Reference not found"]})
    about = {"sha": sha, "tag": tag, "variables": asked.given.get("variables") or []}
    try:
        made = pipelines.Maker(asked.kept, owner, asked.user, asked.url).of(short, "api", **about)
    except pipelines.NotMade as error:
        raise message(400, {"base": list(error.args)}) from None
    worker.later(asked.kept, "process", pipeline_id=made["id"])
    return Answer(201, whole(asked, owner, made))


@route("GET", PIPELINES + "/latest", "open")
def latest(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project)
    ref = asked.given.get("ref") or Repository(owner).default()
    found = [p for p in asked.kept.all("pipeline", project_id=owner["id"]) if p["ref"] == ref]
    if not found:
        raise message(403, "403 Forbidden")
    return Answer(200, whole(asked, owner, found[-1]))


@route("GET", PIPELINES + "/:number", "open")
def one(asked: Asked, project: str, number: str) -> Answer:
    return Answer(200, whole(asked, *find_pipeline(asked, project, number)))


@route("GET", PIPELINES + "/:number/jobs", "open")
def its_jobs(asked: Asked, project: str, number: str) -> Answer:
    owner, pipeline = find_pipeline(asked, project, number)
    found = asked.kept.all("job", pipeline_id=pipeline["id"])
    if not asked.flag("include_retried"):
        found = [j for j in found if not j["retried"]]
    return paged(asked, [shown_job(asked, owner, j) for j in in_scope(asked, found)])


@route("GET", PIPELINES + "/:number/bridges", "open")
def bridges(asked: Asked, project: str, number: str) -> Answer:
    find_pipeline(asked, project, number)
    return paged(asked, [])


@route("GET", PIPELINES + "/:number/variables")
def its_variables(asked: Asked, project: str, number: str) -> Answer:
    _, pipeline = find_pipeline(asked, project, number, write=True)
    return Answer(200, [{"variable_type": "env_var", **v} for v in pipeline["variables"]])


@route("POST", PIPELINES + "/:number/cancel")
def cancel(asked: Asked, project: str, number: str) -> Answer:
    owner, pipeline = find_pipeline(asked, project, number, write=True)
    pipelines.cancel(asked.kept, pipeline)
    return Answer(200, whole(asked, owner, pipeline))


@route("POST", PIPELINES + "/:number/retry")
def retry(asked: Asked, project: str, number: str) -> Answer:
    owner, pipeline = find_pipeline(asked, project, number, write=True)
    pipelines.retry(asked.kept, pipeline)
    return Answer(201, whole(asked, owner, asked.kept.one("pipeline", id=pipeline["id"]) or pipeline))


@route("DELETE", PIPELINES + "/:number")
def delete(asked: Asked, project: str, number: str) -> Answer:
    _, pipeline = find_pipeline(asked, project, number, write=True)
    pipelines.drop(asked.kept, pipeline)
    return Answer(204)


# -- jobs ----------------------------------------------------------------------------------------------


def in_scope(asked: Asked, jobs: list[dict]) -> list[dict]:
    """Those of the states asked for, the newest first."""
    said = asked.given.get("scope", [])
    wanted = [said] if isinstance(said, str) else said
    if set(wanted) - set(STATES):
        raise Refused(400, {"error": "scope does not have a valid value"})
    return [j for j in reversed(jobs) if not wanted or j["status"] in wanted]


def _files(job: dict) -> list[dict]:
    names = ("file_type", "size", "filename", "file_format")
    found = [{name: a[name] for name in names} for a in job["artifacts"]]
    size = ci_files.trace_size(job)
    done = job["status"] in ("success", "failed", "canceled")
    trace = {"file_type": "trace", "size": size, "filename": "job.log", "file_format": None}
    return found + ([trace] if size and done else [])


def shown_job(asked: Asked, project: dict, job: dict) -> dict:
    from runners import shown as shown_runner

    pipeline = asked.kept.one("pipeline", id=job["pipeline_id"]) or {}
    user, runner = asked.kept.one("user", id=pipeline["user_id"]), asked.kept.one("runner", id=job["runner_id"])
    end = job["finished"] or time.time()
    queued = (job["started"] or time.time()) - job["queued"] if job["queued"] else None
    said = {
        "id": job["id"], "status": job["status"], "stage": job["stage"], "name": job["name"], "ref": pipeline["ref"],
        "tag": pipeline["tag"], "coverage": None, "allow_failure": job["allow_failure"],
        "created_at": store.clock(job["created"]), "started_at": store.clock(job["started"]),
        "finished_at": store.clock(job["finished"]), "duration": end - job["started"] if job["started"] else None,
        "queued_duration": queued, "user": basic(asked, user) if user else None,
        "commit": shown_commit(Repository(project), pipeline["sha"]),
        "pipeline": pipelines.brief(asked.url, project, pipeline),
        "web_url": f"{asked.url}/{project['path_with_namespace']}/-/jobs/{job['id']}", "artifacts": _files(job),
        "runner": shown_runner(runner) if runner else None,
        "artifacts_expire_at": store.clock(next((a["expires"] for a in job["artifacts"]), None)),
        "tag_list": job["tag_list"],
    }  # fmt: skip
    archive = next((a for a in job["artifacts"] if a["file_type"] == "archive"), None)
    return {**said, "artifacts_file": {n: archive[n] for n in ("filename", "size")}} if archive else said


JOBS = "/projects/:project/jobs"


def find_job(asked: Asked, project: str, number: str, write: bool = False) -> tuple[dict, dict]:
    return _of_project("job", asked, project, number, write)


@route("GET", "/job", "open")
def own_job(asked: Asked) -> Answer:
    """The job that asks, by its token."""
    said = asked.headers.get("JOB-TOKEN") or asked.given.get("job_token")
    found = asked.kept.one("job", token=said, status="running") if said else None
    if said and not found:
        raise message(401, "401 Unauthorized")
    project = asked.kept.one("project", id=found["project_id"]) if found else None
    if not found or not project:
        raise message(404, "404 Job Not Found") if asked.user else message(401, "401 Unauthorized")
    return Answer(200, shown_job(asked, project, found))


@route("GET", JOBS)
def jobs(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project)
    found = in_scope(asked, asked.kept.all("job", project_id=owner["id"]))
    return paged(asked, [shown_job(asked, owner, j) for j in found])


@route("GET", JOBS + "/:number")
def job(asked: Asked, project: str, number: str) -> Answer:
    return Answer(200, shown_job(asked, *find_job(asked, project, number)))


@route("GET", JOBS + "/:number/trace")
def trace(asked: Asked, project: str, number: str) -> Answer:
    _, found = find_job(asked, project, number)
    name = {"Content-Disposition": f'infile; filename="{found["id"]}.log"'}
    return Answer(200, ci_files.shown_trace(found), name, "text/plain")


@route("POST", JOBS + "/:number/cancel")
def cancel_job(asked: Asked, project: str, number: str) -> Answer:
    owner, found = find_job(asked, project, number, write=True)
    if found["status"] in ci_status.CANCELABLE:
        ci_status.enter(asked.kept, found, "canceled")
        ci_status.process(asked.kept, found["pipeline_id"])
    return Answer(201, shown_job(asked, owner, found))


@route("POST", JOBS + "/:number/retry")
def retry_job(asked: Asked, project: str, number: str) -> Answer:
    owner, found = find_job(asked, project, number, write=True)
    if found["retried"] or found["status"] not in ("success", "failed", "canceled"):
        raise message(403, "403 Forbidden - Job is not retryable")
    made = pipelines.retry_job(asked.kept, found)
    ci_status.process(asked.kept, found["pipeline_id"])
    return Answer(201, shown_job(asked, owner, asked.kept.one("job", id=made["id"]) or made))


@route("POST", JOBS + "/:number/play")
def play(asked: Asked, project: str, number: str) -> Answer:
    owner, found = find_job(asked, project, number, write=True)
    if found["status"] != "manual":
        raise message(400, "400 Bad request - Unplayable Job")
    ci_status.begin(asked.kept, found)
    ci_status.process(asked.kept, found["pipeline_id"])
    return Answer(200, shown_job(asked, owner, found))


@route("POST", JOBS + "/:number/erase")
def erase(asked: Asked, project: str, number: str) -> Answer:
    owner, found = find_job(asked, project, number, write=True)
    if found["status"] not in ("success", "failed", "canceled") or found["erased"]:
        raise message(403, "403 Forbidden - Job is not erasable!")
    ci_files.remove(found)
    found.update(artifacts=[], erased=time.time())
    asked.kept.put("job", found)
    return Answer(201, shown_job(asked, owner, found))


@route("GET", JOBS + "/:number/artifacts")
def artifacts(asked: Asked, project: str, number: str) -> Answer:
    return ci_files.archive(find_job(asked, project, number)[1])


@route("GET", JOBS + "/:number/artifacts/*path")
def artifact(asked: Asked, project: str, number: str, path: str) -> Answer:
    return ci_files.member(find_job(asked, project, number)[1], path)


def newest(asked: Asked, project: str, ref: str) -> dict:
    """The newest job of a name and ref that succeeded."""
    owner = find_project(asked, project)
    (name,) = asked.need("job")
    runs = {p["id"] for p in asked.kept.all("pipeline", project_id=owner["id"], ref=ref) if p["status"] == "success"}
    found = asked.kept.all("job", project_id=owner["id"], name=name, status="success", retried=False)
    mine = [j for j in found if j["pipeline_id"] in runs and j["artifacts"]]
    if not mine:
        raise message(404, "404 Not Found")
    return mine[-1]


@route("GET", JOBS + "/artifacts/:ref/download", "open")
def download(asked: Asked, project: str, ref: str) -> Answer:
    return ci_files.archive(newest(asked, project, ref))


@route("GET", JOBS + "/artifacts/:ref/raw/*path", "open")
def download_one(asked: Asked, project: str, ref: str, path: str) -> Answer:
    return ci_files.member(newest(asked, project, ref), path)
