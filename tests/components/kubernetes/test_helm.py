"""Helm's releases as a chapter asks for them, on what helm 3.5.4 prints; no cluster here."""

import json
import types

import pytest

from helpers.components.kubernetes.helm import Chart, Helm, by_namespace, flat
from helpers.core import catalogue
from helpers.core.errors import CommandFailed

STATUS = {
    "name": "determined",
    "info": {"status": "deployed"},
    "config": {"db": {"storageSize": "1Gi"}, "maxSlotsPerPod": 1},
    "manifest": "kind: Service\n",
    "version": 1,
}


class Tool:
    """In the place of a process: answers as helm 3.5.4 does, and keeps what it was given."""

    def __init__(self, status=None, chart="determined-1.0.0"):
        self.given, self.status, self.chart = [], status, chart

    def missing(self):
        return None

    def run(self, *arguments, **kw):
        self.given.append((arguments, kw))
        if arguments[0] == "list":
            return json.dumps([{"name": "determined", "chart": self.chart}] if self.status else [])
        return json.dumps(self.status) if arguments[0] == "status" else ""


@pytest.fixture
def made(own_home):
    def make(tool, kubectl=(0, "")):
        host = types.SimpleNamespace(
            run=lambda script, **kw: types.SimpleNamespace(
                code=kubectl[0], err=kubectl[1], out="server: https://10.0.0.5:16443\ntoken: very-secret-token\n"
            ),
            target=types.SimpleNamespace(slug="x"),
            name="x",
            probe=lambda scripts: {0: (False, "not yet")},
        )
        ch = types.SimpleNamespace(
            host=host,
            mode="install",
            notebook=types.SimpleNamespace(id="made"),
            forward=lambda port: port + 1,
            masker=types.SimpleNamespace(add=lambda text: None),
            cleanup=lambda call: None,
        )
        return Helm(ch, tool)

    return make


CHART, VALUES = Chart("determined", "1.0.0", ["/x"]), {"db": {"storageSize": "1Gi"}, "maxSlotsPerPod": 1}


def test_a_release_that_is_as_wanted(made):
    assert made(Tool(STATUS)).differs("determined", CHART, "space", VALUES) is None


@pytest.mark.parametrize(
    "status, chart, kubectl, values, says",
    [
        (None, "", (0, ""), VALUES, "release determined is not installed"),
        (
            dict(STATUS, info={"status": "pending-install"}),
            "determined-1.0.0",
            (0, ""),
            VALUES,
            "release determined is pending-install",
        ),
        (STATUS, "determined-0.9.0", (0, ""), VALUES, "is chart determined-0.9.0, not determined-1.0.0"),
        (STATUS, "determined-1.0.0", (0, ""), dict(VALUES, maxSlotsPerPod=2), "has other values: maxSlotsPerPod"),
        (
            STATUS,
            "determined-1.0.0",
            (0, ""),
            {"db": {"storageSize": "2Gi"}, "maxSlotsPerPod": 1, "x": 1},
            "other values: db.storageSize, x",
        ),
        (
            STATUS,
            "determined-1.0.0",
            (1, 'Error from server (NotFound): deployments.apps "m" not found\n'),
            VALUES,
            "missing: deployments.apps/m",
        ),
        (STATUS, "determined-1.0.0", (1, "error: the server is away\n"), VALUES, "the server is away"),
    ],
)
def test_what_differs_is_said(made, status, chart, kubectl, values, says):
    assert says in made(Tool(status, chart), kubectl).differs("determined", CHART, "space", values)


def test_a_release_that_is_as_wanted_but_not_ready(made):
    assert made(Tool(STATUS)).installed("determined", CHART, "space", VALUES, ready="x").probe() == "not yet"


def test_it_uses_a_kubeconfig_of_its_own_through_ssh_and_values_go_on_standard_input(made, own_home):
    helm = made(Tool(STATUS))
    helm.kube.kubectl = lambda arguments, **kw: ""
    helm.installed("determined", CHART, "space", VALUES).apply()
    ((arguments, kw),) = helm.tool.given
    path = own_home / "helm" / "x-made.kubeconfig"
    assert (
        kw["env"]["KUBECONFIG"] == str(path)
        and "server: https://127.0.0.1:16444" in path.read_text()
        and path.stat().st_mode & 0o777 == 0o600
    )
    assert (
        arguments == ("upgrade", "--install", "determined", "/x", "-n", "space", "-f", "-")
        and json.loads(kw["stdin"]) == VALUES
    )
    assert all(kw["env"][f"HELM_{k}_HOME"].startswith(str(own_home)) for k in ("CACHE", "CONFIG", "DATA"))


def test_a_charts_repository_is_where_its_package_lies():
    a = catalogue.Artifact(
        "seldon-core-operator",
        {"kind": "chart", "version": "1.7.0", "url": "https://x.example/charts/seldon-core-operator-1.7.0.tgz"},
    )
    a.origin = "upstream"
    assert Chart.artifact(a).where == [
        "seldon-core-operator",
        "--repo",
        "https://x.example/charts",
        "--version",
        "1.7.0",
    ]
    assert not Chart.artifact(a).mirrored


def test_what_is_shown_is_what_set_would_take(made):
    (shown,) = made(Tool()).installed("seldon-core", CHART, "seldon-system", {"istio": {"enabled": True}}).shown
    assert shown == "helm upgrade --install seldon-core determined -n seldon-system --set istio.enabled=true"
    assert flat({"a": {"b": 1}, "c": {}}) == {"a.b": 1, "c": {}}


def test_lint_tells_errors_only(made):
    helm = made(Tool())
    assert helm.lint(CHART) is None

    def fail(*a, **kw):
        raise CommandFailed(
            "helm lint", saw="exit code 1", out="==> Linting x\n[INFO] icon\n[ERROR] templates/: no such value\n"
        )

    helm.tool.run = fail
    assert helm.lint(CHART) == "[ERROR] templates/: no such value"


def test_a_manifest_is_asked_for_by_namespace():
    manifest = (
        "---\n# Source: a\nkind: A\nmetadata:\n  name: a\n---\nkind: B\nmetadata: {name: b, namespace: kube-system}\n---\nkind: C\nmetadata:\n  namespace: 'own'\n  name: c\n"
        "---\nkind: D\nmetadata:\n  name: d\nsubjects:\n- kind: S\n  namespace: far\n---\n# nothing\n"
    )
    found = by_namespace(manifest, "own")
    assert {
        space: [line[-1] for line in text.splitlines() if line.startswith("kind")] for space, text in found.items()
    } == {"own": ["A", "C", "D"], "kube-system": ["B"]}
