"""What GitLab's package makes on the host, and where."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"

PROGRAM, CONFIG, DATA, LOGS = "/opt/gitlab", "/etc/gitlab", "/var/opt/gitlab", "/var/log/gitlab"
PLACES = [PROGRAM, CONFIG, DATA, LOGS]
USERS = ["git", "gitlab-www", "gitlab-redis", "gitlab-psql", "gitlab-prometheus"]
EDITIONS = {"ce": "gitlab-ce", "ee": "gitlab-ee"}

SETTINGS = CONFIG + "/gitlab.rb"
KEY = "/usr/share/keyrings/gitlab-runbook.asc"
SOURCE = "/etc/apt/sources.list.d/gitlab-runbook.list"
PIN = "/etc/apt/preferences.d/gitlab-runbook"
#: holds the checksum of the settings that `gitlab-ctl reconfigure` last went through with
APPLIED = CONFIG + "/runbook.applied"
UNIT = "gitlab-runsvdir"

#: names of secrets
PASSWORD, TOKEN = "gitlab-root", "gitlab-token"
#: the project that install makes and verify reads, below root
PROOF = "runbook-proof"


def things():
    """What the chapter makes on the host, as core/ownership.py names it."""
    named = [f"package {name}" for name in EDITIONS.values()] + [f"user {name}" for name in USERS]
    return named + [f"place {path}" for path in PLACES] + [f"file {path}" for path in (KEY, SOURCE, PIN)]
