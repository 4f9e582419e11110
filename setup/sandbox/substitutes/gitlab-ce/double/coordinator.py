"""REST v4 that a runner speaks: it asks for a job, sends its log and its files, and says how it ended."""

from __future__ import annotations

import hashlib
import time

import ci_files
import ci_status
import ci_variables
import pipelines
import store
import worker
from api import Answer, Asked, Refused, message, route
from ci_config import seconds
from repository import Repository
from runners import of_token

INFO = ("name", "version", "revision", "platform", "architecture", "executor")


def queue_value(runner: dict) -> str:
    """Another one when a job waits, and each hour."""
    return hashlib.md5(f"{runner['id']} {runner.get('queue')} {time.time() // 3600}".encode()).hexdigest()


@route("POST", "/jobs/request", "open")
def request_job(asked: Asked) -> Answer:
    runner = of_token(asked)
    info = asked.given.get("info") or {}
    runner = {**runner, "contacted": int(time.time()), **{name: info[name] for name in INFO if info.get(name)}}
    asked.kept.put("runner", runner)
    value = queue_value(runner)
    nothing = Answer(204, None, {"X-GitLab-Last-Update": value})
    if not runner["active"] or asked.given.get("last_update") == value:
        return nothing
    job = _pick(asked, runner, info.get("features") or {})
    return Answer(201, payload(asked, runner, job)) if job else nothing


def _pick(asked: Asked, runner: dict, features: dict) -> dict | None:
    """The next job for this runner, now running. One that it cannot run is failed instead."""
    for job in _candidates(asked.kept, runner)[:45]:
        missing = [name for name in needed(job) if not features.get(name)]
        if missing:
            ci_status.enter(asked.kept, job, "failed", failure_reason="runner_unsupported")
        elif any(d["erased"] or d["artifacts"] and not _archive_of(d) for d in dependencies(asked.kept, job)):
            ci_status.enter(asked.kept, job, "failed", failure_reason="missing_dependency_failure")
        else:
            ci_status.enter(asked.kept, job, "running", runner_id=runner["id"])
            ci_status.process(asked.kept, job["pipeline_id"])
            return job
        ci_status.process(asked.kept, job["pipeline_id"])
    return None


def needed(job: dict) -> list[str]:
    """What a runner must be able to do for it."""
    artifacts = job["options"].get("artifacts") or {}
    wanted = {"upload_multiple_artifacts": artifacts.get("reports"), "artifacts_exclude": artifacts.get("exclude"),
              "return_exit_code": job["criteria"]}  # fmt: skip
    return [name for name, value in wanted.items() if value]


def _candidates(kept: store.Store, runner: dict) -> list[dict]:
    found, busy = [], {}
    for job in kept.all("job", status="running"):
        busy[job["project_id"]] = busy.get(job["project_id"], 0) + 1
    for job in kept.all("job", status="pending"):
        project = kept.one("project", id=job["project_id"])
        if project and project.get("shared_runners_enabled", True) and _matches(kept, runner, project, job):
            found.append(job)
    return sorted(found, key=lambda j: (busy.get(j["project_id"], 0), j["id"]))


def _matches(kept: store.Store, runner: dict, project: dict, job: dict) -> bool:
    pipeline = kept.one("pipeline", id=job["pipeline_id"]) or {}
    open_ref = ci_variables.is_protected(project, pipeline["ref"], pipeline["tag"])
    if runner.get("access_level") == "ref_protected" and not open_ref:
        return False
    return set(job["tag_list"]) <= set(runner["tag_list"]) if job["tag_list"] else runner["run_untagged"]


def _archive_of(job: dict) -> dict | None:
    alive = [a for a in job["artifacts"] if not a["expires"] or a["expires"] > time.time()]
    return next((a for a in alive if a["file_type"] == "archive"), None)


def dependencies(kept: store.Store, job: dict) -> list[dict]:
    """The jobs whose archives this one gets."""
    others = kept.all("job", pipeline_id=job["pipeline_id"], retried=False)
    if job["needs"] is not None:
        named = [n["job"] for n in job["needs"] if n["artifacts"]]
    else:
        named = [j["name"] for j in others if j["stage_idx"] < job["stage_idx"]]
    chosen = job["options"].get("dependencies", named)
    return [j for j in others if j["name"] in named and j["name"] in chosen and j["status"] in ("success", "failed")]


# -- the job as the runner gets it -----------------------------------------------------------------------


