"""Users and policies of the S3 server that stands in for MinIO, held to recordings of MinIO's admin API."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import minio_recording
import pytest
import urllib3
from minio.error import MinioAdminException, S3Error
from serving import until
from test_minio_substitute import PASSWORD, QUIET, USER, Server, binary  # noqa: F401 - a fixture

KEY, OLD = "not-a-real-key-2", "not-a-real-key-1"
#: what the server says of itself, and what the stand-in has not
ELSEWHERE = {"info"}


def policy(*names, effect="Allow"):
    resources = [f"arn:aws:s3:::{name}{rest}" for name in names for rest in ("", "/*")]
    return {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": ["s3:*"], "Resource": resources}]}


@pytest.fixture(scope="module")
def served(binary, tmp_path_factory):  # noqa: F811 - the fixture above
    with Server(binary, tmp_path_factory.mktemp("users") / "data") as running:
        yield running


class Wire(urllib3.PoolManager):
    """Keeps the last answer's status, Content-Type and body."""

    def urlopen(self, method, url, redirect=True, **kw):
        answer = super().urlopen(method, url, redirect=redirect, retries=QUIET, **{**kw, "preload_content": True})
        kind = answer.headers.get("content-type", "").split(";")[0] if answer.data else ""
        self.last = (f"{answer.status} {kind}".strip(), answer.data.decode("utf-8", "replace") or "(no body)")
        if "list-users" in url and answer.status == 200:
            return urllib3.HTTPResponse(io.BytesIO(answer.data), status=200, preload_content=False)
        return answer


def asked(call):
    """What a client makes of an S3 call, in the recording's words."""
    try:
        found = call()
    except S3Error as e:
        return (
            "",
            f"403 {e.code}" if e.code == "SignatureDoesNotMatch" else f"{e.response.status} {e.code}: {e.message}",
        )
    return "", repr(found) if isinstance(found, (bytes, list)) else "y"


