"""GitLab as programs reach it: python-gitlab, git and plain HTTP, through the SSH connection."""

from __future__ import annotations

import datetime
import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import gitlab
import requests
from requests_toolbelt.adapters.host_header_ssl import HostHeaderSSLAdapter

from helpers.components.gitlab.layout import PASSWORD, PROGRAM, TOKEN
from helpers.components.gitlab.settings import port_of
from helpers.core import actions
from helpers.core.errors import RunbookError, Unmet

#: seconds; the first answers after a start are slow
TIMEOUT = 90
#: of a list, in one answer: the most that GitLab gives
_PAGE = 100
_ROOM = "; is its disk full? On the host: df -h /var/opt/gitlab"
#: git asks this program for a password; it has it from its environment
_ASKED = "#!/bin/sh\nprintf '%s\\n' \"$RUNBOOK_GIT_PASSWORD\"\n"


class _Session(requests.Session):
    """A session in which no answer, and one of a server that cannot, is told in words: each proof meets them."""

    def send(self, request, **how):
        try:
            said = super().send(request, **how)
        except requests.RequestException as e:
            raise Unmet("an answer from GitLab", f"no answer: {type(e).__name__}", "gl-down") from e
        if said.status_code >= 500:
            where = urlsplit(request.url).path
            saw = f"{request.method} {where} answered {said.status_code}"
            entry = "gl-500" if said.status_code == 500 else "gl-502"
            raise Unmet("an answer from GitLab", saw + _ROOM * (entry == "gl-500"), entry)
        return said


