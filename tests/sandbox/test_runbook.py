"""The runbook as its user sees it: the whole story of a host, in order, on a sandbox of the tests' own."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import drifts
import pytest
from host_state import difference, state, without_times
from story import CHAPTERS, KUBECONFIG, on_a_fresh_host

from helpers.components.determined import inside
from helpers.core.catalogue import Origin
from helpers.core.host import Host
from helpers.core.host_lock import held
from helpers.core.paths import REPO, SETUP, home
from helpers.core.secrets import SecretStore
from helpers.core.tools import Tool
from helpers.core.waiting import TimedOut, wait
from helpers.sandbox import Sandbox


@pytest.fixture(scope="module")
def story(can_host, tmp_path_factory):
    with on_a_fresh_host("story", tmp_path_factory.mktemp("story")) as story:
        yield story


@pytest.fixture
def host(story):
    """The target, to break things on. A connection of the test's own: none is left open over a reboot or a wipe."""
    host = Host(story.target)
    yield host
    host.close()


class ProcessLists:
    """Every command line of the target and of this machine while the `with` lasts: its processes are also ours here."""

    def __enter__(self):
        self.seen, self.over = set(), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        """All that came within a second, each time; what is older now and then, since `exec` gives it another line."""
        rounds = {}
        while not self.over.wait(0.2):
            rounds = {number: rounds.get(number, -1) + 1 for number in filter(str.isdigit, os.listdir("/proc"))}
            for number in [number for number, seen in rounds.items() if seen < 5 or seen % 25 == 0]:
                with contextlib.suppress(OSError):  # it has ended
                    self.seen.add(Path(f"/proc/{number}/cmdline").read_bytes())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.seen = {line.replace(b"\0", b" ").decode(errors="replace") for line in self.seen}


def test_up_installs_and_proves_everything_and_builds_the_site(story):
    begin = time.monotonic()
    with ProcessLists() as lists:
        said = story.up()
    story.times["first"], story.seen = time.monotonic() - begin, lists.seen
    assert story.states() == dict.fromkeys(CHAPTERS, "ok")
    for chapter in CHAPTERS:
        assert re.search(rf"\d\d {chapter} +ok", said), "the closing table names it"
    assert story.record["state"] == "ok"
    checks = [k for c in story.record["chapters"].values() for k in c["checks"]]
    assert checks and all(k["state"] in ("ok", "proved") for k in checks)
    page = (story.site / "notebooks" / "05_minio.html").read_text()
    assert "bucket detai exists" in page and "the data survive a restart" in page
    assert "equivalent" in (story.site / "book" / "status.html").read_text()
    said = {a["name"]: a["fidelity"] for c in story.record["chapters"].values() for a in c["artifacts"]}
    originals = ("microk8s: kubernetes", "knative", "pachyderm", "pachctl", "label-studio", "helm", "postgresql")
    doubles = (
        "microk8s",
        "istio",
        "determined-master",
        "seldon-core",
        "seldon-operator",
        "seldon-executor",
        "gitlab-ce",
    )
    if "gitlab_runner" in CHAPTERS:
        doubles += ("gitlab-runner",)
    assert {said[name] for name in originals} == {"original"}
    assert {said[name] for name in doubles} == {"double"}


#: of the host, its pods, and GitLab with its jobs' traces
LOGS = """journalctl --no-pager -o cat; cat /var/log/postgresql/*; find /var/log/pods -type f -exec cat {} +
find /var/log/gitlab /var/opt/gitlab -name '*.log' -type f -exec cat {} +"""


def test_no_secret_shows_anywhere(story, host):
    token = re.search(r"token: *(\S+)", host.run("microk8s config", raw=True).out).group(1).strip('"')
    secrets = [*SecretStore(story.slug).values(), token]
    assert len(secrets) >= 8 and len(story.seen) > 20
    for program in ("apt-get", "bin/kubelet"):
        assert any(program in text for text in story.seen), "the watch saw the install at work on the host"
    log = host.run(LOGS, raw=True).out
    for secret in secrets:
        assert not any(secret in text for text in story.seen), "in a process list"
        for folder in (story.runs, home("logs")):
            found = subprocess.run(["grep", "-rlF", secret, str(folder)], capture_output=True, text=True)
            assert found.stdout == ""
        assert log.count(secret) == 0
        tracked = subprocess.run(["git", "grep", "-lF", secret], cwd=REPO, capture_output=True, text=True)
        assert tracked.stdout == ""
    settings = host.run("cat /etc/default/minio", raw=True).out
    assert any(secret in settings for secret in secrets), (
        "the settings file does hold it: the search could have found one"
    )


