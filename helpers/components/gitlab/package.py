"""GitLab's package: its repository with the key that signs it, the pinned version, and all of it away again."""

from __future__ import annotations

import re
import shlex

from helpers.components.gitlab.layout import (
    APPLIED,
    DATA,
    KEY,
    PASSWORD,
    PIN,
    PLACES,
    SCRIPTS,
    SETTINGS,
    SOURCE,
    UNIT,
    USERS,
)
from helpers.core import actions, notes, openpgp
from helpers.core.actions import Action
from helpers.core.catalogue import FETCH
from helpers.core.errors import RunbookError
from helpers.core.shell import script

_APT = script(actions.SCRIPTS / "apt.sh")


def why_bad_release(release):
    """None when it is empty or a distribution and its release, as ubuntu/focal; else why not."""
    good = not release or re.fullmatch("(ubuntu|debian)/[a-z]+", release)
    return None if good else f"{release!r} is not ubuntu/ or debian/ and the name of a release"


def other_is_away(name, editions):
    """A probe: no package of another edition than this package's is installed."""
    return script(actions.SCRIPTS / "packages_are.sh", "gone", *(p for p in editions.values() if p != name))


class Package:
    """The package of an edition. ch: the chapter; artifact: the catalogue's; url: GitLab's own address.

    release: a distribution and its release, as ubuntu/focal; empty: the host's own.
    """

    def __init__(self, ch, artifact, url, release=""):
        self.ch, self.artifact, self.url = ch, artifact, url
        self.name, self.version = artifact.name, artifact.version
        own = "" if release else ch.run(". /etc/os-release; echo $ID/${VERSION_CODENAME:-}", sudo=False).strip()
        self.distribution, _, self.codename = (release or own).partition("/")

    @property
    def base(self):
        """The repository's address: each release has its own."""
        return f"{self.artifact.url}/{self.distribution}/{self.codename}"

    # -- before ------------------------------------------------------------------------------------

    def is_offered(self):
        """A probe: the repository has the pinned version for this release."""
        return FETCH + script(
            SCRIPTS / "offered.sh", self.base, self.name, self.version, self.distribution, self.codename
        )

    def can_follow(self):
        """A probe: what is here of it can become the pinned version."""
        return script(SCRIPTS / "can_follow.sh", self.name, self.version)

    # -- the repository ----------------------------------------------------------------------------

    def repository(self):
        """Actions: apt knows the repository, trusts its key for that alone, and takes the pinned version from it."""
        source = f"deb [signed-by={KEY}] {self.base} {self.codename} main\n"
        pin = f"Package: {self.name}\nPin: version {self.version}\nPin-Priority: 999\n"
        return [self.key(), self.ch.file(SOURCE, source), self.ch.file(PIN, pin)]

    def key(self):
        """Action: the key that signs the repository is here, and is the one whose fingerprint we know."""
        return Action(
            [f"fetch {self.artifact.key_url}", f"compare with {self.artifact.fingerprint}, write {KEY}"],
            self._why_not_key,
            self._take_key,
            f"rm -f {KEY}",
            makes=[f"file {KEY}"],
        )

    def _why_not_key(self):
        there = self.ch.run(f"cat {KEY} 2>/dev/null || true")
        return self._why_another(there) if there else f"{KEY} is not there"

    def _why_another(self, text):
        """None when this is the one key that we know, else why not."""
        try:
            found = openpgp.fingerprints(text.encode())
        except ValueError as e:
            return str(e)
        return None if found == [self.artifact.fingerprint] else "its fingerprint is " + ", ".join(found)

    def _take_key(self):
        text = self.ch.run(FETCH + "fetch " + shlex.quote(self.artifact.key_url), sudo=False)
        why = self._why_another(text)
        if why:
            do = f"It must be {self.artifact.fingerprint}. Has the publisher changed it? Trust no other."
            raise RunbookError(f"take the key at {self.artifact.key_url}", self.ch.host.name, why, do, "gl-key")
        self.ch.host.put(text, KEY)

    # -- the package -------------------------------------------------------------------------------

    def installed(self):
        """Action: the pinned version is installed. Its scripts make the first start, with root's password from us."""
        ours = self.ch.packages(self.name, paths=PLACES, users=USERS)
        return ours.but(
            shown=f"EXTERNAL_URL={self.url} apt-get install {self.name}={self.version}   "
            f"(root's password: secret {PASSWORD}, on standard input)",
            probe=script(SCRIPTS / "installed.sh", self.name, self.version),
            apply=self._install,
            undo="\n".join(
                [script(SCRIPTS / "stop.sh", *self._our_users()), *self._cut_off(), ours.undo, self._groups_go()]
            ),
            absent=f"{ours.absent}\n{script(SCRIPTS / 'supervisor_gone.sh')}",
        )

    def _cut_off(self):
        return (
            [] if self.ch.own.was_before(f"package {self.name}") else [script(SCRIPTS / "cut_off_goes.sh", self.name)]
        )

    def _our_users(self):
        return [name for name in USERS if not self.ch.own.was_before(f"user {name}")]

    def _groups_go(self):
        """One that had another of these users as a member stays behind its own."""
        return "\n".join(f"! getent group {name} >/dev/null || groupdel {name}" for name in self._our_users())

    def _install(self):
        lines = [
            script(SCRIPTS / "install.sh", self.url, self.name, self.version),
            _APT,
            "update",
            notes.brings(self.ch.notebook.id, [self.name]),
            f"apt --no-install-recommends install {self.name}={self.version}",
            # Its scripts went through with the settings that were there, where it was the first time.
            f"[ ! -e {DATA}/bootstrapped ] || [ -e {APPLIED} ] || sha256sum < {SETTINGS} > {APPLIED}",
        ]
        password = self.ch.secret(PASSWORD).reveal() + "\n"
        self.ch.host.run("\n".join(lines), stdin=password, timeout=3600, what=f"install {self.name} {self.version}")

    # -- the services ------------------------------------------------------------------------------

    def runs(self):
        """Action: its services run with the settings, now and after a reboot."""
        arguments = (UNIT, SETTINGS, APPLIED)
        return Action(
            "gitlab-ctl reconfigure; gitlab-ctl start",
            script(SCRIPTS / "runs.sh", *arguments),
            self._reconfigure,
            after_changes=True,
        )

    def _reconfigure(self):
        self.ch.host.run(
            script(SCRIPTS / "reconfigure.sh", SETTINGS, APPLIED, UNIT),
            stdin=self.ch.secret(PASSWORD).reveal() + "\n",
            timeout=1800,
            what="gitlab-ctl reconfigure",
        )

    def quiet_logs(self):
        """Action: root's password stands in no log of the host. Before 14.0 the first start writes it into one."""
        return Action(
            "put root's password out of /var/log/gitlab",
            self._logs,
            lambda: self._logs("blank"),
        )

    def _logs(self, *how):
        done = self.ch.host.run(
            script(SCRIPTS / "logs.sh", *how), stdin=self.ch.secret(PASSWORD).reveal() + "\n", check=False, quiet=True
        )
        return None if done.code == 0 else f"it stands in {done.out.strip() or done.err.strip()}"
