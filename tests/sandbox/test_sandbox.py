"""The sandbox itself: made, used, saved, killed at bad moments, gone without a trace. Needs root, real registries."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import machine_state
import pytest
from host_state import difference, state, without_times
from serving import until

from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.paths import REPO, home
from helpers.core.secrets import SecretStore
from helpers.core.target import Target
from helpers.sandbox import Sandbox, boot, builds, disk, mirror, needs, network, processes, rootfs

SELF = "self" + os.environ.get("RUNBOOK_TEST_SANDBOX", "test")[:11]
OTHER = SELF + "2"

pytestmark = pytest.mark.skipif(
    bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox: ./runbook doctor"
)


@pytest.fixture(scope="module")
def box():
    """A running sandbox that serves nothing."""
    box = Sandbox(SELF)
    box.down(wipe=True)
    box.up(artifacts=[])
    yield box
    box.down(wipe=True)


def ask(box, *command, check=True, seconds=120):
    done = subprocess.run(box.ssh(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def fetch(box, path, port=mirror.PORT):
    link = http.client.HTTPConnection(box.gateway, port, timeout=30)
    link.request("GET", path, headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json, */*"})
    answer = link.getresponse()
    return answer.status, answer.read()


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def traces(box):
    """What this sandbox has on the machine outside its folder."""
    bridge = box._net.bridge
    links = [p.name for p in Path("/sys/class/net").iterdir() if bridge in p.name]
    groups = [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if folder.endswith("/" + bridge)]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(box.dir) in line]
    running = []
    for entry in Path("/proc").glob("[0-9]*"):
        if str(box.dir).encode() in read(entry / "cmdline"):
            running.append(entry.name)
    builder = home("cache") / rootfs.builder_name()
    rules = subprocess.run(
        ["chroot", str(builder), "/usr/sbin/iptables-save"], capture_output=True, text=True
    ).stdout.splitlines()
    rules = [r for r in rules if bridge in r or box.network in r]
    return {"links": links, "cgroups": groups, "mounts": mounts, "processes": running, "rules": rules}


def hosts(box):
    """The systemd-nspawn processes of this sandbox."""
    return [p for p in traces(box)["processes"] if read(Path("/proc", p, "cmdline")).startswith(b"systemd-nspawn\0")]


def guests(box):
    """The first processes of the guests in this sandbox's groups."""
    pids = boot._members([Path(line) for line in (box.dir / "pids/cgroups").read_text().split()])
    return [
        p
        for p in pids
        if "/systemd/systemd\0" in read(Path("/proc", str(p), "cmdline")).decode()
        and "--user" not in read(Path("/proc", str(p), "cmdline")).decode()
    ]


def test_a_host_weighs_what_its_processors_do(box):
    """By default a whole host is given as much as one session beside it."""
    groups = [Path(line) for line in (box.dir / "pids/cgroups").read_text().split()]
    files = {"cpu.shares": 1024 * os.cpu_count(), "cpu.weight": 100 * os.cpu_count()}
    found = [(group / file, wanted) for group in groups for file, wanted in files.items() if (group / file).is_file()]
    assert found and [int(path.read_text()) for path, _ in found] == [wanted for _, wanted in found]


@pytest.mark.parametrize("processors, shares, weight", [(2, 2048, 200), (16, 16384, 1600), (512, 262144, 10000)])
def test_a_weight_is_what_the_kernel_takes(tmp_path, monkeypatch, processors, shares, weight):
    monkeypatch.setattr(boot.os, "cpu_count", lambda: processors)
    for file in ("cpu.shares", "cpu.weight"):
        (tmp_path / file).touch()
    boot._weigh(tmp_path)
    assert [int((tmp_path / file).read_text()) for file in ("cpu.shares", "cpu.weight")] == [shares, weight]


def nothing(found):
    return not any(found.values())


def of_this_machine():
    """The machine's mounts but those of other sandboxes, zombies among our children, and IP forwarding."""
    mounts = machine_state.without_others(machine_state.state(settings=False)["mounts"], SELF, OTHER)
    return {"mounts": mounts, "zombies": machine_state.zombies(), "forward": network.FORWARD.read_text()}