def test_regress_is_green_right_after_and_verifying_changes_nothing(story, host):
    """All chapters in verify mode, as nbval replays them; `up --mode verify` of all comes after the reboot."""
    before = state(host)
    said = story("regress", "--target", story.target)
    assert f"{len(CHAPTERS)} as recorded" in said, said
    assert difference(before, state(host)) == []


def test_a_second_up_finds_everything_so_and_changes_nothing(story, host):
    before = state(host)
    host.close()
    begin = time.monotonic()
    story.up("--no-book")  # the first made the site
    seconds = time.monotonic() - begin
    assert story.states() == dict.fromkeys(CHAPTERS, "skipped")
    notes = [(c["id"], s["title"], s["note"]) for c in story.record["chapters"].values() for s in c["steps"]]
    assert notes and [n for n in notes if n[2] != "already so"] == []
    assert difference(before, state(host)) == []
    assert seconds < story.times["first"] / 3, "{:.0f} s after {:.0f} s".format(seconds, story.times["first"])


def test_regress_names_what_a_hand_changed_and_nothing_else_until_it_is_put_back(story, host):
    known = drifts.gather()
    changes = known["quick"] + (known["long"] if os.environ.get("RUNBOOK_FAULTS") else [])
    expected = drifts.expected(changes)
    regress = ("regress", "--target", story.target, *(word for chapter in expected for word in ("--only", chapter)))
    try:
        for change in changes:
            drifts.make(host, change.do)
        said = story(*regress, code=1)
        assert drifts.named(story.runs) == expected, said
    finally:
        for change in reversed(changes):
            drifts.make(host, change.undo)
    wait("all as it was recorded", lambda: story.run(*regress).returncode == 0, timeout=900)


@pytest.mark.parametrize(
    "given",
    [
        "masterService.type=ClusterIP",
        "masterService.type=NodePort,masterService.nodePort=30881",
        "masterService.type=LoadBalancer",
        "db.hostAddress=10.0.1.1",
        "taskContainerDefaults.cpuImage=a,taskContainerDefaults.gpuImage=b,imagePullSecretName=x",
    ],
)
def test_an_api_server_takes_determineds_chart_with_every_choice(host, given):
    helm = Tool(Origin("auto", host.target).resolve("helm", host))
    text = helm.run(
        "template",
        "dry",
        str(SETUP / "detai-setup"),
        "-n",
        "default",
        "--set",
        "checkpointStorage.endpointUrl=http://10.0.1.1:9000," + given,
    )
    said = host.run("microk8s kubectl apply --dry-run=server -n default -f -", stdin=text).out
    assert (
        said.count("(server dry run)") == text.count("\nkind: ") and "determined-master-deployment-dry created" in said
    )
    assert not host.run("microk8s kubectl get deployment,service,configmap -n default -o name").out.count("dry")


@pytest.mark.parametrize(
    "groups",
    [["bucket", "above"]]
    + ([["minio", "pg_hba"], ["cluster"], ["away"], ["below"]] if os.environ.get("RUNBOOK_FAULTS") else []),
    ids=" and ".join,
)
def test_verify_names_many_faults_at_once_and_one_up_mends_them(story, host, groups):
    story.verify_names(host, *groups)
    if "bucket" in groups:
        red = story("regress", "--target", story.target, "--only", "minio", code=1)
        assert "+ ✗ bucket models exists" in red and "drift (minio)" in red
    story.up("--no-book")
    assert set(story.states().values()) <= {"ok", "skipped"}


