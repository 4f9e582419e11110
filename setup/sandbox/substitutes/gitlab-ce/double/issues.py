"""REST v4 of a project's issues, and of its merge requests, of which nobody can make one here."""

from __future__ import annotations

import store
from api import Answer, Asked, find_project, paged, route
from endpoints import basic


def shown(asked: Asked, project: dict, issue: dict) -> dict:
    author = basic(asked, asked.kept.one("user", id=issue["author_id"]))
    said = {key: issue[key] for key in ("id", "iid", "project_id", "title", "description", "created_at")}
    return {**said, "state": "opened", "updated_at": issue["created_at"], "closed_at": None, "closed_by": None,
            "labels": [], "milestone": None, "assignees": [], "author": author, "assignee": None,
            "web_url": f"{asked.url}/{project['path_with_namespace']}/-/issues/{issue['iid']}"}  # fmt: skip


@route("GET", "/projects/:project/issues", "open")
def issues(asked: Asked, project: str) -> Answer:
    found = find_project(asked, project)
    there = asked.kept.all("issue", project_id=found["id"])
    if asked.chosen("state", ("all", "opened", "closed"), "all") == "closed":
        there = []  # nobody can close one here
    return paged(asked, [shown(asked, found, issue) for issue in reversed(there)])


@route("POST", "/projects/:project/issues")
def add_issue(asked: Asked, project: str) -> Answer:
    found = find_project(asked, project)
    (title,) = asked.need("title")
    iid = len(asked.kept.all("issue", project_id=found["id"])) + 1  # none is ever deleted but with its project
    made = {"iid": iid, "project_id": found["id"], "title": title, "author_id": asked.user["id"]}
    issue = asked.kept.add("issue", description=asked.given.get("description"), created_at=store.now(), **made)
    return Answer(201, shown(asked, found, issue))


@route("GET", "/projects/:project/merge_requests", "open")
def merge_requests(asked: Asked, project: str) -> Answer:
    find_project(asked, project)
    return paged(asked, [])
