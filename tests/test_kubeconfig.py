"""A person's kubeconfig: our entries come and go, everything else stays byte for byte."""
from __future__ import annotations

import os

import pytest
import yaml

from helpers import kubeconfig
from helpers.errors import RunbookError

INCOMING = """apiVersion: v1
clusters:
- cluster: {certificate-authority-data: QUJD, server: "https://10.0.0.5:16443"}
  name: microk8s-cluster
contexts:
- context: {cluster: microk8s-cluster, user: admin}
  name: microk8s
current-context: microk8s
kind: Config
users:
- name: admin
  user: {token: c2VjcmV0}
"""

THREE = """# my clusters, in my order
apiVersion: v1
kind: Config
preferences: {}
clusters:
  - name: work     # do not touch
    cluster:
      server: https://work.example:6443
      certificate-authority: /etc/ca.crt
  - cluster: {server: 'https://home:6443'}
    name: home

  # the lab
  - name: lab
    cluster:
        server: https://lab:6443
users:
- {name: me, user: {token: abc}}
- name: lab-admin
  user:
    exec: {command: login, apiVersion: client.authentication.k8s.io/v1beta1}   # a comment
contexts:
- name: work
  context: {cluster: work, user: me, namespace: dev}
- name: home
  context:
    cluster: home
    user: me
- name: lab
  context: {cluster: lab, user: lab-admin}
current-context: home
x-mine: [1, 2]
"""

FORMS = {
    "three contexts": THREE,
    "list without indentation": "apiVersion: v1\nclusters:\n- name: a\n  cluster:\n    server: https://a\ncontexts:\n- name: a\n  context: {cluster: a, user: a}\nusers:\n- name: a\n  user: {}\ncurrent-context: a\n",
    "json": '{"apiVersion": "v1", "clusters": [{"name": "a", "cluster": {"server": "https://a"}}], "contexts": [], "users": [], "current-context": "a"}\n',
    "empty lists": "apiVersion: v1\nclusters: []\ncontexts: []\nusers: []\ncurrent-context: other\n",
    "keys missing": "apiVersion: v1\nkind: Config\ncurrent-context: other\n",
    "carriage returns": THREE.replace("\n", "\r\n"),
    "no current context": "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {server: 'https://a'}\n",
}


@pytest.fixture(params=list(FORMS))
def text(request):
    return FORMS[request.param]


@pytest.fixture
def path(tmp_path, text):
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    return path


def test_merge_then_remove_gives_the_identical_bytes(path, text):
    assert kubeconfig.merge(path, INCOMING, "mlops") is True
    assert kubeconfig.differs(path, INCOMING, "mlops") is None
    assert kubeconfig.remove(path, "mlops") is True
    assert path.read_bytes() == text.encode()


def test_merge_twice_changes_nothing(path):
    kubeconfig.merge(path, INCOMING, "mlops")
    once = path.read_bytes()
    assert kubeconfig.merge(path, INCOMING, "mlops") is False
    assert path.read_bytes() == once


def test_every_line_of_before_is_still_there_and_the_current_context_too(tmp_path):
    path = tmp_path / "config"
    path.write_text(THREE)
    kubeconfig.merge(path, INCOMING, "mlops")
    new = path.read_text().splitlines()
    kept = [line for line in new if line in THREE.splitlines()]
    assert kept == THREE.splitlines() and len(new) == len(kept) + 3
    assert yaml.safe_load(path.read_text())["current-context"] == "home"
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_the_current_context_changes_when_asked(tmp_path):
    path = tmp_path / "config"
    path.write_text(THREE)
    kubeconfig.merge(path, INCOMING, "mlops", use=True)
    assert yaml.safe_load(path.read_text())["current-context"] == "mlops"


def test_an_old_entry_of_the_name_is_replaced(tmp_path):
    path = tmp_path / "config"
    path.write_text(THREE)
    kubeconfig.merge(path, INCOMING.replace("10.0.0.5", "10.0.0.9"), "lab")
    assert "points to https://10.0.0.9:16443, not https://10.0.0.5:16443" in kubeconfig.differs(path, INCOMING, "lab")
    kubeconfig.merge(path, INCOMING, "lab")
    assert kubeconfig.differs(path, INCOMING, "lab") is None
    assert [c["name"] for c in yaml.safe_load(path.read_text())["contexts"]] == ["work", "home", "lab"]


def test_a_new_file_is_made_and_goes_again(tmp_path):
    path = tmp_path / "new" / "config"
    assert "no context mlops" in kubeconfig.differs(path, INCOMING, "mlops")
    kubeconfig.merge(path, INCOMING, "mlops")
    assert yaml.safe_load(path.read_text())["current-context"] == "mlops"
    assert kubeconfig.differs(path, INCOMING, "mlops") is None
    kubeconfig.remove(path, "mlops")
    assert not path.exists()


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "config"
    real.write_text(THREE)
    link.symlink_to(real)
    kubeconfig.merge(link, INCOMING, "mlops")
    assert link.is_symlink() and kubeconfig.entry(real, "mlops")


@pytest.mark.parametrize("seen, change", [
    ("has other credentials", lambda t: t.replace("c2VjcmV0", "b3RoZXI=")),
    ("has another certificate", lambda t: t.replace("QUJD", "REVG")),
])
def test_what_is_different_is_named(tmp_path, seen, change):
    path = tmp_path / "config"
    kubeconfig.merge(path, change(INCOMING), "mlops")
    assert seen in kubeconfig.differs(path, INCOMING, "mlops")


def test_a_file_that_others_may_read_is_named_and_mended(tmp_path):
    path = tmp_path / "config"
    kubeconfig.merge(path, INCOMING, "mlops")
    path.chmod(0o644)
    assert "644" in kubeconfig.differs(path, INCOMING, "mlops")
    kubeconfig.merge(path, INCOMING, "mlops")
    assert kubeconfig.differs(path, INCOMING, "mlops") is None


@pytest.mark.parametrize("content", ["a: [", "- a list\n", "clusters: text\n"])
def test_what_is_no_kubeconfig_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(RunbookError):
        kubeconfig.merge(path, INCOMING, "mlops")
    assert path.read_text() == content
