"""What chapter 12 makes, and where."""

from __future__ import annotations

from pathlib import Path

from helpers.core.paths import SETUP

HERE = Path(__file__).parent
SETUP_FOLDER = SETUP / "gitlab-setup"

#: namespaces: of the runner, of the pods of its jobs, and of what jobs with an environment deploy
RUNNER, JOBS, DEPLOYS = "gitlab", "gitlab-jobs", "gitlab-deploys"
LABEL = "runbook=gitlab_runner"
#: Helm's release, and what the chart calls its objects
RELEASE, FULL = "gitlab-runner", "gitlab-runner-gitlab-runner"
#: the Secret with the runner's token, that with GitLab's authority, and the account of the jobs' pods
SECRET, AUTHORITY, JOB = "runner-token", "gitlab-authority", "job"

#: names of secrets: the runner's token, what GitLab was given to reach the cluster, and the registry's password
TOKEN, CLUSTER_TOKEN, PASSWORD = "gitlab-runner", "gitlab-cluster", "ci-registry"
#: in GitLab: the runner's description and tag, the cluster's name; the project of the proof, below root
NAME, PROJECT = "runbook", "runbook-runner"


def things():
    """What the chapter makes in the cluster, as core/ownership.py names it."""
    return [f"namespace {name}" for name in (RUNNER, JOBS, DEPLOYS)]
