"""REST v4 of projects and their repositories: files, commits, branches, trees."""

from __future__ import annotations

import base64
import hashlib
import re

import pipelines
import worker
from api import Answer, Asked, Refused, find_project, may_read, message, paged, route
from endpoints import basic
from repository import GitError, Repository, added

ORDERS = ("id", "name", "path", "created_at", "updated_at", "last_activity_at")
VISIBILITY = ("private", "internal", "public")
TEXTS = ("description", "visibility", "ci_config_path", "default_branch", "shared_runners_enabled", "jobs_enabled",
         "auto_devops_enabled", "build_timeout", "builds_access_level", "container_registry_enabled")  # fmt: skip
PATH_RULE = "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"


def shown(asked: Asked, project: dict) -> dict:
    owner = asked.kept.one("user", id=project["owner_id"])
    url = f"{asked.url}/{project['path_with_namespace']}"
    repository = Repository(project)
    group = project.get("group")
    space = group or {"id": owner["id"], "name": owner["name"], "path": owner["username"], "kind": "user"}
    place = f"{asked.url}/groups/{space['path']}" if group else f"{asked.url}/{space['path']}"
    space = {**space, "full_path": space["path"], "parent_id": None, "avatar_url": None, "web_url": place}
    said = {
        "id": project["id"], "description": project.get("description"), "name": project["name"],
        "name_with_namespace": f"{space['name']} / {project['name']}", "path": project["path"],
        "path_with_namespace": project["path_with_namespace"], "created_at": project["created_at"],
        "default_branch": repository.default(), "tag_list": [],
        "ssh_url_to_repo": f"git@{asked.url.split('/')[2].split(':')[0]}:{project['path_with_namespace']}.git",
        "http_url_to_repo": url + ".git", "web_url": url, "forks_count": 0, "star_count": 0, "namespace": space,
        "empty_repo": not repository.branches(), "archived": False, "visibility": project["visibility"],
        "creator_id": owner["id"], "import_status": "none", "jobs_enabled": True,
        "shared_runners_enabled": project.get("shared_runners_enabled", True), "ci_default_git_depth": 50,
        "public_jobs": True, "build_timeout": project.get("build_timeout", 3600), "merge_method": "merge",
        "ci_config_path": project.get("ci_config_path"),
        "auto_devops_enabled": project.get("auto_devops_enabled", True),
        "permissions": {"project_access": {"access_level": 40, "notification_level": 3}
                        if asked.user and asked.user["id"] == owner["id"] else None, "group_access": None},
    }  # fmt: skip
    return said if group else {**said, "owner": basic(asked, owner)}


@route("GET", "/projects", "open")
def projects(asked: Asked) -> Answer:
    found = [p for p in asked.kept.all("project") if may_read(asked.user, p)]
    if asked.flag("owned") or asked.flag("membership"):
        found = [p for p in found if asked.user and p["owner_id"] == asked.user["id"]]
    search = asked.given.get("search", "").lower()
    found = [p for p in found if search in p["name"].lower() or search in p["path"].lower()]
    order = asked.chosen("order_by", ORDERS, "created_at")
    key = order if order in ("id", "name", "path") else "id"
    found.sort(key=lambda p: p[key], reverse=asked.chosen("sort", ("asc", "desc"), "desc") == "desc")
    return paged(asked, [shown(asked, p) for p in found])


@route("POST", "/projects")
def add(asked: Asked) -> Answer:
    name = asked.given.get("name") or asked.given.get("path")
    if not name:
        raise Refused(400, {"error": "name, path are missing, at least one parameter must be provided"})
    path = asked.given.get("path") or re.sub(r"[^a-zA-Z0-9_.-]+", "-", name).strip("-").lower()
    if not re.fullmatch(r"[a-zA-Z0-9_.][a-zA-Z0-9_.-]*", path) or path.endswith((".git", ".atom")):
        raise message(400, {"path": [PATH_RULE]})
    if str(asked.given.get("namespace_id", asked.user["id"])) != str(asked.user["id"]):
        raise message(400, {"namespace": ["is not valid"], "limit_reached": []})
    full = f"{asked.user['username']}/{path}"
    if asked.kept.one("project", path_with_namespace=full):
        taken = ["has already been taken"]
        raise message(400, {"name": taken, "path": taken, "limit_reached": []})
    preset = asked.kept.settings()["default_project_visibility"]
    visibility = asked.chosen("visibility", VISIBILITY, preset)
    said = {n: asked.given[n] for n in TEXTS if n in asked.given and n != "default_branch"}
    said.update(name=name, path=path, path_with_namespace=full, visibility=visibility, owner_id=asked.user["id"])
    readme = f"# {name}\n" if asked.flag("initialize_with_readme") else ""
    made = added(asked.kept, author(asked), readme, **said)
    return Answer(201, shown(asked, made))


