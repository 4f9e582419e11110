"""A chapter inside the cluster: what needs the host is left out, what does not is verified, and nothing is made up."""

import contextlib
import json

import pytest

from helpers.core import in_cluster, notebooks, parameters
from helpers.core.chapter import Chapter
from helpers.core.errors import BadInput, OutOfReach, Unmet
from helpers.core.secrets import SecretStore
from helpers.core.verdict import Verdict

CHAPTERS = ("minio", "pachyderm", "determined", "seldon", "label_studio")
SECRETS = (
    "minio-root",
    "minio-pachyderm",
    "minio-determined",
    "minio-seldon",
    "determined-admin",
    "determined-determined",
    "determined-operator",
    "determined-db",
)


@pytest.fixture
def pod(monkeypatch, own_home, tmp_path):
    """This process as in a pod whose host has no service, with the platform's secrets; its events, as a function."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.152.183.1")
    monkeypatch.setenv(in_cluster.ADDRESS, "127.0.0.1")
    monkeypatch.setenv("RUNBOOK_EVENTS", str(tmp_path / "events"))
    for name in (*SECRETS, "label-studio-password", "label-studio-key"):
        SecretStore("incluster").get(name)

    def told(kind):
        events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
        return [e for e in events if e["kind"] == kind and e.get("state") != "begin"]

    return told


def opened(name="minio", **more):
    return Chapter.open(name, {"target": "incluster", "mode": "verify", **more})


def run(name, **more):
    """Run a chapter's cells as papermill does, on a host where nothing listens."""
    given = {"target": "incluster", "mode": "verify", "minio_port": 1, "port": 1, **more}
    book, values = notebooks.find(name), {}
    for source in book.code():
        exec(compile(source, name, "exec"), values)
        values.update({k: v for k, v in given.items() if k in book.parameters})


# -- steps, checks, the verdict -----------------------------------------------------------------------------


def test_what_needs_the_host_is_left_out_and_counted_apart(pod, capsys):
    ch = opened()
    ch.step("asked by a script", "true", probe="true")
    ch.step("asked by an API", ch.action("x", lambda: None, "true"))
    ch.check("proved on the host", ch.run, "true")
    ch.check("proved by an API", lambda: "as it should be")
    ch.check("proved by a restart", lambda: None, changes=True)
    ch.verdict()
    said = capsys.readouterr().out
    assert "‹-› asked by a script ‹needs the host›" in said and "‹-› proved on the host ‹needs the host›" in said
    assert "2 steps and checks verified; 2 left out" in said
    assert [(e["title"], e["state"], e["seen"]) for e in pod("check")] == [
        ("proved on the host", "left out", "needs the host"),
        ("proved by an API", "ok", "as it should be"),
        ("proved by a restart", "left out", "it would change the target"),
    ]
    for told in [*pod("step"), *pod("check")]:  # what the record has is what the cell says, and so the site
        if told["state"] == "left out":
            assert "{} ‹{}›".format(told["title"], told.get("note") or told["seen"]) in said


@pytest.mark.parametrize("steps", [0, 1])
def test_a_chapter_of_which_no_check_could_be_made_fails(pod, steps):
    ch = opened()
    for _ in range(steps):
        ch.step("asked by an API", ch.action("x", lambda: None, "true"))
    ch.check("proved on the host", ch.run, "true")
    with pytest.raises(Verdict, match="verify chapter minio") as e:
        ch.verdict()
    assert "none of its checks could be made from here" in e.value.saw


def test_a_failure_is_one_beside_what_is_left_out(pod):
    ch = opened()
    ch.check("proved on the host", ch.run, "true")
    ch.check("proved by an API", lambda: "as it should be")

    def bad():
        raise Unmet("an answer", "none")

    ch.check("another", bad)
    with pytest.raises(Verdict, match="1 of 3 do not hold") as e:
        ch.verdict()
    assert "./runbook up --only minio" in e.value.do and "mode=install" not in e.value.do, "here nothing is installed"


def test_a_probe_that_was_cut_short_by_the_missing_host_is_not_a_no(pod, capsys):
    ch = opened()
    ch.step("asked of both", ch.action("x", lambda: ch.run("true"), "true"))
    assert "‹-› asked of both" in capsys.readouterr().out
    ch.close()


# -- who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["install", "plan", "remove"])
def test_it_only_verifies(pod, mode):
    with pytest.raises(BadInput, match="in mode " + mode):
        opened(mode=mode)


def test_it_is_for_a_pod_that_knows_its_host(pod, monkeypatch, tmp_path):
    monkeypatch.setattr(in_cluster, "PLACE", tmp_path)
    monkeypatch.delenv(in_cluster.ADDRESS)
    with pytest.raises(BadInput) as e:
        opened()
    assert "address is not known" in e.value.saw and "notebook --verify" in e.value.do
    (tmp_path / "address").write_text("10.0.1.1\n")
    with opened().host.way(9000) as way:
        assert way == ("10.0.1.1", 9000)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(BadInput, match="incluster"):
        opened()


def test_a_secret_that_was_not_given_is_not_made_up(pod):
    ch = opened()
    with pytest.raises(BadInput, match="use the secret postgres-mlflow"):
        ch.secret("postgres-mlflow")
    assert SecretStore("incluster").find("postgres-mlflow") is None
    assert ch.secret("minio-root").reveal() == SecretStore("incluster").get("minio-root").reveal()


def test_services_are_reached_directly(pod):
    from helpers.components.pachyderm.client import Pachyderm

    ch = opened()
    assert Pachyderm(ch).way(30650) == ("pachd.pachyderm.svc.cluster.local", 30650)
    for means in (ch.host.forward(1), ch.host.socks()):
        with pytest.raises(OutOfReach), means:
            pass
    with pytest.raises(OutOfReach):
        ch.host.probe({0: "true"})


def test_where_things_came_from_is_not_known(pod):
    assert {e["fidelity"] for e in [opened().artifact("minio")] and pod("artifact")} == {"unknown"}


def test_a_notebook_has_the_parameters_of_the_last_run(own_home):
    for n in notebooks.load_all().values():
        source = next(s for s in n.code() if s.startswith("target = "))
        values = {p.name: p.default for p in n.parameters.values()}
        same = {p.name: p for p in parameters.read(parameters.filled(source, values))}
        assert same == n.parameters, "nothing but quotes and spaces differs"
    given = {"port": 9010, "buckets": ["a", "b"], "adopt": True, "target": "incluster"}
    source = next(s for s in notebooks.find("minio").code() if s.startswith("target = "))
    found = {p.name: p.default for p in parameters.read(parameters.filled(source, given))}
    assert {name: found[name] for name in given} == given and found["console_port"] == 9001


# -- the five chapters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHAPTERS)
def test_where_no_service_answers_no_check_holds(pod, monkeypatch, name):
    """Each runs to its verdict, which is a failure: no proof of it is one that holds of itself."""
    import socket

    known = socket.getaddrinfo

    def nowhere(host, *rest, **how):
        if str(host).endswith(".svc.cluster.local"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *rest, **how)

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(Verdict):
        run(name)
    states = {e["title"]: e["state"] for e in pod("check")}
    assert states and "ok" not in states.values() and "proved" not in states.values(), states
    assert [e["state"] for e in pod("step") if e["state"] == "ok"] == []
    assert "failed" in states.values(), "something of it is verified from here"
    with contextlib.suppress(KeyError):
        assert states["the network does not reach it"] == "left out"
