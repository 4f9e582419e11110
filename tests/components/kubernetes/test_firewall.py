"""ufw on the host: its own words, as version 0.36.2 printed them, and the lines that chapters and pages name."""

import re
import subprocess

import programs
import pytest
import stand_in

from helpers.components.kubernetes import firewall
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.probes import NOT_INSTALLED
from helpers.components.kubernetes.proofs import Proofs
from helpers.core.errors import Unmet
from helpers.core.paths import REPO

SHUT = "on\npolicy INPUT DROP\npolicy FORWARD DROP\nrule allow 22/tcp\n"
TO_HOST, THROUGH = "sudo ufw allow from 10.1.0.0/16", "sudo ufw route allow from 10.1.0.0/16"


@pytest.fixture
def ufw(tmp_path):
    """What ufw.sh prints, on a host whose ufw says this of itself, and whose settings file has these policies."""

    def run(status, added=(), code=0, policy="DROP"):
        (tmp_path / "default").write_text(
            '# of the host\nIPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n'
            f'DEFAULT_FORWARD_POLICY="{policy}"\nMANAGE_BUILTINS=no\n'
        )
        rules = "".join(f"ufw {rule}\n" for rule in added)
        programs.put(
            tmp_path,
            "ufw",
            f"case $1 in status) echo '{status}'; exit {code};; esac\n"
            "echo \"Added user rules (see 'ufw status' for running firewall):\"\n"
            f"cat <<'END'\n{rules}END",
        )
        text = firewall.script(firewall._SCRIPT).replace("/etc/default/ufw", str(tmp_path / "default"))
        path = f"PATH={tmp_path}:$PATH\n"
        return subprocess.run(["bash", "-euo", "pipefail", "-c", path + text], stdout=-1, text=True, check=True).stdout

    return run


def test_a_ufw_that_lets_ssh_in_alone_shuts_pods_out_and_both_lines_are_named(ufw):
    said = ufw("Status: active", ["allow 22/tcp"])
    assert said == SHUT
    assert firewall.why_shut(said) == f"ufw is on, and shuts pods out. On the host: {TO_HOST}; {THROUGH}"


def test_the_lines_that_are_named_are_those_that_help(ufw):
    typed = [line.replace("sudo ufw ", "") for line in firewall.lines()]
    assert firewall.why_shut(ufw("Status: active", typed)) is None
    assert firewall.why_shut(ufw("Status: active", typed[:1])).endswith("On the host: " + THROUGH)
    assert firewall.why_shut(ufw("Status: active", typed[1:])).endswith("On the host: " + TO_HOST)


def test_a_ufw_that_is_off_or_away_shuts_nobody_out(ufw):
    for said in ("", ufw("Status: inactive", ["allow 22/tcp"])):
        assert said == "" and firewall.why_shut(said) is None and not firewall.is_on(said)


def test_a_ufw_that_cannot_be_asked_is_no_yes(ufw):
    said = ufw("ERROR: problem running iptables", code=1)
    assert firewall.why_shut(said) == "ufw does not say whether it is on: ERROR: problem running iptables"


def test_an_allowed_forward_policy_needs_no_line_for_what_is_routed(ufw):
    assert firewall.why_shut(ufw("Status: active", policy="ACCEPT")).endswith("On the host: " + TO_HOST)


@pytest.mark.parametrize(
    "rule",
    [
        "allow from 10.1.0.0/16",
        "allow from 10.0.0.0/8",
        "allow log from 10.1.0.0/16",
        "allow to any",
        "allow in on cali+",
        "allow in on cali+ from 10.1.0.0/16 comment 'it is pods'",
    ],
)
def test_another_rule_for_all_that_pods_send_does_as_well(rule):
    assert firewall.why_shut(f"{SHUT}rule {rule}\nrule route {rule}\n") is None


@pytest.mark.parametrize(
    "rule",
    [
        "deny from 10.1.0.0/16",
        "allow from 10.1.2.0/24",
        "allow from 10.1.0.0/16 to any port 9000 proto tcp",
        "allow out on cali+",
        "allow in on eth0",
        "allow from fd00::/8",
    ],
)
def test_a_rule_for_less_than_that_does_not(rule):
    assert firewall.why_shut(f"{SHUT}rule {rule}\nrule route {rule}\n").count("sudo ufw") == 2


@pytest.fixture
def chapter(monkeypatch, own_home):
    """chapter(said, ...): the chapter on a host whose ufw says this. in_pod: what a pod's command prints."""

    def on(said, installed=False, in_pod=""):
        def answer(script, stdin):
            if script.startswith("microk8s kubectl "):
                printed = {"exec": in_pod, "get": "default-token-x" if "serviceaccount" in script else ""}
                return printed.get(script.split()[2], "")
            return {NOT_INSTALLED: (int(installed), "", ""), firewall.script(firewall._SCRIPT): said}.get(script, "")

        return stand_in.chapter(monkeypatch, "kubernetes", answer)

    return on


def test_a_host_that_has_its_cluster_is_not_refused_for_want_of_a_line(chapter):
    assert firewall.why_shuts_pods_out(chapter(SHUT)) and firewall.why_shuts_pods_out(chapter(SHUT, True)) is None


def test_a_pod_that_does_not_reach_the_host_is_told_with_the_lines(chapter):
    with pytest.raises(Unmet) as e:
        firewall.lets_pods_in(Proofs(Kube(chapter(SHUT, in_pod="out"))))
    assert e.value.saw == f"no answer of the host. ufw is on, and shuts pods out. On the host: {TO_HOST}; {THROUGH}"
    assert firewall.lets_pods_in(Proofs(Kube(chapter(SHUT, in_pod="in")))) is None


def test_what_is_told_of_a_ufw_that_has_the_lines_and_of_one_that_is_off(chapter):
    lets = SHUT + "".join(f"rule {line[9:]}\n" for line in firewall.lines())
    assert "a rule before those" in firewall.told(chapter(lets)) and firewall.told(chapter("")) == ""


def test_every_line_for_ufw_in_the_book_is_one_of_these():
    """One place has them; what is typed beside them is known by name."""
    beside = {"sudo ufw allow 22/tcp", "sudo ufw enable", "sudo ufw default allow routed"}
    beside.add("sudo ufw allow 80/tcp")  # GitLab's
    beside.add("sudo ufw allow from 192.168.1.0/24 to any port 16443 proto tcp")
    texts = [page.read_text() for page in (REPO / "book").glob("*.md") if page.name != "changes.md"]
    texts += [page.read_text() for page in (REPO / "notebooks").glob("*.ipynb")]
    named = {line for text in texts for line in re.findall(r"`(sudo ufw [^`]*)`", text)}
    assert named - beside == set(firewall.lines()) == {TO_HOST, THROUGH}