def up_in_a_process(box, die_at=None, recipes=None, call="up(report, None if recipes else [])"):
    """`up`, or another call, in a process of its own, which is killed by SIGKILL when it reports a line with die_at."""
    script = f"""
import os, signal, pathlib
from helpers.sandbox import Sandbox, builds
die_at, recipes = {die_at!r}, {str(recipes) if recipes else None!r}
if recipes:
    builds.RECIPES = pathlib.Path(recipes)
def report(text):
    print(text, flush=True)
    if die_at and die_at in text:
        os.kill(os.getpid(), signal.SIGKILL)
Sandbox({box.name!r}).{call}
"""
    return subprocess.Popen([sys.executable, "-c", script], cwd=REPO, stdout=subprocess.PIPE, text=True)


# --- a host like a cloud image


def test_the_host_is_reached_as_ubuntu_who_may_sudo(box):
    assert ask(box, "id -un; sudo -n id -un; hostname").split() == ["ubuntu", "root", SELF]
    assert ask(box, "systemctl is-system-running") == "running"


def test_root_and_passwords_do_not_log_in(box):
    argv = [a.replace("ubuntu@", "root@") for a in box.ssh("true")]
    assert "Permission denied (publickey)" in subprocess.run(argv, capture_output=True, text=True).stderr


def test_only_the_hosts_own_key_is_accepted(box, tmp_path):
    other = boot.key(tmp_path / "other", "other")
    false = tmp_path / "known_hosts"
    false.write_text(f"{box.address} {' '.join(other.split()[:2])}\n")
    argv = [a.replace(str(box.known_hosts), str(false)) for a in box.ssh("true")]
    assert "Host key verification failed" in subprocess.run(argv, capture_output=True, text=True).stderr


def test_registries_answer_from_inside(box):
    ask(box, "sudo apt-get -q update && sudo apt-get -qy install hello && hello")
    ask(box, "python3 -m venv /tmp/venv && /tmp/venv/bin/pip --quiet download --no-deps --dest /tmp six")


def test_the_mirror_answers_from_inside_and_only_on_the_sandboxs_network(box):
    assert json.loads(ask(box, f"curl -sf {box.mirror_url}/index.json")) == {"artifacts": {}}
    listening = subprocess.run(["ss", "-Hltn", "sport", "=", f":{mirror.PORT}"], capture_output=True, text=True).stdout
    assert f"{box.gateway}:{mirror.PORT}" in listening and f"0.0.0.0:{mirror.PORT}" not in listening


def test_containers_find_what_they_need(box):
    assert ask(
        box,
        "sudo mkdir /sys/fs/cgroup/pids/probe 2>/dev/null || sudo mkdir /sys/fs/cgroup/probe; "
        "sudo sysctl -w net.ipv4.ip_forward=1; ls /dev/kmsg",
    )
    assert "shared" in ask(box, "findmnt -no PROPAGATION /")
    kubepods = "/sys/fs/cgroup/pids/kubepods" if Path("/sys/fs/cgroup/pids").is_dir() else "/sys/fs/cgroup/kubepods"
    ask(box, f"sudo mkdir -p {kubepods}/pod1")
    assert not Path(kubepods).exists(), "the guest's groups must not land in the machine's"
    box.reboot()
    assert ask(box, f"test -e {kubepods}/pod1 || echo gone") == "gone"


# --- again, reboot, status


def test_a_second_up_changes_nothing_and_is_quick(box):
    before, said = box.status()["since"], []
    began = time.monotonic()
    box.up(said.append, artifacts=[])
    assert time.monotonic() - began < 30 and said == [f"sandbox {SELF}: running at {box.address}"]
    assert box.status()["since"] == before


def test_the_host_comes_back_after_a_reboot(box):
    ask(box, "echo kept | sudo tee /etc/kept")
    boot_id = ask(box, "cat /proc/sys/kernel/random/boot_id")
    subprocess.run(box.ssh("sudo systemctl reboot"), capture_output=True)
    box.reboot()  # also when one is under way
    assert ask(box, "cat /proc/sys/kernel/random/boot_id") != boot_id
    assert ask(box, "cat /etc/kept") == "kept" and fetch(box, "/index.json")[0] == 200


def test_stopped_and_started_it_keeps_its_disk_and_key(box):
    key = box.known_hosts.read_text()
    ask(box, "echo kept > ~/kept")
    box.down()
    assert box.status()["state"] == "stopped" and nothing(traces(box))
    began = time.monotonic()
    box.up(artifacts=[])
    assert time.monotonic() - began < 120
    assert ask(box, "cat ~/kept") == "kept" and box.known_hosts.read_text() == key
    status = box.status()
    assert status["state"] == "running" and status["mirror"] == box.mirror_url and status["disk"] > 100 << 20


