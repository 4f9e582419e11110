"""What root sets up through the API: a token that ends, no sign-up, and the project that later runs read."""

from __future__ import annotations

import datetime
import re
import secrets
from string import Template

import gitlab

from helpers.components.gitlab.layout import DATA, PASSWORD, PROOF, SCRIPTS, TOKEN
from helpers.core.actions import Action
from helpers.core.errors import RunbookError

#: a token that ends within so many days is made anew by install
RENEW = 14
#: GitLab's settings as the chapter wants them
WANTED = {
    "signup_enabled": False,
    "usage_ping_enabled": False,
    "version_check_enabled": False,
    "auto_devops_enabled": False,
}
KEPT = "What the runbook's install wrote; each later verification reads it.\n"
_TEXT = "README.md"
#: the project that GitLab 13.4 to 15.11 makes for itself at its first start
_ITS_OWN = re.compile("gitlab-instance-[0-9a-f]{8}/monitoring")
#: how much it has of each as it was made; its README is missing where the first start could not write it
_AS_MADE = {"repository/commits?all=true&": 1, "issues?": 0, "merge_requests?": 0}


class Account:
    """root of a GitLab. git: the GitLab; days: how long a new token lasts."""

    def __init__(self, git, days=365):
        self.git, self.ch, self.days = git, git.ch, days

    def password(self):
        """Action: root has our password. The first start sets it; this is for one that was changed, or taken over."""
        return Action(
            f"gitlab-rails runner -   (root's password, where it is another one: secret {PASSWORD})",
            self.git.why_other_password,
            self._set_password,
        )

    def _set_password(self):
        self._run_ruby("password.rb", "set root's password", value=self.git.password.reveal())

    def token(self):
        """Action: the API takes our token for two weeks more at least. Older ones of its name are revoked."""
        return Action(
            f"gitlab-rails runner -   (a personal access token of root for {self.days} days, kept as secret {TOKEN})",
            lambda: self.git.why_token_refused(RENEW),
            self._make_token,
        )

    def _make_token(self):
        value, until = secrets.token_hex(16), datetime.date.today() + datetime.timedelta(days=self.days)
        self.ch.masker.add(value)
        what = "make a personal access token of root"
        self._run_ruby("token.rb", what, name=TOKEN, until=until.isoformat(), value=value)
        self.git.keep_token(value)
        self._revoke_others()

    def _run_ruby(self, script, what, **words):
        """On standard input: neither the process list nor a file has the words."""
        code = Template((SCRIPTS / script).read_text()).substitute(words)
        self.ch.host.run("gitlab-rails runner -", stdin=code, timeout=600, what=what)

    def _revoke_others(self):
        for old in sorted(t["id"] for t in self.git.tokens())[:-1]:
            self.git.api().http_delete(f"/personal_access_tokens/{old}")

    def settings(self):
        """Action: nobody can sign up, nothing is reported to its makers, no pipeline that nobody asked for."""
        shown = ", ".join(f"{name}: {str(value).lower()}" for name, value in WANTED.items())
        return Action(f"PUT /api/v4/application/settings   ({shown})", self.why_other_settings, self._set)

    def why_other_settings(self):
        """None when GitLab's settings are as wanted, else those that are not."""
        found = self.git.api().http_get("/application/settings")
        other = [f"{name} is {str(found.get(name)).lower()}" for name in WANTED if found.get(name) != WANTED[name]]
        return ", ".join(other) or None

    def _set(self):
        self.git.api().http_put("/application/settings", post_data=WANTED)

    # -- the project of later verifications ----------------------------------------------------------

    def proof_project(self):
        """Action: a private project with one file, which later verifications read."""
        return Action(f"POST /api/v4/projects   (root/{PROOF}, with {_TEXT})", self.why_not_kept, self._keep)

    def why_not_kept(self):
        """None when the file that install wrote is there as it was, else why not."""
        try:
            project = self.git.api().projects.get(f"root/{PROOF}")
            found = project.files.get(_TEXT, ref=project.default_branch or "master").decode()
        except gitlab.GitlabGetError as e:
            return f"root/{PROOF} {_TEXT}: {e.response_code} {e.error_message}"
        return None if found == KEPT.encode() else f"{_TEXT} of root/{PROOF} has another text"

    def _keep(self):
        api = self.git.api()
        try:
            project = api.projects.get(f"root/{PROOF}")
        except gitlab.GitlabGetError:
            project = api.projects.create({"name": PROOF, "visibility": "private"})
        branch = project.default_branch or "master"
        content = {"file_path": _TEXT, "branch": branch, "content": KEPT, "commit_message": "What install left"}
        try:
            project.files.create(content)
        except gitlab.GitlabCreateError:  # another text is there
            file = project.files.get(_TEXT, ref=branch)
            file.content = KEPT
            file.save(branch=branch, commit_message=content["commit_message"])

    # -- before remove -----------------------------------------------------------------------------

    def why_others_projects(self):
        """None when no project but our proof's and GitLab's own is there; else their names. No answer is an error."""
        if not self.ch.run(f"[ ! -e {DATA}/bootstrapped ] || echo there").strip():
            return None
        try:
            why = self.git.why_token_refused()  # without an administrator's it shows the public ones, and says no word
            found = [] if why else self.git.all_of("/projects", simple=True)
            names = [p["path_with_namespace"] for p in found if not self._is_nobodys(p)]
        except Exception as e:  # of either library: whatever keeps it from answering, it cannot be told
            raise self._cannot_tell(getattr(e, "saw", None) or e) from e
        if why:
            raise self._cannot_tell(why)
        return "there: " + ", ".join(names[:10]) if names else None

    def _is_nobodys(self, project):
        """Is it our proof's, or GitLab's own as it was made?"""
        if not _ITS_OWN.fullmatch(project["path_with_namespace"]):
            return project["path_with_namespace"] == f"root/{PROOF}"
        api, place = self.git.api(), f"/projects/{project['id']}/"
        return all(len(api.http_get(f"{place}{what}per_page=2")) <= most for what, most in _AS_MADE.items())

    def _cannot_tell(self, why):
        return RunbookError("ask GitLab for its projects", self.ch.host.name, f"cannot tell: {why}")