@route("GET", "/projects/:project", "open")
def get(asked: Asked, project: str) -> Answer:
    return Answer(200, shown(asked, find_project(asked, project)))


@route("PUT", "/projects/:project")
def change(asked: Asked, project: str) -> Answer:
    found = find_project(asked, project, write=True)
    changes = {name: asked.given[name] for name in (*TEXTS, "name") if name in asked.given}
    if not changes:
        raise Refused(400, {"error": f"{', '.join(TEXTS)} are missing, at least one parameter must be provided"})
    asked.chosen("visibility", VISIBILITY, "private")
    head = changes.pop("default_branch", None)
    if head in Repository(found).branches():
        Repository(found).git("symbolic-ref", "HEAD", "refs/heads/" + head)
    asked.kept.put("project", {**found, **changes})
    return Answer(200, shown(asked, {**found, **changes}))


@route("DELETE", "/projects/:project")
def delete(asked: Asked, project: str) -> Answer:
    found = find_project(asked, project, write=True)
    asked.kept.drop("project", found)  # its folder stays, under a number that does not come again
    for issue in asked.kept.all("issue", project_id=found["id"]):
        asked.kept.drop("issue", issue)
    for variable in asked.kept.all("variable", owner=found["id"]):
        asked.kept.drop("variable", variable)
    for cluster in asked.kept.all("cluster", owner=found["id"]):
        asked.kept.drop("cluster", cluster)
    for pipeline in asked.kept.all("pipeline", project_id=found["id"]):
        pipelines.drop(asked.kept, pipeline)
    return Answer(202, {"message": "202 Accepted"})


# -- the repository ------------------------------------------------------------------------------------


def author(asked: Asked) -> tuple[str, str]:
    user = asked.user
    return asked.given.get("author_name", user["name"]), asked.given.get("author_email", user["email"])


def shown_commit(repository: Repository, sha: str) -> dict:
    form = "%H%x00%P%x00%s%x00%B%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI"
    text = repository.git("show", "-s", "--format=" + form, sha).decode(errors="replace")
    found = text.rstrip("\n").split("\0")
    names = ("id", "parent_ids", "title", "message", "author_name", "author_email", "authored_date", "committer_name",
             "committer_email", "committed_date")  # fmt: skip
    said: dict = {name: found[number] for number, name in enumerate(names)}
    return {**said, "short_id": sha[:8], "parent_ids": found[1].split(), "created_at": said["committed_date"]}


def commit_at(repository: Repository, ref: str) -> str:
    found = repository.commit_of(ref)
    if not found:
        raise message(404, "404 Commit Not Found")
    return found


@route("GET", "/projects/:project/repository/commits", "open")
def commits(asked: Asked, project: str) -> Answer:
    repository = Repository(find_project(asked, project))
    ref = asked.given.get("ref_name") or repository.default()
    if not ref:
        return paged(asked, [], totals=False)
    which = "--all" if asked.flag("all") else commit_at(repository, ref)
    lines = repository.git("rev-list", which).decode().split()
    return paged(asked, [shown_commit(repository, sha) for sha in lines], totals=False)


@route("GET", "/projects/:project/repository/commits/:sha", "open")
def commit(asked: Asked, project: str, sha: str) -> Answer:
    found = find_project(asked, project)
    repository = Repository(found)
    said = shown_commit(repository, commit_at(repository, sha))
    last = pipelines.last_of(asked.kept, found, said["id"])
    brief = pipelines.brief(asked.url, found, last) if last else None
    return Answer(200, {**said, "status": last and last["status"], "project_id": found["id"], "last_pipeline": brief})


def content_of(action: dict) -> bytes:
    text = action.get("content") or ""
    return base64.b64decode(text) if action.get("encoding") == "base64" else text.encode()


def commit_to(asked: Asked, project: str, actions: list[dict]) -> tuple[Repository, str]:
    owner = find_project(asked, project, write=True)
    repository = Repository(owner)
    branch, text = asked.need("branch", "commit_message")
    start = asked.given.get("start_branch", "")
    if not start and repository.branches() and branch not in repository.branches():
        raise message(400, "You can only create or edit files when you are on a branch")
    done = [{**action, "content": content_of(action)} for action in actions]
    old = repository.sha("refs/heads/" + branch) or pipelines.NO_SHA
    try:
        made = repository.commit(branch, text, done, author(asked), start)
    except GitError as error:
        raise message(400, str(error)) from None
    worker.pushed(asked.kept, owner, asked.user, (old, made, "refs/heads/" + branch), [])
    return repository, made