# --- killed at bad moments


@pytest.mark.parametrize("moment", ["unpacking", "booting", "running at"])
def test_up_killed_in_the_middle_then_up(box, moment):
    box.down(wipe=moment == "unpacking")
    killed = up_in_a_process(box, die_at=moment)
    assert killed.wait(300) == -signal.SIGKILL
    box.up(artifacts=[])
    assert ask(box, "id -un") == "ubuntu"


@pytest.mark.parametrize("what", ["supervisor", "nspawn", "nginx"])
def test_a_part_killed_then_up(box, what):
    before = guests(box)
    file = box.dir / "pids" / what
    os.kill(processes.alive(file), signal.SIGKILL)
    while processes.alive(file):
        time.sleep(0.01)
    box.up(artifacts=[])
    assert ask(box, "id -un") == "ubuntu" and fetch(box, "/index.json")[0] == 200
    assert len(hosts(box)) == 1 and len(guests(box)) == 1
    assert (guests(box) == before) is (what == "nginx")


def test_a_pid_file_of_another_process_is_not_believed(box):
    box.down()
    file = box.dir / "pids/supervisor"
    file.write_text(f"{os.getpid()} 1\n")  # our pid, another start time
    assert box.status()["state"] == "stopped"
    box.down()
    box.up(artifacts=[])
    assert box.status()["state"] == "running"


def test_two_ups_at_once_make_one_host(box):
    box.down()
    both = [up_in_a_process(box), up_in_a_process(box)]
    assert [p.wait(300) for p in both] == [0, 0]
    assert len(hosts(box)) == 1


# --- gone without a trace


def test_down_leaves_the_machine_as_it_was(box):
    box.down(wipe=True)
    alone = not list(Path("/sys/class/net").glob("rb-*"))
    before = of_this_machine()
    assert nothing(traces(box))
    box.up(artifacts=[])
    box.down(wipe=True)
    assert nothing(traces(box)) and not box.dir.exists()
    after = of_this_machine()
    if not alone:  # others may set or end forwarding meanwhile
        before["forward"] = after["forward"]
    assert after == before
    assert box.status()["state"] == "absent"
    box.up(artifacts=[])


def test_wipe_never_removes_through_a_mount(box, tmp_path):
    (tmp_path / "precious").write_text("kept")
    inside = box._guest.root / "mnt"
    subprocess.run(["mount", "--bind", str(tmp_path), str(inside)], check=True)
    try:
        with pytest.raises(RunbookError) as error:
            box.down(wipe=True)
        assert str(inside) in error.value.saw and (inside / "precious").read_text() == "kept"
    finally:
        subprocess.run(["umount", str(inside)], check=True)
    box.up(artifacts=[])


# --- saved states


@pytest.fixture
def store(box):
    """The host's secrets; empty before and after."""
    store = SecretStore("sandbox-" + SELF)
    store.forget_all()
    yield store
    store.forget_all()


@pytest.fixture
def saved(box, store):
    """The running host, whose saved states of a test are forgotten afterwards."""
    box.up(artifacts=[])
    yield box
    for kept in box.saved():
        box.forget(kept.name)
    box.up(artifacts=[])


def mark(box, text):
    ask(box, f"echo {text} | sudo tee /etc/mark && sync")


def marked(box):
    return ask(box, "cat /etc/mark")


def boot_id(box):
    return ask(box, "cat /proc/sys/kernel/random/boot_id")


def no_loops(box):
    """No loop device holds a file of this sandbox. Other sandboxes let go of it a moment later: waited for."""
    argv = ["losetup", "-n", "-l", "-O", "BACK-FILE"]

    def none():
        return str(box.dir) not in subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    return until("its loop devices to go", none)


INSTALL = """mkdir -p /tmp/probe/DEBIAN
cat > /tmp/probe/DEBIAN/control <<'END'
Package: probe
Version: 1
Architecture: all
Maintainer: nobody
Description: none
END
dpkg-deb --build /tmp/probe && dpkg --install /tmp/probe.deb
"""


