"""What remove does on GitLab's host before the package goes: stop.sh, on a folder as its root."""

import os
import re
import subprocess
import sys

import pytest
from gitlab_server import RECIPE, Server, double_at

from helpers.components.gitlab.layout import SCRIPTS
from helpers.core.shell import script

OURS, THEIRS = ("gitlab-redis-cli", "gitlab-pg-ctl"), "gitlab-geo-psql"
SUPERVISOR = "runsvdir -P /opt/gitlab/service log: " + 395 * "."
WRITTEN = ("etc/sysctl.d/90-omnibus-gitlab-kernel.sem.conf", "usr/lib/systemd/system/gitlab-runsvdir.service")
NOTED = 'echo "${0##*/} $*" >> '


class Host:
    """A host with what GitLab and others left there. What would change this machine only notes how it was called."""

    def __init__(self, folder):
        self.root, self.programs, self.called = folder / "host", folder / "bin", folder / "called"
        self.programs.mkdir()
        for name in ("gitlab-ctl", "id", "pkill", "systemctl"):
            self.program(name, f"{NOTED}{self.called}")
        for path in (*WRITTEN, "root/notes", "tmp/opt/theirs", "usr/bin/awk"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).touch()
        for name in OURS:
            (self.root / "usr/bin" / name).symlink_to(f"/opt/gitlab/bin/{name}")
        (self.root / "usr/bin" / THEIRS).symlink_to("/usr/local/bin/another")

    def program(self, name, text):
        (self.programs / name).write_text("#!/bin/sh\n" + text)
        (self.programs / name).chmod(0o755)

    def stop(self):
        """Run it; its exit code."""
        text = script(SCRIPTS / "stop.sh", "gitlab-www")
        for place in ("/usr/bin", "/usr/lib", "/etc/sysctl.d"):
            text = text.replace(place, f"{self.root}{place}")
        env = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=env, capture_output=True).returncode

    def there(self):
        """The files and links but those of GitLab's own folders."""
        tops = [self.root / top for top in ("root", "tmp", "usr", "etc/sysctl.d")]
        found = [p for top in tops for p in top.rglob("*") if p.is_symlink() or not p.is_dir()]
        return {str(p.relative_to(self.root)) for p in found}


LEFT = {"root/notes", "tmp/opt/theirs", "usr/bin/awk", f"usr/bin/{THEIRS}"}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_gitlab_ends_and_leaves_no_copy_of_its_keys_and_what_is_others_stays(host):
    server = Server(host.root).started()
    told = " ".join(f"{name}='{value}'" for name, value in double_at(host.root, server.ports).items())
    host.program("gitlab-ctl", f'exec env {told} {sys.executable} {RECIPE}/double/gitlab_ctl.py "$@"')
    try:
        for _ in range(2):
            assert host.stop() == 0 and host.there() == LEFT
        assert "run: puma" not in server.run("ctl", "status")[1]
    finally:
        server.end()
    called = host.called.read_text()
    assert "systemctl disable -q --now gitlab-runsvdir\n" in called and "pkill -KILL -u gitlab-www\n" in called


@pytest.mark.parametrize("at", ["gitlab-ctl", "systemctl", "pkill", "rm"])
def test_one_that_was_cut_off_ends_at_the_next_time(host, at):
    host.program(at, "kill -KILL $PPID")
    assert host.stop() < 0 and host.there() != LEFT
    host.program(at, 'exec /bin/rm "$@"' if at == "rm" else f"{NOTED}{host.called}")
    assert host.stop() == 0 and host.there() == LEFT


@pytest.mark.parametrize("command", ["gitlab-ctl", "systemctl", "pkill", "id"])
def test_what_cannot_be_ended_any_more_is_no_reason_to_stop(host, command):
    host.program(command, "exit 1")
    assert host.stop() == 0 and host.there() == LEFT


def test_the_supervisor_is_ended_and_not_the_script_that_ends_it(host):
    assert host.stop() == 0
    (pattern,) = re.findall(r"pkill -KILL -f (.+)", host.called.read_text())
    assert re.search(pattern, SUPERVISOR) and not re.search(pattern, (SCRIPTS / "stop.sh").read_text())