class GitLab:
    """One GitLab on the target. ch: the chapter; url: its own address; ca_file: who vouches for it, "" the system's."""

    def __init__(self, ch, url, ca_file=""):
        self.ch, self.url = ch, url
        parts = urlsplit(url)
        self.scheme = parts.scheme
        # By https the adapter below compares it with the certificate, which knows no port.
        self.host = parts.hostname if self.scheme == "https" else parts.netloc
        self.local = f"{self.scheme}://127.0.0.1:{ch.forward(port_of(url))}"
        self.verify = ca_file or True
        self.password = ch.secret(PASSWORD)
        ch.forgets(TOKEN)

    def session(self):
        """HTTP to it. By https its certificate must be for its own name, which the tunnel's end is not."""
        found = _Session()
        found.trust_env = False  # a proxy for the Internet does not find the tunnel
        found.verify = self.verify
        if self.scheme == "https":
            found.mount("https://", HostHeaderSSLAdapter())
        found.headers["Host"] = self.host
        return found

    def get(self, path, **how):
        """The answer to a GET that follows no redirect."""
        with self.session() as http:
            return http.get(self.local + path, timeout=TIMEOUT, allow_redirects=False, **how)

    def token(self):
        """The personal access token, None before it is made."""
        found = self.ch.secrets.find(TOKEN)
        return found.reveal() if found else None

    def api(self, token=None):
        """python-gitlab with our token, or another."""
        return gitlab.Gitlab(
            self.local,
            private_token=token or self.token(),
            session=self.session(),
            timeout=TIMEOUT,
            ssl_verify=self.verify,
        )

    def all_of(self, path, **which):
        """All of a list of the API, by number of its page: the link to the next one leads past the tunnel."""
        found, page = [], 1
        while len(found) == (page - 1) * _PAGE:
            found += self.api().http_get(path, per_page=_PAGE, page=page, **which)
            page += 1
        return found

    # -- does it answer ----------------------------------------------------------------------------

    def answering(self):
        """Action: it says that it is ready; installing waits up to 10 minutes, as a start on a small host takes."""
        return actions.waits(
            self.ch,
            "wait for GET /-/readiness",
            "GitLab to be ready",
            self.why_not_ready,
            timeout=600,
            do="On the host: sudo gitlab-ctl status; sudo gitlab-ctl tail puma",
        )

    def why_not_ready(self):
        """None when it says that it is ready, else why not."""
        try:
            said = self.get("/-/readiness")
        except Unmet as e:
            return e.saw
        if said.status_code == 404:
            return "GET /-/readiness answered 404: the host itself is not on GitLab's list of who may ask"
        return None if said.status_code == 200 else f"GET /-/readiness answered {said.status_code}"

    def away(self):
        """For remove: is it gone from its host, and all that was in it? One that is down is not."""
        return self.ch.host.ask(f"[ ! -e {PROGRAM} ]").ok

    def is_ready(self):
        """A proof: GitLab, on its own host, says that it is ready."""
        why, where = self.why_not_ready(), self.ch.host.name
        if why:
            do = f"./runbook up --target gitlab={where} --only gitlab"
            raise Unmet(f"GitLab on {where} ({self.url}) is ready", f"{why}. Then: {do}")

    def password_status(self, password=None):
        """Git's answer to root with this password, ours when None: 401 when it is wrong."""
        path = f"/root/{TOKEN}.git/info/refs?service=git-upload-pack"  # no such project: 404 for whom it lets in
        return self.get(path, auth=("root", password or self.password.reveal())).status_code

    def why_other_password(self):
        """None when git takes root with our password, else why not."""
        return "root's password is another one" if self.password_status() == 401 else None

    # -- the token ---------------------------------------------------------------------------------

    def why_token_refused(self, days=0):
        """None when the API takes our token as an administrator's, for so many days more; else why not."""
        if not self.token():
            return "there is no token yet"
        try:
            user, mine = self.api().http_get("/user"), self.tokens()
        except gitlab.GitlabError as e:
            return f"the API refuses our token: {e.response_code}"
        if not user.get("is_admin"):
            return f"it is {user.get('username')}'s, who is no administrator"
        ends = [t["expires_at"] for t in mine]
        if not all(ends):
            return "it never ends"
        return self._why_ends_soon(max(ends, default=""), days)

    def tokens(self):
        """Our user's active tokens of our name, as the API tells them: an administrator is told everybody's."""
        found = self.all_of("/personal_access_tokens", user_id=self.api().http_get("/user")["id"])
        return [t for t in found if t["name"] == TOKEN and t["active"]]

    def _why_ends_soon(self, ends, days):
        limit = datetime.date.today() + datetime.timedelta(days=days)
        return None if ends > limit.isoformat() else f"it ends on {ends or 'a day that the API does not tell'}"

    def keep_token(self, value):
        """This is our token from now on."""
        self.ch.secrets.keep(TOKEN, value)
        self.ch.masker.add(value)

    # -- git ---------------------------------------------------------------------------------------

    def git(self, folder, *words):
        """Run git in a folder of this machine as root with our token; what it printed. Unmet with git's words."""
        with tempfile.TemporaryDirectory() as aside:
            asked = Path(aside) / "asked"
            asked.write_text(_ASKED)
            asked.chmod(0o700)
            argv = ["git", "-c", "credential.helper=", *self._tls(), *words]
            try:
                done = subprocess.run(
                    argv, cwd=str(folder), env=self._environment(aside), stdin=subprocess.DEVNULL, timeout=300,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
            except FileNotFoundError:
                do = "Install git on this machine, or leave the proof out: -p gitlab.push=false"
                raise RunbookError("run git", "this machine", "there is none", do) from None
        if done.returncode:
            raise Unmet(f"git {words[0]} ends well", self.ch.masker.mask(done.stdout.strip()[-500:]))
        return done.stdout

    def _tls(self):
        # git cannot be told another name for the tunnel's end; SSH vouches for it, and the API's proofs for the name.
        return ["-c", "http.sslVerify=false"] if self.scheme == "https" else []

    def _environment(self, aside):
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        who = {f"GIT_{role}_{part}": said for role in ("AUTHOR", "COMMITTER") for part, said in _WHO.items()}
        return dict(
            kept,
            HOME=aside,
            GIT_CONFIG_NOSYSTEM="1",
            GIT_TERMINAL_PROMPT="0",
            GIT_ASKPASS=os.path.join(aside, "asked"),
            RUNBOOK_GIT_PASSWORD=self.token() or "",
            **who,
        )

    def remote(self, path):
        """A repository's address for git(), without a password."""
        return f"{self.scheme}://root@{self.local.partition('://')[2]}/{path}.git"


_WHO = {"NAME": "The runbook", "EMAIL": "runbook@localhost"}
