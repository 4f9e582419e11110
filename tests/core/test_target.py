"""Targets as people write them, and what is refused."""

import json

import pytest

from helpers.core.errors import BadInput, RunbookError
from helpers.core.target import Target


@pytest.mark.parametrize(
    "text, kind, user, address, port",
    [
        ("local", "local", None, "127.0.0.1", 22),
        ("sandbox", "sandbox", None, None, 22),
        ("ssh://ubuntu@10.0.0.5", "ssh", "ubuntu", "10.0.0.5", 22),
        ("ssh://10.0.0.5/", "ssh", None, "10.0.0.5", 22),
        ("ssh://me@gpu-1.example.org:2222", "ssh", "me", "gpu-1.example.org", 2222),
        ("ssh://me@[fd00::1]:2222", "ssh", "me", "fd00::1", 2222),
        ("ssh://an_alias", "ssh", None, "an_alias", 22),
    ],
)
def test_forms(text, kind, user, address, port):
    target = Target.parse(text)
    assert (target.kind, target.user, target.address, target.port, str(target)) == (kind, user, address, port, text)


def test_a_sandbox_has_a_name():
    assert Target.parse("sandbox").name == "sandbox" and Target.parse("sandbox:test").name == "test"


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        7,
        ["local"],
        "somewhere",
        "ubuntu@10.0.0.5",
        "http://10.0.0.5",
        "ssh://",
        "ssh://host/path",
        "ssh://host?x=1",
        "ssh://host#x",
        "ssh://host:0",
        "ssh://host:99999",
        "ssh://host:ssh",
        "ssh://-oProxyCommand=id",
        "ssh://ho st",
        "ssh://-l@host",
        "ssh://$(id)@host",
        "ssh://a;b",
        "sandbox:Bad",
        "sandbox:../x",
        "sandbox:" + "x" * 17,
        "sandbox:1",
        "local:x",
        "ssh://[::1",
        "ssh://root@[fe80::1%a b;c'd]",
        "ssh://root@[fe80::1%$(id)]",
    ],
)
def test_anything_else_is_refused_with_the_forms(text):
    with pytest.raises(BadInput) as e:
        Target.parse(text)
    assert "ssh://user@host[:port], local, sandbox" in e.value.do


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(BadInput) as e:
        Target.parse("ssh://me:hunter2@host")
    assert "hunter2" not in str(e.value) and "ssh-copy-id me@host" in e.value.do


def test_two_hosts_never_share_files_here_and_one_host_always_does():
    texts = [
        "local",
        "sandbox",
        "sandbox:test",
        "ssh://local",
        "ssh://sandbox",
        "ssh://sandbox-test",
        "ssh://a-b@c",
        "ssh://a@b-c",
        "ssh://a@b:22022",
        "ssh://A@b",
        "ssh://a@b",
        "ssh://a@[fd00::1]",
        "ssh://a@fd00--1",
    ]
    slugs = {Target.parse(t).slug for t in texts}
    assert len(slugs) == len(texts) and not any("/" in s or s.startswith(".") for s in slugs)
    assert Target.parse("sandbox:sandbox").slug == Target.parse("sandbox").slug
    assert Target.parse("ssh://a@B:22/").slug == Target.parse("ssh://a@b").slug


def test_a_sandboxes_endpoint_is_what_its_last_up_wrote(own_home):
    target = Target.parse("sandbox:test")
    with pytest.raises(RunbookError) as e:
        target.endpoint()
    assert e.value.saw == "there is none" and e.value.do == "./runbook sandbox up --name test"
    file = own_home / "sandbox/test/endpoint.json"
    file.parent.mkdir(parents=True)
    known = {"user": "u", "address": "a", "port": 22, "key": "/k", "known_hosts": "/h", "mirror_url": "http://m"}
    file.write_text(json.dumps(known))
    assert target.endpoint()._asdict() == {**known, "authority": ""}, "no rehearsal of upstream"
    file.write_text(json.dumps({**known, "authority": "/ca"}))
    assert target.endpoint().authority == "/ca"
