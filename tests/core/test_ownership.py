"""What a chapter may change on a host: notes, refusals, copies and what remove puts back, by a real bash."""

import contextlib
import grp
import hashlib
import json
import os
import pwd
import stat

import pytest
import stand_in

from helpers.core import actions, notes
from helpers.core.actions import remove_directory
from helpers.core.errors import BadInput, RunbookError
from helpers.core.verdict import Verdict

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a chapter is root on its host")

OWNER = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"


@pytest.fixture
def host(tmp_path, monkeypatch, own_home):
    """A folder that stands for the host's, with a note's folder of its own; returns where the chapter's things lie."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    monkeypatch.setenv("APT_HISTORY", str(tmp_path / "history"))
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def program(program, tmp_path):
    """The same of a program that notes its calls; returns where."""
    calls = tmp_path / "calls"
    calls.touch()

    def put(name, script):
        program(name, f'#!/bin/bash\necho "{name} $*" >> {calls}\n{script}\n')
        return calls

    return put


class Run:
    """A chapter of one file and one folder, in a mode."""

    def __init__(self, host, mode, adopt=False, ours="false", more=()):
        self.ch = stand_in.opened("minio", mode)
        self.file, self.folder = host / "app.conf", host / "data"
        self.things = [f"file {self.file}", f"folder {self.folder}", *more]
        self.adopt, self.ours = adopt, ours

    def __call__(self, *steps):
        self.look()
        self.act()
        for title, action in steps:
            self.ch.step(title, action)
        self.ch.verdict()
        return self

    def look(self):
        sight = self.ch.own.first_sight
        self.ch.require(
            "nothing of others",
            sight,
            self.things,
            self.ours,
            self.adopt,
            do=self.ch.own.do,
            modes=("install", "remove"),
        )

    def act(self):
        q = self.folder
        make = actions.commands(
            f"install -d -m 0700 {q}; [ -e {q}/ours ] || echo x > {q}/ours",
            f"[ -e {q}/ours ]",
            remove_directory(q),
            makes=[f"folder {q}"],
        )
        self.ch.step("the folder is there", make)
        self.ch.step("the file is ours", self.ch.file(str(self.file), "# ours\n", "0640", OWNER))


def comes_and_goes(host, *more):
    """The chapter takes over what is here, and is removed."""
    Run(host, "install", adopt=True, more=more)()
    Run(host, "remove", more=more)()


def tree(folder):
    """Every path below: its kind, mode, owner, time and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        kept = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        when = about.st_mtime_ns if not path.is_dir() else 0
        key = hashlib.sha256(kept if isinstance(kept, bytes) else kept.encode()).hexdigest()
        found[str(path)] = (stat.filemode(about.st_mode), about.st_uid, about.st_gid, when, key)
    return found


def theirs(host):
    """A folder of somebody's, where the chapter's will lie."""
    (host / "data").mkdir()
    (host / "data" / "theirs").write_text("x\n")


def noted(host):
    """{thing: what it was before} of the note, as any JSON reader has it."""
    path = host.parent / "state" / "minio.json"
    return {f"{t['kind']} {t['name']}": t["before"] for t in json.loads(path.read_text())["things"]}


def test_what_was_here_before_is_named_and_nothing_is_touched(host):
    (host / "app.conf").write_text("theirs")
    (host / "data").mkdir()
    (host / "data" / "precious").write_text("x")
    before = tree(host)
    with pytest.raises(BadInput) as e:
        Run(host, "install").look()
    assert e.value.saw == f"was here before: file {host}/app.conf, folder {host}/data"
    assert "-p minio.adopt=true" in e.value.do
    assert tree(host) == before and not (host.parent / "state").exists()


def test_an_empty_folder_is_nobodys_work(host):
    (host / "data").mkdir()
    run = Run(host, "install")
    run.look()
    assert not run.ch.own.was_before(f"folder {run.folder}")


def test_install_notes_before_it_acts_and_remove_undoes_it_and_the_note(host):
    run = Run(host, "install")
    run.look()
    assert not (host.parent / "state").exists(), "first sight writes nothing"

    def apply():
        assert noted(host) == dict.fromkeys([f"file {host}/other", *run.things], "away")
        (host / "other").write_text("x")

    run.ch.step("another", run.ch.action("x", f"[ -e {host}/other ]", apply).but(makes=[f"file {host}/other"]))
    run.act()
    assert noted(host)[f"file {host}/app.conf"] == "away"
    modes = [(host.parent / "state" / name).stat().st_mode & 0o777 for name in ("", "minio.json")]
    assert modes == [0o700, 0o600]
    gone = actions.commands("x", f"[ -e {host}/other ]", f"rm {host}/other", makes=[f"file {host}/other"])
    Run(host, "remove")(("another", gone))
    assert tree(host) == {} and not (host.parent / "state").exists()


def test_a_second_install_asks_nothing_more_and_writes_nothing(host, monkeypatch):
    Run(host, "install")()
    before = tree(host.parent / "state")
    run = Run(host, "install")
    scripts = []
    ran = run.ch.host.run
    monkeypatch.setattr(run.ch.host, "run", lambda script, **how: scripts.append(script) or ran(script, **how))
    run()
    assert len(scripts) == 3, "first sight, and one for each step"
    assert tree(host.parent / "state") == before


def test_adopted_and_removed_it_is_byte_for_byte_as_before(host):
    (host / "elsewhere").write_text("linked")
    (host / "app.conf").symlink_to("elsewhere")
    (host / "data").mkdir(mode=0o711)
    (host / "data" / "precious").write_text("x")
    os.utime(host / "data" / "precious", (1000000000, 1000000000))
    before = tree(host)
    Run(host, "install", adopt=True)()
    assert not (host / "app.conf").is_symlink() and (host / "data.before-runbook" / "precious").read_text() == "x"
    assert not (host / "data" / "precious").exists() and (host / "elsewhere").read_text() == "linked"
    Run(host, "install", adopt=True)()
    Run(host, "install")()
    Run(host, "remove")()
    assert tree(host) == before and not (host.parent / "state").exists()


def test_a_file_comes_back_with_its_owner_mode_and_time(host):
    file = host / "app.conf"
    file.write_bytes(bytes(range(256)))
    os.chown(file, 12, 34)
    file.chmod(0o604)
    os.utime(file, (1234567890, 1234567890))
    before = tree(host)
    Run(host, "install", adopt=True)()
    assert tree(host) != before
    Run(host, "remove")()
    assert tree(host) == before


def test_an_empty_folder_comes_back_empty_with_its_owner_and_mode(host):
    (host / "data").mkdir()
    os.chown(host / "data", 12, 34)
    (host / "data").chmod(0o750)
    before = tree(host)
    Run(host, "install")()
    Run(host, "remove")()
    assert tree(host) == before


def test_a_folder_that_was_renamed_before_the_note_was_written_comes_back(host):
    """An adoption that was cut off between the two."""
    (host / "data.before-runbook").mkdir()
    (host / "data.before-runbook" / "precious").write_text("x")
    comes_and_goes(host)
    assert (host / "data" / "precious").read_text() == "x" and not (host / "data.before-runbook").exists()


def test_both_folders_there_is_nothing_that_can_be_put_back(host):
    for name in ("data", "data.before-runbook"):
        (host / name).mkdir()
        (host / name / "precious").write_text("x")
    before = tree(host)
    with pytest.raises(RunbookError, match="both are there"):
        Run(host, "install", adopt=True)()
    assert tree(host) == before


def test_nothing_is_renamed_before_all_can_be(host):
    """The first folder was renamed, the second refused, and no note had it."""
    for name in ("data", "more", "more.before-runbook"):
        (host / name).mkdir()
        (host / name / "precious").write_text("x")
    before = tree(host)
    with pytest.raises(RunbookError, match="both are there"):
        Run(host, "install", adopt=True, more=[f"folder {host}/more"])()
    assert tree(host) == before


