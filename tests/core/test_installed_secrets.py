"""No install gives a host new secrets unasked: two operators, or one whose own value is missing the next day."""

import os
import stat
from pathlib import Path

import pytest
import stand_in

from helpers.core import installed_secrets, notes
from helpers.core.actions import Action
from helpers.core.errors import BadInput
from helpers.core.secrets import SecretStore
from helpers.core.verdict import Verdict

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a chapter is root on its host")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The settings file of a server on the host, which has the secret; the host's notes are of this test's own."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    monkeypatch.delenv(installed_secrets.TAKE_OVER, raising=False)
    return tmp_path / "settings"


@pytest.fixture
def sits_at(tmp_path, monkeypatch):
    """Sit at a machine of this name: sits_at("anns")."""
    return lambda name: monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / name))


def run(settings, mode="install", chapter="minio", mine=True, before=lambda ch: None):
    """A chapter whose one step is that file."""
    ch = stand_in.opened(chapter, mode)
    before(ch)
    secret = ch.secret("minio-root", mine=mine)
    ch.step("the server has its password", ch.file(str(settings), f"PASSWORD={secret}\n", "0600"))
    ch.verdict()
    return secret.reveal()


def noted():
    return {p.name: p.read_text() for p in Path(notes.STATE, "secrets").glob("*")}


def test_the_second_operator_is_told_whose_it_is_and_nothing_changes(settings, sits_at):
    sits_at("anns")
    value = run(settings)
    before = settings.read_text(), noted()
    assert value in before[0] and list(before[1]) == ["minio-root"] and value not in before[1]["minio-root"]
    assert stat.S_IMODE(Path(notes.STATE, "secrets", "minio-root").stat().st_mode) == 0o600
    sits_at("bobs")
    for mine, chapter in ((True, "minio"), (False, "pachyderm")):
        with pytest.raises(BadInput) as e:
            run(settings, chapter=chapter, mine=mine)
        assert "installed on 2" in e.value.saw and "this machine has none" in e.value.saw
        assert "RUNBOOK_SECRET_MINIO_ROOT=" in e.value.do and "--take-over" in e.value.do
    assert (settings.read_text(), noted()) == before and SecretStore("local").names() == []
    SecretStore("local").get("minio-root")
    with pytest.raises(BadInput, match="use the secret minio-root") as e:
        run(settings)
    assert "this machine has another one" in e.value.saw and (settings.read_text(), noted()) == before


def test_the_first_ones_value_or_take_over_lets_the_second_one_in(settings, sits_at, monkeypatch):
    sits_at("anns")
    value = run(settings)
    sits_at("bobs")
    monkeypatch.setenv("RUNBOOK_SECRET_MINIO_ROOT", value)
    before = noted()
    assert run(settings) == value and noted() == before
    monkeypatch.delenv("RUNBOOK_SECRET_MINIO_ROOT")
    monkeypatch.setenv(installed_secrets.TAKE_OVER, "yes")
    another = run(settings)
    assert another != value and another in settings.read_text() and noted() != before
    monkeypatch.delenv(installed_secrets.TAKE_OVER)
    assert run(settings) == another
    sits_at("anns")
    with pytest.raises(BadInput):
        run(settings)


def test_a_value_of_the_environment_that_is_missing_the_next_day_is_not_made_anew(settings, sits_at, monkeypatch):
    sits_at("anns")
    monkeypatch.setenv("RUNBOOK_SECRET_MINIO_ROOT", "given-by-a-person")
    run(settings)
    monkeypatch.delenv("RUNBOOK_SECRET_MINIO_ROOT")
    with pytest.raises(BadInput):
        run(settings)
    assert "given-by-a-person" in settings.read_text()


def test_a_host_of_an_older_runbook_gets_its_note_at_the_next_install(settings, sits_at):
    sits_at("anns")
    value = SecretStore("local").get("minio-root").reveal()
    settings.write_text(f"PASSWORD={value}\n")
    settings.chmod(0o600)
    assert run(settings, "verify") == value and noted() == {}, "who changes nothing notes nothing"
    run(settings)
    before = noted()
    run(settings)
    assert list(before) == ["minio-root"] and noted() == before, "a second install leaves it as it is"
    sits_at("bobs")
    run(settings, "plan"), run(settings, "remove")


def test_an_install_that_fails_has_noted_them_before_its_change_and_one_that_was_refused_has_not(settings, sits_at):
    def refuse(ch):
        ch.secret("minio-root")
        ch.require("it can be", "false", do="Never.")

    sits_at("anns")
    with pytest.raises(BadInput, match="it can be"):
        run(settings, before=refuse)
    assert noted() == {}
    settings.mkdir()  # no file can be written there
    with pytest.raises(Exception, match=str(settings)):
        run(settings)
    assert list(noted()) == ["minio-root"]


def test_remove_forgets_it_on_the_host_too_and_what_is_left_of_others_stays(settings, sits_at):
    sits_at("anns")
    run(settings)
    run(settings, before=lambda ch: ch.secret("kiali"))
    assert sorted(noted()) == ["kiali", "minio-root"]
    run(settings, "remove")
    assert list(noted()) == ["kiali"] and SecretStore("local").names() == ["kiali"]
    run(settings, before=lambda ch: ch.secret("kiali"))
    run(settings, "remove", before=lambda ch: ch.secret("kiali"))
    assert not Path(notes.STATE).exists()
    sits_at("bobs")
    run(settings)


def test_a_remove_that_fails_forgets_none(settings, sits_at):
    sits_at("anns")
    run(settings)
    with pytest.raises(Verdict):
        run(settings, "remove", before=lambda ch: ch.step("x", Action("true", "true", "true", "true", "false")))
    assert list(noted()) == ["minio-root"] == SecretStore("local").names()


def test_a_persons_own_for_another_service_may_change(settings, sits_at, monkeypatch):
    sits_at("anns")
    monkeypatch.setenv("RUNBOOK_SECRET_DOCKER_HUB", "the-first-token")
    run(settings, before=lambda ch: ch.secret("docker-hub", guarded=False))
    monkeypatch.setenv("RUNBOOK_SECRET_DOCKER_HUB", "the-second-token")
    run(settings, before=lambda ch: ch.secret("docker-hub", guarded=False))
    assert list(noted()) == ["minio-root"]
