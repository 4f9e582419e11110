"""The supply: substitutes built behind the caller, served one by one, and what is left of a build that is cut off."""

import json
import re
import subprocess
import threading
import time
from concurrent import futures
from pathlib import Path

import pytest
from serving import until

from helpers.core.errors import RunbookError
from helpers.core.paths import home
from helpers.sandbox import Sandbox, builds, needs, processes, rootfs
from helpers.sandbox.supply import Supply

pytestmark = pytest.mark.skipif(
    bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox: ./runbook doctor"
)
QUICK = "mkdir -p $OUT/example.org; echo done > $OUT/example.org/$NAME"
SLOW = "until [ -e /cache/$NAME.go ]; do sleep 0.1; done; " + QUICK


@pytest.fixture
def recipes(recipes):
    """The same; the files that SLOW ones wait for go as well."""
    made = []
    yield lambda name, script: (made.append(name), recipes(name, script))
    for name in made:
        go(name).unlink(missing_ok=True)


def go(name):
    """The file that a SLOW recipe waits for."""
    return home("cache", "build") / f"{name}.go"


@pytest.fixture
def supply():
    """A function: a supply of these recipes that notes what it serves in .shown; stopped at the end."""
    started = []

    def begin(*names):
        coming = Supply(names, lambda _text: None)
        coming.shown = []
        coming.prepare = lambda: rootfs.builder(lambda _text: None)
        coming.serve = lambda built: coming.shown.append(sorted(built))
        started.append(coming)
        coming.start()
        return coming

    yield begin
    for coming in started:
        coming.stop()


def asleep(seconds):
    """Is there a `sleep` of so many? In another's words the number stands by chance, as in a container's id."""
    return any(_read(path) == f"sleep\0{seconds}\0".encode() for path in Path("/proc").glob("[0-9]*/cmdline"))


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_recipe_names_each_package_that_it_uses_whatever_was_built_before():
    """The builder keeps what another recipe had installed there: in another order a build fails."""
    listings = {name: folder / "packages.txt" for name, folder in builds.recipes().items()}
    named = {
        name: set(re.findall(r"^[^#\s]+", listing.read_text(), re.M)) if listing.exists() else set()
        for name, listing in listings.items()
    }
    for package in set().union(*named.values()):
        program = {"maven": "mvn"}.get(package, package)
        used = {name for name, folder in builds.recipes().items() if _runs(program, folder / "build.sh")}
        assert {name for name in used if package not in named[name]} == set(), package


def _runs(program, script):
    return re.search(rf"^[^#\n]*(?<![\w/.-]){re.escape(program)}(?![\w/.-])", script.read_text(), re.M)


def test_what_is_ready_is_served_while_another_is_built(recipes, supply):
    recipes("selfslow", SLOW)
    recipes("selfquick", QUICK)
    coming = supply("selfslow", "selfquick")
    until("it", lambda: not coming.lacks(["selfquick"]))
    assert coming.shown[-1] == ["selfquick"]
    assert coming.lacks(["selfslow", "selfquick"]).startswith("waits for selfslow, being built: ")
    go("selfslow").touch()
    coming.wait()
    assert coming.shown[-1] == ["selfquick", "selfslow"] and not coming.lacks(["selfslow"])
    assert all(item.made and item.seconds > 0 for item in coming.items.values())


def test_they_are_begun_in_the_order_given_and_what_was_built_before_is_served_at_once(recipes, supply, monkeypatch):
    monkeypatch.setattr(builds, "AT_ONCE", 2)  # a third thread begins at the other end
    for name in ("selfa", "selfb", "selfc"):
        recipes(name, QUICK)
    supply("selfc").wait()
    coming = supply("selfb", "selfa", "selfc")
    coming.wait()
    assert coming.shown[0] == ["selfc"] and coming.items["selfb"].began <= coming.items["selfa"].began
    assert not coming.items["selfc"].made and coming.items["selfa"].made


def test_a_third_thread_begins_at_the_other_end():
    coming = Supply(["one", "two", "three", "last"], lambda _text: None)
    coming.prepared.set()
    assert [coming._next(number).name for number in (2, 0, 1, 2)] == ["last", "one", "two", "three"]


def test_what_is_needed_first_has_the_most_of_the_processors(monkeypatch):
    weights = {}
    monkeypatch.setattr(builds, "build", lambda name, _report, work: weights.update({name: work.nice}))
    coming = Supply(["built", "one", "two", "three"], lambda _text: None, quiet=True)
    coming.items["built"].state = "served"
    for item in list(coming.items.values())[1:]:
        item.state = "building"
        coming._make(item)
        item.state = "building"
    assert weights == {"one": 5, "two": 12, "three": 19}


def test_one_that_fails_does_not_stop_the_others(recipes, supply):
    recipes("selfbad", "echo the reason >&2; exit 3")
    recipes("selfquick", QUICK)
    coming = supply("selfbad", "selfquick")
    until("both", lambda: coming.failure(["selfbad"]) and not coming.lacks(["selfquick"]))
    error = coming.failure(["selfbad"])
    assert "selfbad" in error.what and "the reason" in error.saw and "build.log" in error.do
    assert coming.failure(["selfquick"]) is None and coming.shown[-1] == ["selfquick"]
    with pytest.raises(RunbookError):
        coming.wait()


