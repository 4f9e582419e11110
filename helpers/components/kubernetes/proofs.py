"""What proves a cluster: a web server of one made-up word in a namespace of its own, a volume that outlives a pod."""

from __future__ import annotations

import contextlib
import shlex
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from helpers.components.kubernetes import kubeconfig
from helpers.components.kubernetes.probes import available, pod_runs
from helpers.core import catalogue
from helpers.core.errors import Unmet, words
from helpers.core.http import not_strict
from helpers.core.shell import filled

PROOF_NAMESPACE = "runbook-proof"
_MANIFESTS = Path(__file__).with_name("manifests")


class Proofs:
    """Proofs in a namespace of their own, through a Kube. nonce: the word made up for them; "" before open()."""

    def __init__(self, kube):
        self.kube, self.ch, self.nonce = kube, kube.ch, ""
        self.image = catalogue.load()["busybox"].entry["image"]

    def open(self):
        """Make the namespace, once; it is deleted at the verdict, whatever happened."""
        if self.nonce:
            return
        self._delete()
        self.kube.kubectl("create namespace " + PROOF_NAMESPACE)
        self.ch.cleanup(self._delete)
        self.kube.takes_pods(PROOF_NAMESPACE)
        self.nonce = uuid.uuid4().hex

    def _delete(self):
        self.kube.kubectl(f"delete namespace {PROOF_NAMESPACE} --ignore-not-found --timeout=300s")

    def apply(self, manifest):
        """kubectl apply in the namespace."""
        self.kube.apply(manifest, PROOF_NAMESPACE)

    # -- a web server --------------------------------------------------------------------------

    def hello(self, service_type="ClusterIP"):
        """A web server of one made-up word as a Deployment with a Service. Returns when it is available."""
        self.open()
        self.apply(filled(_MANIFESTS / "hello.yaml", IMAGE=self.image, WORD=self.nonce, TYPE=service_type))
        self.kube.wait_for(
            "the proof's Deployment", available(PROOF_NAMESPACE, "deployment", "hello"), space=PROOF_NAMESPACE
        )

    def executes(self):
        """A command runs in its pod."""
        self._is_our_word(self.in_pod("cat /tmp/www/index.html"), "the word made up for this proof")

    def logs(self):
        """Its log has the word."""
        self._is_our_word(self.kube.kubectl(f"logs -n {PROOF_NAMESPACE} deploy/hello"), "the word in the pod's log")

    def _is_our_word(self, got, expected):
        if got != self.nonce:
            raise Unmet(expected, repr(got[:60]))

    def service_answers(self):
        """The Service's cluster address, asked from the host, answers with the word."""
        address = self.kube.kubectl(f"get service hello -n {PROOF_NAMESPACE} -o jsonpath='{{.spec.clusterIP}}'")
        self.ch.wait("the Service to answer", lambda: self._page(address) == self.nonce)

    def _page(self, address):
        url = f"http://{address}/"
        return self.ch.run(f"curl -s --max-time 5 {url} || wget -qO- -T 5 {url}", sudo=False).strip()

    def in_pod(self, script, pod="deploy/hello"):
        """Run a shell script in a pod, the web server's if no other is named; returns its output."""
        return self.kube.kubectl(f"exec -n {PROOF_NAMESPACE} {pod} -- sh -c {shlex.quote(script)}")

    # -- a volume ------------------------------------------------------------------------------

    def volume_survives(self):
        """A claim binds, a pod writes to it and is deleted, and another pod reads the same word."""
        self.open()
        self.apply((_MANIFESTS / "claim.yaml").read_text("utf-8"))
        self._pod("writer", f"echo {self.nonce} > /data/word")
        self.ch.wait("the word to be written", lambda: self._kept("writer") == self.nonce)
        self.kube.kubectl(f"delete pod writer -n {PROOF_NAMESPACE} --grace-period=0 --force")
        self._pod("reader", "true")
        self._is_our_word(self._kept("reader"), "the word that the first pod wrote")

    def _pod(self, name, script):
        self.apply(filled(_MANIFESTS / "pod_with_claim.yaml", NAME=name, IMAGE=self.image, SCRIPT=script))
        self.kube.wait_for("pod " + name, pod_runs(PROOF_NAMESPACE, name), space=PROOF_NAMESPACE)

    def _kept(self, pod):
        return self.in_pod("cat /data/word", pod)


