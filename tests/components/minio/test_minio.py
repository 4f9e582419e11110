"""MinIO's steps and proofs, on the S3 server that stands in for it, and on ports where nobody answers."""

import json
import subprocess

import pytest
import stand_in
from minio.error import S3Error
from python37 import environment, python37
from serving import free_port, serving

from helpers.components import minio
from helpers.components.determined import task_files
from helpers.components.minio import KEPT, KEPT_BYTES, PROOF_BUCKET, S3, Proofs
from helpers.core.errors import Unmet
from helpers.core.secrets import Secret
from tests.components.minio.conftest import SECRET, USER


@pytest.fixture
def chapter(monkeypatch, tmp_path):
    # Only this test's logs and secrets are its own: the server comes out of the caches.
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    return stand_in.opened("minio")


@pytest.fixture
def s3(server, chapter):
    return S3(chapter, server, USER, SECRET)


def test_a_server_that_answers_and_takes_our_key(s3):
    assert s3.why_unhealthy() is None and s3.why_key_refused() is None
    action = s3.answering("minio")
    assert action.probe() is None
    action.apply()


def test_one_that_does_not_is_told_in_words(chapter, server):
    nobody = S3(chapter, free_port(), USER, SECRET)
    assert nobody.why_unhealthy() == "no answer on its port: NewConnectionError"
    assert nobody.why_key_refused() == "no answer from MinIO: NewConnectionError"
    other = S3(chapter, server, USER, Secret("minio-root", "another-password"))
    assert other.why_key_refused() == "MinIO refuses our key: SignatureDoesNotMatch"


def test_one_that_only_listens_does_not_answer_yet(chapter):
    """The proof after a restart was red: 503 for the object, right after /live was 200."""
    with serving(lambda asked: (200 if asked.path == "/minio/health/live" else 503, "")) as starting:
        unknown = S3(chapter, starting.port, USER, SECRET).why_unhealthy()
    assert unknown == "GET /minio/health/cluster answered 503"


def test_a_bucket_is_made_and_deleted_only_where_that_is_meant(s3):
    action = s3.bucket("ours", delete=True)
    assert action.probe() == "bucket ours does not exist" and action.absent() is None
    action.apply()
    s3.put("ours", "in/a/folder", b"x")
    assert action.probe() is None and action.absent() == "bucket ours is there"
    action.undo()
    assert action.absent() is None and s3.bucket("ours").undo is None


def test_what_lies_in_minio_is_away_when_minio_says_so_or_nothing_of_it_is_on_the_host(s3, chapter, monkeypatch):
    """A MinIO that is stopped, or refuses the key, proves nothing: its disk may have all of it."""
    assert s3.why_not_away("nowhere", "x") is None and s3.why_not_away("nowhere") is None
    s3.bucket("there").apply()
    s3.put("there", "x", b"x")
    assert s3.why_not_away("there", "x") == "there/x is there" and s3.why_not_away("there", "y") is None
    other = S3(chapter, int(s3.endpoint.split(":")[1]), USER, Secret("minio-root", "another-password"))
    assert other.why_not_away("there") == "cannot tell whether bucket there is there: AccessDenied"
    stopped = S3(chapter, free_port(), USER, SECRET)
    monkeypatch.setattr(minio, "_PROGRAM", ["file /etc/passwd"])
    assert stopped.why_not_away("there", "x").startswith("cannot tell whether there/x is there, no answer from MinIO")
    monkeypatch.setattr(minio, "_PROGRAM", ["file /no/such/file"])
    assert stopped.why_not_away("there", "x") is None and stopped.why_not_away("there") is None


def test_an_object_is_read_whole_and_a_missing_one_is_the_servers_error(s3):
    s3.bucket("readable").apply()
    s3.put("readable", "empty", b"")
    s3.put("readable", "a", b"content")
    assert minio.read(s3.client, "readable", "a") == s3.get("readable", "a") == b"content"
    assert s3.get("readable", "empty") == b""
    with pytest.raises(S3Error) as e:
        s3.get("readable", "missing")
    assert e.value.code == "NoSuchKey"


def test_the_kept_object_is_put_once_and_again_when_it_is_another(s3):
    action, prove = s3.kept_object(), Proofs(s3)
    assert action.probe() in (f"{PROOF_BUCKET}/{KEPT}: NoSuchBucket", None)
    action.apply()
    assert action.probe() is None
    prove.kept()
    s3.put(PROOF_BUCKET, KEPT, KEPT_BYTES[::-1])
    assert action.probe() == f"{PROOF_BUCKET}/{KEPT} has other content"
    with pytest.raises(Unmet, match="bytes that install wrote"):
        prove.kept()
    action.apply()
    assert action.probe() is None