def test_a_build_that_is_stopped_leaves_nothing_and_the_next_supply_goes_on(recipes, supply):
    recipes("selfslow", "[ -e /cache/$NAME.go ] || sleep 4712; " + QUICK)
    recipes("selfquick", QUICK)
    coming = supply("selfquick", "selfslow")
    until("both", lambda: asleep("4712") and coming.shown[-1:] == [["selfquick"]])
    began = time.monotonic()
    coming.stop()
    assert time.monotonic() - began < 60 and not asleep("4712")
    assert coming.items["selfslow"].state == "stopped" and not coming.failure(["selfslow"])
    left = {p.name for p in builds.place("selfslow").parent.iterdir()}
    assert left <= {"build.log"}
    go("selfslow").touch()
    again = supply("selfquick", "selfslow")
    again.wait()
    assert not again.lacks(["selfslow"]) and not again.items["selfquick"].made


def test_builds_behind_chapters_are_light(recipes, supply):
    recipes("selfweight", "mkdir -p $OUT/x; nice > $OUT/x/nice; cat /proc/self/autogroup > $OUT/x/group || true")
    folder = builds.build("selfweight", lambda _text: None, builds.Work(nice=15))
    assert (folder / "out/x/nice").read_text() == "15\n"
    group = (folder / "out/x/group").read_text()
    assert not group or group.endswith("nice 15\n")


TRIES = r"""
mkdir -p $OUT/x
tell() { echo "$1: $2" >> $OUT/x/said; }
{ echo 1 > /proc/sys/kernel/core_pattern; } 2> /dev/null && tell kernel changed
mknod /tmp/disk b 254 0 2> /dev/null && tell node made
for node in /dev/*; do
  case ${node#/dev/} in full|null|ptmx|random|tty|urandom|zero) continue ;; esac
  if [ -c $node ] || [ -b $node ]; then tell device $node; fi
done
touch /usr/bin/nginx 2> /dev/null && tell builder changed
mount -t devtmpfs dev /mnt 2> /dev/null && tell devices mounted
[ "$(awk '{print $2}' /proc/self/uid_map)" = 0 ] && tell user root
ls /proc | grep -c '^[0-9]' | while read -r n; do [ $n -lt 20 ] || tell processes $n; done
chown 999 $OUT/x && mount --bind /srv /mnt && tell may "mount and give away its own"
"""


def test_a_recipe_is_given_nothing_of_this_machine(recipes):
    """Third parties' build scripts had its devices and all capabilities."""
    recipes("selftries", TRIES)
    folder = builds.build("selftries", lambda _text: None)
    assert (folder / "out/x/said").read_text() == "may: mount and give away its own\n"
    assert (folder / "out/x").stat().st_uid == 999, "the files keep their users"
    until("its groups to go", lambda: not groups_left())


def groups_left():
    """Of confined commands that have ended: in whatever group this runs itself."""
    found = Path("/sys/fs/cgroup").rglob("runbook-build-*")
    return [group for group in found if not (group / "cgroup.procs").read_text()]


def test_builds_that_begin_and_end_at_one_moment_leave_each_others_groups():
    builder = rootfs.builder(builds.silent)

    def often(_number):
        argv = processes.confined(builder, ["true"], {}, [])
        return [subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL) for _ in range(8)]

    over = threading.Event()

    def tidied():
        while not over.is_set():
            processes.tidy()

    with futures.ThreadPoolExecutor(4) as pool:
        tidying = pool.submit(tidied)
        try:
            ended = [done for each in pool.map(often, range(3)) for done in each]
        finally:
            over.set()
        tidying.result(60)
    assert [done.stderr for done in ended if done.returncode] == []
    until("its groups to go", lambda: not groups_left())


def test_the_groups_of_a_build_that_was_killed_go_before_the_next():
    builder = rootfs.builder(builds.silent)
    killed = subprocess.Popen(processes.confined(builder, ["sleep", "4713"], {}, []), stdin=subprocess.DEVNULL)
    until("it to run", lambda: asleep("4713"))
    killed.kill()
    killed.wait(10)
    until("its end", lambda: not asleep("4713"))
    processes.tidy()
    until("its groups to go", lambda: not groups_left())  # another's build may be ending just now


IMAGE = r"""
mkdir -p root/dev root/usr $OUT/x && mount --bind /usr root/usr
for name in bin lib lib64; do ln -s usr/$name root/$name; done
chroot root sh -c 'echo lost > /dev/null && head -c 4 /dev/urandom | wc -c' > $OUT/x/said
chroot root false || echo "ended with $?" >> $OUT/x/said
ls -A root/dev >> $OUT/x/said
"""


def test_what_runs_in_an_image_that_is_made_has_devices_and_leaves_none(recipes):
    """git and CPython 3.7 end without them, and a root of a user namespace makes none."""
    recipes("selfimage", IMAGE)
    folder = builds.build("selfimage", lambda _text: None)
    assert (folder / "out/x/said").read_text() == "4\nended with 1\n"


def test_a_host_answers_before_its_mirror_is_full_and_an_up_that_was_cut_off_goes_on(recipes):
    recipes("selfslow", SLOW)
    recipes("selfquick", QUICK)
    box, said, coming = Sandbox("supplytest"), [], None
    try:
        coming = box.begin(said.append, ["selfslow", "selfquick"], quiet=True)
        assert box.status()["state"] == "running" and coming.lacks(["selfslow"])
        until("it", lambda: not coming.lacks(["selfquick"]), timeout=120)
        assert served(box) == ["selfquick"]
        coming.stop()
        assert not any("…" in line for line in said) and served(box) == ["selfquick"]
        go("selfslow").touch()
        box.up(said.append, ["selfslow", "selfquick"])
        assert served(box) == ["selfquick", "selfslow"]
        said.clear()
        box.up(said.append, ["selfquick", "selfslow"])
        assert said == [f"sandbox supplytest: running at {box.address}"]
    finally:
        if coming:
            coming.stop()  # it holds the host's lock, which down would wait for without end
        box.down(wipe=True)


def served(box):
    current = box._mirror.files / "current/index.json"
    return sorted(json.loads(current.read_text())["artifacts"])
