"""The variables of a job, in GitLab's order: of two with one name the later one counts."""

from __future__ import annotations

import re

import config
import environments
import store
from repository import Repository


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "-", text.lower())[:63].strip("-")


def is_protected(project: dict, ref: str, tag: bool) -> bool:
    """The default branch is; nothing else can be, here."""
    return not tag and ref == Repository(project).default()


def _plain(**named: object) -> list[dict]:
    return [{"key": key, "value": str(value), "public": True, "masked": False} for key, value in named.items()]


def _secret(**named: str) -> list[dict]:
    return [{"key": key, "value": value, "public": False, "masked": True} for key, value in named.items()]


def persisted(project: dict, pipeline: dict, job: dict, url: str) -> list[dict]:
    """What there is only when the job is: numbers and its token."""
    web, token = f"{url}/{project['path_with_namespace']}", job["token"]
    number = job["id"]
    return [
        *_plain(CI_PIPELINE_ID=pipeline["id"], CI_PIPELINE_URL=f"{web}/-/pipelines/{pipeline['id']}",
                CI_JOB_ID=number, CI_JOB_URL=f"{web}/-/jobs/{number}"),
        *_secret(CI_JOB_TOKEN=token),
        *_plain(CI_JOB_STARTED_AT=store.moment(job["started"] or 0).replace(".000", ""), CI_BUILD_ID=number),
        *_secret(CI_BUILD_TOKEN=token),
        *_plain(CI_REGISTRY_USER="gitlab-ci-token"),
        *_secret(CI_REGISTRY_PASSWORD=token, CI_REPOSITORY_URL=repository_url(project, job, url)),
        *_plain(CI_DEPENDENCY_PROXY_USER="gitlab-ci-token"),
        *_secret(CI_DEPENDENCY_PROXY_PASSWORD=token),
    ]  # fmt: skip


def repository_url(project: dict, job: dict, url: str) -> str:
    return url.replace("://", f"://gitlab-ci-token:{job['token']}@") + f"/{project['path_with_namespace']}.git"


def _of_server(url: str) -> list[dict]:
    scheme, _, rest = url.partition("://")
    host, _, port = rest.split("/")[0].partition(":")
    major, minor, patch = config.VERSION.split(".")
    return _plain(
        CI="true", GITLAB_CI="true", GITLAB_FEATURES="", CI_SERVER_URL=url, CI_SERVER_HOST=host,
        CI_SERVER_PORT=port or ("443" if scheme == "https" else "80"), CI_SERVER_PROTOCOL=scheme,
        CI_SERVER_NAME="GitLab", CI_SERVER_VERSION=config.VERSION, CI_SERVER_VERSION_MAJOR=major,
        CI_SERVER_VERSION_MINOR=minor, CI_SERVER_VERSION_PATCH=patch, CI_SERVER_REVISION="00000000000",
        CI_SERVER="yes", CI_API_V4_URL=url + "/api/v4",
    )  # fmt: skip


def _of_project(project: dict, url: str) -> list[dict]:
    space, _, _ = project["path_with_namespace"].rpartition("/")
    return _plain(
        CI_PROJECT_ID=project["id"], CI_PROJECT_NAME=project["path"], CI_PROJECT_TITLE=project["name"],
        CI_PROJECT_PATH=project["path_with_namespace"], CI_PROJECT_PATH_SLUG=slug(project["path_with_namespace"]),
        CI_PROJECT_NAMESPACE=space, CI_PROJECT_ROOT_NAMESPACE=space.split("/")[0],
        CI_PROJECT_URL=f"{url}/{project['path_with_namespace']}", CI_PROJECT_VISIBILITY=project["visibility"],
        CI_PROJECT_REPOSITORY_LANGUAGES="", CI_DEFAULT_BRANCH=Repository(project).default() or "master",
        CI_PROJECT_CONFIG_PATH=project.get("ci_config_path") or ".gitlab-ci.yml",
        CI_CONFIG_PATH=project.get("ci_config_path") or ".gitlab-ci.yml",
    )  # fmt: skip


