"""Pachyderm's manifest, jobs and pictures, on what pachctl and pachd really answered; no cluster here."""

import base64
import collections
import json
import types
import xml.etree.ElementTree as ET

import pytest

from helpers.components.pachyderm import dataset, pipelines
from helpers.components.pachyderm import deployment as pachyderm
from helpers.core.errors import Unmet
from helpers.core.errors import BadInput, RunbookError
from helpers.core.secrets import Masker, Secret

#: documents as `pachctl deploy custom ... -o json` of 1.13.2 prints them, shortened
SERVICE = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "pachd", "namespace": "pachyderm", "creationTimestamp": None},
    "status": {"loadBalancer": {}},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "pachd"},
        "ports": [
            {"name": "api-grpc-port", "port": 650, "targetPort": 0, "nodePort": 30650},
            {"name": "s3gateway-port", "port": 600, "targetPort": 0, "nodePort": 30600},
        ],
    },
}
ETCD = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "etcd", "namespace": "pachyderm"},
    "status": {},
    "spec": {"type": "NodePort", "ports": [{"name": "client-port", "port": 2379, "targetPort": 0, "nodePort": 32379}]},
}
SECRET = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {"name": "pachyderm-storage-secret"},
    "data": {
        "amazon-id": base64.b64encode(b"access-key").decode(),
        "amazon-secret": base64.b64encode(b"secret-key").decode(),
        "custom-endpoint": "eA==",
    },
}
SET = {
    "kind": "StatefulSet",
    "apiVersion": "apps/v1",
    "metadata": {"name": "etcd"},
    "spec": {
        "volumeClaimTemplates": [
            {
                "metadata": {
                    "name": "etcd-storage",
                    "labels": {"app": "etcd"},
                    "annotations": {"volume.beta.kubernetes.io/storage-class": "microk8s-hostpath"},
                },
                "spec": {"accessModes": ["ReadWriteOnce"]},
            }
        ]
    },
}


class Pachctl:
    """In the place of a process: prints what pachctl prints, and keeps what it was given."""

    version = "1.13.2"

    def __init__(self):
        self.given = []

    def run(self, *arguments, **kw):
        self.given.append((arguments, kw))
        return "\n".join(json.dumps(d, indent=2) for d in (SERVICE, ETCD, SECRET, SET)) + "\n"


@pytest.fixture
def made(own_home):
    def make(expose="cluster", store="minio"):
        ch = types.SimpleNamespace(
            run=lambda *a, **kw: "0123\n",
            host=types.SimpleNamespace(target=types.SimpleNamespace(slug="x")),
            masker=Masker(),
        )
        return pachyderm.Pachyderm(
            ch, Pachctl(), store, ("10.0.1.1:9000", "runbook", Secret("minio-root", "very-secret-key")), expose
        )

    return make


def by_name(docs):
    return {(d["kind"], d["metadata"]["name"]): d for d in docs}


def test_json_documents_one_after_the_other_are_parsed():
    assert pachyderm.parse('{"a": 1}\n{\n "b": [2]}\n\n') == [{"a": 1}, {"b": [2]}] and pachyderm.parse(" \n") == []


def test_no_key_is_in_what_pachctl_is_given_and_both_are_in_what_is_applied(made):
    pach = made()
    secret = by_name(pach.manifest())["Secret", "pachyderm-storage-secret"]["data"]
    assert [base64.b64decode(secret[k]) for k in ("amazon-id", "amazon-secret")] == [b"runbook", b"very-secret-key"]
    ((arguments, kw),) = pach.pachctl.given
    assert "very-secret-key" not in " ".join(arguments) and arguments[-6:] == (
        "none",
        "10",
        "pachyderm",
        "access-key",
        "secret-key",
        "10.0.1.1:9000",
    )
    assert json.load(open(kw["env"]["PACH_CONFIG"]))["v2"]["metrics"] is False
    assert {"--no-expose-docker-socket", "--dry-run", "--disable-ssl"} <= set(
        arguments
    ) and "--cluster-deployment-id" in arguments


def test_local_needs_no_object_store(made):
    arguments = made(store="local").command()
    assert (
        arguments[:2] == ["deploy", "local"]
        and arguments[-2:] == ["--host-path", "/var/pachyderm"]
        and "--no-expose-docker-socket" in arguments
    )


