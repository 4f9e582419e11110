"""The runner as GitLab knows it: registered once, its token kept, taken away at remove."""

from __future__ import annotations

import hashlib

import gitlab

from helpers.components.gitlab_runner.layout import HERE, NAME, TOKEN
from helpers.core.actions import Action

#: from this release on a runner is made by who is signed in; a registration token may be switched off
_NEW_WAY = 16
_ABOUT = {"description": NAME, "tag_list": NAME, "run_untagged": True, "locked": False}


class Registration:
    """A runner of the whole instance. git: the GitLab; ch: the chapter, whose secret its token is."""

    def __init__(self, ch, git):
        self.ch, self.git = ch, git
        ch.forgets(TOKEN)

    def reveal(self):
        """The runner's token, as a Secret of the cluster takes it; empty before there is one."""
        found = self.ch.secrets.find(TOKEN)
        return found.reveal() if found else ""

    def release(self):
        """GitLab's release, as 13."""
        return int(self.git.api().http_get("/version")["version"].split(".")[0])

    def made(self):
        """Action: GitLab has a runner of ours, which takes jobs. Its token is kept."""
        return Action(
            f"POST /api/v4/runners   (the registration token comes from gitlab-rails; the runner's own, "
            f"which alone goes on, is kept as secret {TOKEN})",
            self.why_not,
            self._make,
            self._take_away,
            self._why_still_there,
        )

    def why_not(self):
        """None when GitLab knows our runner and lets it work, else why not."""
        if not self.reveal():
            return "this machine has no token of a runner"
        if not self._is_known():
            return "GitLab does not know the runner's token: it was removed there, or reset"
        return self._why_resting()

    def _is_known(self):
        try:
            self.git.api().http_post("/runners/verify", post_data={"token": self.reveal()})
        except gitlab.GitlabHttpError as e:
            if e.response_code == 403:
                return False
            raise
        return True

    def _name(self):
        """What GitLab calls our runner, and no other: one that was given no name has its host's, which may be NAME."""
        return f"{NAME} {hashlib.sha256(self.reveal().encode()).hexdigest()[:12]}"

    def _called(self, name):
        """The numbers of GitLab's runners of this name."""
        return [each["id"] for each in self.git.all_of("/runners/all") if each["description"] == name]

    def _record(self):
        """Ours as GitLab tells it; None when it cannot be told which it is: an older runbook called it NAME alone."""
        ours = self._called(self._name()) or self._called(NAME)
        return self.git.api().http_get(f"/runners/{ours[0]}") if len(ours) == 1 else None

    def _why_resting(self):
        about = self._record()
        if about is None:
            return f"it cannot be told which of the runners called {NAME} is ours"
        if not about["active"]:
            return "it is paused"
        if not about["run_untagged"] or NAME not in about["tag_list"]:
            return "it takes other jobs than those without a tag and those of tag " + NAME
        return None

    def _make(self):
        record = self._record() if self.reveal() and self._is_known() else None
        if record is None:
            self._take_away()
            record = self._made_new() if self.release() >= _NEW_WAY else self._registered()
            self.ch.secrets.keep(TOKEN, record["token"])
            self.ch.masker.add(record["token"])
        about = dict(_ABOUT, description=self._name(), active=True)
        self.git.api().http_put("/runners/{}".format(record["id"]), post_data=about)

    def _made_new(self):
        about = dict(_ABOUT, runner_type="instance_type")
        return self.git.api().http_post("/user/runners", post_data=about)

    def _registered(self):
        ask = (HERE / "registration.rb").read_text("utf-8")
        what = "ask for GitLab's registration token"
        said = self.git.ch.host.run("gitlab-rails runner -", stdin=ask, timeout=600, what=what, raw=True)
        value = said.out.strip().split("\n")[-1]
        self.ch.masker.add(value)
        return self.git.api().http_post("/runners", post_data=dict(_ABOUT, token=value))

    def _take_away(self):
        if self.reveal() and self._is_known():
            self.git.api().http_delete("/runners", post_data={"token": self.reveal()})
        for number in self._called(self._name()) if self.reveal() else []:  # its token was reset
            self.git.api().http_delete(f"/runners/{number}")

    def _why_still_there(self):
        there = not self.git.away() and self.reveal() and (self._is_known() or self._called(self._name()))
        return "GitLab has our runner" if there else None
