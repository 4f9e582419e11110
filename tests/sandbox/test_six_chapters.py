"""The first six chapters on a host of their own: refused, cut off, finished, broken and mended, asked for a plan."""

import json
import os
import re
import signal
import time

import pytest
from host_state import difference, state
from story import CHAPTERS, KUBECONFIG, on_a_fresh_host

from helpers.components.kubernetes import firewall, troubles
from helpers.components.kubernetes.kube import Kube
from helpers.core import notebooks
from helpers.core.chapter import Chapter
from helpers.core.errors import RunbookError
from helpers.core.host import Host
from helpers.core.waiting import TimedOut, wait

KNATIVE = "addons.knative={}"  # takes as long as the other add-ons together


@pytest.fixture(scope="module")
def story(can_host, tmp_path_factory):
    """Beside the story that installs everything, where tests run by several processes."""
    with on_a_fresh_host("six", tmp_path_factory.mktemp("six"), CHAPTERS[:6], [KNATIVE.format("false")]) as story:
        yield story


@pytest.fixture
def host(story):
    """A connection of the test's own."""
    host = Host(story.target)
    yield host
    host.close()


def test_a_channel_that_does_not_exist_and_a_taken_port_are_refused(story, host):
    out = story.up("--only", "kubernetes", "-p", "kubernetes.channel=1.99/stable", "--no-book", code=1)
    assert "the channel 1.99/stable exists" in out and "1.20/stable" in out
    host.run("systemd-run -q --unit=squatter python3 -m http.server 16443")
    try:
        wait("the squatter", lambda: "16443" in host.run("ss -Hltn").out, timeout=60)
        out = story.up("--only", "kubernetes", "--no-book", code=1)
        assert "the ports of a cluster are free" in out and "python3" in out
    finally:
        host.run("systemctl stop squatter")
    assert host.run("ls -d /var/snap/microk8s /snap/microk8s 2>/dev/null || true").out == "", "nothing was touched"


def test_a_firewall_that_shuts_pods_out_is_refused_with_the_line_that_helps(story, host):
    line = firewall.lines()[0].replace("sudo ufw ", "")
    host.run(f"ufw delete {line}")
    try:
        out = story.up("--only", "kubernetes", "--no-book", code=1)
    finally:
        host.run(f"ufw {line}")
    assert f"sudo ufw {line}" in out and firewall.lines()[1] not in out
    assert host.run("ls -d /var/snap/microk8s /snap/microk8s 2>/dev/null || true").out == "", "nothing was touched"


def wait_for_line(process, text, seconds=900):
    """Read a background command's output until a line has this text."""
    began, seen = time.monotonic(), []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
        assert time.monotonic() - began < seconds, "".join(seen)
    pytest.fail("it ended before saying {!r}:\n{}".format(text, "".join(seen)))


def test_it_is_ended_in_the_middle_then_up(story):
    """Three times cut off: by Ctrl-C, which ends it cleanly, and by kill -9; then one up finishes the job."""
    words = (*story.up_words, *story.all_unless([]), "--no-book")
    for line, number in (
        ("its settings are ours", signal.SIGINT),
        ("06 postgres        running", signal.SIGKILL),
        ("storage: the provisioner runs", signal.SIGKILL),
    ):
        process = story.start(*words)
        wait_for_line(process, line)
        process.send_signal(number)
        if number == signal.SIGINT:
            said = process.stdout.read()
            assert process.wait(120) == 130 and "Traceback" not in said, said
            assert story.record["state"] == "interrupted"
        process.wait()
        process.stdout.close()
    story(*words)
    assert set(story.states().values()) <= {"ok", "skipped"}
    merged = story.kubeconfig.read_text()
    assert [line for line in merged.splitlines() if line in KUBECONFIG.splitlines()] == KUBECONFIG.splitlines(), (
        "what was there stays, line by line"
    )
    assert "current-context: home" in merged and "mlops" in merged
    assert story.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_verify_names_a_port_that_was_opened_by_hand(story, host):
    host.run("ufw allow 8099/tcp; systemd-run -q --unit=byhand python3 -m http.server 8099")
    try:
        wait("the server", lambda: "8099" in host.run("ss -Hltn").out, timeout=60)
        said = story.up("--only", "kubernetes", "--mode", "verify", "--no-book", code=1)
    finally:
        host.run("systemctl stop byhand; ufw delete allow 8099/tcp")
    checks = {k["title"]: k["state"] for k in story.record["chapters"]["kubernetes"]["checks"]}
    assert "open: 8099 python3" in said and list(checks.values()).count("failed") == 1
    story.up("--only", "kubernetes", "--mode", "verify", "--no-book")


def test_verify_fails_exactly_the_broken_chapters_and_names_the_thing(story, host):
    story.verify_names(host, "minio", "pg_hba")
    story.up("--only", "minio", "--only", "postgres", "--no-book")


