"""A cluster that is somebody's: chapters 03, 04 and 07 to 09 name what is there; taken over and left, it is as before.

Minutes, so that only `./runbook test --faults` has it. What decides is also in components/kubernetes/test_ownership.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from host_state import difference

from helpers.core import asked, notebooks
from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.secrets import SecretStore
from helpers.sandbox import Sandbox
from helpers.sandbox.supply import recipes_for

pytestmark = pytest.mark.skipif(os.environ.get("RUNBOOK_FAULTS") != "all", reason="./runbook test --faults has it")

NAME = "clus" + os.environ.get("RUNBOOK_TEST_SANDBOX", "test")[:11]
TARGET = "sandbox:" + NAME
HERE = Path(__file__).parent
STATE = (HERE / "somebodys_cluster_state.sh").read_text()

BRING_UP = """snap install microk8s --classic --channel=1.20/stable
microk8s status --wait-ready >/dev/null
microk8s enable dns storage metallb:10.64.140.43-10.64.140.49 </dev/null
"""
#: of the operator's machine: a context of the name that chapter 03 takes
KUBECONFIG = """# theirs
apiVersion: v1
kind: Config
clusters:
  - {name: aks, cluster: {server: "https://aks.company.invalid:443"}}
users:
  - {name: ann, user: {token: theirs}}
contexts:
  - {name: mlops, context: {cluster: aks, user: ann}}
current-context: mlops
"""
OTHER_CONTEXT = ("-p", "kubernetes.context=platform")


class TheirCluster:
    """The host, the operator's kubeconfig, and the command line against them."""

    def __init__(self, folder):
        self.host, self.kubeconfig = Host(TARGET), folder / "kubeconfig"
        self.kubeconfig.write_text(KUBECONFIG)
        self.kubeconfig.chmod(0o600)
        self.env = dict(os.environ, RUNBOOK_RUNS=str(folder), KUBECONFIG=str(self.kubeconfig), PYTHONPATH=str(REPO))
        self.run(BRING_UP + (HERE / "somebodys_cluster.sh").read_text())
        self.before = self.state()

    def run(self, script):
        return self.host.run(script, timeout=600, quiet=True).out

    def state(self):
        return [*self.run(STATE).splitlines(), self.kubeconfig.read_text(), oct(self.kubeconfig.stat().st_mode)]

    def changed(self):
        return difference(self.before, self.state())

    def up(self, chapter, *words, code=1):
        argv = [sys.executable, "-m", "helpers", "up", "--target", TARGET, "--no-book", "--only", chapter, *words]
        done = subprocess.run(argv, env=self.env, cwd=REPO, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def track(self, track):
        """The snap is from this track, as snapd tells it."""
        self.run(f"sed -i -E 's,\"[0-9.]+/stable,\"{track}/stable,' /var/lib/snapd/state.json")


@pytest.fixture(scope="module")
def theirs(can_host, tmp_path_factory):
    box = Sandbox(NAME)
    box.down(wipe=True)
    SecretStore("sandbox-" + NAME).forget_all()
    asked.forget("sandbox-" + NAME)
    chapters = notebooks.load_all()
    box.up(artifacts=recipes_for(["busybox", *chapters["kubernetes"].artifacts, *chapters["addons"].artifacts]))
    made = TheirCluster(tmp_path_factory.mktemp("operator"))
    yield made
    made.host.close()
    box.down(wipe=True)


@pytest.mark.parametrize("words", [(), ("-p", "kubernetes.adopt=true"), ("--mode", "remove", "--yes")])
def test_a_newer_microk8s_is_neither_taken_over_nor_removed(theirs, words):
    theirs.track("1.28")
    try:
        said = theirs.up("kubernetes", *OTHER_CONTEXT, *words)
        assert "MicroK8s is installed from 1.28/stable, not from track 1.20" in said
    finally:
        theirs.track("1.20")
    assert theirs.changed() == []


@pytest.mark.parametrize(
    "chapter, adopt, named",
    [
        ("kubernetes", True, "it leads to https://aks.company.invalid:443"),
        (
            "addons",
            False,
            "was here before: object kube-system/deployment/coredns, object "
            "kube-system/deployment/hostpath-provisioner, namespace metallb-system, namespace istio-system",
        ),
        ("addons", True, "was here before: namespace istio-system"),
        ("pachyderm", False, "was here before: namespace pachyderm"),
        ("determined", False, "namespace determined was there before the runbook"),
        (
            "seldon",
            False,
            "was here before: namespace seldon-system, namespace models, "
            "object seldon-system/deployment/seldon-controller-manager, object models/secret/minio",
        ),
        ("seldon", True, "was here before: object seldon-system/deployment/seldon-controller-manager"),
    ],
)
def test_each_thing_is_named_and_nothing_is_touched(theirs, chapter, adopt, named):
    said = theirs.up(chapter, *(["-p", f"{chapter}.adopt=true"] if adopt else []))
    assert named in said
    assert theirs.changed() == []


def test_a_microk8s_of_our_track_is_named(theirs):
    assert "was here before: snap microk8s" in theirs.up("kubernetes", *OTHER_CONTEXT)
    assert theirs.changed() == []


def test_taken_over_and_left_again_the_cluster_is_as_before(theirs):
    # with settings of ours in each file that the chapter changes (of a registry that nobody asks), and another pool
    chosen = [
        *OTHER_CONTEXT,
        *("-p", "kubernetes.adopt=true"),
        *("-p", 'kubernetes.image_mirrors=["ghcr.io=mirror.example.org"]'),
    ]
    theirs.up("kubernetes", *chosen, code=0)
    theirs.up("kubernetes", "--mode", "remove", "--yes", code=0)
    assert theirs.changed() == []
    theirs.up("kubernetes", *chosen, code=0)  # once more: what was ours a moment ago is theirs again
    more = ("-p", "addons.metallb_pool=10.64.140.60-10.64.140.69", "-p", "addons.knative=false")
    theirs.up("addons", "-p", "addons.adopt=true", *more, code=0)
    assert theirs.changed() != []
    theirs.up("addons", "--mode", "remove", "--yes", code=0)
    theirs.up("kubernetes", "--mode", "remove", "--yes", code=0)
    assert theirs.changed() == []
