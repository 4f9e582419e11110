"""What ends a wait for pods, what stops its clock, and what is told: on what kubectl lists of a namespace."""

import json

import pytest
import stand_in

from helpers.components.kubernetes import troubles, waits
from helpers.components.kubernetes.kube import Kube, all_of, available
from helpers.components.kubernetes.microk8s import READY
from helpers.components.kubernetes.probes import owners_of, pod_runs
from helpers.components.kubernetes.troubles import never_pulled
from helpers.core import events
from helpers.core.errors import RunbookError
from helpers.core.waiting import TimedOut

# Containerd's words, by its 1.3 and 1.4 in MicroK8s: an image that Docker Hub does not have, one without its tag, and
# what comes of a limit, a slow line, a server in trouble and a name server that does not answer.
_PULLED = 'rpc error: code = Unknown desc = failed to pull and unpack image "docker.io/x/y:1": '
NO_REPOSITORY = _PULLED + (
    'failed to resolve reference "docker.io/x/y:1": pull access denied, repository does not exist or may require '
    "authorization: server message: insufficient_scope: authorization failed"
)
NO_TAG = 'rpc error: code = NotFound desc = failed to pull and unpack image "a": failed to resolve: a: not found'
LIMIT = _PULLED + (
    "failed to copy: httpReaderSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/x/y/manifests/"
    "sha256:0: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit."
)
SERVER = _PULLED + "failed to resolve reference: unexpected status code [manifests 1]: 503 Service Unavailable"
SLOW = _PULLED + 'failed to do request: Head "https://x/v2/": dial tcp 1.2.3.4:443: i/o timeout'
NO_NAME = _PULLED + "failed to do request: dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host"
BAD_NAME = 'Failed to apply default image tag "A:1": couldn\'t parse image reference "A:1": invalid reference format'


@pytest.mark.parametrize("why", [NO_REPOSITORY, NO_TAG, BAD_NAME, "manifest unknown: manifest unknown"])
def test_a_registry_that_has_no_such_image_never_will(why):
    assert never_pulled(why)


@pytest.mark.parametrize("why", [LIMIT, SERVER, SLOW, NO_NAME, 'Back-off pulling image "x/y:1"', "ErrImagePull"])
def test_a_pull_that_failed_on_its_way_is_tried_again(why):
    assert not never_pulled(why)


def meta(name, owner=None, **more):
    owners = [{"kind": owner[0], "name": owner[1], "uid": "u", "controller": True}] if owner else []
    return {"namespace": "lab", "name": name, "uid": "uid-" + name, "ownerReferences": owners, **more}


def pod(name="web", state=None, owner=None, more=None, **status):
    """A pod whose one container waits for this."""
    container = {"name": "c", "image": "x/y:1", "restartCount": status.pop("restarts", 0)}
    container["state"] = {"waiting": state} if state else {"running": {"startedAt": "2021-06-01T10:00:00Z"}}
    status = {"phase": "Pending", "containerStatuses": [container], **status}
    spec = {"containers": [{"name": "c", "image": "x/y:1"}]}
    return {"kind": "Pod", "metadata": meta(name, owner, **(more or {})), "spec": spec, "status": status}


def deployment(name="web", generation=1, observed=1, **status):
    about = meta(name, generation=generation)
    return {"kind": "Deployment", "metadata": about, "status": {"observedGeneration": observed, **status}}


def replicaset(name, revision, deployment="web"):
    about = meta(name, ("Deployment", deployment), annotations={"deployment.kubernetes.io/revision": revision})
    return {"kind": "ReplicaSet", "metadata": {**about, "generation": 1}, "status": {"observedGeneration": 1}}


def event(reason, second, message="", about="web", field="spec.containers{c}"):
    return {
        "kind": "Event",
        "metadata": meta(f"{about}.{second}", creationTimestamp="2021-06-01T10:00:00Z"),
        "involvedObject": {"namespace": "lab", "uid": "uid-" + about, "fieldPath": field},
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2021-06-01T10:00:{second:02}Z",
    }


NO_IMAGE = {"reason": "ErrImagePull", "message": NO_TAG}
NO_ROOM = [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}]


