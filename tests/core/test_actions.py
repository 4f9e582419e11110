"""Actions: their probes and commands, run by a real bash on files of this machine."""

import hashlib
import os
import subprocess
import time

import programs
import pytest
from serving import dripping, serving

from helpers.core import actions
from helpers.core.catalogue import FETCH, Artifact


def bash(script):
    done = subprocess.run(
        ["bash", "--norc", "-euo", "pipefail", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )
    return done.returncode == 0, done.stdout.strip()


def put(data, path, mode, owner):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, int(mode, 8))


@pytest.fixture
def owner():
    return subprocess.run(["stat", "-c", "%U:%G", "/proc/self"], stdout=subprocess.PIPE, text=True).stdout.strip()


def test_commands_are_so_when_their_probe_says_so(tmp_path):
    mark = tmp_path / "mark"
    action = actions.commands([f"touch {mark}", "true"], f"[ -e {mark} ]", f"rm {mark}", [f"file {mark}"])
    assert action.shown == [f"touch {mark}", "true"]
    assert not bash(action.probe)[0] and bash(action.absent)[0]
    assert bash(action.apply)[0] and bash(action.probe)[0] and not bash(action.absent)[0]
    assert bash(action.undo)[0] and bash(action.absent)[0]


def test_an_undo_says_how_it_is_known_to_be_done():
    """A probe that failed, of a server that was stopped, was the proof that all was gone."""
    with pytest.raises(ValueError, match="an undo needs absent or makes"):
        actions.commands("x", "false", "y")
    assert actions.commands("x", "false").absent is None


@pytest.mark.parametrize(
    ("says", "gone"),
    [
        ("echo 'error: no matching snaps installed' >&2; exit 1", True),
        ("echo 'No snaps are installed yet.'; exit 1", True),
        ("echo 'error: cannot communicate with server: connection refused' >&2; exit 1", False),
        ("exit 127", False),
        ("echo 'Name  Version'; echo 'tool  1'", False),
    ],
)
def test_a_snap_is_gone_when_snapd_says_so(program, says, gone):
    program("snap", says)
    assert bash(actions.snap("tool", "1/stable").absent)[0] == gone


GROUP = """
dpkg-query() {{ {package}; }}
getent() {{ {group}; }}
groupdel() {{ echo "deleted $1"; }}
"""
NOTED, ROW = '{"kind": "package", "name": "ssl-cert", "before": "away"}', "echo ssl-cert:x:110:"


@pytest.mark.parametrize(
    ("note", "host", "went", "gone"),
    [
        (NOTED, ("return 1", ROW), "deleted ssl-cert", False),
        (NOTED, ("echo 'rc '", ROW), "deleted ssl-cert", False),
        (NOTED, ("return 1", ROW + "www-data"), "", True),
        (NOTED, ("return 1", "return 2"), "", True),
        (NOTED, ("echo 'ii '", ROW), "", True),
        ("", ("return 1", ROW), "", True),
        (NOTED.replace("away", "there"), ("return 1", ROW), "", True),
    ],
)
def test_a_group_goes_with_its_package_when_both_are_ours(tmp_path, note, host, went, gone):
    (tmp_path / "note").write_text(note)
    go, asked = (actions._groups(str(tmp_path / "note"), ["ssl-cert"], verb)[0] for verb in ("go", "gone"))
    here = GROUP.format(package=host[0], group=host[1])
    assert bash(here + go) == (True, went)
    assert bash(here + asked)[0] == gone


def test_a_getent_that_fails_proves_no_group_away(tmp_path):
    (tmp_path / "note").write_text(NOTED)
    here = GROUP.format(package="return 1", group="return 3")
    for script in (actions._groups(str(tmp_path / "note"), ["ssl-cert"], verb)[0] for verb in ("go", "gone")):
        assert bash(here + script) == (False, "cannot tell whether there is a group ssl-cert: getent ended with 3")


def test_a_file_is_so_with_its_content_mode_and_owner_only(tmp_path, owner):
    path = str(tmp_path / "x.conf")
    action = actions.File("a $HOME 'quoted' ä\n", path, "0640", owner, str, put)
    assert not bash(action.probe)[0] and bash(action.absent)[0]
    action.apply()
    assert bash(action.probe) == (True, "") and not bash(action.absent)[0]
    os.chmod(path, 0o666)
    ok, said = bash(action.probe)
    assert not ok and "666" in said and "instead of 640" in said
    put(b"other", path, "0640", owner)
    ok, said = bash(action.probe)
    assert not ok and said == path + ": content differs from what we write"
    assert bash(action.undo)[0] and bash(action.absent)[0] and bash(action.undo)[0]
    assert not bash(actions.File("x", str(tmp_path / "none"), "0644", "nobody:nogroup", str, put).probe)[0]