def test_a_link_to_an_empty_folder_is_somebodys_and_comes_back(host):
    (host / "elsewhere").mkdir()
    (host / "data").symlink_to(host / "elsewhere")
    before = tree(host)
    with pytest.raises(BadInput, match="nothing of others"):
        Run(host, "install").look()
    comes_and_goes(host)
    assert tree(host) == before


def test_what_was_renamed_comes_back_before_the_note_goes_though_it_has_another_name_by_now(host):
    (host / "data").mkdir()
    (host / "data" / "precious").write_text("x")
    Run(host, "install", adopt=True)()

    def run(mode):
        run = Run(host, mode, adopt=True)
        run.folder = host / "other"
        run.things = [run.things[0], f"folder {run.folder}"]
        return run

    run("install")()
    with pytest.raises(BadInput, match="other names") as e:
        run("remove")()
    assert str(host / "data") in e.value.saw and noted(host)
    assert (host / "data.before-runbook" / "precious").read_text() == "x"


def test_what_was_so_already_stays_somebodys_where_a_later_install_does_not_adopt(host):
    """It was noted as made by us, and remove failed at it for ever."""
    run = Run(host, "install", adopt=True)
    run.file.write_text("# ours\n")
    run.file.chmod(0o640)
    theirs(host)
    before = tree(host)
    run.things = [f"folder {run.folder}"]
    run()
    later = Run(host, "install")
    later.things = run.things
    later()
    remove = Run(host, "remove")
    remove.things = run.things
    remove()
    assert tree(host) == before


MARK = 'head -n 1 "{}" | grep -q "^# ours"'


def test_what_an_older_runbook_installed_is_ours_and_gets_its_note(host):
    (host / "app.conf").write_text("# ours\n")
    (host / "app.conf").chmod(0o640)
    (host / "data").mkdir()
    (host / "data" / "ours").write_text("x\n")
    ours = MARK.format(host / "app.conf")
    before = tree(host)
    Run(host, "install", ours=ours)()
    assert tree(host) == before and set(noted(host).values()) == {"away"} and len(noted(host)) == 2
    Run(host, "remove", ours=ours)()
    assert tree(host) == {}


def test_all_that_an_older_runbook_made_is_noted_also_what_first_sight_did_not_name(host):
    """Its next fault would be refused as somebody's: the note is there by then."""
    (host / "app.conf").write_text("# ours\n")
    (host / "app.conf").chmod(0o640)
    (host / "data").mkdir()
    for name in ("data/ours", "more"):
        (host / name).write_text("x\n")
    ours = MARK.format(host / "app.conf")

    def more(run):
        return ("more", run.ch.file(str(host / "more"), "x\n", "0644", OWNER))

    run = Run(host, "install", ours=ours)
    run(more(run))
    assert noted(host)[f"file {host}/more"] == "away"
    (host / "more").write_text("changed by hand")
    run = Run(host, "install", ours=ours)
    run(more(run))
    assert (host / "more").read_text() == "x\n"


def test_what_a_later_runbook_notes_too_is_ours_where_it_is_as_we_make_it(host):
    Run(host, "install")()
    (host / "more").write_text("x\n")
    run = Run(host, "install")
    user = actions.commands("x", "true", makes=["user daemon"])
    run(("more", run.ch.file(str(host / "more"), "x\n", "0644", OWNER)), ("a user", user))
    assert noted(host)[f"file {host}/more"] == "away" and "user daemon" not in noted(host)


def test_what_an_older_runbook_installed_is_mended_not_refused(host):
    (host / "app.conf").write_text("# ours\n changed by hand")
    (host / "data").mkdir()
    (host / "data" / "ours").write_text("x\n")
    Run(host, "install", ours=MARK.format(host / "app.conf"))()
    assert (host / "app.conf").read_text() == "# ours\n"


def test_remove_right_after_an_older_runbook_goes_by_a_note_as_well(host):
    """A remove that is cut off takes the mark first; the note keeps the rest ours."""
    (host / "app.conf").write_text("# ours\n")
    (host / "data").mkdir()
    (host / "data" / "ours").write_text("x\n")
    ours = MARK.format(host / "app.conf")
    run = Run(host, "remove", ours=ours)
    with pytest.raises(RunbookError):
        run(("it ends in the middle", actions.Action("x", "true", "true", "exit 7", absent="false")))
    assert set(noted(host)) == {f"file {host}/app.conf", f"folder {host}/data"}
    (host / "app.conf").unlink()
    Run(host, "remove", ours=ours)()
    assert tree(host) == {}


def test_without_a_note_and_a_mark_remove_deletes_nothing(host):
    (host / "app.conf").write_text("theirs")
    (host / "data").mkdir()
    (host / "data" / "ours").write_text("x")
    (host / "third").write_text("x")
    before = tree(host)
    third = host / "third"
    step = actions.Action("x", f"[ -e {third} ]", "true", f"rm {third}", absent=f"[ ! -e {third} ]")
    Run(host, "remove")(("a third", step))
    assert tree(host) == before


def test_remove_leaves_a_file_that_the_note_does_not_have(host):
    """An install that was cut off before its step; then somebody made the file."""
    Run(host, "install")()
    (host / "more").write_text("theirs")
    run = Run(host, "remove")
    run(("more", run.ch.file(str(host / "more"), "x\n", "0644", OWNER)))
    assert [str(p.relative_to(host)) for p in host.rglob("*")] == ["more"] and (host / "more").read_text() == "theirs"


def test_what_came_with_a_step_is_ours_though_the_chapter_did_not_come_to_its_verdict(host):
    extra = host / "brought"
    run = Run(host, "install", more=[f"file {extra}"])
    run.look()
    run.ch.step("a program brings a file", actions.Action("bring", f"[ -e {extra} ]", f"touch {extra}", absent="true"))
    again = Run(host, "install", more=[f"file {extra}"])()
    assert noted(host)[f"file {extra}"] == "away" and again.ch.own.is_theirs(f"file {extra}") is False


def test_a_first_step_that_makes_nothing_leaves_a_note_that_later_ones_write_on(host):
    run = Run(host, "install")
    run.look()
    run.ch.step("asked for", actions.Action("ask", f"[ -e {host}/mark ]", f"touch {host}/mark", absent="true"))
    assert noted(host)
    run.act()
    run.ch.verdict()
    assert noted(host)[f"file {run.file}"] == "away"


def test_a_thing_that_first_sight_did_not_see_is_refused_at_its_step(host):
    other = host / "other"
    other.write_text("theirs")
    run = Run(host, "install")
    run.look()
    with pytest.raises(RunbookError) as e:
        run.ch.step("another", run.ch.file(str(other), "x\n", "0640", OWNER))
    assert f"was here before: file {other}" in e.value.saw and other.read_text() == "theirs"


def test_what_lies_in_a_folder_of_ours_is_ours(host):
    run = Run(host, "install")()
    run.ch.step("a file in it", run.ch.file(f"{host}/data/a", "x\n", "0640", OWNER))
    (host / "data" / "b").write_text("brought by what we installed")
    run.ch.step("a changed one", run.ch.file(f"{host}/data/b", "x\n", "0640", OWNER))
    assert (host / "data" / "b").read_text() == "x\n"


def test_what_lies_in_an_older_runbooks_folder_is_undone_with_it(host):
    (host / "app.conf").write_text("# ours\n")
    (host / "data" / "in").mkdir(parents=True)
    (host / "data" / "ours").write_text("x\n")
    (host / "data" / "in" / "it").write_text("x")
    Run(host, "install", ours=MARK.format(host / "app.conf"))()
    inner = actions.commands("x", "true", f"rm {host}/data/in/it; touch {host}/undone", [f"file {host}/data/in/it"])
    Run(host, "remove")(("in it", inner))
    assert (host / "undone").exists() and not (host / "data").exists()