def test_a_broken_cluster_is_named_and_a_changed_pool_is_applied_for_real(story, host):
    story.verify_names(host, "cluster")
    pool = "10.64.140.60-10.64.140.61"
    story.up("--only", "kubernetes", "--only", "addons", "-p", "addons.metallb_pool=" + pool, "--no-book")
    assert pool in host.run("microk8s kubectl get configmap config -n metallb-system -o jsonpath='{.data.config}'").out
    proofs = {k["title"]: k["state"] for k in story.record["chapters"]["addons"]["checks"]}
    assert proofs["a Service gets an address from the pool and answers here, through the proxy"] == "proved"


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--only", "addons", "-p", "addons.metallb_pool=10.0.0.9-10.0.0.5"], 2, "reversed"),
        (["--only", "addons", "-p", "addons.metallb_pool=10.0.0.5-10.0.0.9,10.0.0.9-10.0.0.12"], 2, "overlap"),
        (["--only", "addons", "-p", "addons.metallb_pool=HOST-HOST"], 1, "contains the host's own address"),
        (
            ["--only", "addons", "-p", "addons.metallb_pool=10.152.183.200-10.152.183.210"],
            1,
            "overlaps the cluster's network",
        ),
        (["--only", "kubernetes", "-p", "kubernetes.min_free_gib=100000"], 1, "GiB free at /var"),
    ],
)
def test_bad_input_is_refused_before_anything_is_touched(story, host, words, code, said):
    before = host.run("microk8s kubectl get configmap config -n metallb-system -o yaml").out
    out = story.up(*[w.replace("HOST", host.address) for w in words], "--no-book", code=code)
    assert said in out and "Traceback" not in out
    assert host.run("microk8s kubectl get configmap config -n metallb-system -o yaml").out == before


def _pod(name, **container):
    spec = {"containers": [{"name": "c", "image": "busybox:1.35.0", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


#: three pods that will never run
_PODS = [
    _pod("no-image", image="localhost:32000/no-such:1"),  # of the cluster's own registry, which says so itself
    _pod("too-big", resources={"requests": {"cpu": "1000"}}),
    _pod("crashes", command=["sh", "-c", "echo the reason of it all; exit 1"]),
]


def _final(kube, words):
    return [text for text, final in kube.troubles("told") if final and re.match(words, text, re.S)]


def test_what_a_pod_waits_for_is_told_and_what_will_never_be_ends_the_wait(story, host, monkeypatch):
    monkeypatch.setattr(troubles, "CRASHING_FOR", 15)
    n = notebooks.find("addons")
    ch = Chapter(n, n.check({"target": story.target, "mode": "verify"}))
    kube = Kube(ch)
    kube.kubectl("create namespace told")
    try:
        kube.takes_pods("told")
        kube.kubectl("apply -n told -f -", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": _PODS}))
        for wanted in (
            "pod told/no-image gets no image localhost:32000/no-such:1: .*not found",
            "pod told/too-big cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu",
            r"pod told/crashes crashes, \d times so far. Its last lines:\nthe reason of it all",
        ):
            wait(wanted, lambda words=wanted: _final(kube, words), timeout=400)
        with pytest.raises(RunbookError) as e:
            kube.wait_for("what will never be", "echo 'not yet'; exit 1", timeout=180, space="told")
        assert "told/" in e.value.saw and not isinstance(e.value, TimedOut)
    finally:
        kube.kubectl("delete namespace told --wait=false")
        kube.kubectl("delete pods --all -n told --force --grace-period=0", timeout=300)
        ch.host.close()


def test_what_cannot_be_asked_is_not_removed_though_nothing_stands_on_it(story, host, tmp_path):
    """On a whole platform most chapters are refused for those that stand on them, before they are asked."""
    host.run("microk8s stop; systemctl stop minio postgresql", timeout=600)
    for name in ("addons", "minio", "postgres"):
        done, text = story.papermill(name, tmp_path, "remove")
        assert done.returncode and re.search(r"saw +.*cannot (tell|be asked)", done.stderr, re.S), (text, done.stderr)


def test_plan_shows_what_it_would_run_and_changes_nothing(story):
    story.restore("bare")
    story("sandbox", "up", "--name", story.name)  # a bare host lacks the snap command, which any up brings
    story.kubeconfig.write_text(KUBECONFIG)
    latest, host = os.readlink(story.runs / "latest"), Host(story.target)
    before = state(host)
    said = story.up("--until", "gitlab", "-p", KNATIVE.format("true"), "--mode", "plan", "--no-book")
    assert "apt-get install postgresql" in said and "useradd --system" in said
    assert difference(before, state(host)) == [] and story.kubeconfig.read_text() == KUBECONFIG
    assert os.readlink(story.runs / "latest") == latest, "a plan is no run to show"
    host.close()
