"""Pachyderm's deployment: what it must not meet, what differs in the cluster, etcd's volume; kubectl stands in."""

import json
import stat

import pytest
import stand_in

from helpers.components.kubernetes.probes import with_cluster
from helpers.components.pachyderm import deployment
from helpers.components.pachyderm.client import Pachyderm
from helpers.components.pachyderm.deployment import Deployment
from helpers.core import actions, notes, shell
from helpers.core.host import Host

SERVICE = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "pachd", "labels": {"app": "pachd"}},
    "spec": {"ports": [], "selector": {"app": "pachd"}},
}
AWAY = "echo The connection to the server was refused >&2; exit 1"


class Pachctl:
    """In the place of a process: prints one document."""

    version = "1.13.2"

    def missing(self):
        return None

    def run(self, *arguments, **kw):
        return json.dumps(SERVICE)


@pytest.fixture
def made(monkeypatch, own_home):
    def make(answer, store="local", expose="cluster"):
        ch = stand_in.chapter(monkeypatch, "pachyderm", answer)
        minio = ("10.0.1.1:9000", "runbook", ch.secret("minio-root"))
        return Deployment(Pachyderm(ch), Pachctl(), store, minio, expose)

    return make


@pytest.mark.parametrize(
    "images, why",
    [
        ("", None),
        ("pachyderm registry.example/pachyderm/pachd:1.13.2\n", None),
        ("pachyderm pachyderm/pachd:1.12.0\n", "pachd there is 1.12.0, pachctl here 1.13.2"),
        (
            "other pachyderm/pachd:1.13.2\n",
            "a Pachyderm is deployed in namespace other already: pachyderm/pachd:1.13.2",
        ),
    ],
)
def test_another_version_is_left_alone(made, images, why):
    assert made(lambda script, stdin: images).why_other_version() == why


@pytest.mark.parametrize(
    "backend, store, why",
    [
        ("", "minio", None),
        ("AMAZON", "minio", None),
        ("LOCAL", "minio", "its data lie in local"),
        ("AMAZON", "local", "its data lie in minio"),
        ("GOOGLE", "local", "its data lie in GOOGLE"),
    ],
)
def test_another_store_would_begin_empty(made, backend, store, why):
    assert made(lambda script, stdin: backend, store).why_other_store() == why


def cluster(after, now, available="1 1"):
    """A host whose server would make `after` of what is applied, and has `now`."""

    def answer(script, stdin):
        if "machine-id" in script:
            return "0123"
        if "get services pachd" in script:
            return "pachd ClusterIP\n" if now else ""
        if "dry-run=server" in script:
            return json.dumps({"items": after}) + "\n@@@\n" + (json.dumps({"items": now}) if now else "")
        return "" if available == "1 1" else (1, "deployment pachyderm/pachd: 0 of 1 pods available", "")

    return answer


def test_what_differs_in_the_cluster_is_told(made):
    noted = dict(SERVICE, metadata=dict(SERVICE["metadata"], uid="1"), status={"x": 1})
    other = dict(SERVICE, spec={"ports": [{"port": 1}]})
    etcd = dict(SERVICE, metadata={"name": "etcd"})
    assert made(cluster([SERVICE], [noted])).deployed().probe() is None
    assert made(cluster([SERVICE, etcd], [other])).deployed().probe() == "missing: service/etcd; changed: service/pachd"
    assert made(cluster([SERVICE], None)).deployed().probe() == "missing: service/pachd"
    away = made(cluster([SERVICE], [SERVICE], "0 1")).deployed().probe()
    assert away == "deployment pachyderm/pachd: 0 of 1 pods available"