def test_a_note_that_cannot_be_written_ends_the_step_before_it_acts(host):
    (host.parent / "state").write_text("no folder")
    run = Run(host, "install")
    with pytest.raises(RunbookError, match="note what chapter minio makes"):
        run()
    assert tree(host) == {}


def test_half_a_note_cannot_be_told_and_stops(host):
    Run(host, "install")()
    path = host.parent / "state" / "minio.json"
    path.write_text(path.read_text()[:-4])
    for mode in ("install", "remove"):
        with pytest.raises(BadInput) as e:
            Run(host, mode).look()
        assert "cannot tell" in e.value.saw and "is not whole" in e.value.saw


@pytest.mark.parametrize(
    "thing, program_and_answer, said",
    [
        ("user somebody", ("getent", "exit 3"), "getent passwd somebody ended with 3"),
        ("package x", ("dpkg-query", "exit 2"), "dpkg-query -W x ended with 2"),
        ("unit x.service", ("systemctl", "echo Failed to connect to bus; exit 1"), "Failed to connect to bus"),
        ("snap x", ("snap", "echo error: cannot communicate with server; exit 1"), "cannot communicate with server"),
        ("database 5432/x", ("pg_lsclusters", "exit 1"), "which clusters there are"),
        ("namespace x", ("microk8s", "echo It was refused; exit 1"), "It was refused"),
        (
            "object x/secret/minio",
            ("microk8s", "echo The connection was refused; exit 1"),
            "The connection was refused",
        ),
    ],
)
def test_what_cannot_be_asked_stops_in_words(host, program, thing, program_and_answer, said):
    program(*program_and_answer)
    for mode in ("install", "remove"):
        with pytest.raises(BadInput) as e:
            Run(host, mode, more=[thing]).look()
        assert "cannot tell: " in e.value.saw and said in e.value.saw
    # What we made is not asked: our own server that is stopped keeps nobody from mending it.
    Run(host, "install", more=[thing], ours="true").look()


@pytest.mark.parametrize(
    "thing, name, answers",
    [
        ("user somebody", "getent", ("[ $1 = group ] || exit 2", "exit 2")),
        ("package x", "dpkg-query", ("echo 'ii '", "exit 1")),
        ("package x", "dpkg-query", ("echo 'ii '", "echo 'rc '")),
        ("unit x.service", "systemctl", ("echo LoadState=masked", "echo LoadState=not-found")),
        ("snap x", "snap", ("true", "echo error: no matching snaps installed; exit 1")),
        ("snap x", "snap", ("true", "echo No snaps are installed yet.; exit 1")),
        ("namespace x", "microk8s", ("echo namespace/x", "true")),
        ("object x/secret/minio", "microk8s", ("echo secret/minio", "true")),
    ],
)
def test_what_is_there_is_named(host, program, thing, name, answers):
    program(name, answers[0])
    with pytest.raises(BadInput) as e:
        Run(host, "install", more=[thing]).look()
    assert e.value.saw == f"was here before: {thing}"
    program(name, answers[1])
    Run(host, "install", more=[thing]).look()


def test_a_bucket_is_a_folder_of_the_hosts_own_minio(host, monkeypatch):
    settings, data = host / "minio", host / "buckets"
    monkeypatch.setenv("MINIO", str(settings))
    (data / "pachyderm").mkdir(parents=True)
    Run(host, "install", more=["bucket pachyderm"]).look()
    settings.write_text(f'MINIO_VOLUMES="{data}"\n')
    Run(host, "install", more=["bucket other"]).look()
    for text, said in (("", "was here before: bucket pachyderm"), (f"MINIO_VOLUMES={host}/away\n", "cannot tell")):
        settings.write_text(text or f'MINIO_VOLUMES="{data}"\n')
        with pytest.raises(BadInput) as e:
            Run(host, "install", more=["bucket pachyderm"]).look()
        assert said in e.value.saw


def test_a_user_of_minios_is_a_file_where_it_keeps_them(host, monkeypatch):
    settings, data = host / "minio", host / "buckets"
    monkeypatch.setenv("MINIO", str(settings))
    Run(host, "install", more=["miniouser seldon"]).look()
    (data / ".minio.sys/config/iam/users/seldon").mkdir(parents=True)
    settings.write_text(f'MINIO_VOLUMES="{data}"\n')
    Run(host, "install", more=["miniouser seldon"]).look()
    (data / ".minio.sys/config/iam/users/seldon/identity.json").write_text("{}")
    for text, said in (
        ("", "was here before: miniouser seldon"),
        (f"MINIO_VOLUMES={host}/away\n", "which users MinIO"),
    ):
        settings.write_text(text or f'MINIO_VOLUMES="{data}"\n')
        with pytest.raises(BadInput) as e:
            Run(host, "install", more=["miniouser seldon"]).look()
        assert said in e.value.saw


def test_a_unit_of_ours_is_noted_and_not_taken_for_somebodys_by_the_next_install(host, program):
    program("systemctl", f"[ -e {host}/x.service ] && echo LoadState=loaded || echo LoadState=not-found")

    def run(mode):
        things = [f"file {host}/x.service", "unit x.service"]
        make = actions.commands(f"touch {host}/x.service", f"[ -e {host}/x.service ]", f"rm {things[0][5:]}", things)
        return Run(host, mode, more=things)(("the service", make))

    run("install")
    assert noted(host)["unit x.service"] == "away"
    run("install")
    run("remove")
    assert tree(host) == {}


def test_a_unit_whose_file_is_ours_is_ours(host, program):
    program("systemctl", "echo LoadState=loaded")
    things = ["file /etc/systemd/system/x.service", "unit x.service"]
    Run(host, "install")()
    path = host.parent / "state" / "minio.json"
    path.write_text(path.read_text().replace(f"{host}/app.conf", things[0][5:]))
    (host / "app.conf").unlink()
    run = Run(host, "install", more=things)
    run.look()
    assert not run.ch.own.was_before("unit x.service")


def test_a_unit_that_was_here_runs_again_with_its_own_settings_at_last(host, program):
    calls = program(
        "systemctl",
        "case $1 in show) echo LoadState=loaded ;; is-enabled) echo disabled; exit 1 ;; is-active) echo active ;;\n"
        f"restart) cat {host}/app.conf > {host.parent}/restarted-with ;; esac",
    )
    (host / "app.conf").write_text("theirs")
    Run(host, "install", adopt=True, more=["unit x.service"])()
    calls.write_text("")
    Run(host, "remove", more=["unit x.service"])()
    assert calls.read_text().splitlines()[-3:] == [
        "systemctl daemon-reload",
        "systemctl disable -q x.service",
        "systemctl restart x.service",
    ]
    assert (host.parent / "restarted-with").read_text() == "theirs"


def test_a_unit_of_a_server_in_another_package_is_somebodys(host, debian, program):
    """PostgreSQL without the metapackage: its unit was not noted, and ran on with our settings."""
    (host / "place").mkdir()
    (host / "place" / "theirs").write_text("x")
    calls = program("systemctl", "case $1 in show) echo LoadState=loaded ;; is-*) echo active ;; esac")

    def run(mode):
        run = Run(host, mode, adopt=True, more=["package wanted", f"place {host}/place"])
        wanted(run, purge=["^wanted$"])
        starts = actions.commands(f"touch {host.parent}/ran", f"[ -e {host.parent}/ran ]", "", ["unit x.service"])
        run.ch.step("x runs", starts)
        run.ch.verdict()

    run("install")
    assert noted(host)["unit x.service"] == "there"
    run("remove")
    assert "systemctl restart x.service" in calls.read_text()


