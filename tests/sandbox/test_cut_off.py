"""Refused before anything is touched, cut off in the middle, asked for a plan: a bare host, or one half installed."""

import os
import re
import signal
import time

import pytest
from host_state import difference, state
from story import CHAPTERS, KUBECONFIG, on_a_fresh_host

from helpers.components.kubernetes import firewall
from helpers.core.host import Host
from helpers.core.waiting import wait


@pytest.fixture(scope="module")
def story(can_host, tmp_path_factory):
    """On a sandbox of their own: by two processes, beside the story that installs everything."""
    with on_a_fresh_host("cut", tmp_path_factory.mktemp("cut")) as story:
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
    short = (*story.up_words, "--no-book", "--until", "postgres", "-p", "addons.knative=false")
    for line, number in (
        ("its settings are ours", signal.SIGINT),
        ("06 postgres        running", signal.SIGKILL),
        ("storage: the provisioner runs", signal.SIGKILL),
    ):
        process = story.start(*short)
        wait_for_line(process, line)
        process.send_signal(number)
        if number == signal.SIGINT:
            said = process.stdout.read()
            assert process.wait(120) == 130 and "Traceback" not in said, said
            assert story.record["state"] == "interrupted"
        process.wait()
        process.stdout.close()
    story(*short)
    assert {story.states()[c] for c in CHAPTERS[:6]} <= {"ok", "skipped"}
    merged = story.kubeconfig.read_text()
    assert [line for line in merged.splitlines() if line in KUBECONFIG.splitlines()] == KUBECONFIG.splitlines(), (
        "what was there stays, line by line"
    )
    assert "current-context: home" in merged and "mlops" in merged
    assert story.kubeconfig.stat().st_mode & 0o777 == 0o600


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
    said = story.up("--mode", "plan", "--no-book")
    assert "apt-get install postgresql" in said and "useradd --system" in said
    assert difference(before, state(host)) == [] and story.kubeconfig.read_text() == KUBECONFIG
    assert os.readlink(story.runs / "latest") == latest, "a plan is no run to show"
    host.close()
