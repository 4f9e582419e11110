"""The variables that every job of the instance gets: the registry, its user and its password."""

from __future__ import annotations

import re

import gitlab

from helpers.core.actions import Action

_WHERE = "/admin/ci/variables"
#: what GitLab 13.12 can hide in a job's log
_MASKABLE = r"[A-Za-z0-9_+=/@:.~-]{8,}"


def why_not_maskable(*secrets):
    """None when GitLab can hide these in a job's log, else why not, without them."""
    good = all(re.fullmatch(_MASKABLE, secret.reveal()) for secret in secrets)
    return None if good else "GitLab can hide 8 characters or more, of letters, digits and _+=/@:.~- only"


class Variables:
    """Instance variables of a GitLab. values: {key: text, or a secret}."""

    def __init__(self, git, values):
        self.git, self.values = git, values

    def made(self):
        """Action: they have these values, are hidden in logs, and reach every branch."""
        return Action(
            "POST /api/v4{}   ({}: masked, not protected)".format(_WHERE, ", ".join(sorted(self.values))),
            self.why_not,
            self._set,
            self._delete,
            self._why_still_there,
        )

    def there(self):
        """{key: what GitLab has of it}, of ours."""
        return {v["key"]: v for v in self.git.all_of(_WHERE) if v["key"] in self.values}

    def _wanted(self, key):
        value = self.values[key]
        text = value if isinstance(value, str) else value.reveal()
        masked = not isinstance(value, str) or bool(re.fullmatch(_MASKABLE, text))
        return {"value": text, "masked": masked, "protected": False, "variable_type": "env_var"}

    def why_not(self):
        """None when all are as wanted, else what is not, without a value."""
        found = self.there()
        return ", ".join(filter(None, (self._why_other(key, found.get(key)) for key in sorted(self.values)))) or None

    def _why_other(self, key, found):
        if found is None:
            return f"{key} is not there"
        wanted = self._wanted(key)
        if found["protected"]:
            return f"{key} is protected: only protected branches get it"
        if wanted["masked"] and not found["masked"]:
            return f"{key} is not masked: logs show it"
        return None if found["value"] == wanted["value"] else f"{key} has another value"

    def _set(self):
        found, api = self.there(), self.git.api()
        for key in sorted(self.values):
            if key in found:
                api.http_put(f"{_WHERE}/{key}", post_data=self._wanted(key))
            else:
                api.http_post(_WHERE, post_data=dict(self._wanted(key), key=key))

    def _delete(self):
        for key in self.there():
            try:
                self.git.api().http_delete(f"{_WHERE}/{key}")
            except gitlab.GitlabHttpError as e:
                if e.response_code != 404:
                    raise

    def _why_still_there(self):
        found = [] if self.git.away() else sorted(self.there())
        return "there: " + ", ".join(found) if found else None