def test_a_saved_state_comes_back_whole_with_the_secrets_of_its_time(saved, store):
    with contextlib.closing(Host("sandbox:" + SELF)) as host:
        host.run("echo one > /etc/mark; systemd-run --quiet --unit=alive sleep 4711")
        store.keep("alpha", "of-the-time")
        saved.save("first", chapters=["minio"])
        before = state(host)
        store.keep("alpha", "changed")
        store.get("beta")
        host.run("rm /etc/mark /etc/debian_version; systemctl kill alive; useradd later\n" + INSTALL)
        assert difference(before, state(host))
        said = []
        saved.restore("first", said.append)
        seconds = float(re.search(r"in ([\d.]+) s", said[-1])[1])
        assert seconds < 15 and said[-1].startswith(f"sandbox {SELF}: restored to first in ")
        assert difference(without_times(before), without_times(state(host))) == []
    assert store.names() == ["alpha"] and store.get("alpha").reveal() == "of-the-time"
    assert Target.parse("sandbox:" + SELF).endpoint().mirror_url == saved.mirror_url
    assert fetch(saved, "/index.json")[0] == 200


def test_two_saved_states_of_one_host(saved):
    for name in ("one", "two"):
        mark(saved, name)
        saved.save(name, chapters=[name])
    mark(saved, "three")
    saved.restore("one")
    assert marked(saved) == "one"
    saved.restore("two")
    assert marked(saved) == "two"
    assert [(s.name, s.chapters) for s in saved.saved()] == [("one", ["one"]), ("two", ["two"])]
    saved.forget("one")
    assert [s.name for s in saved.saved()] == ["two"] and marked(saved) == "two", "the host stays what it is"
    mark(saved, "four")
    saved.save("two", force=True)
    mark(saved, "five")
    saved.restore("two")
    assert marked(saved) == "four"


def test_what_cannot_be_saved_or_restored_is_refused_untouched(saved):
    mark(saved, "kept")
    saved.save("there")
    before = boot_id(saved)
    mark(saved, "now")
    for name in ("", "A", "../x", "a/b", "a.new", "x" * 33, "-x"):
        for act in (saved.save, saved.restore, saved.forget):
            with pytest.raises(BadInput):
                act(name)
    with pytest.raises(BadInput) as error:
        saved.save("there")
    assert "--force" in error.value.do
    for act in (saved.restore, saved.forget):
        with pytest.raises(BadInput) as error:
            act("not-there")
        assert error.value.do == "Saved states: there"
    assert boot_id(saved) == before and marked(saved) == "now"
    with pytest.raises(RunbookError, match="no such sandbox"):
        Sandbox(OTHER).save("x")
    assert not Sandbox(OTHER).dir.exists()


def test_a_stopped_host_is_saved_listed_and_restored(saved):
    mark(saved, "stopped")
    saved.down()
    saved.save("stopped")
    assert [s.name for s in saved.saved()] == ["stopped"] and saved.status()["state"] == "stopped"
    assert nothing(traces(saved)) and no_loops(saved)
    saved.restore("stopped")
    assert saved.status()["state"] == "running" and marked(saved) == "stopped"


def killed_at_rename(box, call, number):
    """Run call on the sandbox in a process that is killed by SIGKILL right after its rename of that number."""
    script = f"""
import os, pathlib, signal
from helpers.sandbox import Sandbox
left, rename = [{number}], pathlib.Path.rename
def counted(self, target):
    rename(self, target)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.rename = counted
Sandbox({box.name!r}).{call}
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("number, is_now", [(1, "old"), (2, "old")])
def test_restore_killed_in_its_middle_is_finished_by_the_next_command(saved, store, number, is_now):
    mark(saved, "old")
    store.keep("alpha", "the-old-one")
    saved.save("there")
    mark(saved, "new")
    store.keep("alpha", "the-new-one")
    killed_at_rename(saved, "restore('there')", number)
    said = []
    saved.up(said.append, artifacts=[])
    assert "host: a restore that was cut off is finished" in said
    assert marked(saved) == is_now and store.get("alpha").reveal() == "the-old-one"
    assert [s.name for s in saved.saved()] == ["there"]
    assert sorted(p.name for p in saved._disk.place.iterdir()) == ["now", "saved"]


@pytest.mark.parametrize("moment, is_now", [("host: stopping", "new"), ("host: booting", "old")])
def test_restore_killed_at_a_step_leaves_the_old_or_the_new(saved, store, moment, is_now):
    mark(saved, "old")
    saved.save("there")
    mark(saved, "new")
    store.keep("alpha", "the-new-one")
    killed = up_in_a_process(saved, die_at=moment, call="restore('there', report)")
    assert killed.wait(300) == -signal.SIGKILL
    saved.up(artifacts=[])
    assert marked(saved) == is_now and store.names() == (["alpha"] if is_now == "new" else [])
    assert sorted(p.name for p in saved._disk.place.iterdir()) in (["now", "saved"], ["now", "now.new", "saved"])
    saved.restore("there")
    assert marked(saved) == "old" and store.names() == []


@pytest.mark.parametrize("number", [1, 2])
def test_save_killed_in_its_middle_leaves_the_old_or_the_new(saved, number):
    mark(saved, "old")
    saved.save("there")
    mark(saved, "new")
    killed_at_rename(saved, "save('there', force=True)", number)
    mark(saved, "later")
    saved.restore("there")
    assert marked(saved) == "new"
    assert [p.name for p in saved._disk.kept.iterdir()] == ["there"]


WRITER = """
psql -qc 'create table t (n int)'
for n in $(seq 100000); do
  psql -qc "insert into t values ($n)" && etcdctl put n $n >/dev/null && echo $n > /var/lib/postgresql/acknowledged