@route("POST", "/projects/:project/repository/commits")
def add_commit(asked: Asked, project: str) -> Answer:
    (actions,) = asked.need("actions")
    for action in actions:
        if action.get("action") not in ("create", "update", "delete"):
            raise Refused(400, {"error": "actions[action] does not have a valid value"})
    repository, sha = commit_to(asked, project, actions)
    return Answer(201, shown_commit(repository, sha))


FILE = "/projects/:project/repository/files/:path"


@route("GET", FILE, "open")
def file(asked: Asked, project: str, path: str) -> Answer:
    repository = Repository(find_project(asked, project))
    (ref,) = asked.need("ref")
    sha = commit_at(repository, ref)
    blob = repository.sha(f"{sha}:{path}")
    if not blob:
        raise message(404, "404 File Not Found")
    data = repository.git("cat-file", "blob", blob)
    last = repository.git("rev-list", "-1", sha, "--", path).decode().strip()
    said = {"file_name": path.rpartition("/")[2], "file_path": path, "size": len(data), "encoding": "base64",
            "content_sha256": hashlib.sha256(data).hexdigest(), "ref": ref, "blob_id": blob, "commit_id": sha,
            "last_commit_id": last}  # fmt: skip
    headers = {"X-Gitlab-" + name.title().replace("_", "-"): str(value) for name, value in said.items()}
    return Answer(200, {**said, "content": base64.b64encode(data).decode()}, headers)


@route("GET", FILE + "/raw", "open")
def raw(asked: Asked, project: str, path: str) -> Answer:
    asked.given.setdefault("ref", Repository(find_project(asked, project)).default() or "")
    said = file(asked, project, path)
    data = base64.b64decode(said.body["content"])
    disposition = f'inline; filename="{said.body["file_name"]}"'
    return Answer(200, data, {**said.headers, "Content-Disposition": disposition}, "text/plain")


def write_file(asked: Asked, project: str, path: str, action: str, status: int) -> Answer:
    asked.need("branch", "commit_message", *(["content"] if action != "delete" else []))
    change = {"action": action, "file_path": path, **{n: asked.given.get(n) for n in ("content", "encoding")}}
    commit_to(asked, project, [change])
    return Answer(status, None if action == "delete" else {"file_path": path, "branch": asked.given["branch"]})


@route("POST", FILE)
def add_file(asked: Asked, project: str, path: str) -> Answer:
    return write_file(asked, project, path, "create", 201)


@route("PUT", FILE)
def change_file(asked: Asked, project: str, path: str) -> Answer:
    return write_file(asked, project, path, "update", 200)


@route("DELETE", FILE)
def delete_file(asked: Asked, project: str, path: str) -> Answer:
    return write_file(asked, project, path, "delete", 204)


@route("GET", "/projects/:project/repository/branches", "open")
def branches(asked: Asked, project: str) -> Answer:
    repository = Repository(find_project(asked, project))
    return paged(asked, [shown_branch(repository, name) for name in repository.branches()])


@route("GET", "/projects/:project/repository/branches/:name", "open")
def branch(asked: Asked, project: str, name: str) -> Answer:
    repository = Repository(find_project(asked, project))
    if name not in repository.branches():
        raise message(404, "404 Branch Not Found")
    return Answer(200, shown_branch(repository, name))


def shown_branch(repository: Repository, name: str) -> dict:
    default = name == repository.default()
    commit = shown_commit(repository, repository.sha("refs/heads/" + name))
    return {"name": name, "commit": commit, "merged": False, "protected": default, "developers_can_push": False,
            "developers_can_merge": False, "can_push": True, "default": default}  # fmt: skip


@route("POST", "/projects/:project/repository/branches")
def add_branch(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project, write=True)
    repository = Repository(owner)
    name, ref = asked.need("branch", "ref")
    if name in repository.branches():
        raise message(400, "Branch already exists")
    sha = repository.commit_of(ref)
    if not sha:
        raise message(400, f"Invalid reference name: {ref}")
    try:
        repository.git("check-ref-format", "--branch", name)
    except GitError:
        raise message(400, "The branch refname is invalid") from None
    repository.git("update-ref", "refs/heads/" + name, sha)
    worker.pushed(asked.kept, owner, asked.user, (pipelines.NO_SHA, sha, "refs/heads/" + name), [])
    return Answer(201, shown_branch(repository, name))


@route("DELETE", "/projects/:project/repository/branches/:name")
def delete_branch(asked: Asked, project: str, name: str) -> Answer:
    repository = Repository(find_project(asked, project, write=True))
    if name not in repository.branches():
        raise message(404, "404 Branch Not Found")
    if name == repository.default():
        raise message(405, "Cannot remove HEAD branch")
    repository.git("update-ref", "-d", "refs/heads/" + name)
    return Answer(204)
