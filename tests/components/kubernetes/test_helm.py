"""Helm's releases as a chapter asks for them, on what helm 3.5.4 prints; no cluster here."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in

from helpers.components.kubernetes.helm import Chart, Helm, by_namespace, flat
from helpers.core import catalogue
from helpers.core.errors import CommandFailed, RunbookError
from helpers.core.paths import REPO, SETUP

STATUS = {
    "name": "determined",
    "info": {"status": "deployed"},
    "config": {"db": {"storageSize": "1Gi"}, "maxSlotsPerPod": 1},
    "manifest": "kind: Service\n",
    "version": 1,
}


PACKAGE = b"a chart's package, as a repository serves it"
OF_PACKAGE = hashlib.sha256(PACKAGE).hexdigest()


class Tool:
    """In the place of a process: answers as helm 3.5.4 does, and keeps what it was given."""

    def __init__(self, status=None, chart="determined-1.0.0", rendered=""):
        self.given, self.status, self.chart, self.rendered = [], status, chart, rendered

    def missing(self):
        return None

    def run(self, *arguments, **how):
        self.given.append((arguments, how))
        if arguments[0] == "pull":
            (Path(arguments[-1]) / "seldon-core-operator-1.7.0.tgz").write_bytes(PACKAGE)
        if arguments[0] == "list":
            return json.dumps([{"name": "determined", "chart": self.chart}] if self.status else [])
        return {"status": json.dumps(self.status), "template": self.rendered}.get(arguments[0], "")


@pytest.fixture
def made(monkeypatch, own_home):
    def make(tool, kubectl=(0, "", "")):
        def answer(script, stdin):
            if script == "microk8s config":
                return "server: https://10.0.0.5:16443\ntoken: very-secret-token\n"
            return (1, "not yet", "") if script == "a probe" else kubectl

        return Helm(stand_in.chapter(monkeypatch, "determined", answer), tool)

    return make


@pytest.mark.parametrize(
    "of, says",
    [
        ("a: 1", None),
        ("a:   1   # other spaces, and a comment", None),
        ("a: 2", "is of an older setup/detai-setup: ConfigMap/config"),
        ("a: 1\n---\nkind: Role\nmetadata: {name: r}", "is of an older setup/detai-setup: Role/r"),
    ],
)
def test_a_chart_of_ours_that_was_changed_is_applied(made, of, says):
    form = "# Source: {}\nkind: ConfigMap\nmetadata: {{name: config}}\ndata:\n  {}\n"
    rendered, there = form.format("a", "a: 1"), form.format("b", of)
    helm = made(Tool({**STATUS, "manifest": there}, f"determined-{OURS.version}", rendered))
    action = helm.installed("determined", OURS, "space", VALUES)
    said = action.probe()
    assert said is None if says is None else said == "release determined " + says
    how = helm.tool.given[-1][1]
    assert json.loads(how["stdin"]) == VALUES and "KUBECONFIG" not in how["env"], "rendered here, with our values"


def test_another_ones_chart_may_make_up_keys_as_it_renders(made):
    helm = made(Tool({**STATUS, "manifest": "kind: Secret\nmetadata: {name: a}\n"}))
    assert installed(helm).probe() is None


OURS = Chart.folder(SETUP / "detai-setup")
CHART, VALUES = Chart("determined", "1.0.0", ["/x"]), {"db": {"storageSize": "1Gi"}, "maxSlotsPerPod": 1}


def installed(helm, values=VALUES, **how):
    return helm.installed("determined", CHART, "space", values, **how)


@pytest.mark.parametrize(
    "description, says",
    [
        ("chart sha256:" + OF_PACKAGE, None),
        ("chart sha256:bb", "another file of seldon-core-1.7.0"),
        ("Install complete", None),
    ],
)
def test_a_chart_whose_file_the_origin_replaced_is_installed_again(made, description, says):
    chart = catalogue.load()["seldon-core"]
    chart.sha256 = OF_PACKAGE
    wanted = Chart.artifact(chart)
    info = {"status": "deployed", "description": description}
    helm = made(Tool({**STATUS, "info": info}, f"{wanted.name}-1.7.0"))
    action = helm.installed("determined", wanted, "space", VALUES)
    said = action.probe()
    assert said is None if says is None else says.replace("seldon-core", wanted.name) in said
    action.apply()
    given = helm.tool.given[-1][0]
    assert "chart sha256:" + OF_PACKAGE in given, "the next run knows of which file it was made"
    assert given[3].endswith("/seldon-core-operator-1.7.0.tgz") and "--repo" not in given, "the file that was verified"


@pytest.mark.parametrize("alone", [False, True])
def test_a_chart_with_another_checksum_than_the_known_one_is_not_installed(made, alone):
    chart = catalogue.load()["seldon-core"]
    chart.sha256 = "0" * 64
    helm = made(Tool())
    with pytest.raises(RunbookError, match="verify chart seldon-core-operator") as e:
        helm.installed("determined", Chart.artifact(chart, alone), "space", VALUES).apply()
    assert f"its SHA-256 is {OF_PACKAGE}" in e.value.saw and "KUBECONFIG" not in helm.tool.given[-1][1]["env"]
    assert [words[0] for words, _ in helm.tool.given if words[0] in ("pull", "upgrade")] == ["pull"]


def test_a_release_that_is_as_wanted(made):
    assert installed(made(Tool(STATUS))).probe() is None


@pytest.mark.parametrize(
    "tool, says",
    [
        (Tool(), "release determined is not installed"),
        (Tool(dict(STATUS, info={"status": "pending-install"})), "release determined is pending-install"),
        (Tool(STATUS, "determined-0.9.0"), "is chart determined-0.9.0, not determined-1.0.0"),
    ],
)
def test_another_release_is_said(made, tool, says):
    assert says in installed(made(tool)).probe()


@pytest.mark.parametrize(
    "values, says",
    [
        (dict(VALUES, maxSlotsPerPod=2), "has other values: maxSlotsPerPod"),
        ({"db": {"storageSize": "2Gi"}, "maxSlotsPerPod": 1, "x": 1}, "other values: db.storageSize, x"),
        (lambda: dict(VALUES, x=1), "other values: x"),
    ],
)
def test_other_values_are_said(made, values, says):
    assert says in installed(made(Tool(STATUS)), values).probe()


@pytest.mark.parametrize(
    "said, says",
    [
        ('Error from server (NotFound): deployments.apps "m" not found\n', "missing: deployments.apps/m"),
        ("error: the server is away\n", "error: the server is away"),
    ],
)
def test_objects_that_are_missing_are_said(made, said, says):
    assert installed(made(Tool(STATUS), (1, "", said))).probe() == says


def test_a_release_that_is_as_wanted_but_not_ready(made):
    assert installed(made(Tool(STATUS)), ready="a probe").probe() == "not yet"


def test_it_uses_a_kubeconfig_of_its_own_through_ssh_and_values_go_on_standard_input(made, own_home):
    helm = made(Tool(STATUS))
    installed(helm).apply()
    ((arguments, how),) = helm.tool.given
    path = own_home / "helm" / "local-determined.kubeconfig"
    assert how["env"]["KUBECONFIG"] == str(path) and path.stat().st_mode & 0o777 == 0o600
    assert "server: https://127.0.0.1:16443" in path.read_text()
    assert arguments == ("upgrade", "--install", "determined", "/x", "-n", "space", "-f", "-")
    assert json.loads(how["stdin"]) == VALUES
    assert all(how["env"][f"HELM_{k}_HOME"].startswith(str(own_home)) for k in ("CACHE", "CONFIG", "DATA"))
    helm.ch.close()
    assert not path.exists(), "it is deleted at the verdict"


#: a chapter whose kernel is killed while helm has its kubeconfig
KILLED = """
import os, sys
sys.path[:0] = ["tests", "tests/components/kubernetes"]
import pytest, test_helm
with pytest.MonkeyPatch.context() as patch:
    answer = lambda script, stdin: "server: https://10.0.0.5:16443\\ntoken: very-secret-token\\n"
    helm = test_helm.Helm(test_helm.stand_in.chapter(patch, "determined", answer), test_helm.Tool(test_helm.STATUS))
    helm.run("list")
    print(helm._config, flush=True)
    sys.stdin.read()
