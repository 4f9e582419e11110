"""Keys of the components: each reaches its own bucket alone, on the S3 server that stands in for MinIO."""

import io
import json

import pytest
import stand_in
from minio.error import MinioAdminException, S3Error

from helpers.components.minio import connect
from helpers.components.minio_keys import Key
from helpers.core import notebooks
from helpers.core.actions import Action
from helpers.core.errors import Unmet
from helpers.core.paths import REPO
from helpers.core.ssh import free_port
from tests.components.minio.conftest import SECRET, USER

OWN = {"pachyderm": "pachyderm", "determined": "detai", "seldon": "models", "clothes": "clothes"}
#: the chapter of a key that has another name
OF = {"clothes": "end_to_end"}
ANYTHING = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}


@pytest.fixture
def key(server, monkeypatch, tmp_path):
    """key(user, mode): the Key of a component's chapter, on the server."""
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNBOOK_SECRET_MINIO_ROOT", SECRET.reveal())

    def make(user, mode="verify"):
        return Key(stand_in.opened(OF.get(user, user), mode), server, USER, user, OWN[user])

    root = connect(f"127.0.0.1:{server}", USER, SECRET.reveal())
    for bucket in (*OWN.values(), "runbook-proof"):
        if not root.bucket_exists(bucket):
            root.make_bucket(bucket)
        root.put_object(bucket, "there", io.BytesIO(b"1"), 1)
    return make


@pytest.fixture
def seldon(key):
    made = key("seldon")
    made.made().apply()
    yield made
    made.made().undo()


def refused(call):
    with pytest.raises(S3Error) as e:
        call()
    return e.value.code


def test_each_key_reaches_its_own_bucket_and_no_other(key):
    keys = {user: key(user) for user in OWN}
    for user, each in keys.items():
        assert each.made().probe() == f"MinIO has no user {user}"
        each.made().apply()
    for user, each in keys.items():
        assert each.made().probe() is None
        assert each.reaches_its_own_alone() is None
        assert each.s3.get(OWN[user], "there") == b"1"
        each.s3.put(OWN[user], "mine", b"2")
        for bucket in ("runbook-proof", *(name for other, name in OWN.items() if other != user)):
            assert refused(lambda: each.s3.get(bucket, "there")) == "AccessDenied"  # noqa: B023 - called here
            assert refused(lambda: each.s3.put(bucket, "there", b"3")) == "AccessDenied"  # noqa: B023
            assert refused(lambda: each.s3.client.remove_object(bucket, "there")) == "AccessDenied"  # noqa: B023
            assert refused(lambda: list(each.s3.client.list_objects(bucket))) == "AccessDenied"  # noqa: B023
    for each in keys.values():
        each.made().undo()


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda mc: mc.user_add("seldon", "another-key-of-mine"), "MinIO refuses our key: SignatureDoesNotMatch"),
        (lambda mc: mc.user_disable("seldon"), "MinIO's user seldon is disabled"),
        (lambda mc: mc.user_remove("seldon"), "MinIO has no user seldon"),
        (
            lambda mc: mc.policy_set("readwrite", "seldon"),
            "MinIO's user seldon has not the policy runbook-seldon alone",
        ),
        (
            lambda mc: mc.policy_add("runbook-seldon", policy=_policy(ANYTHING)),
            "MinIO's policy runbook-seldon is another",
        ),
    ],
)
def test_what_was_changed_by_hand_is_told_and_healed(seldon, change, told):
    action = seldon.made()
    assert action.probe() is None
    change(seldon._admin)
    assert action.probe().startswith(told)
    action.apply()
    assert action.probe() is None and seldon.reaches_its_own_alone() is None


def _policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_the_proof_fails_for_a_key_that_reaches_more_or_nothing(seldon):
    seldon._admin.policy_set("readwrite", "seldon")
    with pytest.raises(Unmet, match="a list of models alone"):
        seldon.reaches_its_own_alone()
    seldon._admin.policy_add("sees", policy=_policy(dict(ANYTHING, Action=["s3:PutObject"])))
    seldon._admin.policy_set("sees", "seldon")
    with pytest.raises(Unmet) as e:
        seldon.reaches_its_own_alone()
    assert e.value.saw == "it is told of no bucket"