def _of_pipeline(project: dict, pipeline: dict) -> list[dict]:
    ref, sha, text = pipeline["ref"], pipeline["sha"], pipeline["message"]
    title, _, rest = text.partition("\n")
    branch = {"CI_COMMIT_TAG" if pipeline["tag"] else "CI_COMMIT_BRANCH": ref}
    protected = str(is_protected(project, ref, pipeline["tag"])).lower()
    old = {"CI_BUILD_TAG": ref} if pipeline["tag"] else {}
    return _plain(
        CI_PIPELINE_IID=pipeline["iid"], CI_PIPELINE_SOURCE=pipeline["source"],
        CI_PIPELINE_CREATED_AT=store.moment(pipeline["created"])[:19] + "Z", CI_COMMIT_SHA=sha,
        CI_COMMIT_SHORT_SHA=sha[:8], CI_COMMIT_BEFORE_SHA=pipeline["before_sha"], CI_COMMIT_REF_NAME=ref,
        CI_COMMIT_REF_SLUG=slug(ref), **branch, CI_COMMIT_MESSAGE=text, CI_COMMIT_TITLE=title,
        CI_COMMIT_DESCRIPTION=rest.lstrip("\n"), CI_COMMIT_REF_PROTECTED=protected,
        CI_COMMIT_TIMESTAMP=pipeline["committed"], CI_COMMIT_AUTHOR=pipeline["author"], CI_BUILD_REF=sha,
        CI_BUILD_BEFORE_SHA=pipeline["before_sha"], CI_BUILD_REF_NAME=ref, CI_BUILD_REF_SLUG=slug(ref), **old,
    )  # fmt: skip


def _of_job(job: dict) -> list[dict]:
    manual = {"CI_JOB_MANUAL": "true", "CI_BUILD_MANUAL": "true"} if job["when"] == "manual" else {}
    image = (job["options"].get("image") or {}).get("name")
    return _plain(
        CI_JOB_NAME=job["name"], CI_JOB_STAGE=job["stage"], CI_NODE_TOTAL="1", CI_BUILD_NAME=job["name"],
        CI_BUILD_STAGE=job["stage"], **manual, **({"CI_JOB_IMAGE": image} if image else {}),
    )  # fmt: skip


def _of_user(kept: store.Store, number: int) -> list[dict]:
    user = kept.one("user", id=number)
    if not user:
        return []
    return _plain(GITLAB_USER_ID=user["id"], GITLAB_USER_EMAIL=user["email"], GITLAB_USER_LOGIN=user["username"],
                  GITLAB_USER_NAME=user["name"])  # fmt: skip


def _kept(kept: store.Store, owner: int, protected: bool, environment: str | None) -> list[dict]:
    """Variables of the instance (owner 0) or of a project; a protected one only for a protected ref."""
    found = []
    for said in kept.all("variable", owner=owner):
        if said["protected"] and not protected or not environments.in_scope(said, environment):
            continue
        one = {"key": said["key"], "value": said["value"], "public": False, "masked": said["masked"]}
        found.append({**one, "file": True} if said["variable_type"] == "file" else one)
    return found


def _of_runner(runner: dict) -> list[dict]:
    tags = ", ".join(runner["tag_list"])
    return _plain(CI_RUNNER_ID=runner["id"], CI_RUNNER_DESCRIPTION=runner["description"] or "", CI_RUNNER_TAGS=tags)


def of_job(kept: store.Store, project: dict, pipeline: dict, job: dict, url: str) -> list[dict]:
    """All but what needs the job's number: what rules can ask for, too. With its runner's, once it has one."""
    protected = is_protected(project, pipeline["ref"], pipeline["tag"])
    name = (job["options"].get("environment") or {}).get("name")
    environment = _plain(CI_ENVIRONMENT_NAME=name, CI_ENVIRONMENT_SLUG=environments.slug(name)) if name else []
    runner = kept.one("runner", id=job["runner_id"])
    there = [*_of_runner(runner), *environments.variables(kept, project, name)] if runner else []
    return [
        *_of_job(job), *_of_server(url), *_of_project(project, url), *_of_pipeline(project, pipeline), *there,
        *_plain(**job["variables"]), *_of_user(kept, pipeline["user_id"]), *_kept(kept, 0, protected, name),
        *_kept(kept, project["id"], protected, name),
        *[{**_plain(**{v["key"]: v["value"]})[0], "public": False} for v in pipeline["variables"]], *environment,
    ]  # fmt: skip