def _git(project: dict, pipeline: dict, job: dict, variables: list[dict], url: str) -> dict:
    depth = next((v["value"] for v in reversed(variables) if v["key"] == "GIT_DEPTH"), 50)
    depth = int(depth) if str(depth).isdigit() else 0
    kind, place = ("tag", "tags") if pipeline["tag"] else ("branch", "heads")
    here = f"refs/tags/{pipeline['ref']}" if pipeline["tag"] else f"refs/remotes/origin/{pipeline['ref']}"
    one = [f"+refs/{place}/{pipeline['ref']}:{here}"]
    all_of = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    own = f"+{pipeline['sha']}:refs/pipelines/{pipeline['id']}"
    return {"repo_url": ci_variables.repository_url(project, job, url), "ref": pipeline["ref"],
            "sha": pipeline["sha"], "before_sha": pipeline["before_sha"], "ref_type": kind,
            "refspecs": [own, *(one if depth else all_of)], "depth": depth}  # fmt: skip


def _steps(job: dict, timeout: int) -> list[dict]:
    options = job["options"]
    script = [*options.get("before_script", []), *options["script"]]
    steps = [{"name": "script", "script": script, "timeout": timeout, "when": "on_success", "allow_failure": False}]
    if options.get("after_script"):
        steps.append({"name": "after_script", "script": options["after_script"], "timeout": timeout,
                      "when": "always", "allow_failure": True})  # fmt: skip
    return steps


def _image(said: dict) -> dict:
    return {"name": said["name"], "entrypoint": said.get("entrypoint"), "ports": said.get("ports", [])}


def _artifacts(job: dict) -> list[dict] | None:
    said = job["options"].get("artifacts")
    if not said:
        return None
    names = ("name", "untracked", "paths", "when", "expire_in")
    found = []
    if said.get("paths") or said.get("untracked"):
        one = {**{name: said.get(name) for name in names}, "artifact_type": "archive", "artifact_format": "zip"}
        found.append({**one, "exclude": said["exclude"]} if said.get("exclude") else one)
    for kind, paths in (said.get("reports") or {}).items():
        form = "raw" if kind == "dotenv" else "gzip"
        found.append({"name": f"{kind}.xml" if kind == "junit" else kind, "untracked": None, "when": "always",
                      "paths": [paths] if isinstance(paths, str) else paths, "expire_in": said.get("expire_in"),
                      "artifact_type": kind, "artifact_format": form})  # fmt: skip
    return found


def _cache(job: dict) -> list[dict]:
    said = job["options"].get("cache") or []
    said = [said] if isinstance(said, dict) else said
    return [{"key": c.get("key", "default"), "untracked": c.get("untracked"), "paths": c.get("paths", []),
             "policy": c.get("policy", "pull-push"), "when": c.get("when", "on_success")} for c in said]  # fmt: skip


def _dependency(job: dict) -> dict:
    found = _archive_of(job)
    said = {"id": job["id"], "name": job["name"], "token": job["token"]}
    return {**said, "artifacts_file": {n: found[n] for n in ("filename", "size")}} if found else said


def payload(asked: Asked, runner: dict, job: dict) -> dict:
    kept, url = asked.kept, asked.url
    project = kept.one("project", id=job["project_id"]) or {}
    pipeline = kept.one("pipeline", id=job["pipeline_id"]) or {}
    Repository(project).git("update-ref", f"refs/pipelines/{pipeline['id']}", pipeline["sha"])
    variables = [*ci_variables.persisted(project, pipeline, job, url),
                 *ci_variables.of_job(kept, project, pipeline, job, url)]  # fmt: skip
    timeout = seconds(job["options"].get("timeout"), int(project.get("build_timeout", 3600)))
    timeout = min(timeout, runner.get("maximum_timeout") or timeout)
    return {
        "id": job["id"], "token": job["token"], "allow_git_fetch": True,
        "job_info": {"name": job["name"], "stage": job["stage"], "project_id": project["id"],
                     "project_name": project["name"]},
        "git_info": _git(project, pipeline, job, variables, url),
        "runner_info": {"timeout": timeout, "runner_session_url": None}, "variables": variables,
        "steps": _steps(job, timeout),
        "image": _image(job["options"]["image"]) if job["options"].get("image") else None,
        "services": [{**_image(s), "alias": s.get("alias"), "command": s.get("command")}
                     for s in job["options"].get("services", [])],
        "artifacts": _artifacts(job), "cache": _cache(job), "credentials": [],
        "dependencies": [_dependency(d) for d in dependencies(kept, job)], "features": {"trace_sections": True},
    }  # fmt: skip