def test_a_bucket_that_is_open_to_everybody_is_not_the_keys_fault(seldon):
    root = seldon._root.client
    public = dict(ANYTHING, Principal="*", Action=["s3:ListBucket"], Resource=["arn:aws:s3:::runbook-proof"])
    root.set_bucket_policy("runbook-proof", json.dumps(_policy(public)))
    try:
        assert seldon.reaches_its_own_alone() is None
    finally:
        root.delete_bucket_policy("runbook-proof")


def test_remove_takes_user_and_policy_also_when_it_was_cut_off_between_them(seldon):
    seldon._admin.policy_remove("runbook-seldon")
    for _ in range(2):
        seldon.made().undo()
        assert "seldon" not in json.loads(seldon._admin.user_list())
        with pytest.raises(MinioAdminException, match="404"):
            seldon._admin.policy_info("runbook-seldon")


def test_the_host_is_asked_whether_the_user_is_there_and_remove_needs_no_user(key):
    removing = key("seldon", "remove")
    assert removing.made().makes == ["miniouser seldon"] and isinstance(removing.made().absent, str)
    assert removing.s3.get("models", "there") == b"1", "a host of an older runbook has no user of that name"
    assert refused(key("seldon").s3.client.list_buckets) == "InvalidAccessKeyId"


@pytest.mark.parametrize("there, runs, stops", [(True, False, True), (True, True, False), (False, False, False)])
def test_remove_stops_before_anything_goes_while_minio_cannot_tell(key, there, runs, stops, tmp_path):
    """Namespace and database were gone when the step for MinIO's user failed."""
    removing = key("seldon", "remove")
    (tmp_path / "data/.minio.sys/config/iam/users/seldon").mkdir(parents=True)
    (tmp_path / "data/.minio.sys/config/iam/users/seldon/identity.json").write_text("{}")
    settings = tmp_path / "settings"
    settings.write_text(f'MINIO_VOLUMES="{tmp_path}/data"\n')
    place = settings if there else tmp_path / "no-minio-here"
    absent = removing.made().absent.replace("${MINIO:=/etc/default/minio}", f"${{MINIO:={place}}}")
    removing.made = lambda: Action("", "true", "true", "true", absent)
    if not runs:
        removing._root.client = connect(f"127.0.0.1:{free_port()}", USER, SECRET.reveal())
    why = removing.why_cannot_tell()
    assert (why is not None) is stops and (why or "cannot tell what MinIO has").startswith("cannot tell what MinIO has")


def test_remove_with_another_bucket_than_installed_is_refused_and_one_without_a_policy_goes_on(key, seldon):
    """The weights stayed in the bucket of the install, and the run said removed."""
    other = key("seldon", "remove")
    other.made = lambda: Action("", "true", "true", "true", "false")
    assert other.why_cannot_tell() is None
    other.bucket = "other"
    said = other.why_cannot_tell()
    assert said == "this chapter's user seldon is for the bucket models; your parameters say other"
    other._admin.policy_remove("runbook-seldon")
    assert other.why_cannot_tell() is None


def test_the_matrix_has_the_key_of_each_chapter():
    having = {n.id for n in notebooks.load_all().values() if "minio_keys import Key" in n.path.read_text()}
    assert having == {OF.get(user, user) for user in OWN}


@pytest.mark.parametrize("user", OWN)
def test_each_chapter_with_a_key_asks_that_first_and_proves_what_it_reaches(user):
    text = notebooks.find(OF.get(user, user)).path.read_text().replace("\\", "")
    assert 0 < text.index('key.why_cannot_tell, modes=("remove",)') < text.index("ch.step(")
    assert text.count("key.reaches_its_own_alone, entry=") == 1


def test_the_root_key_is_in_no_chapter_but_its_own():
    named = [path.stem for path in sorted((REPO / "notebooks").glob("*.ipynb")) if "minio-root" in path.read_text()]
    assert named == ["05_minio"]
