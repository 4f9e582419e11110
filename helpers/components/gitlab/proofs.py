"""What chapter 11 proves of GitLab, through the SSH connection."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import gitlab

from helpers.components.gitlab.layout import PROOF, SCRIPTS
from helpers.core import listening
from helpers.core.errors import Unmet
from helpers.core.shell import script

_NOBODY = "00000000000000000000"


class Proofs:
    """Proofs of a GitLab, by its Account's token."""

    def __init__(self, account):
        self.account, self.git, self.ch = account, account.git, account.ch

    def version_is(self, version):
        """The API says the version of the package. Returns it."""
        found = self.git.api().http_get("/version")["version"]
        if found.split("-")[0] != version.split("-")[0]:
            raise Unmet(version.split("-")[0], found)
        return found

    def password_is_ours(self):
        """git takes root with our password."""
        why = self.git.why_other_password()
        if why:
            raise Unmet("root with our password is let in", f"401: {why}")

    def wrong_password_is_refused(self):
        """git refuses root with another password."""
        status = self.git.password_status("not-the-password")
        if status != 401:
            raise Unmet("401 for a wrong password", str(status))

    def wrong_token_is_refused(self):
        """No token and an unknown one: 401."""
        for headers in ({}, {"PRIVATE-TOKEN": _NOBODY}, {"Authorization": "Bearer " + _NOBODY}):
            status = self.git.get("/api/v4/user", headers=headers).status_code
            if status != 401:
                raise Unmet("401 without our token", str(status))

    def strangers_cannot_sign_up(self):
        """The setting says so. Their page shows its form all the same: GitLab refuses what it sends."""
        why = self.account.why_other_settings()
        if why and "signup_enabled" in why:
            raise Unmet("sign-up is closed", why)

    def strangers_see_nothing(self):
        """Without a token there is no project to be seen, and ours cannot be fetched."""
        shown = self.git.get("/api/v4/projects")
        if shown.status_code != 200 or shown.json():
            raise Unmet("no public project", f"{shown.status_code}: {len(shown.content)} bytes")
        status = self.git.get(f"/root/{PROOF}.git/info/refs?service=git-upload-pack").status_code
        if status != 401:
            raise Unmet("401 for git without a password", str(status))

    def nothing_else_answers(self, port):
        """Of GitLab's programs only the one at its own port answers at the host's address, asked from here."""
        address = self.ch.host.address
        left_out = listening.why_left_out(address)
        if left_out:
            return left_out
        others = [p for p in listening.ports_of(self.ch.run(listening.LISTENING)) if p != port]
        open_here = [p for p, answer in listening.from_here(address, others).items() if answer == "open"]
        found = [str(p) for p in open_here if self.ch.host.ask(script(SCRIPTS / "port_is_ours.sh", p)).ok]
        if found:
            raise Unmet(f"of GitLab only port {port} answers at {address}", "open, too: " + ", ".join(found))
        return None

    def kept(self):
        """The file that install wrote is there."""
        why = self.account.why_not_kept()
        if why:
            raise Unmet("the file that install wrote", why)

    def pushed_and_cloned(self):
        """Make a project, push a commit with git, clone it elsewhere: the same; then the project is deleted."""
        api, name = self.git.api(), f"{PROOF}-{secrets.token_hex(4)}"
        project = api.projects.create({"name": name, "visibility": "private"})
        try:
            sent, got = self._round(f"root/{name}")
        finally:
            project.delete()
        if sent != got:
            raise Unmet(f"commit {sent[:8]}", got[:8])
        self._is_gone(project.id)
        return f"commit {sent[:8]}"

    def _round(self, path):
        """(the commit that was pushed, the one that a clone has)."""
        with tempfile.TemporaryDirectory() as folder:
            work, clone = Path(folder) / "work", Path(folder) / "clone"
            work.mkdir()
            (work / "text").write_text(secrets.token_hex(512))
            for words in (["init", "-q"], ["add", "text"], ["commit", "-qm", "A text"]):
                self.git.git(work, *words)
            self.git.git(work, "push", "-q", self.git.remote(path), "HEAD:refs/heads/master")
            self.git.git(folder, "clone", "-q", "--branch", "master", self.git.remote(path), str(clone))
            if (clone / "text").read_bytes() != (work / "text").read_bytes():
                raise Unmet("the text that was pushed", "another one")
            return tuple(self.git.git(where, "rev-parse", "HEAD").strip() for where in (work, clone))

    def _is_gone(self, number):
        """Deleting goes on behind the answer; the project is not found from then on."""
        try:
            self.git.api().projects.get(number)
        except gitlab.GitlabGetError as e:
            if e.response_code == 404:
                return
            raise
        raise Unmet("404 for the project that was deleted", "it is still there")

    def survives_restart(self):
        """What was written is still there after gitlab-ctl restart."""
        self.ch.host.run("gitlab-ctl restart", timeout=600, quiet=True)
        self.git.answering().apply()
        self.kept()
