"""A component's own key to MinIO: a user that reaches its own bucket and nothing else, made by the root key."""

from __future__ import annotations

import json
import tempfile

from minio.error import MinioAdminException, S3Error

from helpers.components.minio import S3, administrator, connect
from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.errors import Unmet


class Key:
    """MinIO's user of one component, its policy and its secret key.

    The component's chapter makes it, by MinIO's admin API: it knows its bucket, and chapter 05 need not know who comes.
    The root key is used for that from the operator's machine, through SSH, and is given to nobody.

    ch: the chapter; port: MinIO's on the host; root: its administrator's name; user: the component's; bucket: its own.
    """

    def __init__(self, ch, port, root, user, bucket):
        self.ch, self.user, self.bucket, self.policy = ch, user, bucket, "runbook-" + user
        self.secret = ch.secret("minio-" + user)
        password = ch.secret("minio-root", mine=False)
        self._root, self._own = S3(ch, port, root, password), S3(ch, port, user, self.secret)
        self._admin = self._administrator(root, password)
        self.things = [f"miniouser {user}"]  # as core/ownership.py names it

    @property
    def s3(self):
        """MinIO by this key. Remove has the root's: on a host of an older runbook there is no such user."""
        return self._root if self.ch.mode == "remove" else self._own

    def why_no_minio(self):
        """None when MinIO answers, and takes the root key, which makes the user."""
        return self._root.why_key_refused()

    def why_cannot_tell(self):
        """For remove, before anything goes: None when MinIO has no such user, or answers and has it for our bucket."""
        if actions.why_not_so(self.ch.host, self.made().absent) is None:
            return None
        why = self._root.why_key_refused()
        return f"cannot tell what MinIO has of this chapter: {why}" if why else self._why_another_bucket()

    def _why_another_bucket(self):
        """None when the policy that install made is for our bucket, or away; else what bucket it is for."""
        try:
            made = json.loads(self._admin.policy_info(self.policy))
        except MinioAdminException as e:
            if "Status: 404" not in str(e):
                raise
            return None
        buckets = [where.rpartition(":")[2] for where in made["Statement"][0]["Resource"] if "/" not in where]
        if buckets == [self.bucket]:
            return None
        made_for = ", ".join(buckets)
        return f"this chapter's user {self.user} is for the bucket {made_for}; your parameters say {self.bucket}"

    def made(self):
        """Action: the user has our key, and its policy alone. Remove takes both away; what it wrote stays."""
        return Action(
            [
                f"mc admin policy add ... {self.policy}   (s3:* on {self.bucket} and what is in it)",
                f"mc admin user add ... {self.user}   (the secret minio-{self.user})",
                f"mc admin policy set ... {self.policy} user={self.user}",
            ],
            self._why_not,
            self._make,
            self._remove,
            makes=self.things,
        )

    def _administrator(self, user, secret):
        return administrator(self._root.endpoint, user, secret)

    def _why_not(self):
        found = json.loads(self._admin.user_list() or "{}").get(self.user)
        if found is None:
            return f"MinIO has no user {self.user}"
        if found.get("status") != "enabled":
            return f"MinIO's user {self.user} is {found.get('status')}"
        if found.get("policyName") != self.policy:
            return f"MinIO's user {self.user} has not the policy {self.policy} alone: {found.get('policyName', 'none')}"
        if _essence(json.loads(self._admin.policy_info(self.policy))) != _essence(self._wanted()):
            return f"MinIO's policy {self.policy} is another"
        return self._own.why_key_refused()

    def _wanted(self):
        own = [f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*"]
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": own}]}

    def _make(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # minio 7.2.7 takes a policy as a file only
            json.dump(self._wanted(), file)
            file.flush()
            self._admin.policy_add(self.policy, file.name)
        self._admin.user_add(self.user, self.secret.reveal())
        self._admin.policy_set(self.policy, self.user)  # attach_policy is of 2023: this MinIO answers 426

    def _remove(self):
        self._admin.policy_remove(self.policy)  # first: the user is what tells that something is left
        try:
            self._admin.user_remove(self.user)
        except MinioAdminException as e:
            if "Status: 404" not in str(e):
                raise

    def reaches_its_own_alone(self):
        """A proof: its own bucket and no other is listed and read, and MinIO's administration refuses it."""
        listed = [b.name for b in self._own.client.list_buckets()]
        if listed != [self.bucket]:
            raise Unmet(f"a list of {self.bucket} alone", "it is told of " + (", ".join(listed) or "no bucket"))
        others = [b.name for b in self._root.client.list_buckets() if b.name != self.bucket]
        stranger = connect(self._root.endpoint)
        open_ = [name for name in others if _lists(self._own.client, name) and not _lists(stranger, name)]
        if open_ or not _lists(self._own.client, self.bucket):
            raise Unmet(f"of all buckets only {self.bucket} open to it", ", ".join(open_) or "none is")
        try:
            self._administrator(self.user, self.secret).user_list()
        except MinioAdminException as e:
            if "AccessDenied" in str(e):
                return
            raise
        raise Unmet("refused by MinIO's administration", f"user {self.user} is let in")


def _lists(client, bucket):
    """May this client see what is in the bucket?"""
    try:
        next(iter(client.list_objects(bucket)), None)
    except S3Error as e:
        if e.code == "AccessDenied":
            return False
        raise
    return True


def _essence(policy):
    """What a policy says, whatever the order: a server sorts what it is given."""
    return [(each["Effect"], sorted(each["Action"]), sorted(each.get("Resource", []))) for each in policy["Statement"]]