def test_a_unit_that_our_package_brought_is_not_somebodys_where_adopt_is_set(host, debian, program):
    """It was noted as here before, and remove could neither start nor stop it: its package was gone."""
    there = host / "installed"
    program(
        "systemctl",
        f"grep -qx wanted {there} || {{ [ $1 = show ] && echo LoadState=not-found && exit; exit 5; }}\n"
        "case $1 in show) echo LoadState=loaded ;; is-*) echo active ;; esac",
    )

    def run(mode):
        run = Run(host, mode, adopt=True, more=["package wanted"])
        wanted(run, purge=["^wanted$"])
        starts = actions.commands(f"touch {host.parent}/ran", f"[ -e {host.parent}/ran ]", "", ["unit x.service"])
        run.ch.step("x runs", starts)
        run.ch.verdict()

    run("install")
    run("remove")
    assert there.read_text() == "libold\nwanted-by-nobody\n" and not (host.parent / "state").exists()


def test_what_is_left_of_ours_keeps_the_note_and_is_named(host):
    Run(host, "install")(
        ("more", actions.commands(f"touch {host}/more", f"[ -e {host}/more ]", makes=[f"file {host}/more"]))
    )
    with pytest.raises(Verdict) as e:
        Run(host, "remove")()
    assert f"made by this chapter, and still here: file {host}/more" in e.value.saw
    assert f"file {host}/more" in noted(host)


def test_a_thing_has_a_name_that_a_note_can_hold(host):
    for name in ("file /a b", 'file /a"b', "file", "file /a\nb", "file /a\\b"):
        with pytest.raises(ValueError):
            Run(host, "install", more=[name]).ch.own.first_sight([name])


# -- packages -----------------------------------------------------------------------------------------


@pytest.fixture
def debian(host, program):
    """A host with apt: libold is there, wanted brings libnew; later, somebody's package needs libnew."""
    there, later = host / "installed", host / "later"
    there.write_text("libold\nwanted-by-nobody\n")
    program(
        "dpkg-query",
        f"[ $# != 3 ] || {{ [ ! -e {host}/suggested ] || echo 'libold:, libnew (>= 2), x'; exit 0; }}\n"
        f"grep -qx \"${{@: -1}}\" {there} || exit 1; echo 'ii '",
    )
    program("dpkg", "")
    program("flock", 'shift; exec "$@"')
    return program(
        "apt-get",
        'case "$*" in\n'
        "*-s*install*) echo 'Inst libold [1] (2 x)'; echo 'Inst libnew (1 x)'; echo 'Inst wanted (1 x)' ;;\n"
        f"*install*) printf 'libnew\\nwanted\\n' >> {there} ;;\n"
        '*-s*purge*) for p in ${@:3}; do echo "Purg $p [1]"; done\n'
        f"  case \"$*\" in *libnew*) [ ! -e {later} ] || echo 'Remv later [1]' ;; esac ;;\n"
        f'*purge* | *"300 remove"*) for p; do sed -Ei "/^($p)$/d" {there}; done ;;\n'
        "esac",
    )


def wanted(run, name="wanted", **left):
    """A run of one step, which goes on: the package is installed."""
    run.look()
    run.ch.step("wanted is installed", run.ch.packages(name, **left))
    return run.ch


def install_wanted(host, mode, ours="false"):
    run = Run(host, mode, ours=ours, more=["package wanted"])
    wanted(run, purge=["^wanted$"], paths=[str(host / "place")]).verdict()


def test_remove_takes_the_packages_that_came_and_no_orphan_of_the_host(host, debian):
    install_wanted(host, "install")
    assert {t for t in noted(host) if t.startswith("package")} == {"package wanted", "package libnew"}
    debian.write_text("")
    install_wanted(host, "remove")
    assert (host / "installed").read_text() == "libold\nwanted-by-nobody\n"
    assert "apt-get -qy -o DPkg::Lock::Timeout=300 purge " in debian.read_text()
    assert "autoremove" not in debian.read_text()


def test_a_package_that_another_one_needs_by_now_stays(host, debian):
    install_wanted(host, "install")
    (host / "later").touch()
    install_wanted(host, "remove")
    assert (host / "installed").read_text() == "libold\nwanted-by-nobody\nlibnew\n"


def test_a_package_that_one_of_the_hosts_suggests_stays(host, debian):
    """libc6 suggests locales, and a purge of that takes /etc/default/locale, which was here before."""
    install_wanted(host, "install")
    (host / "suggested").touch()
    install_wanted(host, "remove")
    assert (host / "installed").read_text() == "libold\nwanted-by-nobody\nlibnew\n"


def test_a_package_that_was_here_is_refused_where_first_sight_asks_for_it(host, debian):
    (host / "installed").write_text("wanted\n")
    with pytest.raises(BadInput, match="was here before: package wanted"):
        install_wanted(host, "install")


def test_a_dpkg_that_fails_proves_nothing(program):
    """A package that could not be asked for was gone."""
    program("dpkg-query", "echo database is locked >&2; exit 2")
    ch = stand_in.opened("minio", "install")
    for probe in (actions.packages(["x"]).probe, actions.packages(["x"]).absent):
        ok, said = ch.host.ask(probe)
        assert not ok and said == "cannot tell whether x is installed: dpkg-query ended with 2"


def test_a_systemd_or_a_getent_that_fails_proves_nothing(host, program):
    ch = stand_in.opened("minio", "install")
    service = actions.Service("no-such-unit", "x", [], ch.host)
    user = actions.packages([], users=["nobody-at-all"])
    for action, name in ((service, "systemctl"), (user, "getent")):
        program(name, "echo inactive; exit 2" if name == "getent" else "echo inactive; exit 3")
        assert ch.host.ask(action.absent).ok
        program(name, "exit 1")
        assert not ch.host.ask(action.absent).ok


HISTORY = """
Start-Date: 2026-01-01  10:00:00
Commandline: {}
Install: libnew:amd64 (1:1.0-1, automatic), wanted:amd64 (1.0)
End-Date: 2026-01-01  10:00:09
"""
OURS = "apt-get -qy -o DPkg::Lock::Timeout=300 --no-install-recommends install wanted"


def test_an_older_runbooks_packages_are_those_of_apts_history(host, debian):
    (host.parent / "history").mkdir()
    (host.parent / "history" / "history.log").write_text(HISTORY.format(OURS))
    (host / "installed").write_text("libold\nwanted-by-nobody\nlibnew\nwanted\n")
    ours = "brought_by_us wanted"
    install_wanted(host, "install", ours)
    assert {t for t in noted(host) if t.startswith("package")} == {"package wanted", "package libnew"}
    install_wanted(host, "remove", ours)
    assert (host / "installed").read_text() == "libold\nwanted-by-nobody\n"


def test_packages_that_somebody_installed_after_us_are_not_ours(host, debian):
    (host.parent / "history").mkdir()
    (host.parent / "history" / "history.log.1").write_text(HISTORY.format(OURS))
    (host.parent / "history" / "history.log").write_text(HISTORY.format("apt install wanted"))
    (host / "installed").write_text("wanted\n")
    with pytest.raises(BadInput, match="was here before: package wanted"):
        install_wanted(host, "install", "brought_by_us wanted")


def test_where_the_history_is_lost_the_named_packages_go_and_nothing_else(host, debian):
    (host / "installed").write_text("wanted-by-nobody\nwanted\n")
    install_wanted(host, "install", "true")
    debian.write_text("")
    install_wanted(host, "remove", "true")
    assert "purge ^wanted$" in debian.read_text() and "autoremove" not in debian.read_text()


def test_a_packages_folder_that_was_full_before_stays(host, debian):
    (host / "place").mkdir()
    (host / "place" / "precious").write_text("x")
    things = ["package wanted", f"place {host}/place"]
    for mode in ("install", "remove"):
        run = Run(host, mode, adopt=mode == "install", more=things)
        wanted(run, paths=[str(host / "place")]).verdict()
    assert (host / "place" / "precious").read_text() == "x"
    assert (host / "installed").read_text() == "libold\nwanted-by-nobody\n"


