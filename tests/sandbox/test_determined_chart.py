"""Determined's chart, as a real API server takes it: a dry run on the server, with every choice that a chapter offers."""
from __future__ import annotations

import subprocess

import pytest

from helpers.paths import SETUP, home

STORE = "checkpointStorage.endpointUrl=http://10.0.1.1:9000"


@pytest.fixture(scope="module")
def helm():
    found = sorted(home("bin").glob("helm-*/helm"))
    if not found:
        pytest.skip("no helm on this machine yet: ./runbook up --only determined")
    return str(found[-1])


@pytest.mark.parametrize("given", ["masterService.type=ClusterIP", "masterService.type=NodePort,masterService.nodePort=30881", "masterService.type=LoadBalancer",
                                   "db.hostAddress=10.0.1.1", "taskContainerDefaults.cpuImage=a,taskContainerDefaults.gpuImage=b,imagePullSecretName=x"])
def test_server_side_dry_run(helm, host, target, given):
    if not host.probe({0: "microk8s kubectl get namespace default"})[0].ok:
        pytest.skip("no Kubernetes on {}: ./runbook up --target {} --only kubernetes".format(target, target))
    text = subprocess.run([helm, "template", "dry", str(SETUP / "detai-setup"), "-n", "default", "--set", STORE + "," + given],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    said = host.run("microk8s kubectl apply --dry-run=server -n default -f -", stdin=text).out
    assert said.count("(server dry run)") == text.count("\nkind: ") and "determined-master-deployment-dry created" in said
    assert not host.run("microk8s kubectl get deployment,service,configmap -n default -o name").out.count("dry")
