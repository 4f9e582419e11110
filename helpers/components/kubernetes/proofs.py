"""What proves a cluster: a web server of one made-up word in a namespace of its own, a volume that outlives a pod."""

from __future__ import annotations

import contextlib
import shlex
import uuid
from pathlib import Path

from helpers.components.kubernetes.probes import available, pod_runs
from helpers.core import catalogue
from helpers.core.errors import Unmet
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
        self.nonce = uuid.uuid4().hex

    def _delete(self):
        self.kube.kubectl(f"delete namespace {PROOF_NAMESPACE} --ignore-not-found --timeout=180s", timeout=200)

    def apply(self, manifest):
        """kubectl apply in the namespace."""
        self.kube.kubectl(f"apply -n {PROOF_NAMESPACE} -f -", stdin=manifest)

    # -- a web server --------------------------------------------------------------------------

    def hello(self, service_type="ClusterIP"):
        """A web server of one made-up word as a Deployment with a Service. Returns when it is available."""
        self.open()
        self.apply(filled(_MANIFESTS / "hello.yaml", IMAGE=self.image, WORD=self.nonce, TYPE=service_type))
        self.kube.wait_for(
            "the proof's Deployment", available(PROOF_NAMESPACE, "deployment", "hello"), 180, PROOF_NAMESPACE
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
        self.ch.wait("the Service to answer", lambda: self._page(address) == self.nonce, timeout=30)

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
        self.ch.wait("the word to be written", lambda: self._kept("writer") == self.nonce, timeout=30)
        self.kube.kubectl(f"delete pod writer -n {PROOF_NAMESPACE} --grace-period=0 --force")
        self._pod("reader", "true")
        self._is_our_word(self._kept("reader"), "the word that the first pod wrote")

    def _pod(self, name, script):
        self.apply(filled(_MANIFESTS / "pod_with_claim.yaml", NAME=name, IMAGE=self.image, SCRIPT=script))
        self.kube.wait_for("pod " + name, pod_runs(PROOF_NAMESPACE, name), 120, PROOF_NAMESPACE)

    def _kept(self, pod):
        return self.in_pod("cat /data/word", pod)


# -- from outside --------------------------------------------------------------------------------


def node_answers_here(ch, path, context):
    """What `kubectl describe node` asks, with the operator's kubeconfig: this target's node is there, and Ready."""
    if ch.installing:  # a kubelet that just started says so a little later
        ch.wait("the node, seen from here, to be Ready", lambda: _node_is_ready(ch, path, context), timeout=90)
    else:
        _node_is_ready(ch, path, context)


def _node_is_ready(ch, path, context):
    with outside(path, context) as api:
        nodes = api.list_node(_request_timeout=15).items
    seen = {node.status.node_info.machine_id or node.metadata.name: _ready(node) for node in nodes}
    mine = ch.run("cat /etc/machine-id").strip()
    if mine not in seen:
        raise Unmet("this host's node", f"another cluster, with {len(nodes)} nodes")
    if seen[mine] != ["True"]:
        raise Unmet("the node Ready", "Ready is {}".format("".join(seen[mine]) or "unknown"))
    return True


def _ready(node):
    return [condition.status for condition in node.status.conditions if condition.type == "Ready"]


@contextlib.contextmanager
def outside(path, context):
    """The Kubernetes API as the operator's own kubeconfig reaches it: yields a CoreV1Api."""
    from kubernetes import client, config  # a large package, and only this proof needs it

    with config.new_client_from_config(config_file=str(path), context=context) as api:
        api.configuration.retries = 0
        yield client.CoreV1Api(api)