CASES = {
    "nothing is there": ("", "node", None, []),
    "shut stays shut": ("pachd ClusterIP\n", "cluster", None, []),
    "open stays open": ("pachd ClusterIP\npachd-open NodePort\n", "node", None, []),
    "shut again": (
        "pachd ClusterIP\npachd-open NodePort\n",
        "cluster",
        "service pachd-open opens ports of the host",
        ["delete pachd-open"],
    ),
    "of another type": ("pachd ClusterIP\npachd-open NodePort\n", "loadbalancer", None, ["delete pachd-open"]),
    "of an older runbook": (
        "pachd NodePort\n",
        "node",
        "service pachd is of type NodePort: all its ports are the host's as well",
        ["patch pachd"],
    ),
    "of an older one, shut by this": (
        "pachd LoadBalancer\n",
        "cluster",
        "service pachd is of type LoadBalancer: all its ports are the host's as well",
        ["patch pachd"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_ports_that_are_open_and_not_asked_for_are_told_and_shut(made, monkeypatch, case):
    """apply would leave them: it takes no node port away, and deletes nothing. pachd's own keeps its address."""
    (types, expose, why, did), asked = case, []

    def answer(script, stdin):
        asked.append(script)
        if "get services pachd pachd-open" in script:
            return types
        return json.dumps({"items": []}) + "\n@@@\n" if "dry-run=server" in script else ""

    action = made(answer, expose=expose).deployed()
    assert action.probe() == why and not any(" delete " in script or " patch " in script for script in asked)
    monkeypatch.setattr(Deployment, "_ready", lambda self: None)
    action.apply()
    changed = [n for n, script in enumerate(asked) if " delete service" in script or " patch service" in script]
    assert [" ".join(asked[n].split()[2:5:2]) for n in changed] == did
    (applied,) = [n for n, script in enumerate(asked) if "apply -f -" in script and "dry-run" not in script][1:]
    assert all(n < applied for n in changed), "the second Service gets the node ports that the first had"
    for n in changed:
        if " patch " in asked[n]:
            shut = json.loads(asked[n].partition(" -p '")[2].rpartition("'")[0])["spec"]
            assert shut["type"] == "ClusterIP" and [p["port"] for p in shut["ports"]] == [30650, 30600]
            assert not any("nodePort" in p for p in shut["ports"]) and shut["externalTrafficPolicy"] is None


def test_keys_in_kubectls_annotation_are_told(made):
    about = {"name": "store", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{...}"}}
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": about}
    told = made(cluster([secret], [secret])).deployed().probe()
    assert told == "in clear in an annotation: secret/store"


@pytest.mark.parametrize("there", [False, True])
def test_keys_are_never_given_to_kubectl_apply(made, monkeypatch, there):
    """Its annotation has what it is given, in clear; to take that away afterwards leaves it there for a while."""
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "store"}, "data": {"key": "a2V5"}}
    noted = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{a2V5}"}, "resourceVersion": "7"}
    monkeypatch.setattr(Pachctl, "run", lambda *_, **kw: json.dumps(secret) + json.dumps(SERVICE))
    asked = []

    def answer(script, stdin):
        asked.append((script, stdin or ""))
        found = json.dumps({"metadata": dict(noted, name="store"), "data": {"key": "b2xk"}}) if there else ""
        return found if "get secret store -n pachyderm" in script else ""

    made(answer)._apply()
    applied = [[d["kind"] for d in json.loads(stdin)["items"]] for script, stdin in asked if " apply " in script]
    assert applied == [["Namespace"], ["Service"]]
    (put,) = [(script, json.loads(stdin)) for script, stdin in asked if "a2V5" in stdin]
    assert ("replace -f -" if there else "create -f -") in put[0]
    about = put[1]["metadata"]
    assert about["namespace"] == "pachyderm" and not about.get("annotations") and put[1]["data"] == {"key": "a2V5"}


def _controller(name, ready, wanted=1):
    return {"metadata": {"name": name}, "spec": {"replicas": wanted}, "status": {"readyReplicas": ready}}


@pytest.mark.parametrize("noted, ended", [("it is 8", False), ("it is 7", True), ("it is ", True), ("", False)])
def test_workers_are_ended_before_pachd_is_told_of_another_secret(made, noted, ended):
    """They read MinIO's key at their start, too; one who is cut off between the two finds pachd's mark old."""
    asked, controllers = [], [_controller("census", 0), _controller("outline", 1)]

    def answer(script, stdin):
        asked.append((script, stdin or ""))
        if "get replicationcontroller" in script:
            return json.dumps({"items": controllers})
        return "8" if "get secret pachyderm-storage-secret" in script else noted if "annotations" in script else "0123"

    there = made(answer, "minio")
    there._apply()
    assert there._ended == ({"outline"} if ended else set()), "those that worked are waited for"
    calls = [script + stdin for script, stdin in asked]
    (applied,) = [n for n, call in enumerate(calls) if "apply -f -" in call and '"Service"' in call]
    gone = [n for n, call in enumerate(calls) if "delete pods -n pachyderm -l component=worker" in call]
    assert len(gone) == ended and all(n < applied for n in gone)


@pytest.mark.parametrize("act", ["redeploy", "_rebind"])
@pytest.mark.parametrize("names", [["census", "outline"], []])
def test_workers_rest_while_etcd_is_away(made, monkeypatch, act, names):
    """They asked it without a pause, on all processors: what had to bring it back took five times as long."""
    did, rest = [], "scale -n pachyderm --replicas=0 replicationcontroller/census replicationcontroller/outline"

    def answer(script, stdin):
        did.append(script.replace("microk8s kubectl ", ""))
        if "get replicationcontroller" not in script:
            return "0123"
        wanted = 0 if rest in did else 1
        return json.dumps({"items": [_controller(name, wanted and name == "outline", wanted) for name in names]})

    there = made(answer, "minio")
    monkeypatch.setattr(there, "_ready", lambda: did.append("ready"))
    monkeypatch.setattr(there, "_object", lambda what: None)
    monkeypatch.setattr(there, "_is_bound", lambda: True)
    monkeypatch.setattr(there, "_claim_on", lambda volume: {})
    there.redeploy() if act == "redeploy" else there._rebind(None, ["v1"])
    (went,) = [
        n for n, call in enumerate(did) if "delete deployment/pachd" in call or "etcd" in call and "replicas=0" in call
    ]
    rested = [n for n, call in enumerate(did) if call == rest]
    assert len(rested) == bool(names)
    assert all(went < n < did.index("ready") for n in rested), "earlier, and pachd would start them again"
    assert there._ended == ({"outline"} if names else set()), "those that worked are waited for"
    assert there._workers() == set(), "who rests does not work"


def test_what_the_server_refuses_is_told_and_a_missing_namespace_means_not_deployed(made):
    def answer(said):
        return lambda script, stdin: (1, "", said) if "dry-run" in script else ""

    missing = 'Error from server (NotFound): namespaces "pachyderm" not found\n'
    assert made(answer(missing)).deployed().probe() == "not deployed"
    assert made(answer("warning\nthe server is away\n")).deployed().probe() == "the server is away"


@pytest.fixture
def snap(program):
    """snap(word, code): a snap command that says this of MicroK8s."""

    def says(text, code=0):
        program("snap", f"echo '{text}'; exit {code}")

    says("microk8s")
    return says


def test_it_is_gone_when_no_objects_are_left(made, bash, snap):
    absent = made(lambda script, stdin: "").deployed().absent
    assert bash(absent, "true") == (0, "")
    assert bash(absent, "case $* in *namespace*) echo namespace/pachyderm ;; esac") == (
        1,
        "still there: namespace/pachyderm",
    )
    assert bash(absent, "case $* in *clusterrole' '*) echo clusterrole/pachyderm ;; esac")[0] == 1


def test_with_minio_a_folder_of_somebodys_is_none_of_its_business(made, bash, snap, tmp_path, monkeypatch):
    """Remove deleted an earlier Pachyderm's, which install had not looked at."""
    monkeypatch.setattr(deployment, "HOST_PATH", str(tmp_path / "folder"))
    (tmp_path / "folder" / "theirs").mkdir(parents=True)
    there = made(lambda script, stdin: "", "minio")
    action = there.deployed()
    assert bash(action.absent, "true") == (0, "")
    assert bash(action.undo, "true")[0] == 0 and (tmp_path / "folder" / "theirs").exists()
    assert there.folder() == [] and there.things() == ["namespace pachyderm", "bucket pachyderm"]


@pytest.mark.parametrize("was", ["empty", "away"])
def test_the_folder_of_the_store_local_is_as_it_was(monkeypatch, own_home, tmp_path, was):
    """That of somebody's, empty, had to be away and there: remove deleted it and made it, and never came to its end."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(deployment, "HOST_PATH", str(tmp_path / "folder"))
    if was == "empty":
        (tmp_path / "folder").mkdir(mode=0o750)

    def opened(mode):
        ch = stand_in.opened("pachyderm", mode)
        there = Deployment(Pachyderm(ch), Pachctl(), "local")
        assert ch.own.first_sight([thing for thing in there.things() if thing.startswith("folder ")]) is None
        # the cluster's part, for which a file stands: it writes into the folder, and is undone before it
        pods, data = tmp_path / "pods", tmp_path / "folder" / "pachd"
        undo = f"[ ! -e {data} ] || rm {pods}"
        cluster = actions.commands(f"mkdir -p {data}; touch {pods}", f"[ -e {pods} ]", undo, [f"file {pods}"])
        ch.step("deployed", *there.folder(), cluster)
        ch.verdict()

    opened("install")
    assert (tmp_path / "folder" / "pachd").exists() and "folder" in (tmp_path / "state/pachyderm.json").read_text()
    opened("remove")
    assert not (tmp_path / "state").exists() and not (tmp_path / "pods").exists()
    left = tmp_path / "folder"
    assert left.exists() == (was == "empty")
    assert was == "away" or (not list(left.iterdir()) and stat.S_IMODE(left.stat().st_mode) == 0o750)


NO_NAMESPACE = "case $* in *'get namespace'*) ;; *) echo -n 'volume pvc-1 ' ;; esac"


@pytest.mark.parametrize(
    "note, microk8s, why",
    [
        ("", "true", ""),
        ("", NO_NAMESPACE, "of an earlier Pachyderm: volume pvc-1"),
        ("there", NO_NAMESPACE, ""),
        ("", "case $* in *'get namespace'*) echo namespace/pachyderm ;; *) echo -n 'volume pvc-1 ' ;; esac", ""),
    ],
)
def test_a_volume_that_an_earlier_pachyderm_left_is_told_before_anything_is_touched(  # noqa: PLR0913
    made, bash, tmp_path, monkeypatch, note, microk8s, why
):
    """Remove deleted it, and etcd was bound to it. Where the chapter is installed, by its note or not, it is ours."""
    monkeypatch.setattr(notes, "STATE", str(tmp_path))
    if note:
        (tmp_path / "pachyderm.json").touch()
    assert bash(made(lambda script, stdin: "").none_left(), microk8s) == (int(bool(why)), why)


def test_a_folder_of_such_a_volume_is_told_and_no_answer_is_no_proof(made, bash, tmp_path, monkeypatch):
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    folders = tmp_path / "storage"
    theirs = folders / "pachyderm-etcd-storage-etcd-0-pvc-1"
    theirs.mkdir(parents=True)
    (folders / "models-other-pvc-2").mkdir()
    probe = made(lambda script, stdin: "").none_left()
    probe = probe.replace("/var/snap/microk8s/common/default-storage", str(folders))
    assert bash(probe, "true") == (1, f"of an earlier Pachyderm: folder {theirs}")
    theirs.rmdir()
    assert bash(probe, "true") == (0, "") and bash(probe, AWAY)[0] == 1


def test_a_cluster_that_does_not_answer_is_no_proof_that_it_is_gone(made, bash, snap, tmp_path):
    """D7, R13: with a silent API server remove said "already gone" and emptied the bucket; so after snap disable."""
    action = made(lambda script, stdin: "").deployed()
    code, said = bash(action.absent, AWAY)
    assert code and "was refused" in said and "microk8s start" in said
    code, said = bash(action.undo, f'echo "$*" >> {tmp_path}/asked\n{AWAY}')
    assert code and "cannot tell what is in the cluster" in said
    assert (tmp_path / "asked").read_text().splitlines() == ["kubectl get namespace default -o name"]
    assert bash(deployment._GONE, AWAY)[0] == 1, "nor of the guard, which would let the data go"
    snap("microk8s  v1.20  disabled")
    assert bash(deployment._GONE, "exit 127")[0] == 1, "after snap disable there is no program microk8s"
    snap("error: no matching snaps installed", 1)
    assert bash(deployment._GONE, AWAY)[0] == 0 and bash(action.absent, AWAY)[0] == 0


def test_a_repository_that_the_chapter_did_not_make_keeps_remove_from_it(made):
    found = made(lambda script, stdin: "10.0.0.1")
    found.pach.repositories = lambda: ["fmnist", "mine", "outline"]
    assert found.why_data_of_others(["fmnist", "outline"]) == "repositories that this chapter did not make: mine"
    assert found.why_data_of_others(["fmnist", "outline", "mine"]) is None


def test_a_pachd_that_cannot_be_asked_stops_remove_unless_its_namespace_is_gone(made, bash, snap):
    def without_pachd(microk8s):
        def answer(script, stdin):
            code, said = bash(script, microk8s)
            return (code, "", said) if code else said

        return made(answer).why_data_of_others([])

    service = "case $* in *service*) echo 'no such service' >&2; exit 1;; esac\n"
    assert without_pachd(service + "echo -n 'pachyderm '").startswith("it cannot be asked: ")
    assert without_pachd("echo 'the server is away' >&2; exit 1\n").startswith("it cannot be asked: ")
    assert without_pachd(service) is None, "no such namespace"
    assert without_pachd(service + "echo -n 'pachyderm 2021-06-01T00:00:00Z'") is None, "an earlier remove was cut off"


# The scripts run here, with a function in the place of microk8s.


@pytest.fixture
def host():
    host = Host("local")
    host.connect()
    return host


@pytest.mark.parametrize(
    "claim, volume, why",
    [
        ("Bound v1 ", "Bound Retain claim ", None),
        (None, "", "etcd's claim claim is missing: its pods have nowhere to write"),
        ("Pending  ", "", "etcd's claim claim is Pending, not Bound"),
        ("Bound v1 2021-01-01", "", "etcd's claim claim is being deleted: it goes when etcd's pod ends"),
        ("Bound v1 ", None, "etcd's volume v1 is missing"),
        ("Bound v1 ", "Released Retain claim ", "etcd's volume v1 is Released, not bound to claim"),
        ("Bound v1 ", "Bound Retain other ", "etcd's volume v1 is Bound, not bound to claim"),
        ("Bound v1 ", "Bound Retain claim 2021-01-01", "etcd's volume v1 is being deleted"),
        ("Bound v1 ", "Bound Delete claim ", "etcd's volume would be deleted with its claim (policy Delete)"),
    ],
)
def test_etcds_volume_must_outlive_its_claim(host, claim, volume, why):
    pvc, pv = (f"echo '{text}'" if text is not None else "return 1" for text in (claim, volume))
    microk8s = f"microk8s() {{ case $3 in pvc) {pvc};; pv) {pv};; esac; }}\n"
    probe = shell.script(deployment.HERE / "claim_is_kept.sh", "pachyderm", "claim")
    assert host.ask(microk8s + probe) == (why is None, why or "")


def test_remove_takes_the_namespace_what_is_beside_it_and_the_volumes(host, tmp_path):
    log = tmp_path / "log"
    microk8s = f'microk8s() {{ echo "$*" >> {log}; case $3 in pv) [ $2 = delete ] || echo "v1 v2 ";; esac; }}\n'
    host.run(microk8s + with_cluster(shell.script(deployment.HERE / "remove.sh", "no-such-space")))
    asked, *did = log.read_text().splitlines()
    assert '@.spec.claimRef.namespace=="no-such-space"' in asked
    assert [" ".join(line.split()[1:4]) for line in did] == [
        "delete deployment,replicaset,statefulset,daemonset,replicationcontroller,job --all",
        "delete pod --all",
        "delete pod --all",
        "delete namespace no-such-space",
        "delete clusterrole,clusterrolebinding pachyderm",
        "delete pv v1",
        "delete pv v2",
    ]


def test_what_is_compared_is_asked_in_one_call(host):
    microk8s = 'microk8s() { echo "$2 $(cat)"; }\n'
    said = host.run(microk8s + shell.script(deployment.HERE / "compare.sh"), stdin="list", raw=True).out
    assert said == "apply list\n@@@\nget list\n"