def test_a_copy_that_is_lost_restores_nothing(host):
    """Both were missing, and so the same: the file was called as it was before."""
    (host / "app.conf").write_text("theirs")
    Run(host, "install", adopt=True)()
    (host / "app.conf").unlink()
    copies = list((host.parent / "state" / "copies").rglob("*app.conf"))
    copies[0].unlink()
    with pytest.raises(RunbookError, match=".") as e:
        Run(host, "remove")()
    assert "its copy is lost" in e.value.saw


def test_a_microk8s_that_cannot_be_called_proves_no_namespace_away(host, monkeypatch):
    (host / "microk8s").mkdir()
    monkeypatch.setenv("SNAPS", str(host))
    ch = stand_in.opened("minio", "install")
    absent = notes.gone(["namespace models"])
    ok, said = ch.host.ask(absent)
    assert not ok and "there is a MicroK8s, and no program microk8s" in said
    (host / "microk8s").rmdir()
    assert ch.host.ask(absent).ok


def test_a_file_that_was_so_already_is_not_ours_when_the_chapter_takes_things_over(host):
    """It was noted as made by us, and remove deleted it."""
    run = Run(host, "install", adopt=True)
    theirs(host)
    run.file.write_text("# ours\n")
    run.file.chmod(0o640)
    run.things = [f"folder {run.folder}"]
    before = tree(host)
    run()
    remove = Run(host, "remove", adopt=True)
    remove.things = run.things
    remove()
    assert tree(host) == before


@pytest.mark.parametrize(
    "thing, answer, state",
    [
        ("member microk8s/ann", "echo microk8s:x:997:bob,ann", "there"),
        ("member microk8s/ann", "echo microk8s:x:997:joann", "away"),
        ("member microk8s/ann", "exit 2", "away"),
        ("member microk8s/ann", "exit 1", None),
        ("alias kubectl", "echo microk8s.kubectl kubectl manual", "there"),
        ("alias kubectl", "echo microk8s.kubectl k manual", "away"),
        ("alias kubectl", "exit 1", None),
        ("context ann/microk8s", "echo ann:x:1:1::{}:/bin/sh", "there"),
        ("context ann/other", "echo ann:x:1:1::{}:/bin/sh", "away"),
        ("context ann/microk8s", "exit 1", None),
    ],
)
def test_what_others_share_is_there_away_or_cannot_be_told(host, program, thing, answer, state):
    (host / ".kube").mkdir()
    (host / ".kube" / "config").write_text("contexts:\n- context: {}\n  name: microk8s\n")
    for name in ("getent", "snap"):
        program(name, answer.format(host))
    ok, said = stand_in.opened("minio", "install").host.ask(notes.gone([thing]))
    assert ok == (state == "away")
    assert {"away": "", "there": f"{thing} is there", None: "cannot tell"}[state] in said


def test_remove_puts_back_what_its_steps_do_not_name_any_more(host):
    """A newer PostgreSQL beside one that was taken over: the chapter's files are that one's, and the copy was lost."""
    (host / "app.conf").write_text("theirs")
    before = tree(host)
    Run(host, "install", adopt=True)()
    later = Run(host, "remove", adopt=True)
    later.file = host / "newer.conf"
    later()
    assert tree(host) == before and not (host.parent / "state").exists()


def test_remove_takes_nothing_over(host, program):
    """With adopt=true on a host that never had the chapter, folders were renamed and units restarted."""
    calls = program("systemctl", "case $1 in show) echo LoadState=loaded ;; is-*) echo active ;; esac")
    (host / "app.conf").write_text("theirs")
    (host / "data").mkdir()
    (host / "data" / "precious").write_text("x")
    before = tree(host)
    Run(host, "remove", adopt=True, more=["unit x.service"])()
    assert tree(host) == before and not (host.parent / "state").exists()
    assert {line.split()[1] for line in calls.read_text().splitlines()} <= {"show"}


def test_a_service_of_theirs_does_not_run_while_its_folder_comes_back(host, program):
    """It had our folder open, and wrote into what was deleted under it."""
    calls = program(
        "systemctl",
        "case $1 in show) echo LoadState=loaded ;; is-*) echo active ;;\n"
        f"stop) cat {host}/data/ours >> {host.parent}/stopped-on ;; restart) cat {host}/data/theirs >> "
        f"{host.parent}/restarted-on ;; esac",
    )
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()
    calls.write_text("")
    Run(host, "remove", more=["unit x.service"])()
    asked = [line for line in calls.read_text().splitlines() if line.split()[1] in ("stop", "restart")]
    assert asked == ["systemctl stop x.service", "systemctl restart x.service"]
    assert (host.parent / "restarted-on").read_text() == "x\n"


def test_whether_a_unit_starts_with_the_host_is_as_before(host, debian, program):
    """PostgreSQL's cluster is started by another unit, which was disabled: it stayed enabled."""
    (host / "place").mkdir()
    (host / "place" / "theirs").write_text("x")
    calls = program(
        "systemctl",
        "case $1 in show) echo LoadState=loaded ;; is-enabled) echo disabled ;; is-active) echo active ;; esac",
    )

    def run(mode):
        run = Run(host, mode, adopt=True, more=["package wanted", f"place {host}/place"])
        wanted(run, purge=["^wanted$"])
        starts = run.ch.unit("x@15-main", after=[], enabled_by="x").but(
            probe=f"[ -e {host.parent}/ran ]", apply=f"touch {host.parent}/ran"
        )
        run.ch.step("x runs", starts)
        run.ch.verdict()

    run("install")
    assert (noted(host)["unit x@15-main.service"], noted(host)["boot x.service"]) == ("there", "there")
    calls.write_text("")
    run("remove")
    said = calls.read_text()
    assert "disable -q x.service" in said and "restart x.service" not in said and "restart x@15-main.service" in said


def test_a_kubeconfig_of_theirs_has_its_mode_again(host, program):
    """We make it 0600: others' tools that read it as a group could not afterwards."""
    program("getent", f"echo ann:x:1:1::{host}:/bin/sh")
    config = host / ".kube" / "config"
    config.parent.mkdir()
    config.write_text("contexts: []\n")
    config.chmod(0o640)
    Run(host, "install", more=["context ann/microk8s"])()
    config.chmod(0o600)
    Run(host, "remove", more=["context ann/microk8s"])()
    assert config.stat().st_mode & 0o777 == 0o640


def test_a_folder_is_the_same_with_a_slash_at_its_end(host):
    """An older runbook noted what it was given."""
    Run(host, "install")()
    path = host.parent / "state" / "minio.json"
    path.write_text(path.read_text().replace(f'"{host}/data"', f'"{host}/data/"'))
    Run(host, "remove", ours="true")()
    assert tree(host) == {}
    assert stand_in.opened("minio", "install", data_dir="/srv/other//").own.values["data_dir"] == "/srv/other"
    assert stand_in.opened("minio", "install", data_dir="/").own.values["data_dir"] == "/"


# -- what a hostile reader found ----------------------------------------------------------------------


def fails(host):
    """(a step whose undo fails while a file is there, that file)."""
    mark = host.parent / "broken"
    return ("first", actions.Action("x", "true", "true", f"[ ! -e {mark} ]", absent=f"[ ! -e {mark} ]")), mark


def cut_off(host, run):
    """A remove that fails after it put back what was here before."""
    first, mark = fails(host)
    mark.touch()
    run.look()
    run.ch.step(*first)
    run.act()
    with pytest.raises(RunbookError):
        run.ch.verdict()
    mark.unlink()


def test_what_an_older_runbook_did_not_make_stays_at_remove(host):
    """Install refused it as somebody's, and remove took it for ours with the rest."""
    (host / "app.conf").write_text("# ours\n")
    theirs(host)
    ours = "[ $KIND = file ]"
    with pytest.raises(BadInput):
        Run(host, "install", ours=ours).look()
    Run(host, "remove", ours=ours)()
    assert [str(p.relative_to(host)) for p in host.rglob("*")] == ["data", "data/theirs"]


