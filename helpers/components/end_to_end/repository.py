"""Stage 4: the model's repository in GitLab, the variables of its pipeline, and a push."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from urllib.parse import quote

import gitlab

from helpers.components.end_to_end.cluster import FOLDER
from helpers.core.actions import Action
from helpers.core.advice import aimed
from helpers.core.errors import RunbookError, Unmet

PATH, BRANCH = "root/clothes", "master"
#: the runbook's own commits, by gitlab.client
AUTHOR = "runbook@localhost"
OURS = "the runbook's model of clothes"
DATA, SETTINGS, MODEL = "data.json", "settings.json", "model.py"
#: what the cluster applies once, from this machine, and is no part of the repository
_NOT_IN_IT = ("deployer.yaml",)


def files():
    """{path: text} of the model's repository as install makes it, without data.json."""
    found = [p for p in sorted(FOLDER.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    return {p.relative_to(FOLDER).as_posix(): p.read_text("utf-8") for p in found if p.name not in _NOT_IN_IT}


class NoFile(Unmet):
    """The commit has no file of this name."""


class Repository:
    """The project root/clothes of a GitLab (gitlab.client.GitLab)."""

    def __init__(self, git):
        self.git, self.ch = git, git.ch

    def api(self):
        return self.git.api()

    def project(self):
        """Action: the project exists, private, and says that it is ours. Remove deletes it, with its pipelines."""
        return Action(
            f"POST /api/v4/projects   ({PATH}, private)",
            lambda: None if self.found() else f"GitLab has no project {PATH}",
            self._make,
            self._delete,
            absent=lambda: f"project {PATH} is there" if self._is_ours() else None,
        )

    def why_others(self):
        """None when no project of this name is somebody's, else that it is."""
        there = self.found()
        return f"there is a project {PATH} of somebody's" if there and not self._is_ours() else None

    def why_peoples(self):
        """For remove: None when all in the project is the runbook's own; else whose what is. No answer is an error."""
        if not self._is_ours():
            return None
        branches = {each["name"]: each["commit"] for each in self._all("/repository/branches")}
        found = [f"branch {name} of {last['author_name']}" for name, last in branches.items() if name != BRANCH]
        commits = self._all("/repository/commits", ref_name=BRANCH) if BRANCH in branches else []
        commits = [(each["author_name"], each["title"]) for each in commits if each["author_email"] != AUTHOR]
        found += _newest(f"commits of others on {BRANCH}", commits)
        for what in ("issues", "merge_requests"):
            there = [(each["author"]["name"], each["title"]) for each in self._all("/" + what)]
            found += _newest(what.replace("_", " "), there)
        return ", ".join(found) or None

    def _all(self, rest, **which):
        """All pages of a list below the project."""
        try:
            return self.git.all_of(self.url(rest), **which)
        except gitlab.GitlabHttpError as e:
            raise _refused(f"ask for {rest[1:]} of {PATH}", self.ch, e) from e
        except Unmet as e:
            raise _away(self.ch, e) from e

    def found(self):
        """The project as GitLab's API tells it; None when there is none."""
        try:
            return self.api().http_get(self._url())
        except gitlab.GitlabHttpError as e:
            if e.response_code == 404:
                return None
            raise _refused("look for " + PATH, self.ch, e) from e
        except Unmet as e:
            raise _away(self.ch, e) from e

    def _is_ours(self):
        return not self.git.away() and (self.found() or {}).get("description") == OURS

    def _make(self):
        name = PATH.partition("/")[2]
        wanted = {"name": name, "visibility": "private", "description": OURS, "auto_devops_enabled": False}
        self.api().http_post("/projects", post_data=wanted)

    def _delete(self):
        if self._is_ours():
            self.api().http_delete(self._url())
            self.ch.wait("GitLab to delete the project", lambda: self.found() is None)

    def url(self, rest=""):
        """A path of the API below the project."""
        return self._url() + rest

    def _url(self):
        return "/projects/" + PATH.replace("/", "%2F")

    # -- variables -----------------------------------------------------------------------------------

    def variables(self, plain, secret, files):
        """Action: the pipeline has these variables, each {name: text}, of secret and files a function of no arguments.

        Those of secret are masked. None is protected: whoever may push may read them.
        """

        def wanted():
            found = {name: _variable(value) for name, value in plain.items()}
            found.update({name: _variable(value(), masked=True) for name, value in secret.items()})
            found.update({name: _variable(value(), kind="file") for name, value in files.items()})
            return found

        return Action(
            "POST /api/v4/projects/{}/variables   ({})".format(PATH, ", ".join(sorted([*plain, *secret, *files]))),
            lambda: self._why_other_variables(wanted()),
            lambda: self._set_variables(wanted()),
        )

    def _variables(self):
        return {v["key"]: v for v in self.git.all_of(self.url("/variables"))}

    def _why_other_variables(self, wanted):
        there = self._variables()
        other = [name for name in sorted(wanted) if _differs(there.get(name), wanted[name])]
        return "missing, or others: " + ", ".join(other) if other else None

    def _set_variables(self, wanted):
        there = self._variables()
        for name, what in wanted.items():
            content = dict(what, key=name, protected=False)
            try:
                if name not in there:
                    self.api().http_post(self.url("/variables"), post_data=content)
                elif _differs(there[name], what):
                    self.api().http_put(self.url("/variables/" + name), post_data=content)
            except gitlab.GitlabHttpError as e:
                raise _refused(f"set the variable {name} of {PATH}", self.ch, e) from e

    # -- what is in it -------------------------------------------------------------------------------

    def head(self):
        """The newest commit on master, as GitLab's API tells it; None while there is none."""
        try:
            return self.api().http_get(self.url(f"/repository/commits/{BRANCH}"))
        except gitlab.GitlabHttpError as e:
            if e.response_code == 404:
                return None
            raise _refused("ask for the newest commit of " + PATH, self.ch, e) from e
        except Unmet as e:
            raise _away(self.ch, e) from e

    def read(self, path, commit=BRANCH):
        """A file's text in a commit. NoFile when there is none."""
        try:
            said = self.api().http_get(self.url(f"/repository/files/{quote(path, safe='')}/raw"), ref=commit, raw=True)
        except gitlab.GitlabHttpError as e:
            if e.response_code != 404:
                raise _refused(f"read {path} of {PATH}", self.ch, e) from e
            raise NoFile(f"{path} in commit {commit[:8]} of {PATH}", f"404 {e.error_message}") from e
        return said.content.decode()

    def data(self, commit=BRANCH):
        """On which commits of Pachyderm a commit of the repository is trained."""
        return json.loads(self.read(DATA, commit))

    def push(self, changes, message):
        """Push a commit to master with git, as a person does; its id. changes: {path: text}."""
        with self._clone() as folder:
            for path, text in changes.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
            self.git.git(folder, "add", "-A")
            self.git.git(folder, "commit", "-q", "-m", message)
            self.git.git(folder, "push", "-q", self.git.remote(PATH), f"HEAD:refs/heads/{BRANCH}")
            return self.git.git(folder, "rev-parse", "HEAD").strip()

    @contextlib.contextmanager
    def _clone(self):
        with tempfile.TemporaryDirectory() as top:
            folder = Path(top) / "clothes"
            folder.mkdir()
            self.git.git(folder, "init", "-q")
            if self.head():
                self.git.git(folder, "fetch", "-q", self.git.remote(PATH), BRANCH)
                self.git.git(folder, "checkout", "-q", "FETCH_HEAD")
            yield folder


def _newest(what, there):
    """As a list of one text; there: (author, title) of each, the newest first."""
    return ["{} {}, the newest {}'s: {}".format(len(there), what, *there[0])] if there else []


def _variable(value, masked=False, kind="env_var"):
    return {"value": value, "masked": masked, "variable_type": kind}


def _differs(there, wanted):
    return there is None or any(there[key] != value for key, value in wanted.items())


def _away(ch, error):
    return Unmet(error.expected, f"GitLab on {ch.host.name}: {error.saw}", "e2e-down")


def _refused(what, ch, error):
    saw = f"status {error.response_code}: {error.error_message}"
    do = "See whether GitLab takes our token: ./runbook up --mode verify --only gitlab"
    return RunbookError(what, ch.host.name, saw, aimed(do, ch.notebook, ch.values), "e2e-gitlab")
