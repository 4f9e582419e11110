"""REST v4: who asks, what each address answers, and how it says no."""

from __future__ import annotations

import json
import re
import time
import traceback
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message

import store

HEADERS = {"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff", "Vary": "Origin",
           "Cache-Control": "max-age=0, private, must-revalidate"}  # fmt: skip


@dataclass
class Answer:
    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"


class Refused(Exception):
    """An answer that says no: its status and body."""

    def __init__(self, status: int, body: object, **headers: str):
        super().__init__(status, body)
        self.answer = Answer(status, body, headers)


def message(status: int, text: object, **headers: str) -> Refused:
    return Refused(status, {"message": text}, **headers)


class Asked:
    """A request, its parameters from the address and the body, and later the store and the user who asks."""

    def __init__(self, method: str, target: str, headers: Message, body: bytes, url: str):
        self.path, _, query = target.partition("?")
        self.method, self.headers, self.url = method, headers, url
        self.given: dict = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.body = body
        self.kept: store.Store
        self.user: dict | None = None

    def read_body(self) -> None:
        """Take the parameters of a JSON or form body. Refused when it is none."""
        kind = self.headers.get("Content-Type", "")
        try:
            if self.body and "json" in kind:
                self.given.update(json.loads(self.body))
            elif self.body and "urlencoded" in kind:
                self.given.update(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True))
        except (ValueError, TypeError):
            raise Refused(400, {"error": "Problem parsing JSON"}) from None

    def need(self, *names: str) -> list:
        """The values of parameters that must be there."""
        missing = [f"{n} is missing" for n in names if n not in self.given]
        if missing:
            raise Refused(400, {"error": ", ".join(missing)})
        return [self.given[n] for n in names]

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.given.get(name, default)
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise Refused(400, {"error": f"{name} is invalid"})
        return str(value).lower() in ("true", "1")

    def chosen(self, name: str, values: tuple[str, ...], default: str) -> str:
        value = self.given.get(name, default)
        if value not in values:
            raise Refused(400, {"error": f"{name} does not have a valid value"})
        return value


def is_usable(token: dict) -> bool:
    return not token["revoked"] and not _expired(token)


def _expired(token: dict) -> bool:
    return bool(token["expires_at"]) and token["expires_at"] <= time.strftime("%Y-%m-%d", time.gmtime())


def may_read(user: dict | None, project: dict) -> bool:
    return (
        project["visibility"] == "public"
        or bool(user)
        and (project["visibility"] == "internal" or may_write(user, project))
    )


def may_write(user: dict | None, project: dict) -> bool:
    return bool(user) and (user["is_admin"] or project["owner_id"] == user["id"])


def project_of(kept: store.Store, said: str) -> dict | None:
    """By number or by full path; a path without a slash finds nothing."""
    if said.isdigit():
        return kept.numbered("project", said)
    return kept.one("project", path_with_namespace=said) if "/" in said else None


def find_project(asked: Asked, said: str, write: bool = False) -> dict:
    """The project that this user may read, or write. Refused when there is none, or it may not be."""
    found = project_of(asked.kept, said)
    if not found or not may_read(asked.user, found):
        raise message(404, "404 Project Not Found")
    if write and not may_write(asked.user, found):
        raise message(403, "403 Forbidden")
    return found


# -- who asks ------------------------------------------------------------------------------------------


def _token_text(asked: Asked) -> str | None:
    bearer = asked.headers.get("Authorization", "")
    if bearer.lower().startswith("bearer "):
        text = bearer[7:].strip()
        return text if 20 <= len(text) <= 40 else ""  # others are taken for OAuth's
    given = asked.given.pop("private_token", None) or asked.headers.get("PRIVATE-TOKEN")
    return given or asked.given.pop("access_token", None)


def _no_longer(text: str) -> Refused:
    said = {"error": "invalid_token", "error_description": text}
    told = f'Bearer realm="The API", error="invalid_token", error_description="{text}"'
    return Refused(401, said, **{"WWW-Authenticate": told})


