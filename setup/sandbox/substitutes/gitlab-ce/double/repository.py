"""A project's bare git repository, by git's own commands."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile

import config
import store

HOOK = """#!/bin/sh
# What the default branch's protection refuses: deleting it, and rewriting it.
head=$(git symbolic-ref HEAD)
while read -r old new ref; do
  [ "$ref" = "$head" ] || continue
  case $old in *[!0]*) ;; *) continue ;; esac
  case $new in
    *[!0]*) ;;
    *) echo "GitLab: You are not allowed to delete protected branches from this project."; exit 1 ;;
  esac
  git merge-base --is-ancestor "$old" "$new" ||
    { echo "GitLab: You are not allowed to force push code to a protected branch on this project."; exit 1; }
done
"""
#: Tells the server which refs a push has moved, and the options it came with.
MOVED = """#!/bin/sh
[ -n "$GITLAB_DOUBLE_PUSH" ] || exit 0
cat >> "$GITLAB_DOUBLE_PUSH"
n=0
while [ "$n" -lt "${GIT_PUSH_OPTION_COUNT:-0}" ]; do
  eval "printf 'option %s\\n' \"\$GIT_PUSH_OPTION_$n\"" >> "$GITLAB_DOUBLE_PUSH"
  n=$((n + 1))
done
"""
#: The repositories are served whoever owns them.
OWNER = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
#: A push is taken, and has options; a runner fetches by the commit's number.
SETTINGS = ("http.receivepack", "receive.advertisePushOptions", "uploadpack.allowAnySHA1InWant")


class GitError(Exception):
    """git said no."""


class Repository:
    def __init__(self, project: dict):
        name = project["disk_path"]
        self.path = config.DATA / f"git-data/repositories/@hashed/{name[:2]}/{name[2:4]}/{name}.git"

    def make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q", "--bare", str(self.path)], check=True)
        self.git("symbolic-ref", "HEAD", "refs/heads/master")
        self.refresh()

    def refresh(self) -> None:
        """Its settings and hooks. Also before it is served: a repository may be older than this program."""
        if SETTINGS[-1].partition(".")[2] not in (self.path / "config").read_text():
            for name in SETTINGS:
                self.git("config", name, "true")
        for name, text in (("pre-receive", HOOK), ("post-receive", MOVED)):
            hook = self.path / "hooks" / name
            if not hook.exists() or hook.read_text() != text:
                hook.parent.mkdir(exist_ok=True)
                hook.write_text(text)
                hook.chmod(0o755)

    def git(self, *argv: str, data: bytes | None = None, env: dict[str, str] | None = None) -> bytes:
        whole = {**os.environ, **OWNER, **(env or {})}
        done = subprocess.run(["git", "-C", str(self.path), *argv], input=data, env=whole, capture_output=True)
        if done.returncode:
            raise GitError(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def sha(self, name: str) -> str | None:
        if name.startswith("-"):
            return None
        try:
            return self.git("rev-parse", "--verify", "--quiet", name).decode().strip()
        except GitError:
            return None

    def commit_of(self, ref: str) -> str | None:
        return self.sha(f"{ref}^{{commit}}") if ref else None

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").decode().split()

    def default(self) -> str | None:
        """The default branch; None while there is no commit on it."""
        name = self.git("symbolic-ref", "--short", "HEAD").decode().strip()
        return name if self.sha("refs/heads/" + name) else None

    def settle_head(self) -> None:
        """The first branch of an empty repository becomes the default one."""
        found = self.branches()
        if found and not self.default():
            self.git("symbolic-ref", "HEAD", "refs/heads/" + found[0])

    def commit(self, branch: str, message: str, actions: list[dict], author: tuple[str, str], start: str = "") -> str:
        """A commit of {action, file_path, content: bytes} on a branch; returns its sha."""
        old = self.commit_of("refs/heads/" + branch)
        parent = old or (self.commit_of(start) if start else None)
        env = {"GIT_AUTHOR_NAME": author[0], "GIT_AUTHOR_EMAIL": author[1]}
        env.update(GIT_COMMITTER_NAME=author[0], GIT_COMMITTER_EMAIL=author[1])
        with tempfile.TemporaryDirectory() as folder:
            env["GIT_INDEX_FILE"] = folder + "/index"
            if parent:
                self.git("read-tree", parent, env=env)
            for action in actions:
                self._stage(action, env)
            tree = self.git("write-tree", env=env).decode().strip()
        parents = ["-p", parent] if parent else []
        made = self.git("commit-tree", tree, *parents, data=message.encode(), env=env).decode().strip()
        self.git("update-ref", "refs/heads/" + branch, made, old or "")
        self.settle_head()
        return made

    def _stage(self, action: dict, env: dict[str, str]) -> None:
        path, kind = action["file_path"], action["action"]
        there = bool(self.git("ls-files", "--", path, env=env))
        if kind == "create" and there:
            raise GitError("A file with this name already exists")
        if kind in ("update", "delete") and not there:
            raise GitError("A file with this name doesn't exist")
        if kind == "delete":
            gone = f"0 {'0' * 40}\t{path}\n"  # --force-remove wants a work tree, and a bare repository has none
            self.git("update-index", "--index-info", data=gone.encode(), env=env)
            return
        blob = self.git("hash-object", "-w", "--stdin", data=action["content"]).decode().strip()
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)


def added(kept: store.Store, author: tuple[str, str], readme: str, **said: object) -> dict:
    """A project with its repository; readme: the text of its first commit, "" for none."""
    made = kept.add("project", created_at=store.now(), **said)
    made["disk_path"] = hashlib.sha256(str(made["id"]).encode()).hexdigest()
    kept.put("project", made)
    Repository(made).make()
    if readme:
        first = [{"action": "create", "file_path": "README.md", "content": readme.encode()}]
        Repository(made).commit("master", "Initial commit", first, author)
    return made