def artifact(url, sha256):
    a = Artifact("tool", {"kind": "file", "version": "1", "url": url})
    a.sha256 = sha256
    return a


@pytest.fixture
def served(tmp_path):
    path = tmp_path / "served"
    path.write_bytes(b"#!/bin/sh\necho tool\n")
    return path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_artifact_is_fetched_verified_and_replaced_whole(tmp_path, served):
    url, sha = served
    place = tmp_path / "bin" / "tool"
    place.parent.mkdir()
    action = actions.artifact_file(artifact(url, sha), str(place))
    assert not bash(action.probe)[0] and bash(action.absent)[0]
    assert bash(action.apply)[0] and bash(action.probe)[0]
    assert (
        place.stat().st_mode & 0o777 == 0o755
        and subprocess.run([str(place)], stdout=subprocess.PIPE).stdout == b"tool\n"
    )
    place.write_text("changed by hand")
    assert not bash(action.probe)[0] and bash(action.apply)[0] and bash(action.probe)[0]
    assert bash(action.undo)[0] and bash(action.absent)[0]


@pytest.mark.parametrize("break_it", ["checksum", "url"])
def test_a_bad_download_leaves_the_old_file(tmp_path, served, break_it):
    url, sha = served
    place = tmp_path / "tool"
    place.write_text("old")
    action = actions.artifact_file(
        artifact(url + ("-gone" if break_it == "url" else ""), sha if break_it == "url" else "0" * 64), str(place)
    )
    assert not bash(action.apply)[0]
    assert place.read_text() == "old" and sorted(os.listdir(str(tmp_path))) == ["served", "tool"]


def test_a_download_that_stalls_is_given_up_and_the_old_file_stays(tmp_path):
    place = tmp_path / "tool"
    place.write_text("old")
    with serving(dripping) as web:
        apply = actions.artifact_file(artifact(web.url, "0" * 64), str(place)).apply
        done = bash(apply.replace("--speed-time 30", "--speed-time 1").replace("--retry 3", "--retry 0"))
    assert not done[0] and len(web.asked) == 3, done
    assert "too slow" in done[1] or "(28)" in done[1]
    assert place.read_text() == "old" and os.listdir(str(tmp_path)) == ["tool"]


@pytest.mark.parametrize(
    ("client", "https", "http"),
    [("curl", "--proto-redir =https", "--proto-redir =http,https"), ("wget", "--https-only", "wget -qO - --tries=3")],
)
def test_https_never_becomes_http_on_the_way(program, client, https, http):
    """A server that was asked by HTTPS could send on to HTTP."""
    program(client, f'echo {client} "$@"')
    only = f"command() {{ [ $2 = {client} ]; }}\n" + FETCH
    assert https in bash(only + "fetch https://x/y")[1] and http in bash(only + "fetch http://x/y")[1]


@pytest.mark.parametrize("sha", ["", "abc", "0" * 63, "$(id)"])
def test_nothing_is_installed_unverified(sha):
    with pytest.raises(ValueError, match="tool"):
        actions.artifact_file(artifact("https://x/y", sha), "/usr/local/bin/tool")


def test_of_a_program_whose_checksum_nobody_knows_any_more_it_is_seen_that_it_is_there(tmp_path):
    place = tmp_path / "tool"
    action = actions.artifact_file(artifact("https://x/y", ""), str(place), settled=True)
    assert bash(action.probe) == (False, f"{place} is missing") and bash(action.absent)[0]
    put(b"x", str(place), "0755", "")
    assert bash(action.probe) == (True, "")
    assert bash(action.undo)[0] and bash(action.absent)[0]


def test_the_shown_commands_name_no_mirror(served):
    url, sha = served
    assert not any(url in line for line in actions.artifact_file(artifact(url, sha), "/x").shown)


# -- a disk that is mounted where we would have a directory ------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """mounted(script): run it where `disk` is a mounted disk, fresh but for what is in it."""
    for name in ("disk/lost+found", "disk/detai/a", "folder/detai"):
        (tmp_path / name).mkdir(parents=True)
    mounted = f"mountpoint() {{ [ $2 = {tmp_path}/disk ]; }}; chown() {{ echo $*; }}\n"
    return lambda script: bash(mounted + script)


