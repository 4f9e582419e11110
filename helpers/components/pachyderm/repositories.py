"""Pachyderm's repositories, their branch master and the files on it."""

from __future__ import annotations

from helpers.core.actions import Action
from helpers.core.errors import RunbookError

BRANCH = "master"
#: the description of our commits, by which one that was cut off is known as ours
_OURS = "the runbook's pictures"


class Repositories:
    """Repositories of one Pachyderm (client.Pachyderm), read and written on the branch master."""

    def __init__(self, pach):
        self.pach = pach

    @property
    def client(self):
        return self.pach.client

    def repository(self, name):
        """Action: the repository exists."""
        return Action(
            "pachctl create repo " + name,
            lambda: self._why_missing(name),
            lambda: self.client.create_repo(name),
        )

    def filled(self, repo, files):
        """Action: these files are on the branch master of the repository; others there stay."""
        return Action(
            f"pachctl put file -r {repo}@{BRANCH} -f ...   ({len(files)} files, one commit)",
            lambda: self._why_missing(repo) or self.why_unfinished(repo) or self._why_others(repo, files),
            lambda: self.put(repo, files),
        )

    def _why_missing(self, name):
        return None if name in self.pach.repositories() else "there is no repository " + name

    def _why_others(self, repo, files):
        bad = self.others(repo, files)
        return f"{len(bad)} of {len(files)} files are missing or others, like {bad[0]}" if bad else None

    def others(self, repo, files):
        """The paths whose file is missing on master, or has other content. files: {path: content}."""
        found = self.read_all(repo, files)
        return [path for path in files if found.get(path) != files[path]]

    def put(self, repo, files, delete=()):
        """Put files on master, and delete others, in one commit; returns it. A commit of ours that was cut off is
        dropped; somebody else's, who may be at work on it, is a RunbookError.
        """
        self._drop_unfinished(repo)
        with self.client.commit(repo, BRANCH, description=_OURS) as commit, self.client.put_file_client() as put:
            for path, content in files.items():
                put.put_file_from_bytes(commit, "/" + path, content, overwrite_index=0)
            for path in delete:
                put.delete_file(commit, "/" + path)
        return commit

    def _drop_unfinished(self, repo):
        commit = self._unfinished(repo)
        if commit is None:
            return
        if commit.description != _OURS:
            raise RunbookError(
                f"put files into the repository {repo}",
                saw=f"{commit.commit.id} was begun by somebody and is not finished",
                do=f"Let them finish, or end it: pachctl finish commit {repo}@{BRANCH} "
                f"(or pachctl delete commit {repo}@{commit.commit.id}, with what is in it)",
            )
        self.client.delete_commit((repo, commit.commit.id))

    def why_unfinished(self, repo):
        """Why nothing can be read or written: the newest commit was begun and never ended. None otherwise."""
        return f"the newest commit of {repo} was begun and never finished" if self._unfinished(repo) else None

    def _unfinished(self, repo):
        """The CommitInfo of the newest commit on master, while it is open; else None."""
        for last in self.client.list_commit(repo, to_commit=(repo, BRANCH), number=1) if self.has_head(repo) else ():
            if not last.finished.seconds:
                return last
        return None

    def head(self, repo):
        """The newest commit on master."""
        return self.client.inspect_branch(repo, BRANCH).head

    def has_head(self, repo):
        """Is there a commit on master?"""
        return any(b.name == BRANCH and b.head.id for b in self.client.list_branch(repo))

    def names(self, repo):
        """The paths of all files on master, without the leading /."""
        return sorted(f.file.path.lstrip("/") for f in self.client.walk_file((repo, BRANCH), "/") if f.file_type == 1)

    def read(self, repo, path):
        """A file's bytes."""
        return self.client.get_file((repo, BRANCH), "/" + path).read()

    def read_all(self, repo, paths):
        """{path: content} of those that are there."""
        there = set(self.names(repo)) if self.has_head(repo) else set()
        return {path: self.read(repo, path) for path in paths if path in there}
