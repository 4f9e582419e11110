"""`microk8s enable`, whose exit code is 0 whatever came of it: on what the scripts of 1.20 print."""

import re
import subprocess

import pytest
import stand_in

from helpers.components.kubernetes import addon
from helpers.components.kubernetes.kube import Kube, available
from helpers.core.errors import RunbookError, Unmet
from helpers.core.paths import SETUP

PODS = available("kube-system", "deployment", "kubernetes-dashboard")
ALREADY = "Addon dashboard is already enabled.\n"
ADVICE = (
    "Enabling Kubernetes Dashboard\nAddon metrics-server is already enabled.\nApplying manifest\n\n"
    "If RBAC is not enabled access the dashboard using the default token retrieved with:\n\ntoken=$(...)\n"
)


@pytest.fixture
def host(monkeypatch, own_home):
    """A host where `enable` says these texts, one after the other; `.asked`: what it was asked."""

    class Host:
        says, pods, deployments, asked = [], [], ["deployment.apps/kubernetes-dashboard"], []

        def answer(self, script, stdin):
            self.asked.append(script)
            if script.startswith("microk8s enable"):
                return self.says.pop(0)
            if "get pods -A" in script:
                return self.pods.pop(0)
            if "get deployment/" in script:
                return "\n".join(self.deployments)
            return "" if script == PODS else (1, "", "")

        def enable(self, name="dashboard", argument="", probe=PODS):
            kube = Kube(stand_in.chapter(monkeypatch, "addons", self.answer, "install"))
            return kube.addon(name, argument, probe, "deployment x -n kube-system")

    made = Host()
    made.asked = []
    return made


def test_an_add_on_whose_script_came_to_its_end_is_enabled(host):
    host.says = [ADVICE]
    action = host.enable()
    action.apply()
    assert action.shown == ["microk8s enable dashboard"] and host.asked == ["microk8s enable dashboard", PODS]


@pytest.mark.parametrize(
    "name, argument, said",
    [
        ("gpu", "", "Aborting: NVIDIA kernel module not loaded.\nPlease ensure you have CUDA capable hardware."),
        ("dns", "1.2.3", "Enabling DNS\nYour input value (1.2.3) is not a valid IP address"),
        ("metallb", "1.2.3.4", "Enabling MetalLB\nYour input value (1.2.3.4) is not a valid IP Range"),
        ("metallb", "", "Enabling MetalLB"),
        ("host-access", "ip=x", "Bad IP[x]. Please provide a valid IP address. Default is 10.0.1.1"),
        ("storage", "", "Enabling default storage class\nsudo: a password is required"),
        ("knative", "", "Knative failed to install"),
        ("dashboard", "", "Enabling Kubernetes Dashboard\nAddon metrics-server is already enabled."),
        ("registry", "", ""),
    ],
)
def test_a_script_that_stopped_is_told_in_its_own_last_words(host, name, argument, said):
    host.says = [said + "\n"]
    with pytest.raises(Unmet) as e:
        host.enable(name, argument).apply()
    assert e.value.saw == (said or "nothing") and addon._ENDS[name] in e.value.expected
    assert len(host.asked) == 1, "it is not waited for"


def test_what_kubectl_said_before_the_script_stopped_is_told(host):
    host.says = [(0, "Enabling Istio\n", "Error from server (InternalError): failed calling webhook\n")]
    with pytest.raises(Unmet) as e:
        host.enable("istio").apply()
    assert e.value.saw.endswith("failed calling webhook")


def test_the_ends_are_those_of_the_sandboxs_scripts_as_well():
    text = (SETUP / "sandbox/substitutes/microk8s/snap/microk8s").read_text()
    for name, end in addon._ENDS.items():
        enable = re.search(r"def enable_{}\(.*?(?=\ndef )".format(name.replace("-", "_")), text, re.S)
        assert end in enable.group(), name


def test_enabled_already_is_enabled(host):
    host.says = [ALREADY]
    host.enable().apply()
    assert host.asked[-1] == PODS and not host.says


def test_already_enabled_while_its_pod_ends_is_waited_for_and_enabled_again(host):
    host.says, host.deployments = [ALREADY, ADVICE], []
    host.pods = ["lab/kubernetes-dashboard-x lab/web", "kube-system/kubernetes-dashboard-x", "lab/web"]
    host.enable().apply()
    enabled = [n for n, script in enumerate(host.asked) if script == "microk8s enable dashboard"]
    asked = [n for n, script in enumerate(host.asked) if "get pods -A" in script]
    assert len(enabled) == 2 and len(asked) == 3 and enabled[0] < asked[0] < asked[-1] < enabled[1]


def test_already_enabled_for_ever_by_somebodys_pod_names_it(host, monkeypatch):
    monkeypatch.setattr(addon, "_ENDING", 0.6)
    host.says, host.deployments, host.pods = [ALREADY], [], ["lab/kubernetes-dashboard-of-mine"] * 9
    with pytest.raises(RunbookError) as e:
        host.enable().apply()
    assert "lab/kubernetes-dashboard-of-mine" in e.value.saw and "kubernetes-dashboard" in e.value.do


def test_enabled_but_without_its_deployment_says_what_to_do(host):
    host.says, host.deployments, host.pods = [ALREADY, ALREADY], [], [""]
    with pytest.raises(RunbookError) as e:
        host.enable().apply()
    assert e.value.saw == "it says that it is enabled, but there is no deployment/kubernetes-dashboard in kube-system"
    assert "microk8s disable dashboard" in e.value.do


def test_what_is_left_goes_where_its_pods_are_gone_and_disable_does_nothing(host, program, tmp_path):
    """MicroK8s goes by the pods: "Addon dashboard is already disabled.", and its namespace stayed for ever."""
    program("microk8s", f'echo "$*" >> {tmp_path}/asked')
    subprocess.run(["bash", "-euo", "pipefail", "-c", host.enable().undo], check=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-2] == "disable dashboard" and asked[-1].startswith("kubectl delete deployment x -n kube-system ")
