"""A host that is somebody's: chapters name what is there and touch nothing; adopted and removed, it is as before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from host_state import difference

from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.secrets import SecretStore
from helpers.sandbox import Sandbox

NAME = "their" + os.environ.get("RUNBOOK_TEST_SANDBOX", "test")[:11]
TARGET = "sandbox:" + NAME

HERE = Path(__file__).parent


class TheirHost:
    """The host, and the command line against it."""

    def __init__(self, runs):
        self.host = Host(TARGET)
        self.env = dict(os.environ, RUNBOOK_RUNS=str(runs), PYTHONPATH=str(REPO))
        self.host.run((HERE / "somebodys_host.sh").read_text(), quiet=True)
        self.before = self.state()

    def state(self):
        return self.host.run((HERE / "somebodys_state.sh").read_text(), quiet=True).out.splitlines()

    def changed(self):
        return difference(self.before, self.state())

    def up(self, *words, code=0):
        argv = [sys.executable, "-m", "helpers", "up", "--target", TARGET, "--no-book", *words]
        done = subprocess.run(argv, env=self.env, cwd=REPO, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def theirs(can_host, tmp_path_factory):
    box = Sandbox(NAME)
    box.down(wipe=True)
    SecretStore("sandbox-" + NAME).forget_all()
    box.up(artifacts=["minio"])
    made = TheirHost(tmp_path_factory.mktemp("runs"))
    yield made
    made.host.close()
    box.down(wipe=True)


def test_each_thing_is_named_and_nothing_is_touched(theirs):
    said = theirs.up("--only", "minio", "--only", "postgres", "--only", "label_studio", "--only", "gitlab", code=1)
    assert (
        "was here before: user minio-user, folder /srv/minio, file /usr/local/bin/minio, file /etc/default/minio, "
        "file /etc/systemd/system/minio.service, unit minio.service" in said
    )
    assert (
        "was here before: package postgresql, user postgres, folder /etc/postgresql, folder /etc/postgresql-common, "
        "folder /var/lib/postgresql, folder /var/log/postgresql, database 5432/runbook, role 5432/runbook" in said
    )
    assert "was here before: user label-studio, folder /var/lib/label-studio, folder /opt/label-studio" in said
    assert "was here before: user git, folder /etc/gitlab, folder /var/opt/gitlab" in said
    assert theirs.changed() == []


def test_what_cannot_be_asked_stops(theirs):
    theirs.host.run("systemctl stop postgresql@15-main", quiet=True)
    try:
        said = theirs.up("--only", "postgres", "--mode", "remove", "--yes", code=1)
        assert "cannot tell: PostgreSQL does not answer on port 5432" in said
    finally:
        theirs.host.run("systemctl start postgresql@15-main", quiet=True)


def test_adopted_and_removed_it_is_byte_for_byte_as_before(theirs):
    adopt = ("-p", "minio.adopt=true", "-p", "postgres.adopt=true")
    theirs.up("--only", "minio", "--only", "postgres", *adopt)
    assert theirs.changed() != []
    assert theirs.host.run("cat /srv/minio.before-runbook/photos/1.jpg", quiet=True).out == "precious\n"
    theirs.up("--only", "minio", "--only", "postgres", "--mode", "remove", "--yes")
    assert theirs.changed() == []