def test_by_default_no_port_of_the_host_is_opened(made):
    docs = by_name(made().manifest())
    for name in ("pachd", "etcd"):
        spec = docs["Service", name]["spec"]
        assert spec["type"] == "ClusterIP" and not any("nodePort" in p for p in spec["ports"])
    ports = {p["port"]: p["targetPort"] for p in docs["Service", "pachd"]["spec"]["ports"]}
    assert ports == {650: 650, 600: 600, 30650: 650, 30600: 600}, "pachd's own port stays the first"
    assert docs["Service", "pachd"]["spec"]["ports"][0]["port"] == 650


@pytest.mark.parametrize("expose, kind", [("node", "NodePort"), ("loadbalancer", "LoadBalancer")])
def test_exposed_on_request_but_never_etcd(made, expose, kind):
    docs = by_name(made(expose).manifest())
    assert docs["Service", "pachd"]["spec"]["type"] == kind and docs["Service", "etcd"]["spec"]["type"] == "ClusterIP"
    assert {p["port"]: p.get("nodePort") for p in docs["Service", "pachd"]["spec"]["ports"]} == {
        650: None,
        600: None,
        30650: 30650,
        30600: 30600,
    }


def test_the_claim_names_its_class_in_the_present_way(made):
    claim = by_name(made().manifest())["StatefulSet", "etcd"]["spec"]["volumeClaimTemplates"][0]
    assert claim["spec"]["storageClassName"] == "microk8s-hostpath" and "annotations" not in claim["metadata"]