def test_after_a_remove_that_was_cut_off_install_does_not_write_into_what_came_back(host):
    (host / "data").mkdir(mode=0o755)
    (host / "data" / "theirs").write_text("x")
    before = tree(host)
    Run(host, "install", adopt=True)()
    cut_off(host, Run(host, "remove"))
    with pytest.raises(BadInput, match="nothing of others") as e:
        Run(host, "install", adopt=True).look()
    assert "a remove of this chapter was cut off" in e.value.saw
    Run(host, "remove")()
    assert tree(host) == before and not (host.parent / "state").exists()


def test_a_remove_that_fails_where_nothing_was_taken_over_keeps_nobody_from_installing(host):
    Run(host, "install")()
    cut_off(host, Run(host, "remove"))
    Run(host, "install")()
    assert set(noted(host).values()) == {"away"}


def test_a_copy_that_no_note_has_counts_for_nothing(host, program):
    """An install was cut off between the two, and the file was edited."""
    (host.parent / "broken").touch()
    program("sync", f'case $1 in *.json.part.*) [ -e {host.parent}/broken ] && exit 1 ;; esac; exec /bin/sync "$@"')
    (host / "app.conf").write_text("theirs, old")
    with pytest.raises(RunbookError):
        Run(host, "install", adopt=True)()
    (host.parent / "broken").unlink()
    (host / "app.conf").write_text("theirs, newer")
    before = tree(host)
    comes_and_goes(host)
    assert tree(host) == before


def test_a_folder_keeps_its_name_where_the_note_cannot_be_written(host, program):
    program("sync", "case $1 in *.json.part.*) exit 1 ;; esac")
    theirs(host)
    before = tree(host)
    with pytest.raises(RunbookError):
        Run(host, "install", adopt=True)()
    assert tree(host) == before


@pytest.mark.parametrize("name", ["data", "data.before-runbook"])
def test_a_link_whose_disk_is_away_is_somebodys_all_the_same(host, name):
    """It was taken for nothing: ours stayed in its place, or was written into what is theirs."""
    (host / "data.before-runbook").mkdir()
    (host / "data.before-runbook").rename(host / "data")
    (host / "data" / "precious").write_text("x")
    if name == "data":
        (host / "data" / "precious").unlink()
        (host / "data").rmdir()
    (host / name).symlink_to(host / "disk-that-is-not-mounted")
    before = tree(host)
    if name == "data":
        Run(host, "install", adopt=True)()
        Run(host, "remove")()
        assert not (host.parent / "state").exists()
    else:
        with pytest.raises(RunbookError, match="both are there"):
            Run(host, "install", adopt=True)()
    assert tree(host) == before


def test_a_package_on_hold_is_there(host, debian, program):
    """It was noted as ours, and purged once its owner had let it go."""
    (host / "installed").write_text("libold\nwanted-by-nobody\nwanted\n")
    program("dpkg-query", "[ $# != 3 ] || exit 0; echo 'hi '")
    with pytest.raises(BadInput, match="was here before: package wanted"):
        install_wanted(host, "install")
    assert (
        actions.packages(["wanted"]).probe
        and stand_in.opened("minio", "install").host.ask(actions.packages(["wanted"]).probe).ok
    )


def test_a_package_that_was_removed_before_keeps_its_settings(host, debian, program):
    """It was purged, with the settings that its owner had left."""
    there = host / "installed"
    program(
        "dpkg-query",
        f"[ $# != 3 ] || exit 0; grep -qx \"${{@: -1}}\" {there} && echo 'ii ' && exit\n"
        "case ${@: -1} in wanted) echo 'rc ' ;; *) exit 1 ;; esac",
    )
    install_wanted(host, "install")
    assert (noted(host)["package wanted"], noted(host)["package libnew"]) == ("settings", "away")
    debian.write_text("")
    install_wanted(host, "remove")
    said = debian.read_text()
    assert "=300 remove wanted" in said and "=300 purge libnew" in said and "=300 purge wanted" not in said


SYSTEMD = """up={0}/up gone={0}/gone
case $1 in
show) if [ -e $gone ]; then echo LoadState=not-found; else echo LoadState=loaded; fi ;;
is-enabled) echo enabled ;;
is-active) if [ -e $up ]; then echo {1}; else echo inactive; fi ;;
stop) rm -f $up ;;
start | restart) [ ! -e $gone ] && [ ! -e {0}/defect ] && touch $up ;;
enable) [ ! -e $gone ] ;;
esac"""


def test_a_service_of_theirs_runs_again_where_remove_cannot_go_on(host, program):
    (host.parent / "up").touch()
    program("systemctl", SYSTEMD.format(host.parent, "active"))
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()
    cut_off(host, Run(host, "remove", more=["unit x.service"]))
    assert (host / "data" / "theirs").exists() and (host.parent / "up").exists()


def test_a_service_that_was_being_reloaded_is_not_stopped(host, program):
    (host.parent / "up").touch()
    program("systemctl", SYSTEMD.format(host.parent, "reloading"))
    comes_and_goes(host, "unit x.service")
    assert (host.parent / "up").exists() and not (host.parent / "state").exists()


def test_a_service_of_theirs_that_is_gone_or_does_not_start_keeps_no_note(host, program):
    """As after an upgrade of PostgreSQL that was taken over: remove could never end."""
    (host.parent / "up").touch()
    program("systemctl", SYSTEMD.format(host.parent, "active"))
    Run(host, "install", adopt=True, more=["unit x.service"])()
    (host.parent / "gone").touch()
    Run(host, "remove", more=["unit x.service"])()
    assert not (host.parent / "state").exists()
    (host.parent / "gone").unlink()
    Run(host, "install", adopt=True, more=["unit x.service"])()
    (host.parent / "defect").touch()
    with pytest.raises(Verdict) as e:
        Run(host, "remove", more=["unit x.service"])()
    assert "theirs, as it was before: and yet systemctl restart x.service failed" in e.value.saw
    assert not (host.parent / "state").exists()


def test_a_user_or_a_role_that_went_has_nothing_to_put_back(host, program):
    left = host.parent / "left"
    program("getent", f"[ ! -e {left} ] || exit 2; echo ann:x:1:1::{host}:/bin/sh")
    program("pg_lsclusters", f"[ -e {left} ] || echo '15 main 5432 online postgres /x /y'")
    program(
        "runuser", f"[ ! -e {left} ] || exit 1; case $(cat) in *there*) echo there ;; *) echo 'alter role x;' ;; esac"
    )
    more = ["context ann/microk8s", "role 5432/x"]
    (host / ".kube").mkdir()
    (host / ".kube" / "config").write_text("contexts: []\n")
    Run(host, "install", adopt=True, more=more)()
    left.touch()
    Run(host, "remove", more=more)()
    assert not (host.parent / "state").exists()


def test_a_finish_that_was_cut_off_is_finished_by_the_next(host, program):
    """Its copies were gone before its note, and every remove ended there."""
    (host / "app.conf").write_text("theirs")
    before = tree(host)
    Run(host, "install", adopt=True)()
    broken = host.parent / "broken"
    broken.touch()
    program("rm", f'case "$*" in */copies/minio*) [ -e {broken} ] && exit 1 ;; esac; exec /bin/rm "$@"')
    with pytest.raises(RunbookError):
        Run(host, "remove")()
    broken.unlink()
    assert tree(host) == before
    Run(host, "remove")()
    assert tree(host) == before
    comes_and_goes(host)
    assert tree(host) == before and not (host.parent / "state").exists()


def test_a_file_of_ours_that_no_step_names_any_more_goes_at_last(host):
    """As PostgreSQL 14's settings, after 15 came: remove named them for ever."""

    def run(mode, name):
        run = Run(host, mode)
        run.file = host / name
        run.look()
        run.act()
        run.ch.step("more", run.ch.file(str(host / name) + ".d", "# Written by the runbook\n", "0640", OWNER))
        run.ch.verdict()

    run("install", "app.conf")
    (host / "app.conf").unlink()
    run("remove", "newer.conf")
    assert tree(host) == {} and not (host.parent / "state").exists()


