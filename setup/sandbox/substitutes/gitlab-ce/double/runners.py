"""REST v4 of runners: they register, are verified and removed, and ask for jobs, of which there are none here."""

from __future__ import annotations

import secrets
import time

import store
from api import Answer, Asked, Refused, message, paged, route

ONLINE = 7200  # seconds after its last contact


def of_token(asked: Asked) -> dict:
    """The runner whose token the request carries."""
    (token,) = asked.need("token")
    found = asked.kept.one("runner", digest=store.digest(str(token)))
    if not found:
        raise message(403, "403 Forbidden")
    return found


@route("POST", "/runners", "open")
def register(asked: Asked) -> Answer:
    (token,) = asked.need("token")
    if not secrets.compare_digest(str(token), str(asked.kept.settings()["runners_registration_token"])):
        raise message(403, "403 Forbidden")
    tags = asked.given.get("tag_list") or []
    tags = [t.strip() for t in tags.split(",") if t.strip()] if isinstance(tags, str) else tags
    untagged = asked.flag("run_untagged", True)
    if not untagged and not tags:
        text = "can not be empty when runner is not allowed to pick untagged jobs"
        raise message(400, {"tags_list": [text]})
    about = asked.given.get("info") or {}
    value = store.token20()
    made = asked.kept.add(
        "runner", digest=store.digest(value), description=asked.given.get("description"), name=about.get("name"),
        active=asked.flag("active", True), locked=asked.flag("locked"), run_untagged=untagged, tag_list=tags,
        version=about.get("version"), contacted=0,
    )  # fmt: skip
    return Answer(201, {"id": made["id"], "token": value})


@route("POST", "/runners/verify", "open")
def verify(asked: Asked) -> Answer:
    of_token(asked)
    return Answer(200, 200)


@route("DELETE", "/runners", "open")
def unregister(asked: Asked) -> Answer:
    asked.kept.drop("runner", of_token(asked))
    return Answer(204)


@route("POST", "/jobs/request", "open")
def request_job(asked: Asked) -> Answer:
    runner = of_token(asked)
    asked.kept.put("runner", {**runner, "contacted": int(time.time())})
    return Answer(204, None, {"X-GitLab-Last-Update": store.digest(str(runner["id"])).encode().hex()[:32]})


def shown(runner: dict) -> dict:
    online = time.time() - runner["contacted"] < ONLINE if runner["contacted"] else None
    state = "not_connected" if online is None else "online" if online else "offline"
    return {"id": runner["id"], "description": runner["description"], "ip_address": None, "active": runner["active"],
            "is_shared": True, "name": runner["name"], "online": online,
            "status": state if runner["active"] or online is None else "paused"}  # fmt: skip


@route("GET", "/runners")
def mine(asked: Asked) -> Answer:
    return paged(asked, [])  # instance runners are nobody's own


@route("GET", "/runners/all", "admin")
def everybodys(asked: Asked) -> Answer:
    return paged(asked, [shown(r) for r in reversed(asked.kept.all("runner"))])


def find(asked: Asked, number: str) -> dict:
    found = asked.kept.numbered("runner", number)
    if not found:
        raise message(404, "404 Not found")
    return found


@route("GET", "/runners/:number")
def details(asked: Asked, number: str) -> Answer:
    runner = find(asked, number)
    more = ("tag_list", "run_untagged", "locked", "version")
    return Answer(200, {**shown(runner), **{name: runner[name] for name in more}, "projects": [], "groups": []})


@route("DELETE", "/runners/:number", "admin")
def delete(asked: Asked, number: str) -> Answer:
    asked.kept.drop("runner", find(asked, number))
    return Answer(204)


@route("PUT", "/runners/:number", "admin")
def change(asked: Asked, number: str) -> Answer:
    runner = find(asked, number)
    flags = [name for name in ("active", "locked", "run_untagged") if name in asked.given]
    texts = [name for name in ("description", "tag_list") if name in asked.given]
    if not flags and not texts:
        names = "description, active, tag_list, run_untagged, locked, access_level, maximum_timeout"
        raise Refused(400, {"error": names + " are missing, at least one parameter must be provided"})
    changes = {**{name: asked.flag(name) for name in flags}, **{name: asked.given[name] for name in texts}}
    asked.kept.put("runner", {**runner, **changes})
    return details(asked, number)
