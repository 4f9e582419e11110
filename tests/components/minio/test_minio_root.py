"""Another root pair takes the place of the one that MinIO's users are sealed by, on the S3 server of the sandbox."""

import contextlib
import hashlib
import json
import subprocess

import pytest
import stand_in
from minio.error import MinioAdminException

from helpers.components import minio, minio_root
from helpers.components.minio import S3, administrator
from helpers.components.minio_root import RootPair
from helpers.core.actions import Action
from helpers.core.secrets import Secret
from helpers.core.ssh import free_port

FIRST, SECOND, THIRD = ("a-key-not-real-" + str(n) for n in (1, 2, 3))
KEY = Secret("minio-seldon", "a-users-key-not-real")


class Minio:
    """A host with MinIO's settings, data and service; the service starts anew with what the settings say."""

    def __init__(self, binary, folder, monkeypatch):
        self.binary, self.port, self.process = binary, free_port(), None
        self.settings, self.data, self.starts = folder / "settings", folder / "data", []
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(minio_root, "_SETTINGS", str(self.settings))

    def chapter(self, key, mode="install"):
        if key:
            self.monkeypatch.setenv("RUNBOOK_SECRET_MINIO_ROOT", key)
        return stand_in.opened("minio", mode)

    def start(self):
        self.stop()
        pairs = [line.split("=", 1) for line in self.settings.read_text().splitlines() if line.startswith("MINIO_")]
        env = {name: value.strip('"') for name, value in pairs}
        self.starts.append(sorted(name for name in env if name.endswith("_OLD")))
        command = [self.binary, "server", "--address", f"127.0.0.1:{self.port}", str(self.data)]
        env.update(PATH="/usr/bin:/bin", HOME=str(self.data))
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(timeout=10)

    def parts(self, key, user="runbook"):
        """What chapter 05 has of it: the pair, S3, the settings' file and the service."""
        ch = self.chapter(key)
        root, password = RootPair(ch, user, str(self.data)), ch.secret("minio-root", guarded=False)
        env = ch.file(str(self.settings), f'MINIO_VOLUMES="{self.data}"\n{root.lines(password)}', mode="0600")
        return root, S3(ch, self.port, user, password), env, Action("start", "false", self.start)

    def install(self, key, user="runbook"):
        """The chapter's steps; is it so afterwards, and was the first one so before?"""
        root, s3, env, service = self.parts(key, user)
        assert root.why_lost() is None
        seals, ask = root.seals(s3, env, service), root.ch.host.ask
        before = ask(seals.probe)
        if not before.ok:
            seals.apply()
            assert ask(seals.probe).ok
        if not ask(env.probe).ok:
            env.apply()
        self.start()
        root.reads_users(s3).apply()
        return before.ok, s3