# -- what the runner tells ---------------------------------------------------------------------------------


def the_job(asked: Asked, number: str, running: bool = True) -> dict:
    """The job whose token the request carries. 403 for any other: the runner shall stop."""
    said = asked.headers.get("JOB-TOKEN") or asked.given.get("token")
    found = asked.kept.numbered("job", number)
    if not found or said != found["token"]:
        raise message(403, "403 Forbidden")
    if found["erased"]:
        raise message(403, "403 Forbidden - Job has been erased!")
    if running and found["status"] != "running":
        raise message(403, "403 Forbidden - Job is not running", **{"Job-Status": found["status"]})
    return found


@route("PUT", "/jobs/:number", "open")
def update(asked: Asked, number: str) -> Answer:
    job = the_job(asked, number)
    state = asked.given.get("state")
    told = {"X-GitLab-Trace-Update-Interval": ""}
    if state not in ("running", "success", "failed"):
        return Answer(400, 400, {"Job-Status": job["status"], **told})
    if state == "running":
        asked.kept.put("job", {**job, "updated": time.time()})
    else:
        _end(asked, job, state)
    return Answer(200, 200, {"Job-Status": job["status"], **told})


def _end(asked: Asked, job: dict, state: str) -> None:
    reason = asked.given.get("failure_reason") or "unknown_failure"
    code = asked.given.get("exit_code")
    if state == "failed" and job["criteria"] and code is not None:
        codes = job["criteria"].get("exit_codes", [])
        job["allow_failure"] = code in (codes if isinstance(codes, list) else [codes])
    ci_status.enter(asked.kept, job, state, failure_reason=reason if state == "failed" else None)
    if state == "failed" and _again(asked.kept, job):
        pipelines.retry_job(asked.kept, job)
    worker.later(asked.kept, "process", pipeline_id=job["pipeline_id"])


def _again(kept: store.Store, job: dict) -> bool:
    """Does its file ask for another try?"""
    said = job["options"].get("retry") or 0
    most = said if isinstance(said, int) else said.get("max", 0)
    tried = len(kept.all("job", pipeline_id=job["pipeline_id"], name=job["name"])) - 1
    wanted = said.get("when", "always") if isinstance(said, dict) else "always"
    wanted = [wanted] if isinstance(wanted, str) else wanted
    return tried < most and ("always" in wanted or job["failure_reason"] in wanted)


@route("PATCH", "/jobs/:number/trace", "open")
def trace(asked: Asked, number: str) -> Answer:
    job = the_job(asked, number)
    told = asked.headers.get("Content-Range")
    if not told:
        raise Refused(400, {"error": "400 Missing header Content-Range"})
    size = ci_files.trace_size(job)
    if told.partition("-")[0] != str(size):
        raise Refused(416, {"error": "416 Range Not Satisfiable"}, Range=f"0-{size}")
    size = ci_files.append(job, asked.body)
    asked.kept.put("job", {**job, "updated": time.time()})
    headers = {"Job-Status": job["status"], "Range": f"0-{size}", "X-GitLab-Trace-Update-Interval": "60"}
    return Answer(202, f"0-{size}", headers, "text/plain")


@route("POST", "/jobs/:number/artifacts/authorize", "open")
def authorize(asked: Asked, number: str) -> Answer:
    raise message(403, "403 Forbidden")  # for Workhorse alone


@route("POST", "/jobs/:number/artifacts", "open")
def upload(asked: Asked, number: str) -> Answer:
    fields = ci_files.parts(asked.headers.get("Content-Type", ""), asked.body)
    asked.given.update({name: data.decode() for name, (file, data) in fields.items() if not file})
    job = the_job(asked, number)
    if "file" not in fields:
        raise message(400, "400 Bad request - Missing artifacts file!")
    about = {"artifact_type": asked.given.get("artifact_type") or "archive",
             "artifact_format": asked.given.get("artifact_format") or "zip", "expire_in": asked.given.get("expire_in")
             or asked.kept.settings()["default_artifacts_expire_in"]}  # fmt: skip
    name, data = fields["file"]
    if len(data) > int(asked.kept.settings()["max_artifacts_size"]) << 20:
        raise message(413, "413 Request Entity Too Large")
    ci_files.keep(job, name, data, about)
    asked.kept.put("job", job)
    return Answer(201, 201)


@route("GET", "/jobs/:number/artifacts", "open")
def download(asked: Asked, number: str) -> Answer:
    return ci_files.archive(the_job(asked, number, running=False))
