"""What the addresses of REST v4 answer: version, settings, users, tokens, CI variables."""

from __future__ import annotations

import re

import config
import store
from api import Answer, Asked, Refused, find_project, message, paged, route

MASKABLE = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")


@route("GET", "/version")
def version(asked: Asked) -> Answer:
    return Answer(200, {"version": config.VERSION, "revision": "00000000000"})


# -- settings ------------------------------------------------------------------------------------------


def shown_settings(asked: Asked) -> dict:
    shown = asked.kept.settings()
    shown.pop("runners_registration_token", None)
    web = shown["password_authentication_enabled_for_web"]
    local = shown["allow_local_requests_from_web_hooks_and_services"]
    return {**shown, "password_authentication_enabled": web, "signin_enabled": web,
            "allow_local_requests_from_hooks_and_services": local}  # fmt: skip


@route("GET", "/application/settings", "admin")
def get_settings(asked: Asked) -> Answer:
    return Answer(200, shown_settings(asked))


@route("PUT", "/application/settings", "admin")
def put_settings(asked: Asked) -> Answer:
    alias = {"allow_local_requests_from_hooks_and_services": "allow_local_requests_from_web_hooks_and_services",
             "password_authentication_enabled": "password_authentication_enabled_for_web",
             "signin_enabled": "password_authentication_enabled_for_web"}  # fmt: skip
    named = {alias.get(name, name): name for name in asked.given}
    changes = {}
    for name in set(named) & set(store.SETTINGS) - {"id"}:
        is_flag = isinstance(store.SETTINGS[name], bool)
        changes[name] = asked.flag(named[name]) if is_flag else asked.given[named[name]]
    if not changes:
        names = ", ".join(n for n in store.SETTINGS if n != "id")
        raise Refused(400, {"error": f"{names} are missing, at least one parameter must be provided"})
    if changes.get("shared_runners_enabled") and "shared_runners_text" not in asked.given:
        raise Refused(400, {"error": "shared_runners_text is missing"})
    if "outbound_local_requests_allowlist_raw" in changes:
        entries = re.split(r"[\s,;]+", changes["outbound_local_requests_allowlist_raw"])
        changes["outbound_local_requests_allowlist_raw"] = "\n".join(filter(None, entries))
    asked.kept.set(changes)
    return Answer(200, shown_settings(asked))


# -- users and tokens ----------------------------------------------------------------------------------


def basic(asked: Asked, user: dict) -> dict:
    return {"id": user["id"], "name": user["name"], "username": user["username"], "state": user["state"],
            "avatar_url": None, "web_url": f"{asked.url}/{user['username']}"}  # fmt: skip


def shown_user(asked: Asked, user: dict) -> dict:
    shown = {**basic(asked, user), "created_at": user["created_at"]}
    if asked.user["is_admin"] or asked.user["id"] == user["id"]:
        shown.update(email=user["email"], identities=[], projects_limit=100000, two_factor_enabled=False)
    if asked.user["is_admin"]:
        shown.update(is_admin=user["is_admin"], note=None)
    return shown


def user_of(asked: Asked, number: str) -> dict:
    found = asked.kept.numbered("user", number)
    if not found:
        raise message(404, "404 User Not Found")
    return found


@route("GET", "/user")
def me(asked: Asked) -> Answer:
    return Answer(200, shown_user(asked, asked.user))


@route("GET", "/users", "open")
def users(asked: Asked) -> Answer:
    name = asked.given.get("username")
    if not asked.user and not name:
        raise message(403, "403 Forbidden - Not authorized to access /api/v4/users")
    found = [u for u in asked.kept.all("user") if name in (None, u["username"]) and _searched(asked, u)]
    return paged(asked, [shown_user(asked, u) if asked.user else basic(asked, u) for u in reversed(found)])


def _searched(asked: Asked, user: dict) -> bool:
    """Is it one that search, active and blocked ask for?"""
    text = asked.given.get("search", "").lower()
    is_named = text in user["name"].lower() or text in user["username"].lower() or text == user["email"].lower()
    state = user["state"] == "active"
    return is_named and (state or not asked.flag("active")) and (not state or not asked.flag("blocked"))


@route("GET", "/users/:number")
def user(asked: Asked, number: str) -> Answer:
    return Answer(200, shown_user(asked, user_of(asked, number)))


@route("POST", "/users", "admin")
def add_user(asked: Asked) -> Answer:
    email, name, username = asked.need("email", "name", "username")
    password = asked.given.get("password", "")
    if not password and not {"reset_password", "force_random_password"} & set(asked.given):
        missing = "password, reset_password, force_random_password are missing, at least one parameter must be provided"
        raise Refused(400, {"error": missing})
    for field, value in (("email", email), ("username", username)):
        if asked.kept.one("user", **{field: value}):
            raise message(409, f"{field.capitalize()} has already been taken")
    if password and len(password) < 8:
        raise message(400, {"password": ["is too short (minimum is 8 characters)"]})
    made = asked.kept.add_user(username, password, name=name, email=email, is_admin=asked.flag("admin"))
    return Answer(201, shown_user(asked, made))


@route("POST", "/users/:number/:word", "admin")
def change_state(asked: Asked, number: str, word: str) -> Answer:
    if word == "personal_access_tokens":
        return add_token(asked, user_of(asked, number))
    if word not in ("block", "unblock"):
        raise Refused(404, {"error": "404 Not Found"})
    state = {"block": "blocked", "unblock": "active"}[word]
    asked.kept.put("user", {**user_of(asked, number), "state": state})
    return Answer(201, True)


