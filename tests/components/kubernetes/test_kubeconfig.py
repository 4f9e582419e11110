"""A person's kubeconfig: our entries come and go, everything else stays byte for byte."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest
import yaml

from helpers.components.kubernetes import kubeconfig, kubeconfig_lock
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO

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
    "list without indentation": "apiVersion: v1\nclusters:\n- name: a\n  cluster:\n    server: https://a\ncontexts:\n"
    "- name: a\n  context: {cluster: a, user: a}\nusers:\n- name: a\n  user: {}\n"
    "current-context: a\n",
    "json": '{"apiVersion": "v1", "clusters": [{"name": "a", "cluster": {"server": "https://a"}}], '
    '"contexts": [], "users": [], "current-context": "a"}\n',
    "empty lists": "apiVersion: v1\nclusters: []\ncontexts: []\nusers: []\ncurrent-context: other\n",
    "keys missing": "apiVersion: v1\nkind: Config\ncurrent-context: other\n",
    "carriage returns": THREE.replace("\n", "\r\n"),
    "no current context": "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {server: 'https://a'}\n",
    "null lists": "apiVersion: v1\nclusters: null\ncontexts:\nusers: ~\ncurrent-context: x\n",
    "lists for nothing, with comments": "clusters:   # none yet\ncontexts: [ ]  # none\nusers: [\n]\nkind: Config\n",
    "no newline at the end": "apiVersion: v1\nkind: Config",
    "document marks": "%YAML 1.1\n---\nkind: Config\n...\n",
    "everything indented": "  kind: Config\n  clusters:\n    - name: a\n      cluster: {}\n",
    "a byte order mark": "\ufeffkind: Config\n",
    "one line of json": '{"kind":"Config","clusters":[],"users":null,"current-context":""}',
    "json on many lines": '{\n    "kind": "Config",\n    "clusters": [\n        {\n            "name": "a",\n'
    '            "cluster": {}\n        }\n    ],\n    "users": []\n}\n',
    "nothing but braces": "{}\n",
    "a dash on its own line": "users:\n-\n  # mine\n  name: a\n  user: {}\n",
    "long texts": "users:\n- name: a\n  user:\n    token: |\n      abc\n      - def\nx: |+\n  abc\n\n",
    "a long text without a newline": "clusters: []\nx: |\n  abc",
    "aliases": "x-base: &base\n  name: a\n  cluster: {server: 'https://a'}\nclusters:\n- *base\n"
    "users: [&u {name: a, user: {}}]\n",
    "other letters": "# Gr\u00f6\u00dfe \U0001f600\nclusters:\n- name: \u00e4\n  cluster: {}\n",
    "an empty current context": "clusters: []\ncurrent-context: ''  # none\n",
    "a current context of nothing": "clusters: []\ncurrent-context:\n",
    "a null current context": "clusters: []\ncurrent-context: null\n",
    "only comments": "# hello",
    "only a mark": "---\n",
    "blank lines": "\n\n",
    "empty": "",
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
    assert kubeconfig.why_differs(path, INCOMING, "mlops") is None
    assert kubeconfig.remove(path, "mlops") is True
    assert path.read_bytes() == text.encode()


def test_nothing_else_changes(path, text):
    kubeconfig.merge(path, INCOMING, "mlops", use=True)
    new, old = yaml.safe_load(path.read_text("utf-8")), yaml.safe_load(text) or {}
    assert new["current-context"] == "mlops"
    for key in "clusters", "contexts", "users":
        assert [i for i in new[key] if i["name"] != "mlops"] == (old.get(key) or [])
    assert {k: new[k] for k in old if k not in ("clusters", "contexts", "users", "current-context")} == {
        k: v for k, v in old.items() if k not in ("clusters", "contexts", "users", "current-context")
    }
    assert "&" in text or all(
        line.strip() in path.read_text("utf-8") for line in text.splitlines() if line.lstrip().startswith("#")
    )
    kubeconfig.remove(path, "mlops")
    assert not (yaml.safe_load(path.read_text("utf-8")) or {}).get("current-context")


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
    assert "points to https://10.0.0.9:16443, not https://10.0.0.5:16443" in kubeconfig.why_differs(
        path, INCOMING, "lab"
    )
    kubeconfig.merge(path, INCOMING, "lab")
    assert kubeconfig.why_differs(path, INCOMING, "lab") is None
    assert [c["name"] for c in yaml.safe_load(path.read_text())["contexts"]] == ["work", "home", "lab"]


def test_a_new_file_is_made_and_goes_again(tmp_path):
    path = tmp_path / "new" / "config"
    assert "no context mlops" in kubeconfig.why_differs(path, INCOMING, "mlops")
    kubeconfig.merge(path, INCOMING, "mlops")
    assert yaml.safe_load(path.read_text())["current-context"] == "mlops"
    assert kubeconfig.why_differs(path, INCOMING, "mlops") is None
    kubeconfig.remove(path, "mlops")
    assert not path.exists()


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "config"
    real.write_text(THREE)
    link.symlink_to(real)
    kubeconfig.merge(link, INCOMING, "mlops")
    assert link.is_symlink() and kubeconfig.entry(real, "mlops")


@pytest.mark.parametrize(
    "seen, change",
    [
        ("has other credentials", lambda t: t.replace("c2VjcmV0", "b3RoZXI=")),
        ("has another certificate", lambda t: t.replace("QUJD", "REVG")),
    ],
)
def test_what_is_different_is_named(tmp_path, seen, change):
    path = tmp_path / "config"
    kubeconfig.merge(path, change(INCOMING), "mlops")
    assert seen in kubeconfig.why_differs(path, INCOMING, "mlops")


def test_a_file_that_others_may_read_is_named_and_mended(tmp_path):
    path = tmp_path / "config"
    kubeconfig.merge(path, INCOMING, "mlops")
    path.chmod(0o644)
    assert "its mode is 0644" in kubeconfig.why_differs(path, INCOMING, "mlops")
    kubeconfig.merge(path, INCOMING, "mlops")
    assert kubeconfig.why_differs(path, INCOMING, "mlops") is None


@pytest.mark.parametrize(
    "content, saw",
    [
        (b"a: [", "it is not YAML"),
        (b"- a list\n", "no kubeconfig"),
        (b"[]\n", "no kubeconfig"),
        (b"hello\n", "no kubeconfig"),
        (b"clusters: text\n", "clusters is not a list"),
        (b"users: [1]\n", "users is not a list of entries"),
        (b"a: 1\n---\nb: 1\n", "it is not YAML"),
        (b"# \xe4\n", "not UTF-8"),
        (b"kind:\tConfig\n\tx: 1\n", "it is not YAML"),
        (b"users: [{name: a}]\nusers: [{name: b}]\n", "users stands twice"),
        (b"x: &x {users: []}\n<<: *x\n", "unusual way"),
        (b"clusters: &c\n- name: a\n", "clusters has an anchor"),
        (b"users: [&m {name: mlops, user: {}}]\nx: *m\n", "unusual way"),
    ],
)
def test_what_cannot_be_edited_is_refused_and_kept(tmp_path, content, saw):
    path = tmp_path / "config"
    path.write_bytes(content)
    with pytest.raises(RunbookError) as e:
        kubeconfig.merge(path, INCOMING, "mlops")
    assert saw in e.value.saw and "KUBECONFIG" in e.value.do and "Nothing was changed" in e.value.do
    assert path.read_bytes() == content and os.listdir(str(tmp_path)) == ["config"]


def test_an_error_never_quotes_the_file(tmp_path):
    path = tmp_path / "config"
    path.write_text("users:\n- name: a\n  user:\n    token: hidden: x\n")
    with pytest.raises(RunbookError) as e:
        kubeconfig.merge(path, INCOMING, "mlops")
    assert "line 4" in str(e.value) and "hidden" not in str(e.value) and e.value.__suppress_context__


@pytest.mark.parametrize("incoming", ["", "microk8s is not running", "a: [", "clusters: []\ncurrent-context: x\n"])
def test_what_is_no_answer_of_microk8s_is_refused(tmp_path, incoming):
    for ask in kubeconfig.merge, kubeconfig.why_differs:
        with pytest.raises(RunbookError, match="microk8s config"):
            ask(tmp_path / "config", incoming, "mlops")
    assert os.listdir(str(tmp_path)) == []


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(RunbookError) as e:
        kubeconfig.merge(tmp_path, INCOMING, "mlops")
    assert e.value.saw == "Is a directory"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "config"
    path.write_text(THREE)
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunbookError) as e:
        kubeconfig.merge(path, INCOMING, "mlops")
    assert e.value.saw == "No space left on device"
    assert path.read_text() == THREE and os.listdir(str(tmp_path)) == ["config"]


def test_folders_that_are_made_are_private(tmp_path):
    kubeconfig.merge(tmp_path / "a" / "b" / "config", INCOMING, "mlops")
    assert [(tmp_path / f).stat().st_mode & 0o777 for f in ("a", "a/b")] == [0o700, 0o700]


def test_removing_what_is_not_there_touches_nothing(tmp_path):
    path = tmp_path / "config"
    assert kubeconfig.remove(path, "mlops") is False and not path.exists()
    path.write_text(THREE)
    path.chmod(0o644)
    assert kubeconfig.remove(path, "mlops") is False
    assert path.read_text() == THREE and path.stat().st_mode & 0o777 == 0o644


def rewritten(path):
    """As kubectl does after any `kubectl config` command: no comments, sorted, block style."""
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()), default_flow_style=False))


@pytest.mark.parametrize("text", [None, THREE])
def test_after_kubectl_rewrote_the_file(tmp_path, text):
    path = tmp_path / "config"
    if text:
        path.write_text(text)
    kubeconfig.merge(path, INCOMING, "mlops")
    rewritten(path)
    assert (
        kubeconfig.why_differs(path, INCOMING, "mlops") is None and kubeconfig.merge(path, INCOMING, "mlops") is False
    )
    kubeconfig.merge(path, INCOMING.replace("10.0.0.5", "10.0.0.9"), "mlops")
    assert kubeconfig.entry(path, "mlops")["cluster"]["server"] == "https://10.0.0.9:16443"
    kubeconfig.remove(path, "mlops")
    left = yaml.safe_load(path.read_text())
    if text:
        assert left == yaml.safe_load(text)
    else:
        assert (left["clusters"], left["users"], left["contexts"], left["current-context"]) == ([], [], [], None)


def test_a_file_of_ours_with_more_in_it_stays(tmp_path):
    path = tmp_path / "config"
    kubeconfig.merge(path, INCOMING, "mlops")
    with open(str(path), "a") as f:
        f.write("preferences: {colors: true}  # mine\n")
    kubeconfig.remove(path, "mlops")
    assert (
        path.read_text().endswith("preferences: {colors: true}  # mine\n") and kubeconfig.entry(path, "mlops") is None
    )


def test_two_clusters_side_by_side(path, text):
    kubeconfig.merge(path, INCOMING, "one")
    one = path.read_bytes()
    kubeconfig.merge(path, INCOMING.replace("10.0.0.5", "10.0.0.9"), "two")
    assert kubeconfig.entry(path, "one")["cluster"]["server"] != kubeconfig.entry(path, "two")["cluster"]["server"]
    kubeconfig.remove(path, "two")
    assert path.read_bytes() == one


@pytest.mark.parametrize(
    "users",
    [
        "- name: mlops\n  user:\n    token: |\n      old\n- name: b\n  user: {}\n",
        "- {name: mlops}\n- {name: mlops}\n- name: b\n  user: {}\n",
        "- name: b\n  user: {}\n- user:\n    token: old  # mine\n  name: mlops",
        "  [{name: mlops, user: {}}, {name: b, user: {}}, ]\n",
    ],
)
def test_an_older_entry_in_any_form_is_replaced_and_removed(tmp_path, users):
    path = tmp_path / "config"
    path.write_text("users:\n" + users)
    kubeconfig.merge(path, INCOMING, "mlops")
    assert sorted(i["name"] for i in yaml.safe_load(path.read_text())["users"]) == ["b", "mlops"]
    assert kubeconfig.why_differs(path, INCOMING, "mlops") is None
    kubeconfig.remove(path, "mlops")
    assert yaml.safe_load(path.read_text())["users"] == [{"name": "b", "user": {}}]


def test_the_current_context_is_part_of_the_probe_when_asked(tmp_path):
    path = tmp_path / "config"
    path.write_text(THREE)
    kubeconfig.merge(path, INCOMING, "mlops")
    assert kubeconfig.why_differs(path, INCOMING, "mlops") is None
    assert "is home, not mlops" in kubeconfig.why_differs(path, INCOMING, "mlops", use=True)
    assert kubeconfig.merge(path, INCOMING, "mlops", use=True) is True
    assert kubeconfig.why_differs(path, INCOMING, "mlops", use=True) is None


@pytest.mark.parametrize("name", ["1", "true", "a: b", "it's", '\u00e4 "q"'])
def test_any_name(path, text, name):
    kubeconfig.merge(path, INCOMING, name, use=True)
    assert yaml.safe_load(path.read_text("utf-8"))["current-context"] == name
    assert kubeconfig.why_differs(path, INCOMING, name, use=True) is None


def test_the_path_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", os.pathsep + "/a/b" + os.pathsep + "/c")
    assert str(kubeconfig.default_path()) == "/a/b"
    monkeypatch.delenv("KUBECONFIG")
    assert kubeconfig.default_path() == tmp_path / ".kube" / "config"
    assert kubeconfig.why_differs(kubeconfig.default_path(), INCOMING, "mlops") == "no context mlops in ~/.kube/config"


# -- with others at the same file -------------------------------------------------------------------


def test_merges_of_several_processes_at_once_are_all_kept(tmp_path):
    script = (
        "import sys; from helpers.components.kubernetes import kubeconfig\n"
        "kubeconfig.merge(sys.argv[1], sys.argv[2], sys.argv[3])"
    )
    path, names = tmp_path / "config", [f"c{n}" for n in range(8)]
    argv = [sys.executable, "-c", script, str(path), INCOMING]
    for process in [subprocess.Popen([*argv, name], cwd=str(REPO)) for name in names]:
        assert process.wait(60) == 0
    assert sorted(c["name"] for c in yaml.safe_load(path.read_text())["contexts"]) == names
    assert os.listdir(str(tmp_path)) == ["config"]


def test_kubectls_lock_is_waited_for_and_then_told_in_words(tmp_path, monkeypatch):
    path, lock = tmp_path / "config", tmp_path / "config.lock"
    path.write_text(THREE)
    os.close(os.open(str(lock), os.O_CREAT | os.O_EXCL, 0))
    threading.Timer(0.5, lock.unlink).start()
    assert kubeconfig.merge(path, INCOMING, "mlops") is True
    text = path.read_text()
    lock.touch()
    monkeypatch.setattr(kubeconfig_lock, "PATIENCE", 0.3)
    for edit in (lambda: kubeconfig.remove(path, "mlops"), lambda: kubeconfig.merge(path, INCOMING, "other")):
        with pytest.raises(RunbookError) as e:
            edit()
        assert f"rm {lock}" in e.value.do and lock.exists() and path.read_text() == text


def test_the_lock_of_a_runbook_that_was_killed_stops_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(kubeconfig_lock, "PATIENCE", 0.3)
    path, lock = tmp_path / "config", tmp_path / "config.lock"
    gone = subprocess.Popen(["true"])
    gone.wait()
    lock.write_text(f"runbook {gone.pid} {socket.gethostname()}")
    assert kubeconfig.merge(path, INCOMING, "mlops") is True and not lock.exists()
    for holder in (f"runbook {os.getpid()} {socket.gethostname()}", f"runbook {gone.pid} elsewhere"):
        lock.write_text(holder)
        with pytest.raises(RunbookError):
            kubeconfig.remove(path, "mlops")
        lock.unlink()


def test_an_edit_that_is_refused_leaves_no_lock(tmp_path):
    path = tmp_path / "config"
    path.write_text("- no kubeconfig")
    with pytest.raises(RunbookError):
        kubeconfig.merge(path, INCOMING, "mlops")
    assert os.listdir(str(tmp_path)) == ["config"]
