"""Pipelines: made of a push or by the API, cancelled and retried."""

from __future__ import annotations

import re
import time

import ci_files
import ci_rules
import ci_status
import ci_variables
import store
from ci_config import Config, ConfigError
from repository import GitError, Repository

NO_SHA = "0" * 40
UNTOUCHED = {"runner_id": None, "queued": None, "started": None, "finished": None, "failure_reason": None,
             "artifacts": [], "erased": None}  # fmt: skip
SKIP = re.compile(r"\[(ci[ _-]skip|skip[ _-]ci)\]", re.I)


class NotMade(Exception):
    """Why there is no pipeline, as GitLab tells it."""


def file_at(project: dict, sha: str) -> str | None:
    try:
        name = project.get("ci_config_path") or ".gitlab-ci.yml"
        return Repository(project).git("show", f"{sha}:{name}").decode(errors="replace")
    except GitError:
        return None


def commit_facts(project: dict, sha: str) -> dict:
    text = Repository(project).git("show", "-s", "--format=%cI%x00%an <%ae>%x00%B", sha).decode(errors="replace")
    committed, author, message = text.rstrip("\n").split("\0")
    return {"sha": sha, "committed": committed, "author": author, "message": message}


class Maker:
    """One pipeline of a project's ref."""

    def __init__(self, kept: store.Store, project: dict, user: dict, url: str):
        self.kept, self.project, self.user, self.url = kept, project, user, url

    def of(self, ref: str, source: str, **about: object) -> dict:
        """about: sha, tag, before_sha, variables, skip. NotMade when GitLab would store none."""
        text = file_at(self.project, str(about["sha"]))
        if not self.project.get("jobs_enabled", True):
            raise NotMade("Pipelines are disabled!")
        if text is None:
            raise NotMade("Missing CI config file")
        made = {"before_sha": NO_SHA, "tag": False, "variables": [], "skip": False, **about}
        number = 1 + len(self.kept.all("pipeline", project_id=self.project["id"]))
        made.update(ref=ref, source=source, project_id=self.project["id"], user_id=self.user["id"], status="created",
                    created=time.time(), updated=time.time(), started=None, finished=None, duration=None,
                    yaml_errors=None, iid=number)  # fmt: skip
        made.update(commit_facts(self.project, str(about["sha"])))
        skip = made.pop("skip") or bool(SKIP.search(made["message"]))
        return self._store(made, text, skip and source == "push")

    def _store(self, made: dict, text: str, skip: bool) -> dict:
        try:
            jobs = self.jobs(made, Config(text))
        except ConfigError as error:
            if made["source"] != "push":
                raise NotMade(error.errors[0]) from None
            return self.kept.add("pipeline", **{**made, "status": "failed", "yaml_errors": error.errors[0]})
        if skip:
            return self.kept.add("pipeline", **{**made, "status": "skipped"})
        pipeline = self.kept.add("pipeline", **made)
        for job in jobs:
            self.kept.add("job", **job, pipeline_id=pipeline["id"], token=store.token20(), retried=False,
                          created=pipeline["created"])  # fmt: skip
        self._cancel_older(pipeline)
        return pipeline

    def jobs(self, pipeline: dict, config: Config) -> list[dict]:
        """The jobs that the file has for this pipeline."""
        about = (pipeline["ref"], pipeline["tag"], pipeline["source"])
        if config.workflow:
            rule = ci_rules.first_rule(config.workflow, self._known(pipeline, config.variables))
            if rule is None or rule.get("when") == "never":
                raise NotMade("Pipeline filtered out by workflow rules.")
        found = []
        for name, said in config.jobs.items():
            job = _new(self.project, name, said, config)
            known = self._known(pipeline, job["variables"], job)
            place = ci_rules.placed(said, about, known)
            if "environment" in job["options"]:
                _expand(job["options"]["environment"], known)
            if place:
                found.append(self._placed(job, place))
        if not found:
            raise NotMade("No stages / jobs for this pipeline.")
        _check_needs(found)
        return sorted(found, key=lambda job: job["stage_idx"])

    def _known(self, pipeline: dict, variables: dict, job: dict | None = None) -> dict[str, str]:
        blank = {"name": "", "stage": "", "when": "", "options": {}, "variables": variables, "runner_id": None}
        found = ci_variables.of_job(self.kept, self.project, pipeline, job or blank, self.url)
        return {v["key"]: v["value"] for v in found}

    def _placed(self, job: dict, place: dict) -> dict:
        criteria = place["allow_failure"] if isinstance(place["allow_failure"], dict) else None
        variables = {**job["variables"], **{k: str(v) for k, v in place["variables"].items()}}
        allowed = bool(place["allow_failure"]) and not criteria
        return {**job, "when": place["when"], "allow_failure": allowed, "criteria": criteria, "variables": variables}

    def _cancel_older(self, pipeline: dict) -> None:
        """Pipelines of the same ref of which nothing that may not be interrupted has begun."""
        for old in self.kept.all("pipeline", project_id=self.project["id"], ref=pipeline["ref"]):
            jobs = self.kept.all("job", pipeline_id=old["id"])
            begun = [j for j in jobs if j["status"] in ("running", "success", "failed")]
            same = old["id"] >= pipeline["id"] or old["sha"] == pipeline["sha"]
            if not same and all(j["options"].get("interruptible") for j in begun):
                cancel(self.kept, old)