done
"""


def test_databases_that_wrote_while_they_were_saved_come_back_with_all_they_had_acknowledged(saved):
    ask(saved, "sudo apt-get -q update && sudo apt-get -qy install postgresql etcd-server etcd-client", seconds=300)
    ask(
        saved,
        "sudo systemctl start postgresql etcd && sudo systemd-run --quiet --uid=postgres bash -c "
        + shlex.quote(WRITER),
    )
    written = "sudo cat /var/lib/postgresql/acknowledged 2> /dev/null || true"
    until("some rows to be acknowledged", lambda: int(ask(saved, written) or 0) > 20, timeout=300)
    saved.save("busy")
    saved.restore("busy")
    acknowledged = int(ask(saved, "sudo cat /var/lib/postgresql/acknowledged"))
    ask(saved, "sudo systemctl is-active --wait postgresql@15-main etcd; until pg_isready -q; do sleep 0.2; done")
    rows = ask(saved, "sudo -u postgres psql -qAtc 'select count(*), min(n), max(n) from t' postgres").split("|")
    assert acknowledged > 5 and int(rows[2]) >= acknowledged and rows[0] == rows[2] and rows[1] == "1"
    assert int(ask(saved, "ETCDCTL_API=3 etcdctl get n --print-value-only")) >= acknowledged


def test_what_a_restored_state_lacks_comes_with_the_next_up(saved):
    ask(saved, "sudo rm /etc/runbook-mirror")
    saved.save("without")
    saved.up(artifacts=[])
    saved.restore("without")
    saved.up(artifacts=[])
    assert ask(saved, "cat /etc/runbook-mirror").strip() == saved.mirror_url
    saved.forget("without")


def test_wipe_takes_the_disk_its_device_and_its_saved_states(saved):
    saved.save("gone")
    saved.down(wipe=True)
    assert nothing(traces(saved)) and no_loops(saved) and not saved.dir.exists()
    with pytest.raises(RunbookError):
        Target.parse("sandbox:" + SELF).endpoint()
    saved.up(artifacts=[])
    assert saved.saved() == []


def test_a_machine_without_btrfs_gives_a_plain_folder_and_says_so(saved, tmp_path, monkeypatch):
    saved.down(wipe=True)
    (tmp_path / "filesystems").write_text("nodev\tproc\n\text4\n")
    with monkeypatch.context() as patch:
        patch.setattr(disk, "FILESYSTEMS", tmp_path / "filesystems")
        said = []
        saved.up(said.append, artifacts=[])
        assert any("plain folder, which cannot be saved: this kernel has no btrfs" in line for line in said)
        mark(saved, "plain")
        with pytest.raises(RunbookError) as error:
            saved.save("x")
        assert "this kernel has no btrfs" in error.value.saw
    saved.down()
    saved.up(artifacts=[])  # a host of an older runbook stays in its folder
    assert marked(saved) == "plain"
    with pytest.raises(RunbookError) as error:
        saved.save("x")
    assert "made by an older runbook" in error.value.saw and "--wipe" in error.value.do
    saved.down(wipe=True)
    saved.up(artifacts=[])


# --- refused before anything is touched


def refused(box, **kw):
    with pytest.raises(RunbookError) as error:
        box.up(**{"artifacts": [], **kw})
    assert nothing(traces(box)) and not box.dir.exists()
    return error.value


def test_no_space_is_refused_before_anything_is_touched(box, monkeypatch):
    for size in ("SANDBOX_DISK", "NEXT_DISK"):
        monkeypatch.setattr(needs, size, 1 << 60)
    error = refused(Sandbox(OTHER))
    assert "disk space" in error.saw and "--target ssh://" in error.do


def test_an_unknown_artifact_is_refused(box):
    assert "no recipe" in refused(Sandbox(OTHER), artifacts=["minioo"]).saw


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "a" * 17, "1a"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(BadInput):
        Sandbox(name)


def test_a_network_that_is_in_use_is_refused(box):
    other = Sandbox(OTHER)
    subprocess.run(["ip", "link", "add", "rbprobe", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", other.gateway + "/24", "dev", "rbprobe"], check=True)
        assert "already in use" in refused(other).saw
    finally:
        subprocess.run(["ip", "link", "del", "rbprobe"], check=True)


# --- substitutes and the mirror


def test_a_substitute_is_built_once_and_served_under_its_upstream_name(box, recipes):
    folder = recipes(
        "selfprobe",
        'mkdir -p $OUT/example.org/a; echo one > $OUT/example.org/a/b; echo "from $(cat /etc/debian_version)"',
    )
    said = []
    box.up(said.append)
    assert any(line.startswith("selfprobe: from 12") for line in said)
    assert fetch(box, "/example.org/a/b") == (200, b"one\n")
    entry = json.loads(fetch(box, "/index.json")[1])["artifacts"]["selfprobe"]
    assert entry["fidelity"] == "double" and entry["from"] == "substitute" and entry["files"] == ["example.org/a/b"]
    box.down()
    said.clear()
    box.up(said.append)
    assert not any("building" in line for line in said) and fetch(box, "/example.org/a/b")[0] == 200
    (folder / "build.sh").write_text("mkdir -p $OUT/example.org/a; echo two > $OUT/example.org/a/b")
    box.up()
    assert fetch(box, "/example.org/a/b") == (200, b"two\n")


def test_a_failed_build_shows_its_last_lines_and_its_log(box, recipes):
    recipes("selfprobe", "echo first; echo the reason >&2; exit 3")
    with pytest.raises(RunbookError) as error:
        box.up()
    assert "exit code 3" in error.value.saw and "the reason" in error.value.saw
    log = Path(error.value.do.split(": ")[1])
    assert "the reason" in log.read_text()
    assert not builds.place("selfprobe").exists()
    recipes("selfprobe", "mkdir -p $OUT/example.org; echo mended > $OUT/example.org/c")
    box.up()
    assert fetch(box, "/example.org/c") == (200, b"mended\n")


def test_a_build_dies_with_the_runbook(box, recipes):
    folder = recipes("selfprobe", "echo begun; sleep 4711; exit 1")
    killed = up_in_a_process(box, die_at="begun", recipes=folder.parent)
    assert killed.wait(300) == -signal.SIGKILL
    ours = b"sleep\x004711\x00"  # a container's number, beside it, may have 4711 in it
    until("its end", lambda: not [p for p in Path("/proc").glob("[0-9]*/cmdline") if read(p) == ours])
    recipes("selfprobe", "mkdir -p $OUT/example.org; echo built > $OUT/example.org/c")
    box.up()
    assert fetch(box, "/example.org/c") == (200, b"built\n")


def test_a_recipe_gets_the_debian_packages_it_names(box, recipes):
    folder = recipes(
        "selfprobe", "mkdir -p $OUT/example.org; hello > $OUT/example.org/hello; go version > $OUT/example.org/go"
    )
    (folder / "packages.txt").write_text("hello  # prints a greeting\n")
    box.up()
    assert b"Hello" in fetch(box, "/example.org/hello")[1] and b"go1.26.6" in fetch(box, "/example.org/go")[1]


def test_a_substitute_that_hides_its_fidelity_is_refused(box, recipes):
    (recipes("selfprobe", "exit 1") / "fidelity.toml").write_text("")
    with pytest.raises(RunbookError, match="selfprobe"):
        box.up()


def test_the_bundle_goes_before_a_substitute(box, recipes, tmp_path, monkeypatch):
    recipes("selfprobe", "mkdir -p $OUT/example.org; echo substitute > $OUT/example.org/probe-1")
    monkeypatch.setattr(mirror, "CATALOGUE", tmp_path / "catalogue.toml")
    mirror.CATALOGUE.write_text('[selfprobe]\nkind = "file"\nversion = "1"\nurl = "https://example.org/probe-1"\n')
    box.up()
    assert fetch(box, "/example.org/probe-1") == (200, b"substitute\n")
    real = tmp_path / "bundle/example.org/probe-1"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"original\n")
    monkeypatch.setenv("RUNBOOK_BUNDLE", str(tmp_path / "bundle"))
    box.up()
    assert fetch(box, "/example.org/probe-1") == (200, b"original\n")
    entry = json.loads(fetch(box, "/index.json")[1])["artifacts"]["selfprobe"]
    assert (
        entry["fidelity"] == "original"
        and entry["from"] == "bundle"
        and entry["sha256"] == hashlib.sha256(b"original\n").hexdigest()
    )


IMAGE = """python3 - <<'END'
import hashlib, io, json, os, tarfile
out = os.environ["OUT"]
os.makedirs(out + "/images")
def member(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    member(tar, "hello", b"hello")
layer = layer.getvalue()
name = hashlib.sha256(layer).hexdigest()
made = {"type": "layers", "diff_ids": ["sha256:" + name]}
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": made}).encode()
with tarfile.open(out + "/images/probe.tar", "w") as tar:
    member(tar, name + "/layer.tar", layer)
    member(tar, "config.json", config)
    listed = {"Config": "config.json", "RepoTags": ["probe:1"], "Layers": [name + "/layer.tar"]}
    member(tar, "manifest.json", json.dumps([listed]).encode())
open(out + "/images.txt", "w").write("probe.tar example.org/self/probe:1\\n")
END
"""


def test_images_are_in_the_registry_under_their_public_names(box, recipes):
    recipes("selfprobe", IMAGE)
    box.up()
    status, body = fetch(box, "/v2/example.org/self/probe/manifests/1", port=5000)
    assert status == 200 and json.loads(body)["schemaVersion"]
    assert ask(box, f"curl -s -o /dev/null -w '%{{http_code}}' {box.registry_url}/v2/") == "200"
    said = []
    box.down()
    box.up(said.append)
    assert not any(line.startswith("images:") for line in said), "pushed once"
    assert fetch(box, "/v2/", port=5000)[0] == 200
    box.down()
    assert nothing(traces(box))


def test_the_bundles_image_goes_before_a_substitutes(box, recipes, tmp_path, monkeypatch):
    recipes("selfprobe", IMAGE)
    monkeypatch.setattr(mirror, "CATALOGUE", tmp_path / "catalogue.toml")
    mirror.CATALOGUE.write_text('[selfprobe]\nkind = "image"\nversion = "1"\nimage = "example.org/self/probe:1"\n')
    box.up()
    assert json.loads(fetch(box, "/index.json")[1])["artifacts"]["selfprobe"]["from"] == "substitute"

    def layer():
        return json.loads(fetch(box, "/v2/example.org/self/probe/manifests/1", port=5000)[1])["layers"][0]["digest"]

    before, folder = layer(), tmp_path / "bundle"
    subprocess.run(
        ["sh", "-c", IMAGE.replace('b"hello"', 'b"the real one"')], check=True, env={**os.environ, "OUT": str(folder)}
    )
    monkeypatch.setenv("RUNBOOK_BUNDLE", str(folder))
    box.up()
    entry = json.loads(fetch(box, "/index.json")[1])["artifacts"]["selfprobe"]
    assert entry["fidelity"] == "original" and entry["from"] == "bundle" and entry["differs"] == []
    assert list(entry["images"]) == ["example.org/self/probe:1"] and entry["sha256"] in str(entry["images"])
    assert layer() != before
    monkeypatch.delenv("RUNBOOK_BUNDLE")
    box.up()
    assert layer() == before, "without the bundle the substitute is back"


def test_every_recipe_is_in_the_catalogue_and_states_its_fidelity():
    names = builds.recipes()
    assert names and mirror.fidelity(names)
    catalogue = mirror._toml(mirror.CATALOGUE)
    assert set(names) <= set(catalogue)
