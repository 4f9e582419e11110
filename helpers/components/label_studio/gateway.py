"""Pachyderm's S3 gateway, where the data lie: a bucket is a branch of a repository, <branch>.<repository>."""

from __future__ import annotations

import re

from helpers.components import minio
from helpers.components.kubernetes.probes import gone
from helpers.components.pachyderm.client import SPACE
from helpers.core.actions import Action
from helpers.core.errors import RunbookError, Unmet

#: the description of a repository that the chapter made; another one is somebody's and stays
OURS = "the runbook's labels"


def why_no_pair(source, labels):
    """None when both name a branch, and not of the same repository: remove deletes the labels'. Else what they are."""
    if source.count(".") == labels.count(".") == 1 and source.split(".")[1] != labels.split(".")[1]:
        return None
    return f"{source} and {labels}"


class Gateway:
    """The gateway of a helpers.components.pachyderm.client.Pachyderm."""

    def __init__(self, pach):
        self.pach = pach

    def url(self):
        """Its address for Label Studio; while Pachyderm is not there, a word in its place."""
        try:
            address = self.pach.s3_url()
        except RunbookError:
            address = ""
        return address if re.match(r"http://[0-9a-z]", address) else "http://pachyderm-is-not-there"

    def has(self, bucket):
        """Unmet when it has no such bucket: what is missing."""
        expected = f"{bucket} in Pachyderm"
        try:
            names = {b.name for b in self.pach.s3.list_buckets()}
        except Exception as e:  # its client lets urllib3's, OSErrors and its own through
            raise Unmet(expected, f"the S3 gateway does not answer: {type(e).__name__}", "ls-gateway") from e
        if bucket not in names:
            raise Unmet(expected, _what_is_missing(bucket, names), "ls-source")

    def keys(self, bucket):
        """The keys of all objects in a bucket, sorted. Unmet when there is no such bucket."""
        self.has(bucket)
        return self._listed(bucket)

    def _listed(self, bucket):
        objects = self.pach.s3.list_objects(bucket, recursive=True, use_api_v1=True)
        return sorted(o.object_name for o in objects if not o.object_name.endswith("/"))

    def read(self, bucket, key):
        """An object's bytes."""
        return minio.read(self.pach.s3, bucket, key)

    def delete(self, bucket, key):
        """Delete an object, when it is there."""
        if key in self._listed(bucket):
            self.pach.s3.remove_object(bucket, key)

    def head(self, bucket):
        """The id of the branch's newest commit; "" when it has none."""
        branch, repo = bucket.split(".")
        head = self.pach.client.inspect_branch(repo, branch).head
        return head.id if head else ""

    def read_committed(self, bucket, commit, key):
        """The bytes of a file in a commit, by Pachyderm's own API."""
        return self.pach.client.get_file((bucket.split(".")[1], commit), "/" + key).read()

    def bucket(self, bucket):
        """Action: the repository and its branch exist; remove deletes a repository that this chapter made."""
        branch, repo = bucket.split(".")
        return Action(
            f"pachctl create repo {repo}; pachctl create branch {repo}@{branch}",
            lambda: self._why_not_made(bucket, repo),
            lambda: self._make(repo, branch),
            lambda: self._delete(repo),
            lambda: self._why_there(repo),
        )

    def _why_not_made(self, bucket, repo):
        self.has(bucket)
        marked = not self.pach.ch.own.by_older or self._descriptions().get(repo) == OURS
        return None if marked else f"repository {repo} does not say whose it is"

    def _make(self, repo, branch):
        # Not by the gateway: S3's clients refuse to make a bucket with an underscore, which Pachyderm's names may have.
        there = self._descriptions()
        if repo not in there:
            self.pach.client.create_repo(repo, OURS)
        elif self._is_ours(repo, there):
            self.pach.client.create_repo(repo, OURS, update=True)
        self.pach.client.create_branch(repo, branch)

    def _delete(self, repo):
        """Not by force: Pachyderm refuses where a pipeline of somebody's reads it."""
        if self._is_ours(repo, self._descriptions()):
            self.pach.client.delete_repo(repo)

    def _why_there(self, repo):
        """None when it is away, or somebody's: Pachyderm says so, or there is none. One that is silent is an error."""
        if self.pach.ch.host.ask(gone("namespace " + SPACE)).ok:
            return None
        return f"repository {repo} is there" if self._is_ours(repo, self._descriptions()) else None

    def _descriptions(self):
        return {r.repo.name: r.description for r in self.pach.client.list_repo()}

    def _is_ours(self, repo, there):
        """Did this chapter make it? An older runbook's says nothing of that."""
        return repo in there and (there[repo] == OURS or self.pach.ch.own.by_older)


def _what_is_missing(bucket, names):
    branch, _, repo = bucket.partition(".")
    branches = sorted(n.partition(".")[0] for n in names if n.partition(".")[2] == repo)
    if branches:
        return f"repository {repo} has no branch {branch} (it has {', '.join(branches)})"
    return f"there is no repository {repo} (or it has no branch yet)"