def sign_in(asked: Asked) -> None:
    """Set asked.user; Refused for a token that is no good, on every address."""
    text = _token_text(asked)
    if text is None:
        return
    token = asked.kept.one("token", digest=store.digest(text))
    if not token:
        raise message(401, "401 Unauthorized")
    if token["revoked"]:
        raise _no_longer("Token was revoked. You have to re-authorize from the user.")
    if _expired(token):
        raise _no_longer("Token is expired. You can either do re-authorization or token refresh.")
    asked.user = asked.kept.one("user", id=token["user_id"])
    _check_scope(asked, set(token["scopes"]))
    if asked.user["state"] == "blocked":
        raise message(403, "403 Forbidden - Your account has been blocked.")


def _check_scope(asked: Asked, scopes: set[str]) -> None:
    accepted = ["api"] + (["read_api"] if asked.method in ("GET", "HEAD") else [])
    if asked.method in ("GET", "HEAD") and re.match(r"/api/v4/users?(/|$)", asked.path):
        accepted.append("read_user")
    if not scopes & set(accepted):
        said = {"error": "insufficient_scope", "scope": " ".join(accepted)}
        said["error_description"] = "The request requires higher privileges than provided by the access token."
        raise Refused(403, said)


# -- addresses -----------------------------------------------------------------------------------------

ROUTES: list[tuple[str, re.Pattern[str], str, Callable[..., Answer]]] = []


def route(method: str, pattern: str, level: str = "user") -> Callable:
    """Answers `method /api/v4/pattern`; :name is a part of the path, *name its rest. level: open, user or admin."""
    pattern = re.sub(r"\*(\w+)", r"(?P<\1>.+)", re.sub(r":(\w+)", r"(?P<\1>[^/]+)", pattern))
    expression = re.compile("/api/v4" + pattern + "/?")

    def keep(answers: Callable[..., Answer]) -> Callable[..., Answer]:
        ROUTES.append((method, expression, level, answers))
        return answers

    return keep


def answer(asked: Asked) -> Answer:
    try:
        with store.opened() as kept:
            asked.kept = kept
            asked.read_body()
            return _answer(asked)
    except Refused as refused:
        return refused.answer
    except Exception:
        traceback.print_exc()
        return Answer(500, {"message": "500 Internal Server Error"})


def _answer(asked: Asked) -> Answer:
    if asked.path.startswith("/api/v3"):
        raise Refused(410, {"error": "API V3 is no longer supported. Use API V4 instead."})
    method = "GET" if asked.method == "HEAD" else asked.method
    there = [(m, found, level, do) for m, p, level, do in ROUTES if (found := p.fullmatch(asked.path))]
    if not there:
        raise Refused(404, {"error": "404 Not Found"})
    mine = [entry for entry in there if entry[0] == method]
    if not mine:
        raise Refused(405, {"error": "405 Not Allowed"})
    _, found, level, do = mine[0]
    sign_in(asked)
    if level != "open" and not asked.user:
        raise message(401, "401 Unauthorized")
    if level == "admin" and not asked.user["is_admin"]:
        raise message(403, "403 Forbidden")
    return do(asked, **{name: urllib.parse.unquote(text) for name, text in found.groupdict().items()})


def paged(asked: Asked, items: list, totals: bool = True) -> Answer:
    """One page of a list and the headers about the others."""
    try:
        page, per = int(asked.given.get("page", 1)), int(asked.given.get("per_page", 20))
    except ValueError:
        raise Refused(400, {"error": "page is invalid"}) from None
    if per < 1:
        raise Refused(400, {"error": "per_page does not have a valid value"})
    page, per = max(page, 1), min(per, 100)
    pages = max(1, -(-len(items) // per))
    after = str(page + 1) if page < pages else ""
    before = str(page - 1) if page > 1 else ""
    headers = {"X-Page": str(page), "X-Per-Page": str(per), "X-Next-Page": after, "X-Prev-Page": before}
    if totals:
        headers.update({"X-Total": str(len(items)), "X-Total-Pages": str(pages)})
    wanted = [("prev", before), ("next", after), ("first", "1"), ("last", str(pages) if totals else "")]
    headers["Link"] = ", ".join(f'<{_page_url(asked, number, per)}>; rel="{rel}"' for rel, number in wanted if number)
    return Answer(200, items[(page - 1) * per : page * per], headers)


def _page_url(asked: Asked, page: str, per: int) -> str:
    query = urllib.parse.urlencode({**asked.given, "page": page, "per_page": per})
    return f"{asked.url}{asked.path}?{query}"


import endpoints  # noqa: E402, F401 - they register themselves
