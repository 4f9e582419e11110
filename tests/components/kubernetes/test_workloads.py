"""How many pods Deployments want, on what kubectl prints."""

import pytest
import stand_in

from helpers.components.kubernetes import workloads
from helpers.components.kubernetes.kube import Kube

SAID = """Deployment|kube-system/coredns|1|kube-system/||
Deployment|kube-system/somebodys|3|kube-system/||
Deployment|istio-system/istio-pilot|2|istio-system/||
StatefulSet|istio-system/kept|1|istio-system/||
Deployment|istio-system/kiali|1|istio-system/||
HorizontalPodAutoscaler|istio-system/whatever||istio-system/istio-pilot|1|5
HorizontalPodAutoscaler|elsewhere/whatever||elsewhere/kiali||9
"""


@pytest.fixture
def kube(monkeypatch, own_home):
    asked = []
    made = Kube(stand_in.chapter(monkeypatch, "addons", lambda script, stdin: asked.append(script) or SAID))
    made.asked = asked
    return made


def test_a_namespace_of_ours_is_told_whole_and_of_a_shared_one_what_is_ours(kube):
    assert workloads.wanted(kube, "istio-system", "kube-system/coredns") == [
        ("istio-system/istio-pilot", "1 to 5"),  # its autoscaler's bounds: the number changes by itself
        ("istio-system/kept", "1"),
        ("istio-system/kiali", "1"),  # the autoscaler is another's, of the same name
        ("kube-system/coredns", "1"),
    ]
    assert len(kube.asked) == 1


def test_one_that_is_gone_is_told(kube):
    assert workloads.wanted(kube, "kube-system/metrics-server") == [("kube-system/metrics-server", "it is not there")]


def test_they_are_shown_as_a_table(kube, capsys):
    workloads.show(kube, "kube-system/coredns")
    assert capsys.readouterr().out.splitlines()[2].split() == ["kube-system/coredns", "1"]