def test_every_proof_holds_on_a_server_that_is_as_it_should_be(s3):
    s3.kept_object().apply()
    prove = Proofs(s3)
    for proof in (prove.roundtrip, prove.presigned, prove.wrong_secret_is_refused, prove.strangers_are_refused):
        proof()
    assert [o.object_name for o in s3.client.list_objects(PROOF_BUCKET)] == [KEPT]


def test_a_stranger_who_is_let_in_is_told(s3):
    s3.kept_object().apply()
    public = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"]}
    public["Resource"] = [f"arn:aws:s3:::{PROOF_BUCKET}/*"]
    s3.client.set_bucket_policy(PROOF_BUCKET, json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    stranger = minio.connect(s3.endpoint)
    try:
        with pytest.raises(Unmet) as e:
            Proofs(s3)._refused("AccessDenied", lambda: minio.read(stranger, PROOF_BUCKET, KEPT))
        assert e.value.saw == "it was let in"
    finally:
        s3.client.delete_bucket_policy(PROOF_BUCKET)
    Proofs(s3)._refused("AccessDenied", lambda: minio.read(stranger, PROOF_BUCKET, KEPT))


def test_whom_a_buckets_policy_lets_in_is_told(s3):
    s3.kept_object().apply()
    assert s3.let_in([PROOF_BUCKET, "nowhere"]) == [(PROOF_BUCKET, "nobody"), ("nowhere", "it does not exist")]
    public = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"]}
    public["Resource"] = [f"arn:aws:s3:::{PROOF_BUCKET}/*"]
    s3.client.set_bucket_policy(PROOF_BUCKET, json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    try:
        assert s3.let_in([PROOF_BUCKET]) == [(PROOF_BUCKET, f"Allow *: s3:GetObject on {PROOF_BUCKET}/*")]
    finally:
        s3.client.delete_bucket_policy(PROOF_BUCKET)
    assert s3.let_in([PROOF_BUCKET]) == [(PROOF_BUCKET, "nobody")]


@pytest.mark.parametrize("name", ["my_models", "Models", "No", "a", "x" * 64, "10.0.0.5", "a..b", "-a"])
def test_a_bucket_that_s3_would_not_make_is_refused_at_the_door(name):
    assert minio.why_bad_buckets(["detai", name]).startswith(name + ": ")
    assert minio.why_bad_buckets(["detai", "my.models-2", "a.b"]) is None


def test_a_data_directory_is_an_absolute_path_and_not_the_systems():
    for path in ("/srv/minio", "/srv/minio/", "/data"):
        assert minio.why_bad_directory(path) is None
    for path in ("", "/", "//", "srv/minio", "/srv/../etc", "/srv//minio", "/srv", "/var/"):
        assert minio.why_bad_directory(path)


@pytest.fixture
def older(chapter, tmp_path):
    """made_by_older's answer for a thing of a host with these settings, and a user minio-user of this home."""

    def ask(settings, home=None, thing="file /usr/local/bin/minio", noted=""):
        path = tmp_path / "settings"
        if settings is not None:
            path.write_text(settings)
        user = f"minio-user:x:9:9::{home}:/usr/sbin/nologin" if home else ""
        kind, name = thing.split(" ")
        known = f"getent() {{ echo '{user}'; }}; stat() {{ [ -e $3/minios ] && echo minio-user || echo root; }}\n"
        env = f"export KIND={kind} NAME={name} NOTED={noted}\n"
        return chapter.host.ask(known + env + minio.made_by_older("/srv/minio", path)).ok

    chapter.host.connect()
    return ask


OURS = "# Written by the runbook, chapter 05. Changes made here are undone by the next install.\nA=1\n"


def test_what_an_older_runbook_left_is_known_by_its_settings(older):
    assert older(OURS)
    assert not older('MINIO_VOLUMES="/data"\n# Written by the runbook, chapter 05\n', "/srv/minio")


def test_an_older_install_that_was_cut_off_before_its_settings_is_known_by_its_user(older):
    assert not older(None) and older(None, "/srv/minio")
    assert not older(None, "/home/minio-user") and not older(None, "/srv/minio2")


def test_data_are_ours_by_their_owner_alone_wherever_they_were_moved(older, tmp_path):
    for name in ("ours/minios", "theirs/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    assert older(OURS, thing=f"folder {tmp_path}/ours") and not older(OURS, thing=f"folder {tmp_path}/theirs")
    assert older(OURS, thing=f"folder {tmp_path}/ours", noted="yes")
    assert not older(OURS, noted="yes"), "all else is what the note says"


def _unit(says, probe):
    """The probe on a host whose systemctl says this of minio.service; None: systemctl fails."""
    return "systemctl() { " + ("return 1" if says is None else f"echo -n '{says}'") + "; }\n" + probe


RUNS = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled"
STOPPED = "LoadState=loaded\nActiveState=inactive\nUnitFileState=enabled"
GONE = "LoadState=not-found\nActiveState=inactive\nUnitFileState="


@pytest.mark.parametrize("unit", [RUNS, GONE])
def test_buckets_of_others_are_seen_in_the_data_directory(chapter, tmp_path, unit):
    chapter.host.connect()
    probe = _unit(unit, minio.no_buckets_but(["detai", "models"], tmp_path / "data"))
    assert chapter.host.ask(probe).ok, "there is none"
    for name in ("detai/a/1", "runbook-proof/kept.bin", ".minio.sys/config", "lost+found/x"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_text("")
    (tmp_path / "data" / "empty").mkdir()
    assert chapter.host.ask(probe).ok
    (tmp_path / "data" / "backups" / "2021").mkdir(parents=True)
    (tmp_path / "data" / "backups" / "2021" / "all.tar").write_text("")
    assert chapter.host.ask(probe) == (False, "found: bucket backups")
    assert not chapter.host.ask('find() { [ $# -lt 4 ] || return 1; command find "$@"; }\n' + probe).ok, "unread"


def test_where_minio_does_not_run_remove_cannot_tell_unless_remove_took_it_down(chapter, tmp_path):
    chapter.host.connect()
    ask, probe = chapter.host.ask, minio.no_buckets_but(["detai"], tmp_path / "data")
    (tmp_path / "data").mkdir()
    assert ask(_unit(STOPPED, probe)).ok, "cut off before its first start: nothing to lose"
    (tmp_path / "data" / ".minio.sys").mkdir()
    for failing in (STOPPED, STOPPED.replace("inactive", "failed"), STOPPED.replace("inactive", "activating")):
        ok, said = ask(_unit(failing, probe))
        assert not ok and said.startswith("cannot tell which buckets there are"), failing
    assert ask(_unit(None, probe)) == (
        False,
        "cannot tell which buckets there are: systemctl does not say whether MinIO runs",
    )
    assert ask(_unit(STOPPED.replace("=enabled", "=disabled"), probe)).ok


def test_the_unit_is_a_whole_one():
    lines = minio.UNIT.splitlines()
    assert lines[0] == "[Unit]" and "User=minio-user" in lines and minio.UNIT.endswith("multi-user.target\n")


# -- from inside the cluster -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old():
    """Before a test has a home of its own: its environment comes out of the caches."""
    return python37()


@pytest.fixture
def pod(old, server, tmp_path):
    """verify() -> (exit code, what the notebook shows), by Python 3.7 and papermill, with what a pod is sent."""
    for path, file in task_files.runbooks():
        (tmp_path / "work" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / path).write_bytes(file.read_bytes())
    secrets = tmp_path / "pods" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    (secrets / "incluster.json").write_text(json.dumps({"minio-root": SECRET.reveal()}))
    (secrets / "incluster.json").chmod(0o600)
    given = {"KUBERNETES_SERVICE_HOST": "10.152.183.1", "RUNBOOK_HOST_ADDRESS": "127.0.0.1"}
    env = environment(RUNBOOK_HOME=str(tmp_path / "pods"), PYTHONNOUSERSITE="1", **given)
    env["PYTHONPATH"] = ""
    words = ["-p", "target", "incluster", "-p", "mode", "verify", "-p", "port", str(server), "-k", "python3"]

    def verify():
        argv = [old, "-m", "papermill", "--no-progress-bar", "notebooks/05_minio.ipynb", str(tmp_path / "out"), *words]
        done = subprocess.run(argv, cwd=tmp_path / "work", env=env, capture_output=True, text=True, timeout=300)
        assert (tmp_path / "out").exists(), done.stderr
        cells = json.loads((tmp_path / "out").read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        shown = ["".join(o.get("text") or o.get("data", {}).get("text/plain", "")) for o in outputs]
        return done.returncode, "\n".join([*shown, done.stderr])

    return verify


def test_the_chapter_is_verified_under_python_3_7_from_inside_the_cluster(pod, s3):
    for name in ("detai", "models"):
        s3.bucket(name).apply()
    s3.kept_object().apply()
    code, shown = pod()
    assert code == 0, shown
    assert "‹-› the user minio-user exists ‹needs the host›" in shown
    assert "✓ the object that install left is unchanged" in shown and "✓ bucket detai exists" in shown
    # Of steps: health, users, two buckets, the object. Of checks: the object, links, a wrong key, strangers.
    assert "9 steps and checks verified; 6 left out" in shown
    s3.put(PROOF_BUCKET, KEPT, b"another")
    code, shown = pod()
    assert code != 0 and "do not hold in chapter minio" in shown and "the object that install left" in shown