# -- from outside --------------------------------------------------------------------------------


def node_answers_here(ch, path, context):
    """What `kubectl describe node` asks, with the operator's credentials through SSH: this target's node is Ready.

    Returns whether the way that the kubeconfig itself names leads there. Only one through the proxy must.
    """
    with ch.host.forward(_server(path, context).port or 16443) as port:
        if ch.installing:  # a kubelet that just started says so a little later
            ch.wait("the node, seen from here, to be Ready", lambda: _node_is_ready(ch, path, context, port))
        else:
            _node_is_ready(ch, path, context, port)
    return _its_own_way(ch, path, context)


def _server(path, context):
    found = kubeconfig.entry(path, context)
    address = found and found["cluster"] and found["cluster"].get("server")
    if not address:
        raise Unmet(f"the context {context} in your kubeconfig, with a cluster's address", "none")
    return urlsplit(address)


def _node_is_ready(ch, path, context, port):
    with outside(path, context, port) as api:
        nodes = api.list_node(_request_timeout=120).items
    seen = {node.status.node_info.machine_id or node.metadata.name: _ready(node) for node in nodes}
    mine = ch.run("cat /etc/machine-id").strip()
    if mine not in seen:
        raise Unmet("this host's node", f"another cluster, with {len(nodes)} nodes")
    if seen[mine] != ["True"]:
        raise Unmet("the node Ready", "Ready is {}".format("".join(seen[mine]) or "unknown"))
    return True


def _ready(node):
    return [condition.status for condition in node.status.conditions if condition.type == "Ready"]


def _its_own_way(ch, path, context):
    """What becomes of a question at the address in the kubeconfig: the proxy's way must work, a direct one may."""
    server = _server(path, context).geturl()
    if "proxy-url" in kubeconfig.entry(path, context)["cluster"]:
        # The operator's own proxy is open with his session only: one of ours, from the same place on the host.
        with ch.host.socks() as proxy:
            why = _why_silent(path, context, f"socks5://127.0.0.1:{proxy}")
        if why:
            raise Unmet(f"an answer of {server} through the proxy", why)
        return f"{server} answers through the proxy"
    why = _why_silent(path, context, None)
    if why:
        return f"{server} is silent from here: your kubectl needs -p kubernetes.api=proxy ({why})"
    return f"{server} answers from here, too"


def _why_silent(path, context, proxy):
    try:
        with outside(path, context, proxy=proxy) as api:
            api.list_node(_request_timeout=30 if proxy else 10)  # without one, silence is an answer
    except Exception as e:  # of any layer: names, sockets, TLS, HTTP
        return words(getattr(e, "reason", None) if isinstance(getattr(e, "reason", None), Exception) else e, 80)
    return None


@contextlib.contextmanager
def outside(path, context, port=None, proxy=None):
    """The Kubernetes API with the operator's own kubeconfig: yields a CoreV1Api.

    port: a local one that leads to it (the API's certificate names 127.0.0.1).  proxy: a URL. Neither: its address.
    """
    from kubernetes import client, config  # large packages, and only this proof needs them
    from urllib3.util.ssl_ import create_urllib3_context

    settings = client.Configuration()
    config.load_kube_config(config_file=str(path), context=context, client_configuration=settings)
    settings.proxy, settings.retries = proxy, 0  # the environment's proxy is for the Internet
    settings.refresh_api_key_hook = None  # it would put the file's address back
    if port:
        settings.host = f"https://127.0.0.1:{port}"
    tls = not_strict(create_urllib3_context())  # MicroK8s' authority names no use of its key
    with client.ApiClient(settings) as api:
        api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls
        yield client.CoreV1Api(api)