def replay(served):
    """{heading: as minio_recording.admin_answers has it}, in the recording's order."""
    wire = Wire()
    root, admin = served.client(), served.admin(http_client=wire)
    for name in ("detai", "models"):
        root.make_bucket(name)
        root.put_object(name, "a", io.BytesIO(b"1"), 1)
    s3, found = served.client("determined", KEY), {}

    def by(title, call, *arguments):
        with contextlib.suppress(MinioAdminException):
            call(*arguments)
        found[title] = wire.last

    by("policies at first", admin.policy_list)
    by("users at first", admin.user_list)
    by("add a policy", admin.policy_add, "detai", None, policy("detai"))
    by("the same again", admin.policy_add, "detai", None, policy("detai"))
    wrong = {"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]}
    by("a policy that is malformed", admin.policy_add, "bad", None, wrong)
    by("a policy's content", admin.policy_info, "detai")
    by("a policy that does not exist", admin.policy_info, "nope")
    by("add a user", admin.user_add, "determined", OLD)
    by("the same user with another secret (changes it)", admin.user_add, "determined", KEY)
    by("a secret of 7 characters", admin.user_add, "short", "1234567")
    by("a name of 2 characters", admin.user_add, "ab", KEY)
    by("the root user's own name", admin.user_add, USER, KEY)
    by("user's state", admin.user_info, "determined")
    by("a user that does not exist", admin.user_info, "nobody")
    by("give the policy (set-user-or-group-policy)", admin.policy_set, "detai", "determined")
    by("a policy that does not exist, given", admin.policy_set, "nope", "determined")
    by("a policy given to a user that does not exist", admin.policy_set, "detai", "nobody")
    by("users now", admin.user_list)

    as_user = "as determined: "
    found[as_user + "read own bucket"] = asked(lambda: s3.get_object("detai", "a").data)
    found[as_user + "write own bucket"] = asked(lambda: s3.put_object("detai", "y", io.BytesIO(b"1"), 1))
    found[as_user + "read another's bucket"] = asked(lambda: s3.get_object("models", "a").data)
    found[as_user + "list another's bucket"] = asked(lambda: list(s3.list_objects("models")))
    found[as_user + "list buckets (only those allowed)"] = asked(lambda: [b.name for b in s3.list_buckets()])
    found[as_user + "does another's bucket exist"] = asked(lambda: s3.bucket_exists("models"))
    found[as_user + "make a bucket"] = asked(lambda: s3.make_bucket("new-one"))
    found[as_user + "make own bucket again"] = asked(lambda: s3.make_bucket("detai"))
    found["with the old secret"] = asked(served.client("determined", OLD).list_buckets)

    by("admin API as that user", served.admin("determined", KEY, http_client=wire).user_list)
    by("admin API with a wrong secret", served.admin(USER, "not-the-password", http_client=wire).user_list)
    by("admin API with an unknown key", served.admin("nobody", KEY, http_client=wire).user_list)
    by("disable the user", admin.user_disable, "determined")
    found["S3 as a disabled user"] = asked(s3.list_buckets)
    by("enable it", admin.user_enable, "determined")
    by("remove a policy that is in use", admin.policy_remove, "detai")
    found[as_user + "own bucket without its policy"] = asked(lambda: s3.get_object("detai", "a").data)
    by("remove the user", admin.user_remove, "determined")
    by("remove it again", admin.user_remove, "determined")
    by("remove a policy that does not exist", admin.policy_remove, "nope")
    by("newer call: attach_policy (MinIO of 2023)", admin.attach_policy, ["detai"], "determined")
    return found


def comparable(title, status, body):
    """Without ids, without what is sealed; a list that was cut off counts as far as it goes."""
    if title.startswith("users "):
        return status, ""
    if title == "policies at first":
        return status, json.loads(body) if body.endswith("}}") else body[:600]
    if body.startswith('{"Code"'):
        said = json.loads(body)
        return status, said["Code"], said["Message"], said["Resource"]
    return status, body.rstrip(".") if title == "S3 as a disabled user" else body


def test_each_recorded_call_is_answered_as_minio_answers_it(served):
    recorded = minio_recording.admin_answers()
    seen = replay(served)
    assert set(recorded) - ELSEWHERE == set(seen), "every recorded call is made"
    for title, said in seen.items():
        ours, theirs = comparable(title, *said), comparable(title, *recorded[title])
        if title == "policies at first":
            ours = (ours[0], json.dumps(ours[1], separators=(",", ":"))[:600])
        assert ours == theirs, title


def test_a_user_outlives_a_restart_and_a_short_secret_does_not(binary, tmp_path):  # noqa: F811
    with Server(binary, tmp_path / "data") as first:
        first.client().make_bucket("own")
        admin = first.admin()
        admin.policy_add("own", policy=policy("own"))
        for name, secret in (("determined", KEY), ("short", "1234567"), ("ab", KEY)):
            admin.user_add(name, secret)
        admin.policy_set("own", "determined")
        assert first.stop()[0] == 0
    with Server(binary, tmp_path / "data") as second:
        listed = json.loads(second.admin().user_list())
        assert [b.name for b in second.client("determined", KEY).list_buckets()] == ["own"]
    recorded = minio_recording.admin_answers()["users now"][1]  # "... (as read after a restart)"
    assert listed == json.loads(recorded.partition(" (")[0].replace("detai", "own"))


def former(user, password):
    return {"MINIO_ROOT_USER_OLD": user, "MINIO_ROOT_PASSWORD_OLD": password}


def pair(user, password):
    return {"MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password}


def refused(call, *arguments):
    with pytest.raises((MinioAdminException, S3Error)) as e:
        call(*arguments)
    return str(e.value)


def test_users_are_sealed_by_the_root_pair_and_the_former_pair_opens_them(binary, tmp_path):  # noqa: F811
    """tests/recordings/minio.md, "Another root pair"; RUNBOOK_MINIO_BIN with the real server holds it as well."""
    data, second = tmp_path / "data", (USER, PASSWORD + "-2")
    with Server(binary, data) as at_first:
        at_first.client().make_bucket("own")
        admin = at_first.admin()
        admin.policy_add("own", policy=policy("own"))
        admin.user_add("determined", KEY)
        admin.policy_set("own", "determined")
    assert (data / ".minio.sys/backend-encrypted").read_text() == "encrypted"
    iam = data / ".minio.sys/config/iam"
    names = ("format.json", "users/determined/identity.json", "policies/own/policy.json")
    assert [name for name in names if (iam / name).read_bytes()[:1] == b"{"] == []
    with Server(binary, data, env=pair(*second)) as another:
        quick = urllib3.PoolManager(timeout=1, retries=False)
        hurried, admin = another.admin(*second, http_client=quick), another.admin(*second)
        assert [b.name for b in another.client(*second).list_buckets()] == ["own"]
        assert "InvalidAccessKeyId" in refused(another.client("determined", KEY).list_buckets)
        assert "XMinioAdminNoSuchUser" in refused(admin.user_info, "determined")
        assert "XMinioAdminNoSuchPolicy" in refused(admin.policy_info, "own")
        for never in (hurried.user_list, hurried.policy_list):
            with pytest.raises(urllib3.exceptions.ReadTimeoutError):
                never()
        admin.user_add("later", KEY)
        admin.policy_add("later", policy=policy("own"))
        admin.policy_set("later", "later")
        assert [b.name for b in another.client("later", KEY).list_buckets()] == ["own"]
    with Server(binary, data) as back:
        until("the user's key", lambda: asked(back.client("determined", KEY).list_buckets)[1].startswith("["))
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            back.admin(http_client=quick).user_list()
    for env in (pair(*second) | former(USER, PASSWORD), pair(*second)):
        with Server(binary, data, env=env) as both:
            users = json.loads(both.admin(*second).user_list())
            assert {name: said["policyName"] for name, said in users.items()} == {"determined": "own", "later": "later"}
            for name in users:
                assert [b.name for b in both.client(name, KEY).list_buckets()] == ["own"]


def test_nobody_but_its_owner_reads_the_keys_on_the_disk(served, tmp_path_factory):
    served.admin().user_add("kept", KEY)
    (data,) = [word for word in served.command if word.endswith("/data")]
    file = Path(data) / ".minio.sys/config/iam/users/kept/identity.json"
    assert file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0
    served.admin().user_remove("kept")
    assert not file.parent.exists()


def test_a_denial_outweighs_a_right_and_whoever_makes_a_bucket_owns_nothing(served):
    admin = served.admin()
    admin.user_add("maker", KEY)
    admin.policy_add("makes", policy=policy("made"))
    admin.policy_add("denies", policy=policy("made", effect="Deny"))
    admin.policy_set("makes", "maker")
    s3 = served.client("maker", KEY)
    s3.make_bucket("made")
    s3.put_object("made", "a", io.BytesIO(b"1"), 1)
    admin.policy_set("makes,denies", "maker")
    assert asked(lambda: s3.get_object("made", "a")) == ("", "403 AccessDenied: Access Denied.")
    assert asked(s3.list_buckets) == ("", "[]")
    admin.user_remove("maker")
    admin.user_add("maker", KEY)
    assert asked(lambda: s3.get_object("made", "a")) == ("", "403 AccessDenied: Access Denied.")
    assert asked(lambda: list(s3.list_objects("nosuch"))) == ("", "403 AccessDenied: Access Denied.")
    assert asked(lambda: list(served.client().list_objects("nosuch")))[1].startswith("404 NoSuchBucket")
