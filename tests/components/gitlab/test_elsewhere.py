"""GitLab's host as a chapter on another host has it."""

from types import SimpleNamespace

import pytest
import stand_in

from helpers.components.gitlab.elsewhere import Elsewhere
from helpers.core import in_cluster
from helpers.core.errors import RunbookError
from helpers.core.secrets import SecretStore
from helpers.core.target import Target

HERS = "ssh://u@b"


@pytest.fixture
def two(monkeypatch, own_home):
    """The chapter on this machine, GitLab on another one, and what was done to that host's connection."""
    SecretStore("local").keep("word", "of-the-platform")
    SecretStore(Target.parse(HERS).slug).keep("word", "of-gitlabs-host")
    ch, done = stand_in.chapter(monkeypatch, "gitlab_runner", lambda *_: "here", gitlab_target=HERS), []

    def host(target, masker, line):
        run = lambda script, **how: SimpleNamespace(out="there")  # noqa: E731
        ends = {"connect": lambda: done.append("connected"), "close": lambda: done.append("closed")}
        return SimpleNamespace(name=str(target), run=run, **ends)

    monkeypatch.setattr(in_cluster, "host", host)
    return ch, Elsewhere(ch, HERS), done


def test_the_other_hosts_secrets_and_commands_are_its_own(two):
    ch, there, _ = two
    assert there.secret("word").reveal() == "of-gitlabs-host" and ch.secrets.find("word").reveal() == "of-the-platform"
    assert (there.host.name, there.run("hostname"), ch.host.name) == (HERS, "there", "local")
    assert "of-gitlabs-host" not in ch.masker.mask("it is of-gitlabs-host")


def test_a_secret_of_the_platform_is_none_of_the_other_host(two):
    ch, there, _ = two
    ch.secrets.keep("only-here", "a-word-of-here")
    with pytest.raises(RunbookError, match="only-here") as e:
        there.secret("only-here").reveal()
    assert e.value.host == HERS and f"--target gitlab={HERS}" in e.value.do


def test_its_connection_ends_with_the_chapter(two):
    ch, _, done = two
    assert done == ["connected"]
    ch.close()
    assert done == ["connected", "closed"]