def test_a_note_that_is_written_keeps_the_folder_aside(host, program):
    """sync of the notes' folder fails (or is ended by its timeout) after the note is in its place."""
    broken = host.parent / "broken"
    broken.touch()
    program("sync", f'case $1 in */state) [ -e {broken} ] && exit 1 ;; esac; exec /bin/sync "$@"')
    (host / "data").mkdir(mode=0o755)
    (host / "data" / "theirs").write_text("x\n")
    before = tree(host)
    with pytest.raises(RunbookError):
        Run(host, "install", adopt=True)()
    broken.unlink()
    Run(host, "install", adopt=True)()
    mixed = (host / "data" / "theirs").exists() and (host / "data" / "ours").exists()
    Run(host, "remove")()
    assert tree(host) == before and not mixed


def test_settings_survive_the_purge_of_what_their_package_needs(host, debian, program):
    """apt-get purge purges what it removes along: wanted needs libnew, which came with it."""
    there, settings = host / "installed", host.parent / "settings-of-wanted"
    settings.touch()
    program(
        "dpkg-query",
        f"[ $# != 3 ] || exit 0; grep -qx \"${{@: -1}}\" {there} && echo 'ii ' && exit\n"
        f"case ${{@: -1}} in wanted) [ -e {settings} ] && echo 'rc ' ;; *) exit 1 ;; esac",
    )
    calls = program(
        "apt-get",
        'case "$*" in\n'
        "*-s*install*) echo 'Inst libnew (1 x)'; echo 'Inst wanted (1 x)' ;;\n"
        f"*install*) printf 'libnew\\nwanted\\n' >> {there} ;;\n"
        '*-s*purge*) for p in ${@:3}; do echo "Purg $p [1]"; done\n'
        f"  case \" $* \" in *' libnew '*) ! grep -qx wanted {there} || echo 'Purg wanted [1]' ;; esac ;;\n"
        '*"300 purge"*) gone="$*"\n'
        f"  case \" $gone \" in *' libnew '*) ! grep -qx wanted {there} || gone+=' wanted' ;; esac\n"
        f'  for p in $gone; do sed -Ei "/^($p)$/d" {there}; [ $p != wanted ] || rm -f {settings}; done ;;\n'
        f'*"300 remove"*) for p; do sed -Ei "/^($p)$/d" {there}; done ;;\n'
        "esac",
    )
    install_wanted(host, "install")
    assert (noted(host)["package wanted"], noted(host)["package libnew"]) == ("settings", "away")
    calls.write_text("")
    install_wanted(host, "remove")
    assert settings.exists(), calls.read_text()


def test_settings_of_a_package_with_a_plus(host, debian, program):
    there = host / "installed"
    program(
        "dpkg-query",
        f"[ $# != 3 ] || exit 0; grep -qxF \"${{@: -1}}\" {there} && echo 'ii ' && exit\n"
        "case ${@: -1} in wanted++) echo 'rc ' ;; *) exit 1 ;; esac",
    )
    calls = program(
        "apt-get",
        'case "$*" in\n'
        "*-s*install*) echo 'Inst wanted++ (1 x)' ;;\n"
        f"*install*) printf 'wanted++\\n' >> {there} ;;\n"
        '*-s*purge*) for p in ${@:3}; do echo "Purg $p [1]"; done ;;\n'
        f'*purge* | *"300 remove"*) sed -i "/^wanted++$/d" {there} ;;\n'
        "esac",
    )

    def go(mode):
        wanted(Run(host, mode, more=["package wanted++"]), "wanted++").verdict()

    go("install")
    assert noted(host)["package wanted++"] == "settings"
    calls.write_text("")
    go("remove")
    assert "=300 remove wanted++" in calls.read_text() and "purge wanted++" not in calls.read_text().replace(
        "-s purge", ""
    )


TWO = """case $1 in
show) echo LoadState=loaded ;;
is-enabled) echo enabled ;;
is-active) if [ -e {0}/up-$2 ]; then echo active; else echo inactive; fi ;;
stop) rm -f {0}/up-$2 ;;
start | restart) [ ! -e {0}/defect-$2 ] && touch {0}/up-$2 ;;
esac"""


@pytest.fixture
def services(host, program):
    """services("x", ...): somebody's that run, and a systemctl that tells of all. but: what it does before."""

    def put(*names, but=""):
        for name in names:
            (host.parent / f"up-{name}.service").touch()
        program("systemctl", but + "\n" + TWO.format(host.parent))

    return put


def test_one_service_that_does_not_start_does_not_keep_the_other_stopped(host, services):
    services("x", "y")
    theirs(host)
    more = ["unit x.service", "unit y.service"]
    Run(host, "install", adopt=True, more=more)()
    (host.parent / "defect-x.service").touch()
    cut_off(host, Run(host, "remove", more=more))
    assert (host / "data" / "theirs").exists() and (host.parent / "up-y.service").exists()


def test_pause_that_fails_at_the_second_leaves_the_first_running(host, services):
    services("x", "y", but="[ $1.$2 != stop.y.service ] || exit 1")
    theirs(host)
    more = ["unit x.service", "unit y.service"]
    Run(host, "install", adopt=True, more=more)()
    with pytest.raises(RunbookError):
        Run(host, "remove", more=more)()
    assert (host / "data" / "ours").exists(), "nothing was undone of the folder"
    assert (host.parent / "up-x.service").exists()


def test_a_service_that_hangs_at_its_start_keeps_no_note(host, program, services):
    """Two of them took more time than remove had, each time."""
    services("x")
    Run(host, "install", adopt=True, more=["unit x.service"])()
    program("timeout", "exit 124")
    with pytest.raises(Verdict):
        Run(host, "remove", more=["unit x.service"])()
    assert not (host.parent / "state").exists()


def test_an_empty_folder_that_came_back_keeps_nobody_from_installing(host):
    """A disk for the data, as chapter 05 advises: nothing of theirs is in it."""
    (host / "data").mkdir(mode=0o755)
    Run(host, "install")()
    cut_off(host, Run(host, "remove"))
    Run(host, "install")()
    assert noted(host)[f"folder {host}/data"] == "empty" and (host / "data" / "ours").exists()


def test_what_its_service_wrote_after_it_came_back_stays(host, services):
    """resume starts their service, which writes its settings; the next remove puts the copy over them."""
    services("x", but=f"[ $1 != start ] || echo written-by-x >> {host}/app.conf")
    (host / "app.conf").write_text("theirs\n")
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()
    cut_off(host, Run(host, "remove", more=["unit x.service"]))
    assert (host / "app.conf").read_text() == "theirs\nwritten-by-x\n"
    Run(host, "remove", more=["unit x.service"])()
    assert (host / "app.conf").read_text() == "theirs\nwritten-by-x\n"


def test_what_its_owner_put_into_the_empty_folder_that_came_back_stays(host):
    (host / "data").mkdir(mode=0o755)
    Run(host, "install")()
    cut_off(host, Run(host, "remove"))
    (host / "data" / "theirs").write_text("x\n")
    try:
        Run(host, "remove")()
    finally:
        assert (host / "data" / "theirs").exists()