@pytest.fixture
def host(program, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    made = Minio(program, tmp_path, monkeypatch)
    yield made
    made.stop()


@pytest.fixture
def used(host):
    """One on which a component has its user."""
    so, s3 = host.install(FIRST)
    assert so, "nothing is sealed at first"
    s3.client.make_bucket("models")
    administrator(s3.endpoint, "runbook", s3.secret).user_add("seldon", KEY.reveal())
    administrator(s3.endpoint, "runbook", s3.secret).policy_set("readwrite", "seldon")
    return host


def users(s3):
    return sorted(json.loads(administrator(s3.endpoint, s3.user, s3.secret).user_list()))


def works(s3):
    return [each.name for each in minio.connect(s3.endpoint, "seldon", KEY.reveal()).list_buckets()] == ["models"]


@pytest.mark.parametrize("user", ["runbook", "another"])
def test_another_root_pair_keeps_the_users_and_the_former_one_is_nowhere(used, user):
    first = len(used.starts)
    so, s3 = used.install(SECOND, user)
    assert not so and users(s3) == ["seldon"] and works(s3)
    assert used.starts[first:] == [["MINIO_ROOT_PASSWORD_OLD", "MINIO_ROOT_USER_OLD"], []]
    assert FIRST not in used.settings.read_text() and used.settings.stat().st_mode & 0o777 == 0o600
    assert used.install(SECOND, user)[0], "already so"


def test_the_former_pair_by_its_deprecated_names_is_taken_as_well(used):
    used.settings.write_text(f"MINIO_ACCESS_KEY=runbook\nMINIO_SECRET_KEY={FIRST}\n")
    so, s3 = used.install(SECOND)
    assert not so and works(s3)


@pytest.mark.parametrize("started", [False, True])
def test_a_change_that_was_cut_off_is_finished_by_the_next_run(used, started):
    root, _, env, service = used.parts(SECOND)
    with contextlib.suppress(KeyboardInterrupt):
        cut = Action("", "false", lambda: (used.start() if started else None, (_ for _ in ()).throw(KeyboardInterrupt)))
        root._reseal(S3(root.ch, used.port, "runbook", Secret("minio-root", SECOND)), env, cut)
    assert FIRST in used.settings.read_text() and used.settings.stat().st_mode & 0o777 == 0o600
    third = RootPair(used.chapter(THIRD), "runbook", str(used.data))
    assert third.why_lost().startswith("a change to another key than ours was cut off")
    so, s3 = used.install(SECOND)
    assert not so and works(s3) and FIRST not in used.settings.read_text()


def test_an_install_is_refused_where_nobody_knows_the_key(used, monkeypatch):
    used.settings.unlink()
    ours = RootPair(used.chapter(FIRST), "runbook", str(used.data))
    assert ours.why_lost() is None, "the secret that is here may be the one"
    monkeypatch.setenv("RUNBOOK_TAKE_OVER", "1")
    assert ours.why_lost().startswith("they are sealed by a key that is not in ")
    monkeypatch.delenv("RUNBOOK_TAKE_OVER")
    monkeypatch.delenv("RUNBOOK_SECRET_MINIO_ROOT")
    none = RootPair(used.chapter(None), "runbook", str(used.data))
    assert none.why_lost().startswith("they are sealed by a key that is not in ")
    assert none.ch.secrets.find("minio-root") is None, "none was made"
    monkeypatch.setattr(none.ch.own, "is_theirs", lambda thing: thing == f"folder {used.data}")
    assert none.why_lost() is None, "adopt puts the data aside"


def test_users_that_another_key_sealed_are_told_and_healed_by_the_pair_that_a_person_adds(used, monkeypatch):
    monkeypatch.setattr(minio_root, "administrator", lambda *a: administrator(*a, timeout=2))
    root, s3, env, _ = used.parts(SECOND)
    env.apply()  # as a runbook did that only wrote the new pair
    used.start()
    s3.answering("minio").apply()
    assert root.reads_users(s3).probe().startswith("MinIO does not tell its users: it cannot read those")
    with used.settings.open("a") as file:
        file.write(f'MINIO_ROOT_USER_OLD="runbook"\nMINIO_ROOT_PASSWORD_OLD="{FIRST}"\n')
    so, s3 = used.install(SECOND)
    assert not so and works(s3) and FIRST not in used.settings.read_text()


def test_no_key_is_in_what_is_run_and_a_wrong_one_is_told(used):
    root, s3, env, service = used.parts(SECOND)
    for text in (root._sealed(), *root.seals(s3, env, service).shown):
        assert FIRST not in text and SECOND not in text
    assert hashlib.sha256(root.lines(SECOND).encode()).hexdigest() in root._sealed()
    wrong = S3(root.ch, used.port, "runbook", Secret("minio-root", THIRD))
    assert root.reads_users(wrong).probe().startswith("MinIO refuses the root key: ")
    with pytest.raises(MinioAdminException):
        administrator(wrong.endpoint, "runbook", wrong.secret).user_list()
