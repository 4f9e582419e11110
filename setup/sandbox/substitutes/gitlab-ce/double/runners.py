"""REST v4 of runners: they register, are verified, changed and removed."""

from __future__ import annotations

import secrets
import time

import store
from api import Answer, Asked, Refused, find_project, message, paged, route

ONLINE = 7200  # seconds after its last contact
LEVELS = ("not_protected", "ref_protected")


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
    level, longest = _limits(asked)
    made = asked.kept.add(
        "runner", digest=store.digest(value), description=asked.given.get("description"), name=about.get("name"),
        active=asked.flag("active", True), locked=asked.flag("locked"), run_untagged=untagged, tag_list=tags,
        contacted=0, access_level=level, maximum_timeout=longest, queue=store.token20(),
        **{part: about.get(part) for part in ("version", "revision", "platform", "architecture")},
    )  # fmt: skip
    return Answer(201, {"id": made["id"], "token": value})


def _limits(asked: Asked) -> tuple[str, int | None]:
    """(access_level, maximum_timeout) as given, or as they are without."""
    level = asked.chosen("access_level", LEVELS, LEVELS[0])
    longest = asked.given.get("maximum_timeout")
    if longest is not None and int(longest) < 600:
        raise message(400, {"maximum_timeout": ["needs to be at least 10 minutes"]})
    return level, int(longest) if longest is not None else None


@route("POST", "/runners/verify", "open")
def verify(asked: Asked) -> Answer:
    of_token(asked)
    return Answer(200, 200)


@route("DELETE", "/runners", "open")
def unregister(asked: Asked) -> Answer:
    asked.kept.drop("runner", of_token(asked))
    return Answer(204)


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
    found = [shown(r) for r in reversed(asked.kept.all("runner")) if _wanted(asked, r)]
    return paged(asked, found)


STATES = ("active", "paused", "online", "offline", "not_connected")
TYPES = ("instance_type", "group_type", "project_type")


def _wanted(asked: Asked, runner: dict) -> bool:
    """Is it of the state, type and tags that the request asks for?"""
    said, tags = shown(runner), asked.given.get("tag_list") or []
    is_in = {"active": runner["active"], "paused": not runner["active"], "online": bool(said["online"]),
             "offline": said["online"] is False, "not_connected": said["online"] is None, "": True,
             "shared": True, "specific": False}  # fmt: skip
    state = is_in[asked.chosen("status", (*STATES, ""), "")]
    scope = is_in[asked.chosen("scope", ("specific", "shared", *STATES[:4], ""), "")]
    kind = asked.chosen("type", TYPES, "instance_type") == "instance_type"
    wanted = tags.split(",") if isinstance(tags, str) else tags
    return state and scope and kind and {t.strip() for t in wanted} <= set(runner["tag_list"])


@route("GET", "/projects/:project/runners")
def of_project(asked: Asked, project: str) -> Answer:
    owner = find_project(asked, project, write=True)
    found = [r for r in reversed(asked.kept.all("runner")) if _wanted(asked, r)]
    return paged(asked, [shown(r) for r in found if owner.get("shared_runners_enabled", True)])


def find(asked: Asked, number: str) -> dict:
    found = asked.kept.numbered("runner", number)
    if not found:
        raise message(404, "404 Not found")
    return found


@route("GET", "/runners/:number")
def details(asked: Asked, number: str) -> Answer:
    runner = find(asked, number)
    more = ("tag_list", "run_untagged", "locked", "version", "revision", "platform", "architecture",
            "access_level", "maximum_timeout")  # fmt: skip
    seen = {"contacted_at": store.moment(runner["contacted"]) if runner["contacted"] else None}
    told = {**shown(runner), **{name: runner.get(name) for name in more}, **seen}
    return Answer(200, {**told, "projects": [], "groups": []})


@route("DELETE", "/runners/:number", "admin")
def delete(asked: Asked, number: str) -> Answer:
    asked.kept.drop("runner", find(asked, number))
    return Answer(204)


@route("PUT", "/runners/:number", "admin")
def change(asked: Asked, number: str) -> Answer:
    runner = find(asked, number)
    flags = [name for name in ("active", "locked", "run_untagged") if name in asked.given]
    texts = [n for n in ("description", "tag_list", "access_level", "maximum_timeout") if n in asked.given]
    _limits(asked)
    if not flags and not texts:
        names = "description, active, tag_list, run_untagged, locked, access_level, maximum_timeout"
        raise Refused(400, {"error": names + " are missing, at least one parameter must be provided"})
    changes = {**{name: asked.flag(name) for name in flags}, **{name: asked.given[name] for name in texts}}
    if isinstance(changes.get("tag_list"), str):
        changes["tag_list"] = [t.strip() for t in changes["tag_list"].split(",") if t.strip()]
    asked.kept.put("runner", {**runner, **changes, "queue": store.token20()})
    return details(asked, number)
