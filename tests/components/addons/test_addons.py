"""The add-ons' probes on what kubectl answers, the manifests they apply, and an image for the registry; no cluster here."""

import contextlib
import gzip
import io
import json
import os
import subprocess
import tarfile
import types

import httpx
import pytest
import yaml

from helpers.components.addons import istio, knative
from helpers.components.kubernetes import registry
from helpers.components.kubernetes.kube import available
from helpers.core.errors import Unmet
from helpers.core.paths import SETUP


@pytest.fixture
def probe(tmp_path):
    """Run a probe as a host does, with a microk8s that answers `text` (exit code `code`): (ok, what it says)."""

    def run(script, text, code=0):
        (tmp_path / "answer").write_text(text)
        (tmp_path / "microk8s").write_text("#!/bin/sh\ncat {}\nexit {}\n".format(tmp_path / "answer", code))
        (tmp_path / "microk8s").chmod(0o755)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            env=dict(os.environ, PATH="{}:{}".format(tmp_path, os.environ["PATH"])),
        )
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    return run


def deployments(**changed):
    """What kubectl lists of istio-system: name, wanted, ready. changed: another text for a name (- as _), None: it is missing."""
    said = dict.fromkeys(istio.DEPLOYMENTS, "1 1")
    said.update({name.replace("_", "-"): text for name, text in changed.items()})
    return "".join(f"{name} {text}\n" for name, text in said.items() if text is not None)


@pytest.mark.parametrize(
    "answer, says",
    [
        (deployments(), ""),
        (deployments(istio_ingressgateway="0"), "istio-system: istio-ingressgateway: 0 of 0 ready"),
        (
            deployments(istio_ingressgateway="1", kiali="2 1"),
            "istio-system: istio-ingressgateway: 0 of 1 ready; istio-system: kiali: 1 of 2 ready",
        ),
        (deployments(istio_pilot=None), "istio-system: istio-pilot is missing"),
        (deployments(stranger="1 0"), ""),
    ],
)
def test_istios_probe_names_what_is_not_ready_the_gateway_first(probe, answer, says):
    assert probe(istio.READY, answer) == (not says, says)


def test_a_probe_says_what_kubectl_said_when_it_fails(probe):
    ok, says = probe(istio.READY, "The connection to the server 127.0.0.1:16443 was refused\n", code=1)
    assert not ok and "16443 was refused" in says


def test_a_thirteenth_deployment_is_somebody_elses(probe):
    assert probe(istio.NO_STRANGERS, deployments()) == (True, "")
    assert probe(istio.NO_STRANGERS, deployments(shop="1 1", cart="1 1")) == (
        False,
        "istio-system also holds the Deployments: shop cart",
    )
    assert probe(istio.NO_STRANGERS, "", code=1)[0], "there is no such namespace"


def test_pods_scaled_away_are_named(probe):
    assert probe(available("knative-serving", "deployment", "webhook"), "0") == (
        False,
        "deployment knative-serving/webhook: 0 of 0 pods available",
    )


def kube(service):
    return types.SimpleNamespace(get=lambda arguments: service)


def test_the_gateways_address_is_the_balancers():
    assert (
        istio.gateway_address(kube({"status": {"loadBalancer": {"ingress": [{"ip": "10.64.140.44"}]}}}))
        == "10.64.140.44"
    )
    with pytest.raises(Unmet) as e:
        istio.gateway_address(kube({"status": {"loadBalancer": {}}}))
    assert "pending" in e.value.seen and e.value.entry == "add-metallb"


def answered(monkeypatch, *answers):
    """The gateway answers these (status, headers, text), one after the other."""
    left = list(answers)
    transport = httpx.MockTransport(lambda request: httpx.Response(left[0][0], headers=left[0][1], text=left.pop(0)[2]))
    monkeypatch.setattr(
        istio,
        "gateway",
        lambda kube: contextlib.nullcontext(httpx.Client(transport=transport, base_url="http://10.0.0.1")),
    )

    def wait(what, ready, **kw):
        while True:
            with contextlib.suppress(ValueError):
                return ready()

    return types.SimpleNamespace(ch=types.SimpleNamespace(wait=wait))


