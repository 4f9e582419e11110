"""What stays in no namespace when an add-on is disabled: remove takes it, and asks for it afterwards."""

import pytest
import stand_in

from helpers.components.addons import istio
from helpers.components.addons.addons import Addons
from helpers.core import shell

#: kubectl as the log of this test, and with what `get` lists for an argument
KUBECTL = """
echo "$*" >> {log}
case "$*" in
  *"get {there} "*) echo something/there ;;
esac
"""


@pytest.fixture
def here(bash, tmp_path):
    """Run a script with the host's folders below this test's own: it deletes there."""

    def run(script, microk8s):
        for folder in ("/var/snap", "/root/snap"):
            script = script.replace(folder, f"{tmp_path}{folder}")
        return bash(script, microk8s)

    return run


@pytest.fixture
def add(monkeypatch, own_home):
    return Addons(stand_in.chapter(monkeypatch, "addons", None))


def actions(add):
    return {
        "istio": add.istio_enabled(False),
        "istio and its kinds": add.istio_enabled(True),
        "metallb": add.metallb("10.9.0.1-10.9.0.9"),
        "dashboard": add.dashboard(),
    }


ROLES = "clusterrole,clusterrolebinding,podsecuritypolicy -l app=metallb"
CERT_MANAGER = "crd -l release=istio"


@pytest.mark.parametrize(
    "name, left",
    [
        ("istio", "clusterrole istio-reader"),
        ("istio", "clusterrolebinding istio-reader istio-multi"),
        ("istio and its kinds", CERT_MANAGER),
        ("metallb", ROLES),
        ("dashboard", "apiservice v1beta1.metrics.k8s.io"),
        ("dashboard", "deployment,service,serviceaccount metrics-server -n kube-system"),
    ],
)
def test_it_is_deleted_and_an_add_on_is_not_away_while_it_is_there(add, here, tmp_path, name, left):
    log, action = tmp_path / "log", actions(add)[name]
    code, said = here(action.undo, KUBECTL.format(log=log, there="-"))
    assert code == 0, said
    assert [line for line in log.read_text().splitlines() if line.startswith(f"kubectl delete {left}")]
    assert here(action.absent, KUBECTL.format(log=log, there="-")) == (0, "")
    assert here(action.absent, KUBECTL.format(log=log, there=left)) == (1, "still there: something/there")


def test_the_kinds_of_cert_manager_stay_unless_asked_for(add, here, tmp_path):
    log, action = tmp_path / "log", actions(add)["istio"]
    for script in (action.undo, action.absent):
        assert here(script, KUBECTL.format(log=log, there="-"))[0] == 0
    assert "clusterrole istio-reader" in log.read_text() and CERT_MANAGER not in log.read_text()


@pytest.mark.parametrize("folder", ["actions/istio", "tmp/istio"])
def test_the_release_that_enable_istio_fetched_goes_with_istio(add, here, tmp_path, folder):
    fetched = tmp_path / "var/snap/microk8s/current" / folder
    fetched.mkdir(parents=True)
    action = actions(add)["istio"]
    assert here(action.absent, "") == (1, f"still there: {fetched}")
    assert here(action.undo, "")[0] == 0 and here(action.absent, "") == (0, "")


@pytest.mark.parametrize(
    "there, stay",
    [
        ("bin/istioctl actions/istio/crd-10.yaml", "actions/istio/crd-10.yaml"),
        ("tmp/istio/istio.tar", ""),
        ("bin/istioctl actions/istio/istio-demo.yaml", "bin/istioctl actions/istio/istio-demo.yaml"),
        ("", ""),
    ],
)
def test_a_fetch_of_istio_that_was_cut_off_is_not_in_the_way_of_the_next(here, tmp_path, there, stay):
    """Where istioctl is, `enable istio` fetches nothing; and its gzip does not overwrite what an earlier one wrote."""
    data = tmp_path / "var/snap/microk8s/current"
    for name in there.split():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    assert here(shell.script(istio._SCRIPTS / "istio_earlier.sh"), "") == (0, "")
    assert {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()} == set(stay.split())


def test_metrics_server_goes_also_where_disable_stops_half_way(add, here, tmp_path):
    log = tmp_path / "log"
    stops = f'echo "$*" >> {log}; [ "$*" != "disable metrics-server" ]'
    assert here(actions(add)["dashboard"].undo, stops)[0] == 0
    assert "kubectl delete apiservice v1beta1.metrics.k8s.io --ignore-not-found" in log.read_text()
