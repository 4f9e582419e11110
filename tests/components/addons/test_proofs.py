"""What proves the add-ons, in this machine's own network; the pod is a shell beside it."""

import subprocess
from types import SimpleNamespace

import pytest
import stand_in

from helpers.components.addons import proofs
from helpers.core import waiting
from helpers.core.errors import CommandFailed, RunbookError, Unmet
from helpers.core.shell import script

LISTENER = (proofs._HERE / "scripts" / "say_word.py").read_text("utf-8")
#: `microk8s kubectl exec ... -- sh -c "nc -w 5 ADDRESS PORT </dev/null"`: busybox' nc by bash
POD = """
read -r _ _ _ address port _ <<< "${!#}"
echo "$port" > PORT_FILE
exec 4<> "/dev/tcp/$address/$port" && cat <&4
"""


@pytest.fixture
def reaches(bash, tmp_path):
    """What a pod is told at an address of the host: (exit code, what it printed), and whether one listens still."""

    def run(address):
        ask = script(proofs._HERE / "scripts" / "pod_reaches.sh", "space", address, "our-word", LISTENER)
        said = bash(ask, POD.replace("PORT_FILE", str(tmp_path / "port")))
        port = tmp_path / "port"
        still = port.exists() and bash(f"exec 4<> /dev/tcp/{address}/{port.read_text().strip()}", "")[0] == 0
        return said, still

    return run


def test_a_pod_is_told_a_word_at_the_hosts_address_whatever_port_its_sshd_has(reaches):
    assert reaches("127.0.0.1") == ((0, "our-word"), False)


def test_an_address_that_the_host_does_not_have_is_named(reaches):
    (code, said), _ = reaches("203.0.113.77")
    assert code == 1 and said.endswith("the host itself cannot listen at 203.0.113.77")


@pytest.fixture
def archives(program):
    """A host whose apt has these archives, and whose getent ends with this code for each name."""

    def are(*hosts, getent=0, apt=0):
        uris = "".join(f"'http://{host}/debian/InRelease' x 0 \n" for host in hosts)
        program("apt-get", f"printf '%s' \"{uris}\"; exit {apt}")
        program("getent", f"[ $1 = ahostsv4 ]; exit {getent}")

    return are


@pytest.fixture(params=["names_resolve", "pod_resolves"])
def prove(request, monkeypatch):
    """(the proof, the names that CoreDNS or a pod was asked for): this machine is the host; `bad` has no address."""
    names = []

    def answer(text, stdin):
        if text.startswith("python3 -c"):
            names.append(text.split()[-1])
            return (1, "", "") if names[-1].startswith("bad.") else "10.0.0.1\n"
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    class Proofs:
        kube, ch = None, stand_in.chapter(monkeypatch, "addons", answer)

        def hello(self, kind):
            pass

        def in_pod(self, text):
            names.append(text.split()[1])
            return "" if names[-1].startswith("bad.") else "Address: 10.0.0.1"

    monkeypatch.setattr(Proofs.ch, "wait", lambda what, ready: waiting.wait(what, ready, timeout=0.1))
    return getattr(proofs.AddonProofs(Proofs()), request.param), names


def test_an_outside_name_is_no_address_of_an_archive_that_has_none(archives, prove):
    archives("10.99.197.1:8099", "reader:word@deb.invalid")
    assert prove[0]() is None and prove[1][1:] == ["deb.invalid"]


@pytest.mark.parametrize(
    "hosts, getent, why",
    [
        (["deb.invalid"], 2, "the host itself has no address for deb.invalid"),
        (["10.99.197.1:8099"], 0, "no archive of the host's apt has a name"),
    ],
)
def test_a_name_that_the_host_itself_lacks_is_asked_of_no_pod(archives, prove, hosts, getent, why):
    archives(*hosts, getent=getent)
    assert prove[0]() == "an outside name was left out: " + why
    assert len(prove[1]) == 1 and ".svc.cluster.local" in prove[1][0]


def test_a_name_that_the_host_has_and_a_pod_lacks_is_named(archives, prove):
    archives("bad.invalid")
    with pytest.raises(RunbookError, match=r"bad\.invalid"):
        prove[0]()


def test_a_name_server_that_does_not_answer_is_not_one_that_has_no_address(monkeypatch, own_home):
    silent = "the name server 10.152.183.10 gives no answer"
    ch = stand_in.chapter(monkeypatch, "addons", lambda text, _: (1, "", silent) if "python3 -c" in text else "")
    with pytest.raises(Unmet) as e:
        proofs.AddonProofs(SimpleNamespace(kube=None, ch=ch)).names_resolve()
    assert e.value.saw == silent


@pytest.mark.parametrize("how, named", [({"getent": 1}, "getent ended with 1"), ({"apt": 100}, "which archives")])
def test_what_the_host_cannot_tell_is_no_reason_to_leave_a_name_out(archives, prove, how, named):
    archives("deb.invalid", **how)
    with pytest.raises(CommandFailed) as e:
        prove[0]()
    assert "cannot tell" in e.value.saw and named in e.value.saw