def test_a_chapter_runs_alone_under_papermill(story, tmp_path):
    done, text = story.papermill("minio", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "chapter minio" in text and "installed and proved" in text


def _last_in_a_notebook(story):
    """The newest record of chapters in a notebook."""
    folders = sorted(story.runs.glob("*-*/run.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    records = ((p.parent, json.loads(p.read_text())) for p in folders)
    return next((folder, run) for folder, run in records if run["target"] == "incluster")


def test_chapters_verify_in_a_notebook_of_the_cluster_without_ssh(story, host):
    """With the real one's Python; and what fails there fails the command here."""
    notebook = ("notebook", "--target", story.target, "--verify", "--only")
    with ProcessLists() as lists:
        said = story(*notebook, ",".join(inside.CHAPTERS))
    folder, run = _last_in_a_notebook(story)
    assert {c["id"]: c["state"] for c in run["chapters"].values()} == dict.fromkeys(inside.CHAPTERS, "ok"), said
    for c in run["chapters"].values():
        book = json.loads((folder / c["verify_notebook"]).read_text())
        assert book["metadata"]["language_info"]["version"].startswith("3.7."), "the real image's"
        why = {k["seen"] for k in c["checks"] if k["state"] == "left out"}
        why |= {s["note"] for s in c["steps"] if s["state"] == "left out"}
        assert "needs the host" in why and "" not in why and all(f"left out: {reason}" in said for reason in why)
        assert any(k["state"] == "ok" for k in c["checks"])
    texts = [said, *lists.seen, *(p.read_text() for p in folder.rglob("*") if p.is_file())]
    assert not [1 for secret in SecretStore(story.slug).values() for text in texts if secret in text]
    host.run("systemctl stop minio")
    try:
        said = story(*notebook, "minio", "--stop", code=1)
    finally:
        host.run("systemctl start minio")
    assert "do not hold in chapter minio" in said and _last_in_a_notebook(story)[1]["state"] == "failed"
    assert host.run("microk8s kubectl get secret determined-incluster -n determined", check=False).code != 0


def test_a_saved_host_and_its_secrets_come_back_and_after_a_reboot_everything_is_there_by_itself(story, host):
    secret, before = SecretStore(story.slug).get("minio-root").reveal(), story.kubeconfig.read_text()
    story.save("ten")
    host.run("microk8s stop; gitlab-ctl stop; systemctl stop minio postgresql label-studio", timeout=600)
    _nothing_is_removed_where_nothing_can_be_asked(story)
    host.run("rm -rf /srv/minio /var/lib/postgresql /opt/label-studio")
    SecretStore(story.slug).forget_all()
    host.close()
    story.restore("ten")
    assert SecretStore(story.slug).get("minio-root").reveal() == secret and story.kubeconfig.read_text() == before
    rebooted = datetime.datetime.now(datetime.UTC).isoformat()
    Sandbox(story.name).reboot()
    # Kubernetes tells what it knew before the reboot until each pod's state is written anew. The verdict is verify's.
    with contextlib.suppress(TimedOut):
        wait("each pod to be started again", lambda: _all_started_since(host, rebooted), timeout=180, every=2)
    verify = [*story.up_words, *story.all_unless([]), "--mode", "verify", "--no-book"]
    said = []

    def verified():
        done = story.run(*verify)
        said[:] = [done.stdout]
        return done.returncode == 0

    try:  # as a person would: what takes longer than its pods do is asked once more
        wait("the platform after the reboot", verified, timeout=600)
    except TimedOut:
        pytest.fail(said[0])
    assert story.states() == dict.fromkeys(CHAPTERS, "ok")


def _all_started_since(host, moment):
    """Is every container of a pod that runs ready, and younger than this? moment: ISO 8601 in UTC."""
    fields = '{range .items[*].status.containerStatuses[*]}{.ready}{" "}{.state.running.startedAt}{"\\n"}{end}'
    running = "get pods -A --field-selector status.phase=Running -o jsonpath="
    said = host.run(f"microk8s kubectl {running}'{fields}'", check=False)  # the API server may not answer yet
    lines = [line.split() for line in said.out.splitlines()] if said.code == 0 else []
    return lines and all(line[0] == "true" and line[-1] >= moment for line in lines)


def _nothing_is_removed_where_nothing_can_be_asked(story):
    stopped = [name for name in CHAPTERS if name not in ("requirements", "network")]
    out = story.up("--mode", "remove", *(f"--only={name}" for name in stopped), "--no-book", code=1)
    assert "cannot tell what is in the cluster" in out and "cannot tell what MinIO has of this chapter" in out
    assert "cannot tell: no answer" in out, "GitLab"
    assert "removed" not in story.states().values(), out


def test_what_a_chapter_stands_on_is_not_removed_under_it_and_a_host_has_one_run_at_a_time(story, host):
    out = story.up("--mode", "remove", "--only", "minio", "--no-book", code=2)
    assert "07 pachyderm" in out and "minio.delete_data=true" in out
    with held(host, what="up of somebody else"):
        assert "up of somebody else" in story.up("--only", "minio", "--no-book", code=2)
        story.up("--mode", "verify", "--only", "requirements", "--no-book")


def test_remove_leaves_nothing(story, host):
    story.up("--mode", "remove", "--no-book")
    assert set(story.states().values()) == {"removed"}
    came = [
        line for line in difference(without_times(story.before), without_times(state(host))) if line.startswith("+ ")
    ]
    assert [line for line in came if re.search(r"minio|postgres|microk8s|kube|gitlab|runbook(?!-mirror)", line)] == []
    # apt's autoremove keeps what an installed package suggests, here the C library its locales.
    assert [
        line for line in came if re.search(r"^\+ ii (?!locales|libc-l10n)|\.service|\.timer|\.socket", line)
    ] == [], "packages and units"
    assert SecretStore(story.slug).names() == []
    assert story.kubeconfig.read_text() == KUBECONFIG
    story.up("--mode", "remove", "--no-book")
    assert set(story.states().values()) == {"removed"}, "once more, with nothing there that could be asked"