def _new(project: dict, name: str, said: dict, config: Config) -> dict:
    environment = said.get("environment")
    environment = {"name": environment} if isinstance(environment, str) else environment and dict(environment)
    keys = ("script", "before_script", "after_script", "image", "services", "artifacts", "cache", "dependencies",
            "retry", "timeout", "interruptible")  # fmt: skip
    options = {key: said[key] for key in keys if said.get(key) is not None}
    if environment:
        options["environment"] = environment
    return {
        "name": name, "stage": said["stage"], "stage_idx": config.index(name), "status": "created",
        "tag_list": said.get("tags", []), "needs": said["needs"],
        "variables": {**config.variables, **said["variables"]}, "when": said.get("when", "on_success"),
        "options": options, "project_id": project["id"], **UNTOUCHED,
    }  # fmt: skip


def _expand(environment: dict, known: dict[str, str]) -> None:
    """An environment's name with its variables filled in."""
    name = re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda m: known.get(m.group(1) or m.group(2), ""), environment["name"])
    environment["name"] = name


def _check_needs(jobs: list[dict]) -> None:
    there = {job["name"] for job in jobs}
    for job in jobs:
        gone = [n["job"] for n in job["needs"] or [] if n["job"] not in there and not n["optional"]]
        if gone:
            raise ConfigError(f"'{job['name']}' job needs '{gone[0]}' job, but it was not added to the pipeline")
        if job["needs"]:
            job["needs"] = [n for n in job["needs"] if n["job"] in there]


def brief(url: str, project: dict, pipeline: dict) -> dict:
    """As lists and jobs show it."""
    web = f"{url}/{project['path_with_namespace']}/-/pipelines/{pipeline['id']}"
    return {"id": pipeline["id"], "project_id": project["id"], "sha": pipeline["sha"], "ref": pipeline["ref"],
            "status": pipeline["status"], "created_at": store.clock(pipeline["created"]),
            "updated_at": store.clock(pipeline["updated"]), "web_url": web}  # fmt: skip


def last_of(kept: store.Store, project: dict, sha: str) -> dict | None:
    return next(iter(reversed(kept.all("pipeline", project_id=project["id"], sha=sha))), None)


def drop(kept: store.Store, pipeline: dict) -> None:
    for job in kept.all("job", pipeline_id=pipeline["id"]):
        ci_files.remove(job)
        kept.drop("job", job)
    kept.drop("pipeline", pipeline)


def cancel(kept: store.Store, pipeline: dict) -> None:
    for job in ci_status.latest(kept, pipeline):
        if job["status"] in ci_status.CANCELABLE:
            ci_status.enter(kept, job, "canceled")
    ci_status.settle(kept, pipeline)


def retry_job(kept: store.Store, job: dict) -> dict:
    """A new job in an old one's place; what was skipped behind it comes again."""
    fresh = {**job, **UNTOUCHED, "status": "created", "token": store.token20(), "created": time.time()}
    fresh.pop("id")
    kept.put("job", {**job, "retried": True})
    made = kept.add("job", **fresh)
    for later in kept.all("job", pipeline_id=job["pipeline_id"], status="skipped", retried=False):
        if later["stage_idx"] > job["stage_idx"]:
            ci_status.enter(kept, later, "created")
    return made


def retry(kept: store.Store, pipeline: dict) -> None:
    for job in ci_status.latest(kept, pipeline):
        if job["status"] in ("failed", "canceled"):
            retry_job(kept, job)
        elif job["status"] == "skipped":
            ci_status.enter(kept, job, "created")
    ci_status.process(kept, pipeline["id"])
