"""Users, tokens, projects, settings and variables: JSON objects in one SQLite file."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator

import config

TABLE = "CREATE TABLE IF NOT EXISTS records (kind TEXT, id INTEGER, body TEXT, PRIMARY KEY (kind, id))"
FILE = config.DATA / "double/store.sqlite"

SETTINGS: dict[str, object] = {
    "id": 1,
    "signup_enabled": True,
    "require_admin_approval_after_user_signup": True,
    "send_user_confirmation_email": False,
    "password_authentication_enabled_for_web": True,
    "password_authentication_enabled_for_git": True,
    "allow_local_requests_from_web_hooks_and_services": False,
    "allow_local_requests_from_system_hooks": True,
    "dns_rebinding_protection_enabled": True,
    "outbound_local_requests_allowlist_raw": "",
    "auto_devops_enabled": True,
    "auto_devops_domain": None,
    "shared_runners_enabled": True,
    "shared_runners_text": None,
    "default_project_visibility": "private",
    "restricted_visibility_levels": [],
    "default_branch_name": None,
    "default_branch_protection": 2,
    "default_artifacts_expire_in": "30 days",
    "personal_access_token_prefix": None,
    "protected_ci_variables": True,
    "admin_mode": False,
    "minimum_password_length": 8,
    "default_projects_limit": 100000,
    "session_expire_delay": 10080,
    "usage_ping_enabled": True,
    "version_check_enabled": True,
    "keep_latest_artifact": True,
    "max_artifacts_size": 100,
}


def now() -> str:
    return moment(time.time())


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03}Z"


def clock(seconds: float | None) -> str | None:
    return moment(seconds) if seconds else None


def token20() -> str:
    return secrets.token_urlsafe(15)


def digest(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def hashed(password: str, salt: str = "") -> str:
    salt = salt or secrets.token_hex(16)
    return salt + "$" + hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 20000).hex()


def is_password(user: dict, password: str) -> bool:
    kept = user["password"]
    return bool(kept) and secrets.compare_digest(kept, hashed(password, kept.partition("$")[0]))


class Store:
    """Inside one transaction: objects by kind and number."""

    def __init__(self, connection: sqlite3.Connection):
        self.db = connection

    def all(self, kind: str, **fields: object) -> list[dict]:
        rows = self.db.execute("SELECT body FROM records WHERE kind = ? ORDER BY id", [kind])
        found = [json.loads(body) for (body,) in rows]
        return [o for o in found if all(o.get(name) == value for name, value in fields.items())]

    def one(self, kind: str, **fields: object) -> dict | None:
        return next(iter(self.all(kind, **fields)), None)

    def numbered(self, kind: str, said: str) -> dict | None:
        """The one of this number; None when there is none, or it is no number."""
        return self.one(kind, id=int(said)) if said.isdigit() else None

    def add(self, kind: str, **fields: object) -> dict:
        """A new object with the next number of its kind; numbers do not come twice."""
        self.db.execute("INSERT INTO records (kind, id, body) SELECT ?, 0, '0' WHERE NOT EXISTS "
                        "(SELECT 1 FROM records WHERE kind = ?)", ["last " + kind, "last " + kind])  # fmt: skip
        self.db.execute("UPDATE records SET body = body + 1 WHERE kind = ?", ["last " + kind])
        (number,) = self.db.execute("SELECT body FROM records WHERE kind = ?", ["last " + kind]).fetchone()
        made = {"id": int(number), **fields}
        self.db.execute("INSERT INTO records VALUES (?, ?, ?)", [kind, made["id"], json.dumps(made)])
        return made

    def put(self, kind: str, thing: dict) -> None:
        self.db.execute("UPDATE records SET body = ? WHERE kind = ? AND id = ?", [json.dumps(thing), kind, thing["id"]])

    def drop(self, kind: str, thing: dict) -> None:
        self.db.execute("DELETE FROM records WHERE kind = ? AND id = ?", [kind, thing["id"]])

    def settings(self) -> dict:
        kept = self.one("settings")
        return {**SETTINGS, **kept} if kept else dict(SETTINGS)

    def set(self, changes: dict) -> None:
        kept = self.one("settings") or self.add("settings")
        self.put("settings", {**kept, **changes})

    def add_user(self, username: str, password: str, **fields: object) -> dict:
        made = {"username": username, "password": hashed(password) if password else "", "state": "active",
                "created_at": now(), "is_admin": False, **fields}  # fmt: skip
        return self.add("user", **made)

    def add_token(self, user: dict, name: str, scopes: list[str], expires_at: str | None) -> tuple[dict, str]:
        """The token's object and its value, of which only a digest is kept."""
        value = (self.settings()["personal_access_token_prefix"] or "") + token20()
        made = {"name": name, "revoked": False, "created_at": now(), "scopes": scopes, "user_id": user["id"],
                "expires_at": expires_at, "digest": digest(value)}  # fmt: skip
        return self.add("token", **made), value


@contextlib.contextmanager
def opened() -> Iterator[Store]:
    """One transaction: kept at the end, undone by an exception."""
    FILE.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    connection = sqlite3.connect(str(FILE), timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(TABLE)
        yield Store(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()
