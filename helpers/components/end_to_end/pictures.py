"""Stage 1: pictures in Pachyderm, and their outlines. Some are kept back, which the model never learns from."""

from __future__ import annotations

from pathlib import Path

from helpers.components.kubernetes.probes import gone
from helpers.components.label_studio import gateway
from helpers.components.pachyderm import dataset
from helpers.components.pachyderm.client import SPACE
from helpers.components.pachyderm.pipelines import Pipeline, Pipelines, code
from helpers.components.pachyderm.repositories import BRANCH
from helpers.core.actions import Action
from helpers.core.paths import SETUP

REPOSITORY, OUTLINES, LABELS = "clothes", "clothes_outline", "clothes_labels"
#: the description of a repository that the chapter made; another one is somebody's and stays
OURS = "the runbook's pictures of clothes"
#: of the six pictures of each class, so many are learnt from
LEARNT = 4


def learnt():
    """{path: PNG file} of the pictures that the model learns from."""
    return {path: content for path, content in dataset.files().items() if _is_learnt(path)}


def unseen():
    """[(path, label, rows)] of those that the model never saw, and on which it is tried."""
    return [each for each in dataset.images() if not _is_learnt(each[0])]


def _is_learnt(path):
    return int(Path(path).stem) < LEARNT


class Pictures:
    """The pictures in a Pachyderm, and the pipeline of chapter 07 on them."""

    def __init__(self, pach):
        self.pach, self.ch, self.pipes = pach, pach.ch, Pipelines(pach)
        self.repos = self.pipes.repos
        text = code(SETUP / "pachyderm-setup" / "outline.py", REPOSITORY)
        self.outline = Pipeline(OUTLINES, REPOSITORY, "/*/*", text)

    @property
    def client(self):
        return self.pach.client

    def why_others(self):
        """None when no repository of our names is somebody's, else which."""
        there = self._descriptions()
        if REPOSITORY in there and there[REPOSITORY] != OURS:
            return f"there is a repository {REPOSITORY} of somebody's"
        return f"there is a repository {OUTLINES} of somebody's" if OUTLINES in there and not self._ours() else None

    def why_peoples(self):
        """For remove: None when our repositories have what the runbook put there; else what is people's."""
        if self.ch.host.ask(gone("namespace " + SPACE)).ok or not self._ours():
            return None
        found = [f"branch {name} of {repo}" for repo in (REPOSITORY, LABELS) for name in self._branches_of_others(repo)]
        why = self.repos.why_unfinished(REPOSITORY)
        if why or not self.repos.has_head(REPOSITORY):
            return ", ".join([*found, *filter(None, [why])]) or None
        names, ours = self.repos.names(REPOSITORY), learnt()
        theirs = [name for name in names if name not in ours]
        there = {name: content for name, content in ours.items() if name in names}
        theirs += self.repos.others(REPOSITORY, there)
        named = f"{len(theirs)} files of {REPOSITORY} are people's: {', '.join(theirs[:3])}"
        return ", ".join([*found, *([named] if theirs else [])]) or None

    def _branches_of_others(self, repo):
        """Those of a repository that remove deletes."""
        if self._descriptions().get(repo) != {REPOSITORY: OURS, LABELS: gateway.OURS}[repo]:
            return []
        return sorted(each.name for each in self.client.list_branch(repo) if each.name != BRANCH)

    def repository(self):
        """Action: the repository exists, and says that it is ours. Remove deletes it."""
        return Action(
            "pachctl create repo " + REPOSITORY,
            lambda: None if self._ours() else f"there is no repository {REPOSITORY}",
            lambda: self.client.create_repo(REPOSITORY, OURS),
            lambda: self.client.delete_repo(REPOSITORY),
            lambda: self._why_there(REPOSITORY),
        )

    def filled(self):
        """Action: the pictures to learn from are in it."""
        return self.repos.filled(REPOSITORY, learnt())

    def outlined(self):
        """Action: the pipeline has drawn their outlines. Remove deletes it, with what it made."""
        return self.pipes.pipeline(self.outline).but(
            undo=lambda: self.pipes.delete(OUTLINES), absent=lambda: self._why_there(OUTLINES)
        )

    def head(self):
        """The id of the outlines' newest commit."""
        return self.repos.head(OUTLINES).id

    def names(self, repo, commit):
        """The paths of all files in a commit."""
        return sorted(f.file.path.lstrip("/") for f in self.client.walk_file((repo, commit), "/") if f.file_type == 1)

    def read(self, repo, commit, path):
        """A file's bytes as they are in that commit."""
        return self.client.get_file((repo, commit), "/" + path).read()

    def commit(self, repo, commit):
        """Pachyderm's CommitInfo."""
        return self.client.inspect_commit((repo, commit))

    def job(self):
        """Pachyderm's JobInfo of the newest outlines."""
        return self.pipes.jobs.job(self.client.inspect_branch(REPOSITORY, BRANCH).head, OUTLINES)

    def _descriptions(self):
        return {r.repo.name: r.description for r in self.client.list_repo()}

    def _ours(self):
        return self._descriptions().get(REPOSITORY) == OURS

    def _why_there(self, repo):
        """None when it is away, or somebody's: Pachyderm says so, or there is none."""
        if self.ch.host.ask(gone("namespace " + SPACE)).ok:
            return None
        there = self._descriptions()
        ours = there.get(REPOSITORY) == OURS
        return f"repository {repo} is there" if ours and repo in there else None