@route("DELETE", "/users/:number", "admin")
def delete_user(asked: Asked, number: str) -> Answer:
    found = user_of(asked, number)
    if asked.kept.one("project", owner_id=found["id"]):
        raise message(409, "409 Conflict: this stand-in does not delete a user who has projects")
    for token in asked.kept.all("token", user_id=found["id"]):
        asked.kept.drop("token", token)
    asked.kept.drop("user", found)
    return Answer(204)


def shown_token(token: dict) -> dict:
    shown = {name: value for name, value in token.items() if name != "digest"}
    return {**shown, "active": not token["revoked"]}


def add_token(asked: Asked, owner: dict) -> Answer:
    name, scopes = asked.need("name", "scopes")
    made, value = asked.kept.add_token(owner, name, scopes, asked.given.get("expires_at"))
    return Answer(201, {**shown_token(made), "token": value})


@route("GET", "/personal_access_tokens")
def tokens(asked: Asked) -> Answer:
    owner = asked.given.get("user_id")
    found = asked.kept.all("token")
    if not asked.user["is_admin"]:
        if owner not in (None, str(asked.user["id"])):
            raise message(401, "401 Unauthorized")
        owner = str(asked.user["id"])
    return paged(asked, [shown_token(t) for t in found if owner in (None, str(t["user_id"]))])


@route("DELETE", "/personal_access_tokens/:number")
def revoke(asked: Asked, number: str) -> Answer:
    found = asked.kept.numbered("token", number)
    mine = found and (asked.user["is_admin"] or found["user_id"] == asked.user["id"])
    if not mine:
        raise message(404, "404 Not found")
    asked.kept.put("token", {**found, "revoked": True})
    return Answer(204)


# -- CI variables: of the instance, and of a project ---------------------------------------------------


class Variables:
    """The four calls, below one address."""

    def __init__(self, missing: str, project: dict | None = None):
        self.missing, self.owner = missing, project["id"] if project else 0

    def shown(self, kept: dict) -> dict:
        names = ["variable_type", "key", "value", "protected", "masked"]
        return {name: kept[name] for name in names + (["environment_scope"] if self.owner else [])}

    def find(self, asked: Asked, key: str) -> dict:
        found = asked.kept.one("variable", owner=self.owner, key=key)
        if not found:
            raise message(404, self.missing)
        return found

    def checked(self, asked: Asked, old: dict) -> dict:
        """The variable as it would be. Refused when the model would not take it."""
        made = {**old, "value": asked.given.get("value", old.get("value"))}
        made["protected"] = asked.flag("protected", old.get("protected", False))
        made["masked"] = asked.flag("masked", old.get("masked", False))
        kind = old.get("variable_type", "env_var")
        made["variable_type"] = asked.chosen("variable_type", ("env_var", "file"), kind)
        made["environment_scope"] = asked.given.get("environment_scope", old.get("environment_scope", "*"))
        if len(made["value"]) > 10000:
            text = "The value of the provided variable exceeds the 10000 character limit"
            raise message(400, {"value": [text]})
        if made["masked"] and not MASKABLE.fullmatch(made["value"]):
            raise message(400, {"value": ["is invalid"]})
        return made

    def add(self, asked: Asked) -> Answer:
        key, _ = asked.need("key", "value")
        key = key.strip()
        if len(key) > 255:
            raise message(400, {"key": ["is too long (maximum is 255 characters)"]})
        if not re.fullmatch(r"[a-zA-Z0-9_]+", key):
            raise message(400, {"key": ["can contain only letters, digits and '_'."]})
        if asked.kept.one("variable", owner=self.owner, key=key):
            raise message(400, {"key": [f"({key}) has already been taken"]})
        made = self.checked(asked, {"key": key, "owner": self.owner})
        if not self.owner and len(asked.kept.all("variable", owner=0)) >= 25:
            text = "Maximum number of ci instance level variables (25) exceeded"
            raise message(400, {"base": [text]})
        return Answer(201, self.shown(asked.kept.add("variable", **made)))

    def list(self, asked: Asked) -> Answer:
        return paged(asked, [self.shown(v) for v in asked.kept.all("variable", owner=self.owner)])

    def change(self, asked: Asked, key: str) -> Answer:
        made = self.checked(asked, self.find(asked, key))
        asked.kept.put("variable", made)
        return Answer(200, self.shown(made))

    def delete(self, asked: Asked, key: str) -> Answer:
        asked.kept.drop("variable", self.find(asked, key))
        return Answer(204)


INSTANCE = Variables("404 InstanceVariable Not Found")


def of_project(asked: Asked, project: str) -> Variables:
    return Variables("404 Variable Not Found", find_project(asked, project, write=True))


for _place, _level, _owner in (
    ("/admin/ci/variables", "admin", lambda asked: INSTANCE),
    ("/projects/:project/variables", "user", of_project),
):
    route("GET", _place, _level)(lambda asked, _owner=_owner, **p: _owner(asked, **p).list(asked))
    route("POST", _place, _level)(lambda asked, _owner=_owner, **p: _owner(asked, **p).add(asked))
    route("GET", _place + "/:key", _level)(
        lambda asked, key, _owner=_owner, **p: (lambda v: Answer(200, v.shown(v.find(asked, key))))(_owner(asked, **p))
    )
    route("PUT", _place + "/:key", _level)(lambda asked, key, _owner=_owner, **p: _owner(asked, **p).change(asked, key))
    route("DELETE", _place + "/:key", _level)(
        lambda asked, key, _owner=_owner, **p: _owner(asked, **p).delete(asked, key)
    )

import ci_api  # noqa: E402, F401 - they register themselves
import ci_lint  # noqa: E402, F401
import clusters  # noqa: E402, F401
import coordinator  # noqa: E402, F401
import issues  # noqa: E402, F401
import projects  # noqa: E402, F401
import runners  # noqa: E402, F401
