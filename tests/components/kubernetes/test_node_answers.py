"""The operator's way to the API: a real TLS server as the cluster, whose address in the kubeconfig leads nowhere."""

import contextlib
import ssl

import pytest
import stand_in
import urllib3
import yaml
from urllib3.exceptions import MaxRetryError
from urllib3.util import ssl_

from helpers.components.kubernetes import kubeconfig, proofs
from helpers.core.errors import Unmet
from tests.certificates import self_signed, signed
from tests.serving import serving
from tests.socks_proxy import socks_server

MACHINE = "6c1f0b1c5e0a4d0ea2b7"


def _nodes(asked):
    """The nodes of a cluster of one, whatever is asked."""
    node = {
        "metadata": {"name": "host"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": dict.fromkeys(
                ["architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"]
                + ["kubeletVersion", "operatingSystem", "osImage", "systemUUID"],
                "x",
            ),
        },
    }
    node["status"]["nodeInfo"]["machineID"] = MACHINE
    return 200, {"kind": "NodeList", "apiVersion": "v1", "items": [node]}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) that is good for 127.0.0.1 and 127.0.0.2, as server.crt is for all addresses of a host."""
    return self_signed(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1", "IP:127.0.0.2")


@pytest.fixture
def api(certificate):
    """The API on 127.0.0.1 only: its port."""
    with serving(_nodes, tls=certificate) as server:
        yield server.port


@pytest.fixture
def merged(api, certificate, tmp_path):
    """merged(address, proxy=None): an operator's kubeconfig whose cluster is at that address."""

    def make(address, proxy=None):
        cluster = {"server": f"https://{address}:{api}", "certificate-authority": str(certificate[0])}
        incoming = {
            "clusters": [{"name": "microk8s-cluster", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": "c2VjcmV0"}}],
            "contexts": [{"name": "microk8s", "context": {"cluster": "microk8s-cluster", "user": "admin"}}],
            "current-context": "microk8s",
        }
        path = tmp_path / "config"
        kubeconfig.merge(path, kubeconfig.through_proxy(yaml.safe_dump(incoming), proxy), "mlops")
        return path

    return make


@pytest.fixture
def ch(monkeypatch, own_home):
    return stand_in.chapter(monkeypatch, "kubernetes", lambda script, _: MACHINE + "\n")


def test_the_node_is_proved_through_ssh_where_the_address_does_not_answer(ch, merged):
    said = proofs.node_answers_here(ch, merged("127.0.0.2"), "mlops")
    assert "is silent from here" in said and "kubernetes.api=proxy" in said


def test_an_address_that_answers_is_told(ch, merged):
    path = merged("127.0.0.1")
    server = kubeconfig.entry(path, "mlops")["cluster"]["server"]
    assert proofs.node_answers_here(ch, path, "mlops") == server + " answers from here, too"


def test_its_authority_is_trusted_by_a_python_that_is_strict_and_no_other_is(
    ch, merged, tmp_path, certificate, monkeypatch
):
    """From Python 3.13 on, urllib3 refuses an authority that names no use of its key (canonical/microk8s#4864)."""
    made = ssl_.create_urllib3_context

    def as_from_3_13_on(**how):
        context = made(**how)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    for module in (ssl_, urllib3.connection):
        monkeypatch.setattr(module, "create_urllib3_context", as_from_3_13_on)
    ca, *server = signed(tmp_path, "IP:127.0.0.1")
    with serving(_nodes, tls=server) as strict:
        path = merged("127.0.0.1")
        text = path.read_text()
        for trusted, ends in ((ca, contextlib.nullcontext()), (certificate[0], pytest.raises(MaxRetryError))):
            made_of = yaml.safe_load(text)
            made_of["clusters"][0]["cluster"]["certificate-authority"] = str(trusted)
            path.write_text(yaml.safe_dump(made_of))
            with ends, proofs.outside(path, "mlops", strict.port) as core:
                assert core.list_node(_request_timeout=5).items


@pytest.mark.parametrize("text", ["", "contexts: [{name: mlops, context: {cluster: a, user: b}}]"])
def test_a_kubeconfig_without_the_cluster_is_told(ch, tmp_path, text):
    (tmp_path / "config").write_text(text)
    with pytest.raises(Unmet, match="the context mlops in your kubeconfig"):
        proofs.node_answers_here(ch, tmp_path / "config", "mlops")


def test_another_clusters_node_is_no_proof(monkeypatch, own_home, merged):
    ch = stand_in.chapter(monkeypatch, "kubernetes", lambda script, _: "another\n")
    with pytest.raises(Unmet, match="this host's node"):
        proofs.node_answers_here(ch, merged("127.0.0.1"), "mlops")


def test_proxies_of_the_environment_are_not_asked(ch, merged, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert "answers from here" in proofs.node_answers_here(ch, merged("127.0.0.1"), "mlops")


def test_a_changed_way_is_written_and_taken_back(api, merged):
    def config(proxy):
        direct = yaml.safe_load(merged("127.0.0.2").read_text())
        return kubeconfig.through_proxy(yaml.safe_dump(direct), proxy)

    path = merged("127.0.0.2")
    assert kubeconfig.why_differs(path, config(None), "mlops") is None
    assert kubeconfig.why_differs(path, config(9999), "mlops").endswith("has another proxy-url")
    direct, proxied = config(None), config(9999)
    kubeconfig.merge(path, proxied, "mlops")
    assert kubeconfig.why_differs(path, proxied, "mlops") is None
    assert kubeconfig.why_differs(path, direct, "mlops").endswith("has another proxy-url")
    kubeconfig.merge(path, direct, "mlops")
    assert "proxy-url" not in path.read_text()


@pytest.fixture
def socks(ch, monkeypatch):
    """A proxy in the place of the one that ssh opens: its server, whose `asked` are addresses."""
    with socks_server() as server:
        monkeypatch.setattr(ch.host, "socks", lambda: contextlib.nullcontext(server.server_address[1]))
        yield server


def test_a_kubeconfig_with_a_proxy_is_proved_through_one(ch, merged, socks):
    path = merged("127.0.0.2", proxy=9999)
    assert kubeconfig.entry(path, "mlops")["cluster"]["proxy-url"] == "socks5://127.0.0.1:9999"
    said = proofs.node_answers_here(ch, path, "mlops")
    assert "answers through the proxy" in said and "127.0.0.2" in socks.asked


def test_a_proxy_that_does_not_lead_there_is_a_failed_check(ch, merged, monkeypatch):
    monkeypatch.setattr(ch.host, "socks", lambda: contextlib.nullcontext(9))
    with pytest.raises(Unmet, match="through the proxy"):
        proofs.node_answers_here(ch, merged("127.0.0.2", proxy=9999), "mlops")
