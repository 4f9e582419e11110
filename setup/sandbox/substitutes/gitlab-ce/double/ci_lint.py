"""REST v4 of lint: what GitLab says of a .gitlab-ci.yml before it is pushed."""

from __future__ import annotations

import ci_config
import pipelines
from api import Answer, Asked, find_project, message, route
from repository import Repository


def wrong(content: object) -> list[str]:
    try:
        ci_config.Config(str(content))
    except ci_config.ConfigError as error:
        return error.errors
    return []


@route("POST", "/ci/lint", "open")
def lint(asked: Asked) -> Answer:
    if not asked.user and not asked.kept.settings()["signup_enabled"]:
        raise message(401, "401 Unauthorized")
    (content,) = asked.need("content")
    errors = wrong(content)
    return Answer(200, {"status": "invalid" if errors else "valid", "errors": errors, "warnings": []})


def told(errors: list[str], text: object) -> Answer:
    return Answer(200, {"valid": not errors, "errors": errors, "warnings": [], "merged_yaml": text})


@route("GET", "/projects/:project/ci/lint", "open")
def lint_kept(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project)
    text = pipelines.file_at(owner, Repository(owner).default() or "HEAD")
    return told(["Please provide content of .gitlab-ci.yml"] if text is None else wrong(text), text)


@route("POST", "/projects/:project/ci/lint")
def lint_given(asked: Asked, project: str) -> Answer:
    find_project(asked, project, write=True)
    (content,) = asked.need("content")
    return told(wrong(content), content)