def test_remove_empties_a_disk_that_is_mounted_and_takes_a_directory_away(disk, tmp_path):
    ok, said = disk(actions.remove_directory(tmp_path / "disk"))
    assert ok and [p.name for p in (tmp_path / "disk").iterdir()] == ["lost+found"]
    assert said.split() == ["root:root", str(tmp_path / "disk")]
    assert disk(actions.remove_directory(tmp_path / "folder")) == (True, "")
    assert disk(actions.remove_directory(tmp_path / "not-there")) == (True, "")
    assert not (tmp_path / "folder").exists()


def test_packages_data_on_a_disk_of_their_own_are_away_when_it_is_empty(disk, tmp_path, busy):
    """PostgreSQL on a disk mounted at /var/lib/postgresql: rm cannot take a mount point away."""
    action = actions.packages(["x"], paths=[str(tmp_path / name) for name in ("disk", "folder")])
    away = "\n".join(line for line in action.absent.splitlines() if str(tmp_path) in line)
    assert not disk(away)[0]
    busy("apt-get", "never", 0)
    ok, said = disk(action.undo)
    assert ok, said
    assert disk(away)[0] and not (tmp_path / "folder").exists()
    (tmp_path / "disk" / "10").mkdir()
    assert not disk(away)[0]


# -- a fresh host that is still busy ------------------------------------------------------------------


@pytest.fixture
def busy(tmp_path, program):
    """A function: this program says its first two times that it is busy; returns where it notes its calls."""
    calls = tmp_path / "calls"

    def busy(name, words, code=100):
        late = f'[ $(grep -c "^{name}$" {calls}) -gt 2 ] || {{ echo "{words}" >&2; exit {code}; }}'
        program(name, f"[ $1 != list ] || exit 1\necho {name} >> {calls}\n{late}\necho done\n")
        return calls

    for name, script in (("sleep", ""), ("dpkg", ""), ("flock", 'shift; exec "$@"')):
        program(name, script)
    return busy


@pytest.fixture
def host_with(busy, program, tmp_path):
    """A host whose apt-get is this script (late: true the first two times); returns how often it was called."""
    log = tmp_path / "apt.log"

    def make(script):
        program("apt-get", f"echo >> {log}\nlate() {{ [ $(wc -l < {log}) -lt 4 ]; }}\n{script}")
        return lambda: len(log.read_text())

    return make


LISTS = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 2023 (apt-get)"
UNSEEDED = "error: too early for operation, device not yet seeded or device model not acknowledged"


def test_the_lock_of_apts_lists_is_waited_for(busy):
    calls = busy("apt-get", LISTS)
    assert bash(actions.packages(["x"]).apply) == (True, "done\ndone")
    assert calls.read_text().split() == ["apt-get"] * 4, "three updates and the install"


def test_another_error_of_apt_is_told_at_once(busy):
    calls = busy("apt-get", "E: Unable to locate package x")
    ok, said = bash(actions.packages(["x"]).apply)
    assert not ok and said.endswith("E: Unable to locate package x")
    assert calls.read_text() == "apt-get\n" * 2, "one update, one install"


def test_an_apt_that_does_not_wait_for_dpkgs_lock_itself_is_waited_for(host_with):
    """Ubuntu 18.04's apt 1.6 has no DPkg::Lock::Timeout; unattended-upgrades holds the lock between its dpkgs."""
    held = "E: Could not get lock /var/lib/dpkg/lock-frontend - open (11: Resource temporarily unavailable)"
    calls = host_with(f'if [ $2 = update ]; then exit 0; fi\nif late; then echo "{held}" >&2; exit 100; fi; echo done')
    ok, said = bash(actions.packages(["x"]).apply)
    assert ok and said.endswith("done") and calls() == 4, said


# apt 2.6 with a source whose suite is gone, then with one whose index is
GONE = [
    "E: The repository 'http://ppa.example/ubuntu focal Release' does not have a Release file.",
    "E: Failed to fetch http://ppa.example/ubuntu/Packages  404  Not Found [IP: 192.0.2.1 80]\n"
    "E: Some index files failed to download. They have been ignored, or old ones used instead.",
]


@pytest.mark.parametrize("error", GONE)
def test_a_source_of_somebodys_that_is_gone_is_told_and_no_reason_to_stop(host_with, error):
    host_with(f'if [ $2 = update ]; then echo "Hit:1 http://x"; echo "{error}" >&2; exit 100; fi; echo done')
    ok, said = bash(actions.packages(["x"]).apply)
    assert ok and error in said and said.endswith("done") and "going on with the lists" in said


@pytest.mark.parametrize("error", GONE)
def test_where_the_package_is_nowhere_both_errors_are_told(host_with, error):
    host_with(f'echo "E: Unable to locate package x" >&2; [ $2 != update ] || echo "{error}" >&2; exit 100')
    ok, said = bash(actions.packages(["x"]).apply)
    assert not ok and error in said and said.endswith("E: Unable to locate package x")


