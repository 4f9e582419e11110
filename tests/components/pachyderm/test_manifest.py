"""Pachyderm's manifest, made of what pachctl prints: no key on a command line, no port of the host."""

import base64
import json
from pathlib import Path

import pytest
import stand_in

from helpers.components.pachyderm import manifest
from helpers.core.secrets import Secret

#: documents as `pachctl deploy custom ... -o json` of 1.13.2 prints them, shortened
SERVICE = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {
        "name": "pachd",
        "namespace": "pachyderm",
        "creationTimestamp": None,
        "labels": {"app": "pachd", "suite": "pachyderm"},
        "annotations": {"prometheus.io/port": "656", "prometheus.io/scrape": "true"},
    },
    "status": {"loadBalancer": {}},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "pachd"},
        "ports": [
            {"name": "api-grpc-port", "port": 650, "targetPort": 0, "nodePort": 30650},
            {"name": "trace-port", "port": 651, "targetPort": 0, "nodePort": 30651},
            {"name": "s3gateway-port", "port": 600, "targetPort": 0, "nodePort": 30600},
            {"name": "prom-metrics", "protocol": "TCP", "port": 656, "targetPort": 656, "nodePort": 30656},
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
def made(own_home, monkeypatch):
    def make(expose="cluster", store="minio"):
        ch = stand_in.chapter(monkeypatch, "pachyderm", lambda script, stdin: {"cat /etc/machine-id": "0123\n"}[script])
        minio = ("10.0.1.1:9000", "runbook", Secret("minio-root", "very-secret-key"))
        return manifest.Manifest(ch, Pachctl(), store, minio, expose)

    return make


def by_name(docs):
    return {(d["kind"], d["metadata"]["name"]): d for d in docs}


def test_json_documents_one_after_the_other_are_parsed():
    assert manifest.parse('{"a": 1}\n{\n "b": [2]}\n\n') == [{"a": 1}, {"b": [2]}] and manifest.parse(" \n") == []


def test_no_key_is_in_what_pachctl_is_given_and_both_are_in_what_is_applied(made):
    pach = made()
    secret = by_name(pach.documents())["Secret", "pachyderm-storage-secret"]["data"]
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
    assert json.loads(Path(kw["env"]["PACH_CONFIG"]).read_text())["v2"]["metrics"] is False
    assert {"--no-expose-docker-socket", "--dry-run", "--disable-ssl"} <= set(
        arguments
    ) and "--cluster-deployment-id" in arguments


def test_local_needs_no_object_store(made):
    arguments = made(store="local").arguments()
    assert (
        arguments[:2] == ["deploy", "local"]
        and arguments[-2:] == ["--host-path", "/var/pachyderm"]
        and "--no-expose-docker-socket" in arguments
    )


@pytest.mark.parametrize("expose", ["cluster", "node", "loadbalancer"])
def test_pachds_own_service_and_etcds_never_open_a_port_of_the_host(made, expose):
    """A Service of another type opens all of its ports: pachd's traces, metrics and logins with gRPC and S3."""
    docs = by_name(made(expose).documents())
    for name in ("pachd", "etcd"):
        spec = docs["Service", name]["spec"]
        assert spec["type"] == "ClusterIP" and not any("nodePort" in p for p in spec["ports"])
    ports = {p["port"]: p["targetPort"] for p in docs["Service", "pachd"]["spec"]["ports"]}
    assert ports == {650: 650, 651: 651, 600: 600, 656: 656, 30650: 650, 30600: 600}
    assert docs["Service", "pachd"]["spec"]["ports"][0]["port"] == 650, "pachd's own port stays the first"
    assert (("Service", "pachd-open") in docs) == (expose != "cluster")


@pytest.mark.parametrize("expose, kind", [("node", "NodePort"), ("loadbalancer", "LoadBalancer")])
def test_what_is_asked_for_is_opened_by_a_service_of_its_own(made, expose, kind):
    opened = by_name(made(expose).documents())["Service", "pachd-open"]
    labels = {"app": "pachd", "suite": "pachyderm"}
    assert opened["metadata"] == {"name": "pachd-open", "namespace": "pachyderm", "labels": labels}
    assert opened["spec"] == {
        "type": kind,
        "selector": {"app": "pachd"},
        "ports": [
            {"name": "grpc", "port": 30650, "targetPort": 650, "nodePort": 30650},
            {"name": "s3", "port": 30600, "targetPort": 600, "nodePort": 30600},
        ],
    }


def test_the_claim_names_its_class_in_the_present_way(made):
    claim = by_name(made().documents())["StatefulSet", "etcd"]["spec"]["volumeClaimTemplates"][0]
    assert claim["spec"]["storageClassName"] == "microk8s-hostpath" and "annotations" not in claim["metadata"]


def test_pachds_pods_are_others_when_the_secret_with_minios_key_is(own_home, monkeypatch):
    """It reads its key at its start: with the old one it would go on until somebody restarts it."""
    deployments = [
        {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": name},
            "spec": {"template": {"metadata": {}}},
        }
        for name in ("pachd", "another")
    ]
    revision = ["7\n"]

    def marks(store):
        ch = stand_in.chapter(monkeypatch, "pachyderm", lambda s, _: revision[0] if "get secret" in s else "0123\n")
        printed = Pachctl()
        printed.run = lambda *_, **kw: "\n".join(json.dumps(d) for d in deployments)
        minio = ("10.0.1.1:9000", "pachyderm", Secret("minio-pachyderm", "very-secret-key"))
        docs = by_name(manifest.Manifest(ch, printed, store, minio, "cluster").documents())
        return [
            docs["Deployment", name]["spec"]["template"]["metadata"].get("annotations") for name in ("pachd", "another")
        ]

    assert marks("minio") == [{"storageSecret": "7"}, None] and marks("local") == [None, None]
    revision[0] = ""
    assert marks("minio") == [{"storageSecret": ""}, None]


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
    assert manifest.essence(live) == manifest.essence(plain) != manifest.essence(dict(plain, spec={"x": 2}))


def test_it_is_made_once_and_again_when_it_is_forgotten(made):
    pach = made()
    assert pach.documents() is pach.documents() and len(pach.pachctl.given) == 1
    pach.forget()
    pach.documents()
    assert len(pach.pachctl.given) == 2
    assert json.loads(pach.text())["items"][0]["metadata"] == {"name": "pachyderm", "labels": {"suite": "pachyderm"}}
    assert pach.claim()["metadata"]["labels"] == {"app": "etcd"}
