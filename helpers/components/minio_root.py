"""MinIO's root pair, by which it seals its users, and how another one takes its place without losing them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import urllib3
from minio.error import MinioAdminException

from helpers.components.minio import S3, administrator
from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.installed_secrets import TAKE_OVER
from helpers.core.shell import script

_SETTINGS = "/etc/default/minio"
#: what to do where it is not known which pair seals the users
LOST = (
    "Give the key that they are sealed by: RUNBOOK_SECRET_MINIO_ROOT=... ./runbook up, without --take-over; where it "
    "was installed, ./runbook secrets minio-root shows it. Where it is lost, so are MinIO's users and policies, but no "
    "object: stop minio, take .minio.sys/config and .minio.sys/backend-encrypted out of the data directory, then "
    "install chapters 05, 07, 08, 09 and 13 again. A change that was cut off: sudo systemctl restart minio; once its "
    f"journal says Rotation complete, take the two lines with _OLD out of {_SETTINGS}."
)
_WRONG = (
    "See why: sudo journalctl -u minio -n 30. Where its users are sealed by another key, add that one to "
    f'{_SETTINGS}, as MINIO_ROOT_USER_OLD="..." and MINIO_ROOT_PASSWORD_OLD="...", and run again: MinIO seals its '
    "users anew, and the two lines go."
)


class RootPair:
    """The root user's name and key. ch: the chapter; user: its name; data_dir: where MinIO keeps what it seals."""

    def __init__(self, ch, user, data_dir):
        self.ch, self.user, self.data_dir = ch, user, data_dir

    def lines(self, password):
        """The settings' two lines. password: a Secret, for a file's text; or itself."""
        return f'MINIO_ROOT_USER="{self.user}"\nMINIO_ROOT_PASSWORD="{password}"\n'

    def why_lost(self):
        """None when the pair that seals MinIO's users is ours, or can be read on the host; else why not."""
        if self.ch.own.is_theirs(f"folder {self.data_dir}"):
            return None  # it is put aside
        said = self.ch.host.ask(self._sealed()).out
        if said == "unknown" and (os.environ.get(TAKE_OVER) or not self.ch.secrets.find("minio-root")):
            return f"they are sealed by a key that is not in {_SETTINGS}: under a new one MinIO can read none of them"
        if said == "another-begun":
            return f"a change to another key than ours was cut off: both of its pairs are in {_SETTINGS}"
        return None

    def _sealed(self, *right):
        secret = self.ch.secrets.find("minio-root")
        ours = self.lines(secret.reveal() if secret else "")
        sha256 = hashlib.sha256(ours.encode()).hexdigest()
        return script(Path(__file__).with_name("minio_sealed.sh"), self.data_dir, _SETTINGS, sha256, *right)

    def seals(self, s3, env, service):
        """Action: MinIO's users are sealed by this pair. A former one stands in its settings for one start."""
        return Action(
            [
                f"add the former pair to {_SETTINGS}: MINIO_ROOT_USER_OLD, MINIO_ROOT_PASSWORD_OLD",
                "systemctl restart minio   (it seals its users anew)",
                f"take the former pair out of {_SETTINGS}",
            ],
            self._sealed("none", "ours", "unknown"),
            lambda: self._reseal(s3, env, service),
            makes=[*env.makes, *service.makes],
        )

    def _reseal(self, s3, env, service):
        host = self.ch.host
        if host.ask(self._sealed()).out == "another":
            reseal = script(Path(__file__).with_name("minio_reseal.sh"), _SETTINGS)
            host.run(reseal, stdin=env.data, quiet=True, what=f"add the former root pair to {_SETTINGS}")
        service.apply()
        self.reads_users(s3).apply()
        env.apply()

    def reads_users(self, s3: S3):
        """Action: MinIO tells its users. It never answers when one of them is sealed by another pair."""

        def why_not():
            try:
                administrator(s3.endpoint, self.user, s3.secret).user_list()
            except MinioAdminException as e:
                return f"MinIO refuses the root key: {e}"
            except urllib3.exceptions.ReadTimeoutError:
                return "MinIO does not tell its users: it cannot read those that another root key sealed"
            except urllib3.exceptions.HTTPError as e:
                return f"no answer from MinIO: {type(e).__name__}"
            return None

        return actions.waits(self.ch, "wait for list-users", "MinIO to read its users", why_not, do=_WRONG)