"""


def test_the_kubeconfig_of_a_kernel_that_was_killed_goes_at_the_next_start(made, own_home):
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=str(REPO), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    path = Path(killed.stdout.readline().strip())
    made(Tool(STATUS))
    assert "very-secret-token" in path.read_text(), "it is in use"
    killed.kill()
    killed.communicate()
    assert path.parent == own_home / "helm" and path.exists()
    made(Tool(STATUS))
    assert not path.exists()


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
    assert Chart.artifact(a).environment == {}


def test_what_is_shown_is_what_set_would_take(made):
    (shown,) = made(Tool()).installed("seldon-core", CHART, "seldon-system", {"istio": {"enabled": True}}).shown
    assert shown == "helm upgrade --install seldon-core determined -n seldon-system --set istio.enabled=true"
    assert flat({"a": {"b": 1}, "c": {}}) == {"a.b": 1, "c": {}}


def test_lint_tells_errors_only(made):
    assert made(Tool()).lint(CHART) is None

    class Failing(Tool):
        def run(self, *arguments, **how):
            out = "==> Linting x\n[INFO] icon\n[ERROR] templates/: no such value\n"
            raise CommandFailed("helm lint", saw="exit code 1", out=out)

    assert made(Failing()).lint(CHART) == "[ERROR] templates/: no such value"


MANIFEST = """---
# Source: a
kind: A
metadata:
  name: a
---
kind: B
metadata: {name: b, namespace: kube-system}
---
kind: C
metadata:
  namespace: 'own'
  name: c
---
kind: D
metadata:
  name: d
subjects:
- kind: S
  namespace: far
---
# nothing
"""


def test_a_manifest_is_asked_for_by_namespace():
    kinds = {
        space: [line[-1] for line in text.splitlines() if line.startswith("kind")]
        for space, text in by_namespace(MANIFEST, "own").items()
    }
    assert kinds == {"own": ["A", "C", "D"], "kube-system": ["B"]}


def test_a_release_is_gone_where_there_is_no_microk8s_and_not_where_it_does_not_answer(monkeypatch, own_home):
    def helm(answer):
        return Helm(stand_in.chapter(monkeypatch, "determined", answer), Tool(STATUS))

    assert installed(helm(lambda *_: "")).absent() is None
    with pytest.raises(CommandFailed, match="was refused"):
        installed(helm(lambda *_: (1, "", "was refused"))).absent()
