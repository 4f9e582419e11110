"""The SSH entry that chapter 02 writes, for a target that only the person's own SSH settings know."""

import subprocess

import pytest

from helpers.components.network.proofs import RouteProofs
from helpers.components.network.ssh_route import SshRoute
from helpers.core import by_hand
from helpers.core.chapter import Chapter
from helpers.core.errors import Unmet
from helpers.core.verdict import Verdict


@pytest.fixture
def config(box, tmp_path, monkeypatch):
    path = tmp_path / "ssh_config"
    path.write_text(
        f"Host machine\n HostName {box.address}\n User ubuntu\n HostKeyAlias {box.address}\n"
        f" IdentityFile {box.key}\n IdentitiesOnly yes\n UserKnownHostsFile {box.known_hosts}\n"
    )
    monkeypatch.setenv("RUNBOOK_SSH_CONFIG", str(path))
    return path


def opened(target, mode="install", alias="mlops"):
    ch = Chapter.open("network", {"target": target, "mode": mode, "alias": alias})
    return ch, SshRoute(ch, alias, 9999)


def test_the_entry_leads_to_a_target_that_is_an_alias(box, config, own_home):
    ch, way = opened("ssh://machine")
    ch.step("the SSH configuration knows mlops", way.entry())
    RouteProofs(way).alias_works()
    text = (own_home / "ssh" / "config").read_text()
    assert "HostName " + box.address in text and "HostKeyAlias" in text and "DynamicForward 127.0.0.1:9999" in text
    assert (own_home / "ssh" / "config").stat().st_mode & 0o777 == 0o600
    ch.verdict()
    ch.host.close()


def test_entries_of_other_aliases_stay_and_remove_takes_only_its_own(config, own_home, capsys):
    for alias in ("one", "two", "one"):
        ch, way = opened("ssh://machine", alias=alias)
        ch.step("known", way.entry())
        ch.verdict()
    text = (own_home / "ssh" / "config").read_text()
    assert text.count("Host one\n") == text.count("Host two\n") == 1
    capsys.readouterr()
    ch, way = opened("ssh://machine", "verify", alias="one")
    ch.step("known", way.entry())
    ch.verdict()
    ch, way = opened("ssh://machine", "remove", alias="one")
    ch.step("known", way.entry())
    ch.verdict()
    text = (own_home / "ssh" / "config").read_text()
    assert "Host one\n" not in text and "Host two\n" in text
    ch, way = opened("ssh://machine", "verify", alias="one")
    ch.step("known", way.entry())
    with pytest.raises(Verdict) as e:
        ch.verdict()
    assert "no entry" in e.value.saw
    ch.host.close()


def test_an_entry_that_leads_elsewhere_is_found(config, own_home):
    ch, way = opened("ssh://machine")
    ch.step("known", way.entry())
    file = own_home / "ssh" / "config"
    file.write_text(file.read_text().replace("DynamicForward", "ProxyCommand false\n    DynamicForward"))
    with pytest.raises(Unmet):
        RouteProofs(way).alias_works()
    by_hand.end(ch.host)  # it comes to no verdict
    ch.host.close()


def test_the_sandboxes_entry_needs_no_settings_of_the_person(box, target, own_home):
    own_home.mkdir()
    (own_home / "sandbox").symlink_to(box.dir.parent)
    ch, way = opened(target)
    ch.step("known", way.entry())
    RouteProofs(way).alias_works()
    done = subprocess.run(
        ["ssh", "-G", "-F", str(own_home / "ssh" / "config"), "mlops"], stdout=subprocess.PIPE, text=True
    )
    assert "identitiesonly yes" in done.stdout and "stricthostkeychecking true" in done.stdout
    ch.verdict()
    ch.host.close()
