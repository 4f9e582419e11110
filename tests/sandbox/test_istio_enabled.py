"""Chapter 04's Istio on a host where a first try was cut off, and where MicroK8s' own does not come to its end."""

import os

import microk8s_host
import pytest

from helpers.components.addons.istio import Istio
from helpers.components.kubernetes.kube import Kube
from helpers.core import notebooks
from helpers.core.chapter import Chapter
from helpers.sandbox import needs

pytestmark = pytest.mark.skipif(
    "RUNBOOK_FAULTS" not in os.environ or bool(needs.sandbox_lacks()),
    reason="long: ./runbook test --faults tests/sandbox/test_istio_enabled.py",
)
DATA = "/var/snap/microk8s/current"
#: in the background, until all that can be made is
FREED = """nohup sh -c '
until [ "$(microk8s kubectl get deploy -n istio-system -o name | wc -l)" = 12 ]; do sleep 1; done
sleep 15; microk8s kubectl delete validatingwebhookconfiguration refuses' > /tmp/freed 2>&1 < /dev/null &"""


@pytest.fixture(scope="module")
def host():
    with microk8s_host.fresh() as host:
        host.ok(microk8s_host.INSTALL)
        host.ok("sudo microk8s status --wait-ready --timeout 60")
        host.ok("sudo usermod -aG microk8s ubuntu")
        yield host


@pytest.fixture
def istio(host):
    notebook = notebooks.find("addons")
    ch = Chapter(notebook, notebook.check({"target": f"sandbox:{host.box.name}", "mode": "install"}))
    yield Istio(Kube(ch)).enabled(False)
    ch.host.close()


def test_a_fetch_that_was_cut_off_and_a_first_refusal_are_gone_through(host, istio):
    """A half fetch is in the way of every later one; what refuses Istio's objects at first does so for a moment."""
    host.ok(f"sudo mkdir -p {DATA}/tmp/istio {DATA}/bin; sudo touch {DATA}/tmp/istio/istio.tar {DATA}/bin/istioctl")
    host.ok("microk8s kubectl apply -f -", stdin=microk8s_host.REFUSES_INSTANCES)
    host.ok(FREED)
    istio.apply()
    assert len(host.ok("microk8s kubectl get instances.config.istio.io -A -o name").split()) == 11
