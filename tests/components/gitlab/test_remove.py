"""What remove does on GitLab's host before the package goes: stop.sh, on a folder as its root."""

import os
import re
import subprocess
import sys
from pathlib import Path

import programs
import pytest
from gitlab_server import RECIPE, Server, double_at

from helpers.components.gitlab.layout import SCRIPTS
from helpers.core import actions
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
            programs.put(self.programs, name, f"{NOTED}{self.called}")
        for path in (*WRITTEN, "root/notes", "tmp/opt/theirs", "usr/bin/awk"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).touch()
        for name in OURS:
            (self.root / "usr/bin" / name).symlink_to(f"/opt/gitlab/bin/{name}")
        (self.root / "usr/bin" / THEIRS).symlink_to("/usr/local/bin/another")

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
    programs.put(host.programs, "gitlab-ctl", f'exec env {told} {sys.executable} {RECIPE}/double/gitlab_ctl.py "$@"')
    try:
        for _ in range(2):
            assert host.stop() == 0 and host.there() == LEFT
        assert "run: puma" not in server.run("ctl", "status").stdout
    finally:
        server.end()
    called = host.called.read_text()
    assert "systemctl disable -q --now gitlab-runsvdir\n" in called and "pkill -KILL -u gitlab-www\n" in called


@pytest.mark.parametrize("at", ["gitlab-ctl", "systemctl", "pkill", "rm"])
def test_one_that_was_cut_off_ends_at_the_next_time(host, at):
    programs.put(host.programs, at, "kill -KILL $PPID")
    assert host.stop() < 0 and host.there() != LEFT
    programs.put(host.programs, at, 'exec /bin/rm "$@"' if at == "rm" else f"{NOTED}{host.called}")
    assert host.stop() == 0 and host.there() == LEFT


@pytest.mark.parametrize("command", ["gitlab-ctl", "systemctl", "pkill", "id"])
def test_what_cannot_be_ended_any_more_is_no_reason_to_stop(host, command):
    programs.put(host.programs, command, "exit 1")
    assert host.stop() == 0 and host.there() == LEFT


def test_the_supervisor_is_ended_and_not_the_script_that_ends_it(host):
    assert host.stop() == 0
    (pattern,) = re.findall(r"pkill -KILL -f (.+)", host.called.read_text())
    assert re.search(pattern, SUPERVISOR) and not re.search(pattern, (SCRIPTS / "stop.sh").read_text())


# -- an install that was cut off -----------------------------------------------------------------------------


class Dpkg:
    """The real dpkg on a folder of its own, and a package whose configure fails once, and then starts something."""

    def __init__(self, folder):
        self.folder, self.started = folder, folder / "started"
        control = folder / "gitlab-ce/DEBIAN"
        control.mkdir(parents=True)
        about = "Package: gitlab-ce\nVersion: 13.12.15-ce.0\nArchitecture: all\nMaintainer: x\nDescription: x\n"
        (control / "control").write_text(about)
        starts = f'[ "$1" = configure ] || exit 0\n[ -e {folder}/again ] || {{ touch {folder}/again; exit 1; }}\n'
        (control / "postinst").write_text(f"#!/bin/sh\n{starts}touch {self.started}\n")
        (control / "postinst").chmod(0o755)
        (folder / "admin/updates").mkdir(parents=True)
        (folder / "admin/info").mkdir()
        (folder / "admin/status").touch()
        self.where = f"--admindir={folder}/admin"
        (folder / "bin").mkdir()
        mine = f"{self.where} --instdir={folder}/host --force-script-chrootless --force-not-root --log=/dev/null"
        for name, options in {"dpkg": mine, "dpkg-query": self.where}.items():
            (folder / "bin" / name).write_text(f'#!/bin/sh\nexec /usr/bin/{name} {options} "$@"\n')
            (folder / "bin" / name).chmod(0o755)
        (folder / "host").mkdir()
        subprocess.run(["dpkg-deb", "--build", folder / "gitlab-ce", folder / "x.deb"], check=True, capture_output=True)

    def run(self, text):
        env = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        command = ["bash", "-euo", "pipefail", "-c", text]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def state(self):
        return self.run("dpkg-query -W -f '${db:Status-Status}' gitlab-ce").stdout


@pytest.fixture
def dpkg(tmp_path):
    return Dpkg(tmp_path)


def _as_remove_begins():
    """What stands in remove between the end of GitLab's services and the purge of what the note lists."""
    return "\n".join([script(SCRIPTS / "cut_off_goes.sh", "gitlab-ce"), script(actions.SCRIPTS / "apt.sh")])


@pytest.mark.parametrize("how, left", [("-i", "half-configured"), ("--unpack", "unpacked")])
def test_one_that_was_cut_off_is_not_started_by_remove(dpkg, how, left):
    dpkg.run(f"dpkg {how} {dpkg.folder}/x.deb")
    (dpkg.folder / "again").touch()
    assert dpkg.state() == left
    done = dpkg.run(_as_remove_begins())
    assert (done.returncode, done.stderr) == (0, "")
    assert dpkg.state() in ("", "not-installed") and not dpkg.started.exists()


def test_one_that_is_whole_or_away_is_left_to_apt(dpkg):
    assert dpkg.run(_as_remove_begins()).returncode == 0
    (dpkg.folder / "again").touch()
    dpkg.run(f"dpkg -i {dpkg.folder}/x.deb")
    assert dpkg.run(_as_remove_begins()).returncode == 0 and dpkg.state() == "installed"


def test_a_package_that_does_not_go_is_told(dpkg):
    dpkg.run(f"dpkg -i {dpkg.folder}/x.deb")
    prerm = dpkg.folder / "admin/info/gitlab-ce.prerm"
    prerm.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    prerm.chmod(0o755)
    done = dpkg.run(_as_remove_begins())
    assert done.returncode == 1 and "no room" in done.stderr and not dpkg.started.exists()


def test_a_supervisor_that_runs_is_named_by_remove():
    ask = script(SCRIPTS / "supervisor_gone.sh")
    assert subprocess.run(["bash", "-euo", "pipefail", "-c", ask], check=False).returncode == 0
    with subprocess.Popen(["bash", "-c", f"exec -a '{SUPERVISOR}' sleep 60"]) as running:
        try:
            while b"runsvdir -P" not in Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")[0]:
                pass
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", ask], capture_output=True, text=True, check=False)
        finally:
            running.kill()
    assert done.returncode == 1 and str(running.pid) in done.stdout