@pytest.fixture
def cluster(monkeypatch, own_home):
    """Says what kubectl lists: `.items` of the namespace, `.later` ones at the next looks, `.node` of all pods."""

    class Cluster:
        items, later, space, node, asked, so, logs = [], [], "lab", "", [], False, "the reason of it all"

        def answer(self, script, stdin):
            self.asked.append(script)
            if script == "the probe":
                return "" if self.so else (1, "not yet", "")
            if f"get {waits.KINDS} -n" in script:
                self.items = self.later.pop(0) if self.later else self.items
                return json.dumps({"kind": "List", "items": self.items if f"-n {self.space} " in script else []})
            if script.startswith("microk8s kubectl logs"):
                return self.logs
            return self.node if "get pods -A" in script else (1, "", "")

    made = Cluster()
    made.asked = []
    made.kube = Kube(stand_in.chapter(monkeypatch, "kubernetes", made.answer))
    return made


def told(cluster, *items, owners=None):
    cluster.items = list(items)
    return waits.PodWait(cluster.kube, frozenset(owners or []), "lab").look().told()


def test_what_a_pod_waits_for_and_whether_for_ever(cluster):
    assert told(cluster, pod()) == []
    assert told(cluster, pod(state={"reason": "ContainerCreating"})) == [
        ("pod lab/web waits: ContainerCreating", False)
    ]
    config = {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
    assert told(cluster, pod(state=config)) == [
        ('pod lab/web waits: CreateContainerConfigError: secret "s" not found', False)
    ]
    assert told(cluster, pod(state=NO_IMAGE)) == [(f"pod lab/web gets no image x/y:1: {NO_TAG}", True)]
    assert told(cluster, pod(state=NO_IMAGE, more={"deletionTimestamp": "now"})) == [], "it is going"


def test_between_two_tries_the_registrys_words_come_from_the_events(cluster):
    back_off = pod(state={"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x/y:1"'})
    said = [event("Failed", 5, f'Failed to pull image "x/y:1": {NO_TAG}'), event("Failed", 6, "Error: ErrImagePull")]
    ((text, final),) = told(cluster, back_off, event("Pulling", 1), *said)
    assert final and text.endswith(NO_TAG)
    ((text, final),) = told(cluster, back_off, *said, event("Failed", 9, f'Failed to pull image "x/y:1": {LIMIT}'))
    assert not final and "429" in text, "the last word counts"
    ((text, final),) = told(cluster, back_off)
    assert not final and "Back-off" in text, "nobody said why"


def test_what_is_pulled_is_told_and_the_next_try_as_well(cluster):
    creating = pod(state={"reason": "ContainerCreating"})
    cluster.items = [creating, event("Scheduled", 0, field=""), event("Pulling", 1)]
    looked = waits.PodWait(cluster.kube, space="lab").look()
    assert looked.stands() == "pod lab/web pulls image x/y:1" and looked.failed() is None
    again = told(
        cluster, pod(state=NO_IMAGE), event("Failed", 5, "Failed to pull image: not found"), event("Pulling", 9)
    )
    assert again == [("pod lab/web pulls image x/y:1", False)]
    cluster.items = [creating, event("Pulling", 1), event("Pulled", 1)]
    assert waits.PodWait(cluster.kube, space="lab").look().stands() is None
    cluster.items = [creating, event("Pulling", 1, about="an-earlier-web")]
    assert waits.PodWait(cluster.kube, space="lab").look().stands() is None


def test_no_room_is_for_ever_unless_somebody_ends(cluster):
    full = pod(conditions=NO_ROOM)
    text = "pod lab/web cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu."
    cluster.node = "host|Running|Always|\n|Pending|Never|\nhost|Succeeded|Never|\n"
    assert told(cluster, full) == [(text, True)]
    for ends in ("host|Running|Always|2021-06-01T10:00:00Z\n", "host|Running|Never|\n"):
        cluster.node = ends
        assert told(cluster, full) == [(text, False)]


@pytest.mark.parametrize(
    "lacks", ["1 Insufficient nvidia.com/gpu", "1 pod has unbound immediate PersistentVolumeClaims"]
)
def test_a_device_whose_plugin_is_still_coming_and_a_volume_do_not_end_a_wait(cluster, lacks):
    conditions = [{"type": "PodScheduled", "status": "False", "message": lacks}]
    assert [final for _, final in told(cluster, pod(conditions=conditions))] == [False]


def crashing(restarts, **more):
    return pod(state={"reason": "CrashLoopBackOff", "message": "back-off"}, restarts=restarts, **more)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test lets pass."""
    now = [1000.0]
    for module in (troubles, waits):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def test_a_crash_is_for_ever_after_minutes_of_the_same_last_line(cluster, clock):
    looks = waits.PodWait(cluster.kube, space="lab")
    steps = [(1, 0, "port 80"), (2, 20, "port 81"), (3, 100, "port 82"), (3, 50, "x"), (3, 20, "x"), (4, 1, "port 83")]
    ends = []
    for restarts, seconds, last in steps:
        clock(seconds)
        cluster.logs = "first line\n" + last
        cluster.items = [crashing(restarts)]
        ends.append(looks.look().told()[0][1])
    assert ends == [False, False, False, False, True, True]
    assert sum("logs -n lab web -c c --previous" in s for s in cluster.asked) == 4, "once for each crash"
    assert looks.texts(1) == ["pod lab/web crashes, 4 times so far. Its last lines: port 83"]


def test_another_last_line_or_a_pull_beside_it_begins_anew(cluster, clock):
    looks = waits.PodWait(cluster.kube, owners=frozenset([("lab", "pod", "web")]))
    pulls = [pod("galley", {"reason": "ContainerCreating"}), event("Pulling", 1, about="galley")]
    mounts = [pod("injector", {"reason": "ContainerCreating"})]
    steps = [
        (1, "no galley", pulls),
        (5, "no galley", mounts),
        (5, "no galley", []),
        (6, "no pilot", []),
        (7, "no pilot", []),
    ]
    ends = []
    for restarts, cluster.logs, more in steps:
        clock(200)
        cluster.items = [crashing(restarts), *more]
        ends.append(looks.look().told()[0][1])
    assert ends == [False, False, False, False, True]


def test_a_container_without_a_log_crashes_in_silence(cluster):
    cluster.logs = (1, "", 'previous terminated container "c" not found')
    assert told(cluster, crashing(2)) == [("pod lab/web crashes, 2 times so far. Its last lines:\n", False)]


def test_a_pod_of_a_job_ends_no_wait(cluster):
    assert told(cluster, pod(state=NO_IMAGE, owner=("Job", "post-install"))) == [
        (f"pod lab/web gets no image x/y:1: {NO_TAG}", False)
    ]


def test_only_pods_of_the_newest_template_count(cluster):
    old, new = (pod(name, NO_IMAGE, ("ReplicaSet", name)) for name in ("web-9", "web-10"))
    sets = [replicaset("web-9", "9"), replicaset("web-10", "10")]
    assert [text[:15] for text, _ in told(cluster, old, new, *sets, deployment())] == ["pod lab/web-10 "]
    assert told(cluster, old, *sets[:1], deployment(generation=3, observed=2)) == [], "a change not taken up yet"
    assert told(cluster, old, deployment()) == [], "its set is gone"
    stateful = {"kind": "StatefulSet", "metadata": meta("db"), "status": {"updateRevision": "db-2"}}
    labels = {"labels": {"controller-revision-hash": "db-1"}}
    assert told(cluster, pod("db-0", NO_IMAGE, ("StatefulSet", "db"), labels), stateful) == []


def test_only_pods_of_whom_the_probe_names_count(cluster):
    mine, sets = pod("web-1", NO_IMAGE, ("ReplicaSet", "web-1")), replicaset("web-1", "1")
    other = pod("other", NO_IMAGE)
    probe = all_of(available("lab", "deployment", "web"), READY)
    assert len(told(cluster, mine, sets, deployment(), other, owners=owners_of(probe))) == 1
    assert told(cluster, mine, sets, deployment(), other, owners=owners_of(pod_runs("lab", "third"))) == []


def test_the_node_waits_for_calicos_images_and_for_no_other_pod(cluster):
    cluster.space, there = "kube-system", {"namespace": "kube-system"}
    calico = {"kind": "DaemonSet", "metadata": {**meta("calico-node"), **there}, "status": {}}
    pulls = pod("calico-node-x", {"reason": "ContainerCreating"}, ("DaemonSet", "calico-node"), there)
    broken = pod("coredns-x", NO_IMAGE, more=there)
    cluster.items = [calico, pulls, broken, event("Pulling", 1, about="calico-node-x")]
    looked = waits.PodWait(cluster.kube, owners_of(READY)).look()
    assert looked.stands() == "pod kube-system/calico-node-x pulls image x/y:1" and looked.failed() is None


def test_why_no_pod_is_made_is_told(cluster):
    why = 'admission webhook "sidecar-injector.istio.io" denied'
    failed = deployment(
        conditions=[{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why}]
    )
    assert told(cluster, failed) == [(f"deployment lab/web cannot make its pods: {why}", False)]
    assert told(cluster, failed, owners=[("lab", "deployment", "other")]) == []
    stateful = {"kind": "StatefulSet", "metadata": meta("db"), "status": {}}
    said = event("FailedCreate", 3, "create Pod db-0 failed: exceeded quota: few", "db", "")
    assert told(cluster, stateful, said) == [
        ("statefulset lab/db cannot make its pods: create Pod db-0 failed: exceeded quota: few", False)
    ]
    assert told(cluster, stateful, said, pod("db-0", owner=("StatefulSet", "db"))) == [], "it could, later"


def test_an_api_that_is_away_tells_of_no_trouble(cluster):
    assert cluster.kube.troubles("elsewhere") == []
    cluster.items = [pod(state=NO_IMAGE)]
    ((text, final),) = cluster.kube.troubles("lab")
    assert "not found" in text and final


def test_a_wait_asks_the_probe_alone_and_then_the_pods_in_the_same_round_trip(cluster):
    cluster.so = True
    cluster.kube.wait_for("it", "the probe", space="lab")
    assert cluster.asked == ["the probe"]


def test_a_wait_ends_when_there_is_no_hope_and_says_why(cluster):
    cluster.items = [pod(state=NO_IMAGE)]
    with pytest.raises(RunbookError) as e:
        cluster.kube.wait_for("the web server", "the probe", 30, "lab")
    assert e.value.what == "wait for the web server" and NO_TAG in e.value.saw and not isinstance(e.value, TimedOut)
    assert "microk8s kubectl get pods" in e.value.do


def test_a_strangers_pod_ends_no_wait(cluster):
    cluster.items = [pod(state=NO_IMAGE)]
    for space in (None, "mine"):
        with pytest.raises(TimedOut) as e:
            cluster.kube.wait_for("the web server", "the probe", 1, space)
        assert e.value.saw == "not yet"
    assert not any("-A" in script for script in cluster.asked)


def test_of_what_stands_beside_it_no_pod_counts_in_a_wait_for_one_deployment(cluster):
    """A colleague's model without an image ended each roll-out of ours."""
    theirs = [pod(state=NO_IMAGE, owner=("ReplicaSet", "theirs-1")), replicaset("theirs-1", "1", "theirs")]
    cluster.items = [deployment("theirs"), *theirs, deployment("ours")]
    assert cluster.kube.pods("lab").look().failed()
    assert cluster.kube.pods("lab", "ours", "deployment").look().failed() is None
    assert NO_TAG in cluster.kube.pods("lab", "theirs", "deployment").look().failed()


def test_a_pull_takes_no_time_of_the_wait(cluster, monkeypatch, tmp_path):
    monkeypatch.setattr(waits, "_EVERY", 0)
    cluster.kube.ch.events.path = tmp_path / "told"
    pulling = [pod(state={"reason": "ContainerCreating"}), event("Pulling", 1)]
    cluster.items, cluster.later = pulling, [pulling] * 3 + [[*pulling, event("Pulled", 2)]]
    with pytest.raises(TimedOut) as e:
        cluster.kube.wait_for("it", "the probe", 1.2, "lab")
    assert "in which the clock stood" in e.value.what and e.value.saw == "not yet; pod lab/web waits: ContainerCreating"
    lines = [told["text"] for told in events.read(tmp_path / "told")]
    assert any("the clock stands for up to" in line and "pulls image x/y:1" in line for line in lines)