def test_a_snapd_that_is_not_seeded_yet_is_waited_for(busy):
    calls = busy("snap", UNSEEDED, 1)
    assert bash(actions.snap("microk8s", "1.20/stable").apply) == (True, "done")
    assert calls.read_text().split() == ["snap"] * 3


def test_another_error_of_snap_is_told_at_once(busy):
    calls = busy("snap", "error: snap not found", 1)
    assert bash(actions.snap("microk8s", "1.20/stable").apply) == (False, "error: snap not found")
    assert calls.read_text().split() == ["snap"]


class Unit:
    """A unit as systemctl tells of it, its start and its clock in files of this test's own; it watches a file."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "x.conf"
        programs.put(
            folder,
            "systemctl",
            f"""#!/bin/bash
cd {folder}
case "$*" in
  "is-active unit") echo active ;;
  "show -p InvocationID unit") echo InvocationID=$(cat id) ;;
  "show -p ActiveEnterTimestamp unit") echo ActiveEnterTimestamp=$(cat since) ;;
  "restart unit") date > since; echo $RANDOM$RANDOM > id ;;
esac
""",
        )
        self.action = actions.running("unit", [str(self.file)], "unit")

    def run(self, script):
        return bash(f"PATH={self.folder}:$PATH\n" + script.replace("/run/mlops-runbook", f"{self.folder}/run"))

    def written(self, text, at=None):
        self.file.write_text(text)
        if at is not None:
            os.utime(str(self.file), (at, at))

    def started_by_somebody(self):
        assert self.run("systemctl restart unit")[0]


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path)


HOUR = 3600


def test_a_file_written_while_the_clock_was_an_hour_ahead_is_not_newer_for_ever(unit):
    unit.written("a", time.time() + HOUR)
    assert unit.run(unit.action.apply)[0]
    assert unit.run(unit.action.probe) == (True, "")


def test_a_file_changed_in_the_second_of_the_start_is_newer(unit):
    unit.written("a")
    assert unit.run(unit.action.apply)[0]
    unit.written("b", time.time() - HOUR)  # no later than the start, by this clock
    assert unit.run(unit.action.probe) == (False, f"unit runs with settings older than {unit.file}")
    assert unit.run(unit.action.apply)[0] and unit.run(unit.action.probe) == (True, "")


def test_a_start_that_is_not_ours_is_judged_by_its_time(unit):
    """As of a host that an older runbook installed, or that was booted anew."""
    unit.written("a", time.time() - HOUR)
    unit.started_by_somebody()
    assert unit.run(unit.action.probe) == (True, "")
    assert unit.run(unit.action.apply)[0]
    unit.written("b", time.time() - HOUR)
    unit.started_by_somebody()
    assert unit.run(unit.action.probe) == (True, ""), "the note is of an older start"
    unit.written("c", time.time() + 60)
    assert not unit.run(unit.action.probe)[0]


def test_a_file_that_the_note_does_not_name_is_judged_by_its_time(unit, tmp_path):
    unit.written("a")
    assert unit.run(unit.action.apply)[0]
    more = tmp_path / "more.conf"
    more.write_text("x")
    os.utime(str(more), (time.time() - HOUR, time.time() - HOUR))
    watched = actions.running("unit", [str(unit.file), str(more)], "unit")
    assert unit.run(watched.probe) == (True, "")


def test_the_note_is_roots_alone_and_a_missing_file_keeps_nothing_from_starting(unit, tmp_path):
    assert unit.run(unit.action.apply)[0], "its file is not there"
    assert (tmp_path / "run/unit").stat().st_mode & 0o777 == 0o600
    assert not unit.run(unit.action.probe)[0]


# -- a service's own user and folder ---------------------------------------------------------------


def test_a_services_user_is_made_as_on_every_host_so_far():
    user = actions.system_user("minio-user", "/data")
    assert user.apply == (
        "useradd --system --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin minio-user"
    )
    assert (user.undo, user.makes) == ("userdel minio-user", ["user minio-user"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_becomes_its_users_and_goes_again(tmp_path):
    folder = actions.folder_of("daemon", f"{tmp_path}/data")
    (tmp_path / "data").mkdir()
    assert not bash(folder.probe)[0], "it is root's"
    assert bash(folder.apply)[0] and bash(folder.probe)[0]
    assert bash(folder.undo)[0] and not os.listdir(tmp_path) and folder.makes == [f"folder {tmp_path}/data"]