def test_chapter_05_can_be_removed_to_its_end_after_a_cut(host, program):
    """Its guard looks at the data directory, which is theirs again, and install waits for that remove."""
    from helpers.components.minio import no_buckets_but

    program(
        "systemctl",
        "case $1 in show) printf 'LoadState=loaded\\nUnitFileState=enabled\\nActiveState=active\\n' ;;\n"
        "is-*) echo active ;; esac",
    )
    (host / "data" / "photos").mkdir(parents=True)
    (host / "data" / "photos" / "one").write_text("x\n")

    def guard(run):
        run.look()
        if not run.ch.own.came_back(f"folder {run.folder}"):
            run.ch.require("no buckets but ours", no_buckets_but(["detai"], str(run.folder)), do="x", modes="guard")
        return run

    guard(Run(host, "install", adopt=True))()
    guard(cut := Run(host, "remove"))
    first, mark = fails(host)
    mark.touch()
    cut.ch.step(*first)
    cut.act()
    with pytest.raises(RunbookError):
        cut.ch.verdict()
    mark.unlink()
    refused = []
    for mode in ("install", "remove"):
        try:
            guard(Run(host, mode, adopt=True))
        except BadInput as e:
            refused.append((mode, e.saw))
    assert [mode for mode, _ in refused] == ["install"], refused


def test_a_place_that_an_older_runbook_did_not_make_stays_at_remove(host, debian):
    """The package is an older one's, the folder is not: install refused it, and remove deleted it."""
    (host / "installed").write_text("libold\nwanted-by-nobody\nwanted\n")
    (host / "place").mkdir()
    (host / "place" / "theirs").write_text("x")

    def go(mode):
        run = Run(host, mode, ours="[ $KIND = package ]", more=["package wanted", f"place {host}/place"])
        wanted(run, purge=["^wanted$"], paths=[str(host / "place")]).verdict()

    with pytest.raises(BadInput):
        go("install")
    go("remove")
    assert (host / "place" / "theirs").exists()


def test_a_remove_that_is_interrupted_starts_theirs_again(host, services):
    services("x")
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()

    def interrupted():
        raise KeyboardInterrupt

    run = Run(host, "remove", more=["unit x.service"])
    run.look()
    run.ch.step("first", actions.Action("x", "true", "true", interrupted, absent="false"))
    run.act()
    with pytest.raises(KeyboardInterrupt):
        run.ch.verdict()
    assert (host / "data" / "theirs").exists() and (host.parent / "up-x.service").exists()


def test_what_an_older_runbook_did_not_make_stays_somebodys_after_a_remove_that_was_cut_off(host):
    """Remove noted it as there before, without a copy, and the next install would have taken it for its own."""
    (host / "app.conf").write_text("# ours\n")
    theirs(host)
    ours = "[ $KIND = file ]"
    cut_off(host, Run(host, "remove", ours=ours))
    assert noted(host)[f"folder {host}/data"] == "there"
    with pytest.raises(BadInput, match="nothing of others"):
        Run(host, "install", ours=ours).look()
    Run(host, "remove", ours=ours)()
    assert (host / "data" / "theirs").exists() and not (host.parent / "state").exists()


def test_a_unit_that_cannot_be_asked_stops_remove_before_a_folder_goes(host, program):
    systemctl = "case $1 in show) {} ;; is-*) echo active ;; esac"
    program("systemctl", systemctl.format("echo LoadState=loaded"))
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()
    program("systemctl", systemctl.format("echo Failed to connect to bus; exit 1"))
    with pytest.raises(RunbookError) as e:
        Run(host, "remove", more=["unit x.service"])()
    assert "cannot tell" in e.value.saw and (host / "data" / "ours").exists()


def test_where_every_package_is_needed_by_now_none_is_purged(host, debian, program):
    """Every package that install brought is needed by another by now: apt is asked to purge ''."""
    install_wanted(host, "install")
    calls = program(
        "apt-get",
        'case "$*" in *-s*purge*) for p in ${@:3}; do echo "Purg $p [1]"; done; echo "Purg theirs [1]" ;; esac',
    )
    calls.write_text("")
    with contextlib.suppress(RunbookError):
        install_wanted(host, "remove")
    real = [line for line in calls.read_text().splitlines() if line.startswith("apt-get") and " -s " not in line]
    assert not [line for line in real if "purge" in line], real


def test_a_file_that_a_purge_takes_after_it_came_back_comes_back_again(host, debian, program):
    """The file is put back first, then its package is purged with its conffiles: finish put it back again."""
    there = host / "installed"
    (host / "app.conf").write_text("theirs\n")
    program(
        "apt-get",
        'case "$*" in\n'
        "*-s*install*) echo 'Inst wanted (1 x)' ;;\n"
        f"*install*) printf 'wanted\\n' >> {there} ;;\n"
        '*-s*purge*) for p in ${@:3}; do echo "Purg $p [1]"; done ;;\n'
        f'*purge*) sed -i "/^wanted$/d" {there}; rm -f {host}/app.conf ;;\n'
        "esac",
    )

    def go(mode):
        run = Run(host, mode, adopt=True, more=["package wanted"])
        wanted(run)
        run.act()
        run.ch.verdict()

    go("install")
    assert noted(host)["package wanted"] == "away"
    go("remove")
    assert (host / "app.conf").exists() and (host / "app.conf").read_text() == "theirs\n"


def test_a_unit_that_rested_and_that_install_started_is_stopped_before_its_folder_goes(host, program, services):
    services()
    log = host.parent / "ran"
    program(
        "rm",
        f'case "$*" in *{host}/data) [ ! -e {host.parent}/up-x.service ] || echo ran >> {log} ;; esac\n'
        'exec /bin/rm "$@"',
    )
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()
    (host.parent / "up-x.service").touch()  # install started it, on our folder
    Run(host, "remove", more=["unit x.service"])()
    assert not log.exists(), "x ran while its folder was deleted and theirs came back"


def test_what_needs_no_copy_says_so_in_its_line(host, program):
    """sync of the notes' folder fails after the note is in its place, and before the marks are."""
    broken = host.parent / "broken"
    broken.touch()
    program("sync", f'case $1 in */state) [ -e {broken} ] && exit 1 ;; esac; exec /bin/sync "$@"')
    (host / "app.conf").write_text("# ours\n")
    theirs(host)
    ours = "[ $KIND = file ]"
    with pytest.raises(RunbookError):
        Run(host, "remove", ours=ours)()
    broken.unlink()
    try:
        Run(host, "remove", ours=ours)()
    finally:
        assert (host / "data" / "theirs").exists()


def test_a_second_remove_that_notes_more_forgets_nothing_of_the_first(host):
    """A second remove sees one more thing of an older runbook: its note takes every mark away."""
    (host / "app.conf").write_text("# ours\n")
    theirs(host)
    ours = "[ $KIND = file ]"
    cut_off(host, Run(host, "remove", ours=ours))
    (host / "more").write_text("# ours\n")
    with pytest.raises(Verdict, match="1 of"):  # nothing undoes what no step names
        Run(host, "remove", ours=ours, more=[f"file {host}/more"])()
    assert (host / "data" / "theirs").exists()


def test_a_finish_that_is_interrupted_starts_theirs_again(host, services, monkeypatch):
    services("x")
    theirs(host)
    Run(host, "install", adopt=True, more=["unit x.service"])()
    run = Run(host, "remove", more=["unit x.service"])

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(run.ch.own, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert (host / "data" / "theirs").exists() and (host.parent / "up-x.service").exists()


def test_a_second_remove_of_another_folder_leaves_the_one_that_came_back(host):
    """Remove again with one more thing that is ours (lies in what is ours): the mark of the empty folder goes."""
    (host / "data").mkdir(mode=0o755)
    Run(host, "install")()
    cut_off(host, Run(host, "remove"))
    (host / "data" / "theirs").write_text("x\n")
    (host / "other").mkdir()
    (host / "other" / "x").write_text("x\n")
    with contextlib.suppress(RunbookError):
        Run(host, "remove", ours="[ $KIND = folder ]", more=[f"folder {host}/other"])()
    assert (host / "data" / "theirs").exists()


def test_a_unit_has_the_time_that_it_wants_to_stop(host, program, services):
    services("x", but="[ $1 != stop ] || sleep 2")
    program("timeout", 'shift; exec /usr/bin/timeout 1 "$@"')
    theirs(host)
    comes_and_goes(host, "unit x.service")
    assert (host / "data" / "theirs").exists() and (host.parent / "up-x.service").exists()
