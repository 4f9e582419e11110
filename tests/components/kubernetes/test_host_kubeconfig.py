"""The kubeconfig of the host's user, by a real bash on real files: others' entries stay, an earlier install's holds."""

import getpass
import os
import subprocess

import pytest
import stand_in
import yaml

from helpers.components.kubernetes import kubeconfig
from helpers.components.kubernetes.host_kubeconfig import HostKubeconfig
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.microk8s import MicroK8s
from helpers.core.errors import RunbookError

PRINTED = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: https://{address}:16443
  name: microk8s-cluster
contexts:
- context:
    cluster: microk8s-cluster
    user: admin
  name: microk8s
current-context: microk8s
kind: Config
preferences: {{}}
users:
- name: admin
  user:
    token: {token}
"""
OURS = PRINTED.format(ca="QUJD", address="192.0.2.5", token="first-token-of-it")
THEIRS = """apiVersion: v1
kind: Config
clusters: [{name: prod, cluster: {server: "https://192.0.2.99:6443"}}]   # keep
contexts: [{name: prod, context: {cluster: prod, user: me}}]
users: [{name: me, user: {token: their-own-token}}]
current-context: prod
"""


class Host:
    """A host's home folder, and what MicroK8s prints there; None: it is not installed."""

    def __init__(self, monkeypatch, home):
        self.home, self.file, self.prints = home, home / ".kube/config", OURS
        self.made = HostKubeconfig(Kube(stand_in.chapter(monkeypatch, "kubernetes", self.answer)), getpass.getuser())
        self.action = self.made.action()

    def answer(self, script, stdin):
        if script == "microk8s config":
            return (127, "", "microk8s: command not found") if self.prints is None else self.prints
        if script == "hostname -I":
            return "192.0.2.5 10.0.1.1 \n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace(f"~{getpass.getuser()}", str(self.home))],
            input=stdin.encode() if isinstance(stdin, str) else stdin or b"",
            capture_output=True,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def has(self, text, mode=0o600):
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)
        self.file.chmod(mode)


@pytest.fixture
def host(monkeypatch, own_home, tmp_path):
    (tmp_path / "person").mkdir()
    return Host(monkeypatch, tmp_path / "person")


def test_a_new_file_is_what_microk8s_prints_to_the_byte_and_goes_again(host):
    assert "no context microk8s" in host.action.probe()
    host.action.apply()
    assert host.file.read_text() == OURS and host.file.stat().st_mode & 0o777 == 0o600
    assert host.action.probe() is None and "is still in" in host.action.absent()
    host.prints = None
    host.action.undo()
    assert os.listdir(str(host.home)) == [] and host.action.absent() is None


def test_an_earlier_installs_file_is_already_so_unless_others_may_read_it(host):
    host.has(OURS)
    assert host.action.probe() is None
    host.file.chmod(0o644)
    assert "its mode is 644" in host.action.probe()
    host.action.apply()
    assert host.action.probe() is None and host.file.read_text() == OURS


def test_another_clusters_entries_stay_and_ours_come_and_go(host):
    host.has(THEIRS, 0o644)
    host.action.apply()
    both = yaml.safe_load(host.file.read_text())
    assert host.action.probe() is None and both["current-context"] == "prod"
    assert "their-own-token" in host.file.read_text() and "# keep" in host.file.read_text()
    host.action.undo()
    assert host.file.read_text() == THEIRS and host.action.absent() is None


@pytest.mark.parametrize("ca, address", [("REVG", "192.0.2.5"), ("QUJD", "192.0.2.77")])
def test_an_older_cluster_of_this_host_or_its_older_address_is_replaced(host, ca, address):
    host.has(PRINTED.format(ca=ca, address=address, token="older"))
    assert "an older one" in host.action.probe()
    host.action.apply()
    assert host.file.read_text() == OURS


def test_the_context_of_another_hosts_microk8s_is_neither_replaced_nor_removed(host):
    other = PRINTED.format(ca="REVG", address="192.0.2.77", token="of-another-host")
    host.has(other)
    with pytest.raises(RunbookError) as e:
        host.action.apply()
    assert "https://192.0.2.77:16443" in e.value.saw and "rename-context" in e.value.do
    assert host.action.absent() is None and host.file.read_text() == other


def test_on_this_machine_the_other_steps_entries_do_not_disturb_it(host):
    host.action.apply()
    kubeconfig.merge(host.file, OURS, "mlops")
    assert host.action.probe() is None and kubeconfig.why_differs(host.file, OURS, "mlops") is None
    kubeconfig.remove(host.file, "mlops")
    assert host.file.read_text() == OURS


def test_entries_that_a_person_added_to_our_file_outlive_it(host):
    host.action.apply()
    kubeconfig.merge(host.file, OURS.replace("microk8s", "lab").replace("192.0.2.5", "192.0.2.99"), "lab")
    host.action.undo()
    left = yaml.safe_load(host.file.read_text())
    assert [i["name"] for key in ("clusters", "contexts", "users") for i in left[key]] == ["lab"] * 3


def test_a_file_that_cannot_be_edited_is_named_and_kept(host):
    host.has("clusters: text\n")
    with pytest.raises(RunbookError) as e:
        host.action.apply()
    assert "/.kube/config" in e.value.what and "Nothing was changed" in e.value.do
    assert host.file.read_text() == "clusters: text\n"


def test_the_operators_context_of_another_host_is_named_and_neither_replaced_nor_removed(host, tmp_path):
    """Two targets, one file, one name: the second one's install and remove leave the first one's entries."""
    path, cluster = tmp_path / "mine", MicroK8s(host.made.kube.ch)
    assert cluster.why_anothers(path, "mlops") is None
    kubeconfig.merge(path, OURS, "mlops")
    assert cluster.why_anothers(path, "mlops") is None
    kubeconfig.merge(path, PRINTED.format(ca="QUJD", address="192.0.2.77", token="t"), "mlops")
    assert cluster.why_anothers(path, "mlops") is None, "an earlier address of this host's, by its authority"
    kubeconfig.merge(path, PRINTED.format(ca="REVG", address="192.0.2.77", token="t"), "mlops")
    before = path.read_bytes()
    assert cluster.why_anothers(path, "mlops") == "it leads to https://192.0.2.77:16443"
    action = cluster.kubeconfig(path, "mlops", False)
    action.undo()
    assert path.read_bytes() == before and action.absent() is None
    host.prints = None
    assert cluster.why_anothers(path, "mlops"), "nor once this host's cluster is gone"
    kubeconfig.merge(path, OURS, "mlops")
    assert "still there" in action.absent()
    action.undo()
    assert action.absent() is None and kubeconfig.entry(path, "mlops") is None
