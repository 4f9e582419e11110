"""GitLab's host as a chapter on another host has it."""

from pathlib import Path

import pytest
import stand_in

from helpers.components.gitlab.elsewhere import Elsewhere
from helpers.core.errors import RunbookError
from helpers.core.secrets import SecretStore
from helpers.core.target import Target

HERS = "ssh://u@b"


@pytest.fixture
def two(monkeypatch, own_home):
    """The chapter on this machine, and GitLab on another one."""
    SecretStore("local").keep("word", "of-the-platform")
    SecretStore(Target.parse(HERS).slug).keep("word", "of-gitlabs-host")
    here, there = (lambda script, stdin, said=said: said for said in ("here", "there"))
    ch = stand_in.chapter(monkeypatch, "gitlab_runner", here, over_ssh=there, gitlab_target=HERS)
    return ch, Elsewhere(ch, HERS)


def test_the_other_hosts_secrets_and_commands_are_its_own(two):
    ch, there = two
    assert there.secret("word").reveal() == "of-gitlabs-host" and ch.secrets.find("word").reveal() == "of-the-platform"
    assert (there.host.name, there.run("hostname")) == (HERS, "there")
    assert (ch.host.name, ch.run("hostname")) == ("local", "here")
    assert "of-gitlabs-host" not in ch.masker.mask("it is of-gitlabs-host")


def test_a_secret_of_the_platform_is_none_of_the_other_host(two):
    ch, there = two
    ch.secrets.keep("only-here", "a-word-of-here")
    with pytest.raises(RunbookError, match="only-here") as e:
        there.secret("only-here").reveal()
    assert e.value.host == HERS and f"--target gitlab={HERS}" in e.value.do


def test_its_connection_ends_with_the_chapter(two):
    ch, there = two
    connection = Path(there.host._connection.socket)
    assert connection.exists()
    ch.close()
    assert not connection.exists()
