"""A remove with other parameters than the install had: refused before its first undo, by what the note names."""

import json
import os

import pytest
import stand_in

from helpers.components import minio, postgres
from helpers.components.addons.addons import things as of_addons
from helpers.components.determined.install import Install
from helpers.components.determined.master import Determined
from helpers.components.label_studio.program import things as of_label_studio
from helpers.components.pachyderm.client import Pachyderm
from helpers.components.pachyderm.deployment import Deployment
from helpers.core import actions, notes
from helpers.core.errors import BadInput
from helpers.core.verdict import Verdict

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a chapter is root on its host")

ADOPTED = {"place /var/lib/postgresql": "there"}


@pytest.fixture
def host(tmp_path, program, monkeypatch, own_home):
    """A host on which whatever is asked for is there, until the file `gone` is; an undo makes the file `undone`."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    users = tmp_path / "buckets/.minio.sys/config/iam/users/pachyderm"
    for folder in (tmp_path / "buckets/pachyderm", users, tmp_path / "data"):
        folder.mkdir(parents=True)
    (users / "identity.json").write_text("{}")
    (tmp_path / "data/object").write_text("x")
    (tmp_path / "minio").write_text(f'MINIO_VOLUMES="{tmp_path}/buckets"\n')
    monkeypatch.setenv("MINIO", str(tmp_path / "minio"))
    answers = {
        "microk8s": f"[ -e {tmp_path}/gone ] || echo namespace/it",
        "systemctl": "echo LoadState=not-found",
        "pg_lsclusters": "echo '13 main 5432 online'; echo '15 main 5433 online'",
        "runuser": f"[ -e {tmp_path}/gone ] || echo there",
    }
    for name, script in answers.items():
        program(name, script)
    return tmp_path


def removing(host, chapter, given, noted, named):
    """The chapter in mode remove, with a note of these {thing: what it was} and a step of those things.

    named: these, or what a chapter names.
    """
    lines = (
        '{{"kind": "{}", "name": "{}", "before": "{}"}}'.format(*thing.split(), was) for thing, was in noted.items()
    )
    note = host / "state" / f"{chapter}.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(f'{{"chapter": "{chapter}", "things": [\n' + ",\n".join(lines) + "\n]}\n")
    json.loads(note.read_text())
    ch = stand_in.opened(chapter, "remove", **given)
    ch.own.first_sight(named(ch) if callable(named) else named)
    ch.step("it is there", actions.Action("x", "true", "true", f"touch {host}/undone", f"[ -e {host}/undone ]"))
    return ch


def away(*things):
    return dict.fromkeys(things, "away")


def of_pachyderm(ch):
    return Deployment(Pachyderm(ch), None, store="local").things()


def of_determined(ch):
    return Install(Determined(ch, namespace=ch.values["namespace"])).things(None)


CASES = {
    "namespace of 08": (
        "determined",
        {"namespace": "training"},
        away("namespace determined"),
        of_determined,
        "namespace determined; your parameters say namespace training",
        "-p determined.namespace=determined",
    ),
    "default namespace of 08": (
        "determined",
        {},
        away("namespace training"),
        of_determined,
        "namespace training; your parameters say namespace determined",
        "its install: -p determined.namespace=training\n",
    ),
    "database of 08": (
        "determined",
        {"namespace": "training"},
        away("namespace training", "database 5432/determined", "role 5432/determined"),
        of_determined,
        "database 5432/determined; your parameters say nothing of it",
        "Give the parameters of its install.",
    ),
    "bucket of 07": (
        "pachyderm",
        {"object_store": "local"},
        away("namespace pachyderm", "bucket pachyderm", "miniouser pachyderm"),
        of_pachyderm,
        "bucket pachyderm; your parameters say nothing of it",
        "Give the parameters of its install.",
    ),
    "port of 06, taken over": (
        "postgres",
        {"port": 5433},
        {**ADOPTED, **away("database 5432/runbook", "role 5432/runbook")},
        postgres.things(5433, ["runbook"]),
        "database 5432/runbook; your parameters say database 5433/runbook",
        "-p postgres.port=5432",
    ),
    "a database of 06, taken over": (
        "postgres",
        {"databases": ["other"]},
        {**ADOPTED, **away("database 5432/runbook", "role 5432/runbook")},
        postgres.things(5432, ["other"]),
        "role 5432/runbook; your parameters say role 5432/other",
        "Give the parameters of its install.",
    ),
    "folder of 05": (
        "minio",
        {"data_dir": "/srv/other"},
        away("folder {host}/data"),
        minio.things("/srv/other"),
        "folder {host}/data; your parameters say folder /srv/other",
        "-p minio.data_dir={host}/data",
    ),
    "database of 10": (
        "label_studio",
        {"database": "sqlite"},
        away("database 5432/labelstudio"),
        of_label_studio(None),
        "database 5432/labelstudio; your parameters say nothing of it",
        "Give the parameters of its install.",
    ),
    "registry of 04": (
        "addons",
        {"registry": False},
        away("namespace metallb-system", "namespace container-registry"),
        of_addons(False, False, False),
        "namespace container-registry; your parameters say namespace metallb-system",
        "Give the parameters of its install.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_note_names_and_the_parameters_do_not_is_refused_before_anything_goes(host, case):
    """Another namespace than installed was `removed`, the note went, and the database of a living master."""
    chapter, given, noted, named, saw, do = CASES[case]
    noted = {thing.format(host=host): was for thing, was in noted.items()}
    ch = removing(host, chapter, given, noted, named)
    note = (host / "state" / f"{chapter}.json").read_text()
    with pytest.raises(BadInput) as e:
        ch.verdict()
    assert f"this chapter made {saw.format(host=host)}" in e.value.saw
    assert "Nothing was removed" in e.value.do and do.format(host=host) in e.value.do
    assert not (host / "undone").exists() and (host / "state" / f"{chapter}.json").read_text() == note


def test_what_is_gone_by_now_or_goes_with_a_step_or_was_there_before_is_not_asked_for(host):
    (host / "gone").touch()
    removing(host, "determined", {}, away("namespace before"), ["namespace determined"]).verdict()
    (host / "gone").unlink()
    removing(host, "determined", {}, {"namespace before": "there"}, []).verdict()
    ch = removing(host, "pachyderm", {}, away("bucket pachyderm"), [])
    gone = f"rm -r {host}/buckets/pachyderm"
    ch.step("the bucket", actions.Action("x", "true", "true", gone, makes=["bucket pachyderm"]))
    ch.verdict()
    assert not (host / "state").exists(), "each of them took its note along"


def test_databases_go_with_a_postgresql_of_our_own_whatever_they_are_named(host):
    noted = away("place /var/lib/postgresql", "database 5432/more", "role 5432/more")
    ch = removing(host, "postgres", {}, noted, postgres.things(5432, ["runbook"]))
    ch.own.refuse_other_names()
    noted = away("database 5432/more")
    with pytest.raises(BadInput):
        removing(host, "postgres", {}, noted, postgres.things(5432, ["runbook"])).own.refuse_other_names()


def test_what_cannot_be_told_is_refused_too(host, program):
    program("microk8s", "echo It was refused; exit 1")
    ch = removing(host, "determined", {}, away("namespace before"), ["file /no/such"])
    with pytest.raises(BadInput, match="other names") as e:
        ch.verdict()
    assert "cannot tell: microk8s kubectl get namespace before: It was refused" in e.value.saw
    assert not (host / "undone").exists()


@pytest.mark.parametrize(
    "thing", ["namespace x", "database 5432/x", "role 5432/x", "bucket pachyderm", "miniouser pachyderm"]
)
def test_what_an_undo_left_keeps_the_note(host, thing):
    ch = removing(host, "determined", {}, away(thing), [thing])
    with pytest.raises(Verdict) as e:
        ch.verdict()
    assert f"made by this chapter, and still here: {thing}" in e.value.saw
    assert (host / "state/determined.json").exists()