def test_an_empty_gateway_answers_404_of_envoy_and_nothing_else_does(monkeypatch):
    istio.Istio(answered(monkeypatch, (404, {"server": "istio-envoy"}, ""))).gateway_answers()
    for other in ((404, {"server": "nginx"}, ""), (200, {"server": "istio-envoy"}, "")):
        with pytest.raises(Unmet):
            istio.Istio(answered(monkeypatch, other)).gateway_answers()


def test_a_route_is_there_when_the_gateway_itself_no_longer_answers(monkeypatch):
    empty = (404, {"server": "istio-envoy"}, "")
    got = istio.wait_for_route(
        answered(
            monkeypatch, empty, (503, {"server": "istio-envoy"}, ""), (404, {"server": "istio-envoy"}, "no such page")
        ),
        "/x",
        "a.example",
    )
    assert got.text == "no such page"


def test_knatives_kinds_go_only_when_asked():
    ch = types.SimpleNamespace(ch=None)
    kept, taken = (knative.Knative(ch).enabled(delete_crds) for delete_crds in (False, True))
    assert "get crd" not in kept.undo + kept.absent and "get crd" in taken.undo and "get crd" in taken.absent
    assert kept.undo.index("webhookconfiguration") < kept.undo.index("delete namespace")
    kept, taken = (istio.Istio(ch).enabled(delete_crds) for delete_crds in (False, True))
    assert "get crd" not in kept.undo + kept.absent and "get crd" in taken.undo and "get crd" in taken.absent


def test_what_sends_knatives_requests_through_istio():
    found = {
        (d["kind"], d["metadata"]["name"]): d
        for d in yaml.safe_load_all((SETUP / "knative-setup/istio.yaml").read_text())
    }
    assert {kind for kind, _ in found} == {"ClusterRole", "Gateway", "ConfigMap", "Deployment"}
    gateway = found["Gateway", "knative-ingress-gateway"]["spec"]
    assert gateway["selector"] == {"istio": "ingressgateway"} and gateway["servers"][0]["port"]["number"] == 80


def test_an_image_is_a_layer_a_configuration_and_a_manifest():
    manifest, blobs = registry.image(
        {"bin/tool": (b"program", 0o755), "www/index.html": (b"word", 0o644)}, ["/bin/tool", "-f"]
    )
    said = json.loads(manifest)
    config, layer = json.loads(blobs[said["config"]["digest"]]), blobs[said["layers"][0]["digest"]]
    assert all(registry.digest(data) == key for key, data in blobs.items()) and said["layers"][0]["size"] == len(layer)
    plain = gzip.decompress(layer)
    assert config["config"]["Cmd"] == ["/bin/tool", "-f"] and config["rootfs"]["diff_ids"] == [registry.digest(plain)]
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert {m.name: m.mode for m in tar} == {"bin/tool": 0o755, "www/index.html": 0o644}
        assert tar.extractfile("www/index.html").read() == b"word"


def test_a_push_sends_each_piece_where_the_registry_says():
    seen, manifest, blobs = [], *registry.image({"a": (b"1", 0o644)}, ["/a"])

    def answer(request):
        seen.append((request.method, request.url.path, dict(request.url.params)))
        if request.method == "POST":
            return httpx.Response(202, headers={"location": "http://registry/v2/x/blobs/uploads/7?_state=s%3D1"})
        return httpx.Response(201)

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://registry")
    pushed = registry.Registry(types.SimpleNamespace(ch=None))
    assert pushed.push(client, "x", "1", manifest, blobs) == registry.digest(manifest)
    puts = [(path, given) for method, path, given in seen if method == "PUT"]
    assert puts[:2] == [("/v2/x/blobs/uploads/7", {"_state": "s=1", "digest": key}) for key in blobs] and puts[2] == (
        "/v2/x/manifests/1",
        {},
    )
    with pytest.raises(Unmet) as e:
        pushed.push(
            httpx.Client(
                transport=httpx.MockTransport(lambda request: httpx.Response(507, text="no space left")),
                base_url="http://registry",
            ),
            "x",
            "1",
            manifest,
            blobs,
        )
    assert e.value.seen == "507: no space left"
