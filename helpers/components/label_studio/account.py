"""Label Studio's user on the host, and the token that programs use."""

from __future__ import annotations

import contextlib
import re
import secrets

from helpers.components.label_studio.client import PASSWORD, TOKEN
from helpers.components.label_studio.layout import DATA, FIRST_PROJECT, SCRIPTS, SETTINGS, USER, VENV
from helpers.core.actions import Action
from helpers.core.shell import script

_JWT_SETTINGS = "/api/jwt/settings"


class Account:
    """The one user that the chapter makes. ls: the LabelStudio."""

    def __init__(self, ls):
        self.ls = ls

    def user(self):
        """Action: the user exists, and its password is the secret label-studio-password."""
        admin = self.ls.admin
        return Action(
            f"label-studio init --username {admin}; label-studio reset_password --username {admin}   "
            f"(password: secret {PASSWORD}, on standard input)",
            lambda: self.ls.session().close(),
            self._make_user,
        )

    def _make_user(self):
        # A title that is there already makes no user. What it makes goes at once: remove would find somebody's project.
        first_project = f"{FIRST_PROJECT} {secrets.token_hex(4)}" if self.ls.old else ""
        make = script(SCRIPTS / "make_user.sh", self.ls.admin, VENV, SETTINGS, DATA, USER, first_project)
        password = self.ls.password.reveal() + "\n"
        self.ls.ch.host.run(make, stdin=password, timeout=300, what="make the user " + self.ls.admin)
        if self.ls.old:
            self._delete_first_projects()

    def _delete_first_projects(self):
        with contextlib.closing(self.ls.session()) as client:
            for project in client.get("/api/projects/").raise_for_status().json():
                if _is_first(project):
                    client.delete(f"/api/projects/{project['id']}/").raise_for_status()

    def token(self):
        """Action: the API takes our token, the secret label-studio-token. A new one is made when it does not."""
        personal = f"POST /api/token/   (a personal access token, kept as secret {TOKEN})"
        legacy = f"POST /api/current-user/reset-token/   (a legacy token, kept as secret {TOKEN})"
        shown = personal if self.ls.token_kind == "jwt" else legacy
        return Action(shown, self.ls.token_is_taken, self._make_token)

    def _make_token(self):
        with contextlib.closing(self.ls.session()) as client:
            if self.ls.token_kind == "jwt":
                value = _personal(client)
            elif self.ls.old:
                value = _legacy(client)
            else:
                _allow_legacy(client, True)
                value = _legacy(client)
        self.ls.keep_token(value)


def _is_first(project):
    """Is this one that 1.0.1 made beside a user, untouched since? scripts/other_projects.sh asks the same."""
    title = re.fullmatch(FIRST_PROJECT + "( .{8})?", project["title"] or "")
    return title and project["label_config"] == "<View></View>" and not project["task_number"]


def _personal(client):
    _allow_legacy(client, False)  # an earlier install may have asked for them
    said = client.post("/api/token/", json={})
    if said.status_code == 409:  # there may be one at a time, and it is told once only
        for old in client.get("/api/token/").raise_for_status().json():
            client.post("/api/token/blacklist/", json={"refresh": old["token"]})
        said = client.post("/api/token/", json={})
    return said.raise_for_status().json()["token"]


def _legacy(client):
    # 1.0.1 cuts off the answer to GET /api/current-user/token.
    return client.post("/api/current-user/reset-token/").raise_for_status().json()["token"]


def _allow_legacy(client, allowed):
    """Switch the organisation's legacy tokens on or off, and leave its other settings as they are."""
    settings = client.get(_JWT_SETTINGS).raise_for_status().json()
    if bool(settings.get("legacy_api_tokens_enabled")) != allowed:
        client.post(_JWT_SETTINGS, json=dict(settings, legacy_api_tokens_enabled=allowed)).raise_for_status()