def test_what_the_server_notes_on_an_object_is_no_difference():
    live = {
        "kind": "Service",
        "metadata": {
            "name": "a",
            "uid": "1",
            "resourceVersion": "2",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {"x": 1},
        "status": {"y": 2},
    }
    plain = {"kind": "Service", "metadata": {"name": "a"}, "spec": {"x": 1}}
    assert pachyderm._essence(live) == pachyderm._essence(plain) != pachyderm._essence(dict(plain, spec={"x": 2}))


# -- a pachd that fails, or is away: real gRPC, nothing listens -------------------------------------


def test_a_call_to_nobody_ends_in_words():
    client = pachyderm.Client("127.0.0.1", 1)
    with pytest.raises(RunbookError) as e:
        client.list_repo()
    assert e.value.what == "ask pachd: ListRepo" and e.value.saw == "pachd does not answer" and "logs" in e.value.do
    with pytest.raises(RunbookError) as e:
        list(client.list_commit("fmnist"))
    assert "ListCommit" in e.value.what


# -- jobs and left-overs, on pachd's answers --------------------------------------------------------

Message = collections.namedtuple("Message", "user message")


def answering(**answers):
    """Pipelines on a client that gives these answers."""
    pach = types.SimpleNamespace(
        ch=None,
        kube=types.SimpleNamespace(),
        client=types.SimpleNamespace(**{k: (lambda v: lambda *a, **kw: v)(v) for k, v in answers.items()}),
    )
    return pipelines.Pipelines(pach)


def test_the_last_lines_are_those_of_the_last_try():
    log = [
        Message(False, "beginning to run user code"),
        Message(True, "ValueError: first"),
        Message(False, "beginning to run user code"),
        Message(True, "Traceback\n"),
        Message(True, ""),
        Message(True, "ValueError: last"),
        Message(False, "errored running user code after 19.7ms: exit status 1"),
    ]
    assert answering(get_job_logs=log).last_lines("j") == ["Traceback", "ValueError: last"]


def test_a_failed_job_is_told_by_its_last_lines():
    job = types.SimpleNamespace(job=types.SimpleNamespace(id="j"), reason="datum failed")
    assert answering(get_job_logs=[Message(True, "ValueError: x")]).told(job, "p").endswith("code:\nValueError: x")
    job.reason = "inputs failed: outline"
    assert answering(get_job_logs=[]).told(job, "p") == "the job of pipeline p failed: inputs failed: outline"


def ns(**kw):
    return types.SimpleNamespace(**kw)


def test_the_job_of_the_commit_before_is_not_taken_for_this_ones():
    output = ns(commit=ns(id="out2"), provenance=[ns(commit=ns(id="in2"))])
    stale, own = ns(output_commit=ns(id="out1")), ns(output_commit=ns(id="out2"))
    assert answering(list_commit=[output], list_job=[stale]).job(ns(id="in2"), "p") is None
    assert answering(list_commit=[output], list_job=[stale, own]).job(ns(id="in2"), "p") is own
    assert answering(list_commit=[output], list_job=[own]).job(ns(id="in1"), "p") is None


def test_left_over_is_what_belongs_to_no_pipeline_or_to_an_older_version_of_one():
    def thing(kind, name, app, pipeline):
        return {"kind": kind, "metadata": {"name": name, "labels": {"app": app, "pipelineName": pipeline}}}

    p = answering(list_pipeline=ns(pipeline_info=[ns(pipeline=ns(name="Out_line"), version=2)]))
    p.kube.get = lambda what: {
        "items": [
            thing("ReplicationController", "pipeline-out-line-v2", "pipeline-out-line-v2", "Out_line"),
            thing("Pod", "pipeline-out-line-v2-x", "pipeline-out-line-v2", "Out_line"),
            thing("ReplicationController", "pipeline-out-line-v1", "pipeline-out-line-v1", "Out_line"),
            thing("Service", "pipeline-gone-v1", "pipeline-gone-v1", "gone"),
            thing("Service", "s3-job", "job-1", "Out_line"),
            thing("Service", "s3-old", "job-2", "gone"),
        ]
    }
    assert p.left_over() == [
        ("replicationcontroller", "pipeline-out-line-v1", "Out_line"),
        ("service", "pipeline-gone-v1", "gone"),
        ("service", "s3-old", "gone"),
    ]
    with pytest.raises(Unmet):
        p.nothing_left_over()


@pytest.mark.parametrize(
    "allocatable, wish, refused",
    [({}, 1, True), ({"nvidia.com/gpu": "1"}, 2, True), ({"nvidia.com/gpu": "2"}, 2, False), ({}, 0, False)],
)
def test_a_wish_for_gpus_is_held_against_the_nodes(allocatable, wish, refused):
    p = answering()
    p.kube.get, p.ch = (lambda what: {"items": [{"status": {"allocatable": allocatable}}]}), ns(host=ns(name="here"))
    spec = pipelines.Pipeline("train", "fmnist", "/", "pass", wish)
    if not refused:
        p.require_gpu(spec)
        return
    with pytest.raises(BadInput) as e:
        p.require_gpu(spec)
    assert f"nvidia.com/gpu: {wish}" in e.value.saw and "chapter 04" in e.value.do


# -- pictures ----------------------------------------------------------------------------------------


def test_the_provenance_picture_goes_from_left_to_right_and_is_the_same_each_time():
    nodes = {
        "repo:fmnist": "60 files",
        "pipeline:outline": "glob /*/*",
        "repo:outline": "60 files",
        "pipeline:a<b": "",
        "repo:a<b": "1 file",
    }
    edges = [
        ("repo:fmnist", "pipeline:outline"),
        ("pipeline:outline", "repo:outline"),
        ("repo:outline", "pipeline:a<b"),
        ("repo:fmnist", "pipeline:a<b"),
        ("pipeline:a<b", "repo:a<b"),
    ]
    svg = pipelines.graph(nodes, edges)
    assert svg == pipelines.graph(dict(nodes), list(edges))
    root = ET.fromstring(svg)
    tag = "{http://www.w3.org/2000/svg}"
    xs = [int(r.get("x")) for r in root.findall(tag + "rect")]
    assert xs == sorted(xs) and len(set(xs)) == 5 and len(root.findall(tag + "path")) == len(edges)
    assert [t.text for t in root.findall(tag + "text")][::2] == ["fmnist", "outline", "outline", "a<b", "a<b"]


def test_the_pipelines_code_draws_the_outlines_that_the_check_draws(tmp_path):
    """The chapter's own code, run on the data set in folders like those of a worker."""
    from helpers.core import notebooks

    cells = ["".join(c["source"]) for c in notebooks.find("pachyderm").content["cells"] if c["cell_type"] == "code"]
    space = {
        "Pipeline": pipelines.Pipeline,
        "repository": "fmnist",
        "ch": ns(step=lambda *a: None),
        "pipes": ns(pipeline=lambda s: None, tidy=lambda: None),
    }
    for cell in cells:
        if cell.startswith(("outline =", "census =")):
            exec(cell, space)
    for path, content in dataset.files().items():
        file = tmp_path / "fmnist" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for name in ("outline", "census"):
        (tmp_path / "out").mkdir()
        exec(space[name].code.replace("/pfs", str(tmp_path)), {})
        (tmp_path / "out").rename(tmp_path / name)
    assert (tmp_path / "census" / "census.csv").read_text().splitlines()[:2] == ["0_T-shirt_top,6", "1_Trouser,6"]
    for path, content in dataset.files().items():
        assert dataset.pixels((tmp_path / "outline" / path).read_bytes()) == dataset.outline(dataset.pixels(content))
