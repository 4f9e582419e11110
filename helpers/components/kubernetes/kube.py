"""Kubernetes as chapters ask it: kubectl on the host, what its pods wait for, and a namespace for proofs."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import uuid
from pathlib import Path

from helpers.components.kubernetes import kubeconfig, objects
from helpers.core import catalogue
from helpers.core.actions import Action
from helpers.core.errors import NotYet, RunbookError, Unmet

PROOF_NAMESPACE = "runbook-proof"

_HELLO = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello}
spec:
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: web
          image: IMAGE
          command: [sh, -c, "mkdir -p /tmp/www; echo WORD | tee /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"]
          resources: {requests: {cpu: 10m, memory: 16Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: hello}
spec: {type: TYPE, selector: {app: hello}, ports: [{port: 80, targetPort: 8080}]}
"""

_KEEPER = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: keep}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
"""

_POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: IMAGE
      command: [sh, -c, "SCRIPT; sleep 600"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: keep}}]
"""


class Kube:
    """The cluster on the chapter's target, by `microk8s kubectl` there."""

    def __init__(self, ch):
        self.ch, self._proof_open = ch, False
        self.image = catalogue.load()["busybox"].entry["image"]

    def kubectl(self, arguments, stdin=None, timeout=60):
        """kubectl on the host; returns its standard output. Output is not shown in the cell."""
        return self.ch.host.run(
            "microk8s kubectl " + arguments,
            stdin=stdin,
            timeout=timeout,
            quiet=True,
            what="kubectl " + arguments.split(" -o ")[0],
        ).out.strip()

    def get(self, arguments):
        """`kubectl get ... -o json` as a dict."""
        return json.loads(self.kubectl("get " + arguments + " -o json"))

    def config(self):
        """The cluster's own kubeconfig, as `microk8s config` prints it. Its secrets are masked from now on."""
        text = self.ch.host.run("microk8s config", raw=True).out
        for secret in re.findall(r"(?:token|password|client-key-data): *(\S+)", text):
            self.ch.masker.add(secret)
        return text

    def secret(self, name, namespace, values, labels=None):
        """Action: a Secret with these values; see objects.secret."""
        return objects.secret(self, name, namespace, values, labels)

    def namespace(self, name, label):
        """Action: the namespace exists, ours with this label ("key=value"); see objects.namespace."""
        return objects.namespace(self, name, label)

    # -- steps ---------------------------------------------------------------------------------

    def ready(self, node="the node"):
        """Action: MicroK8s is started and its node is Ready. Installing waits up to 5 minutes, showing what for."""
        return Action(
            "microk8s start; microk8s status --wait-ready",
            READY,
            lambda: (
                self.ch.host.run("microk8s start", timeout=180, what="start MicroK8s"),
                self.ch.wait(
                    node + " to be Ready",
                    lambda: self._holds(READY),
                    timeout=300,
                    do="On the host: sudo microk8s inspect; journalctl -u snap.microk8s.daemon-kubelet -n 50",
                ),
            ),
        )

    def merged(self, path, context, use):
        """Action: the operator's kubeconfig at `path` has this cluster as `context`; use: make it the current one."""
        shown = "kubectl config: cluster, user and context {} into {}".format(
            context, str(path).replace(str(Path.home()), "~")
        )
        return Action(
            shown,
            lambda: kubeconfig.differs(path, self.config(), context, use),
            lambda: kubeconfig.merge(path, self.config(), context, use),
            lambda: kubeconfig.remove(path, context),
            absent=lambda: None if kubeconfig.entry(path, context) is None else f"context {context} is still there",
        )

    def node_from_outside(self, path, context):
        """What `kubectl describe node` asks, with the operator's kubeconfig: every node is Ready, and this target's among them."""
        if self.ch.installing:  # a kubelet that just started says so a little later
            self.ch.wait(
                "the node, seen from here, to be Ready",
                lambda: self._node_from_outside(path, context) is None,
                timeout=90,
            )
        else:
            self._node_from_outside(path, context)

    def _node_from_outside(self, path, context):
        with outside(path, context) as api:
            nodes = api.list_node(_request_timeout=15).items
        seen = {
            n.status.node_info.machine_id or n.metadata.name: [
                c.status for c in n.status.conditions if c.type == "Ready"
            ]
            for n in nodes
        }
        mine = self.ch.run("cat /etc/machine-id", quiet=True).strip()
        if mine not in seen:
            raise Unmet("this host's node", f"another cluster, with {len(nodes)} nodes")
        if seen[mine] != ["True"]:
            raise Unmet("the node Ready", "Ready is {}".format("".join(seen[mine]) or "unknown"))

    def _holds(self, probe):
        ok, seen = self.ch.host.ask(probe)
        if not ok:
            raise NotYet(seen)
        return True

    def addon(self, name, argument, probe, disable=True):
        """Action: a MicroK8s add-on, enabled; installing waits until its pods are up, up to 5 minutes."""

        def apply():
            done = self.ch.host.run(
                "microk8s enable " + name + (":" + argument if argument else ""),
                timeout=300,
                stdin="",
                what="enable " + name,
            )
            if "Aborting" in done.out:  # its exit code is 0 all the same
                raise Unmet("the add-on enabled", done.out.strip().splitlines()[-1])
            self.wait_for(name, probe)

        shown = "microk8s enable {}{}".format(name, ":" + argument if argument else "")
        return Action(shown, probe, apply, f"microk8s disable {name} </dev/null" if disable else None)

    def wait_for(self, what, probe, timeout=300):
        """Wait until a probe holds; shows what pods wait for, and ends at once when there is no hope."""

        def ready():
            ok, seen = self.ch.host.ask(probe)
            if not ok:
                raise NotYet("; ".join([seen] + [t for t, _ in self.troubles()][:3]))
            return True

        self.ch.wait(
            what,
            ready,
            failed=self.hopeless,
            timeout=timeout,
            do="On the host: microk8s kubectl get pods -A; microk8s kubectl describe pod ...",
        )

    def hopeless(self):
        """Why some pod will never run: no such image, crashing again and again (with its last lines), nowhere to run. None otherwise."""
        for text, final in self.troubles():
            if final:
                return text
        return None

    def troubles(self):
        """[(what a pod waits for, whether that is for ever)] of all pods that are not ready. Empty when the API does not answer."""
        try:
            pods = self.get("pods -A")["items"]
        except (RunbookError, ValueError):
            return []
        return [t for pod in pods for t in self._pod_troubles(pod)]

    def _pod_troubles(self, pod):
        if pod["metadata"].get("deletionTimestamp"):  # it is going: what it waits for no longer matters
            return
        name = "pod {}/{}".format(pod["metadata"]["namespace"], pod["metadata"]["name"])
        status = pod["status"]
        for c in status.get("conditions", []):
            if c["type"] == "PodScheduled" and c["status"] == "False":
                yield (
                    "{} cannot be scheduled: {}".format(name, c.get("message", "")),
                    "Insufficient" in c.get("message", "") or "didn't match" in c.get("message", ""),
                )
        for s in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            waiting = s.get("state", {}).get("waiting", {})
            reason = waiting.get("reason")
            if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
                yield (
                    "{} gets no image {}: {}".format(name, s["image"], waiting.get("message", reason)),
                    reason != "ErrImagePull",
                )
            elif reason == "CrashLoopBackOff":
                last = self.kubectl(
                    "logs -n {} {} -c {} --previous --tail=6".format(
                        pod["metadata"]["namespace"], pod["metadata"]["name"], s["name"]
                    )
                )
                yield (
                    "{} crashes, {} times so far. Its last lines:\n{}".format(name, s.get("restartCount", 0), last),
                    s.get("restartCount", 0) >= 3,
                )
            elif reason:
                yield f"{name} waits: {reason}", False

    # -- a namespace for proofs ------------------------------------------------------------------

    def proof_namespace(self):
        """Make the proof namespace; it is deleted at the verdict, whatever happened."""
        if not self._proof_open:

            def delete():
                self.kubectl(f"delete namespace {PROOF_NAMESPACE} --ignore-not-found --timeout=180s", timeout=200)

            delete()
            self.kubectl("create namespace " + PROOF_NAMESPACE)
            self.ch.cleanup(delete)
            self._proof_open, self.nonce = True, uuid.uuid4().hex

    def hello(self, kind="ClusterIP"):
        """A web server of one made-up word as a Deployment with a Service. Returns when it is available."""
        self.proof_namespace()
        text = _HELLO.replace("IMAGE", self.image).replace("WORD", self.nonce).replace("TYPE", kind)
        self.kubectl(f"apply -n {PROOF_NAMESPACE} -f -", stdin=text)
        self.wait_for("the proof's Deployment", available(PROOF_NAMESPACE, "deployment", "hello"), 180)

    def executes(self):
        got = self.kubectl(f"exec -n {PROOF_NAMESPACE} deploy/hello -- cat /tmp/www/index.html")
        if got != self.nonce:
            raise Unmet("the word made up for this proof", repr(got[:60]))

    def logs(self):
        got = self.kubectl(f"logs -n {PROOF_NAMESPACE} deploy/hello")
        if got != self.nonce:
            raise Unmet("the word in the pod's log", repr(got[:60]))

    def service_answers(self):
        """The Service's cluster address, asked from the host, answers with the word."""
        address = self.kubectl(f"get service hello -n {PROOF_NAMESPACE} -o jsonpath='{{.spec.clusterIP}}'")
        self.ch.wait("the Service to answer", lambda: self._page(address) == self.nonce, timeout=30)

    def _page(self, address):
        return self.ch.run(
            f"curl -s --max-time 5 http://{address}/ || wget -qO- -T 5 http://{address}/",
            sudo=False,
            quiet=True,
        ).strip()

    def in_pod(self, script):
        """Run a shell script in the proof's pod; returns its output."""
        return self.kubectl(f"exec -n {PROOF_NAMESPACE} deploy/hello -- sh -c {shlex.quote(script)}")

    def volume_survives(self):
        """A claim binds, a pod writes to it and is deleted, and another pod reads the same word."""
        self.proof_namespace()
        self.kubectl(f"apply -n {PROOF_NAMESPACE} -f -", stdin=_KEEPER)
        self._pod("writer", f"echo {self.nonce} > /data/word")
        self.ch.wait("the word to be written", lambda: self._in("writer", "cat /data/word") == self.nonce, timeout=30)
        self.kubectl(f"delete pod writer -n {PROOF_NAMESPACE} --grace-period=0 --force")
        self._pod("reader", "true")
        got = self._in("reader", "cat /data/word")
        if got != self.nonce:
            raise Unmet("the word that the first pod wrote", repr(got[:60]))

    def _pod(self, name, script):
        self.kubectl(
            f"apply -n {PROOF_NAMESPACE} -f -",
            stdin=_POD.replace("NAME", name).replace("IMAGE", self.image).replace("SCRIPT", script),
        )
        self.wait_for(
            "pod " + name,
            f"[ \"$(microk8s kubectl get pod {name} -n {PROOF_NAMESPACE} -o jsonpath='{{.status.phase}}')\" = Running ] || "
            f"{{ echo 'pod {name} does not run yet'; exit 1; }}",
            120,
        )

    def _in(self, pod, script):
        return self.kubectl(f"exec -n {PROOF_NAMESPACE} {pod} -- sh -c {shlex.quote(script)}")


#: a probe: the one node of MicroK8s is Ready
READY = (
    "s=$(microk8s kubectl get node -o jsonpath='{range .items[*]}{.status.conditions[?(@.type==\"Ready\")].status} {end}' 2>&1) || "
    '{ echo "the API server does not answer: $s" | tail -1; exit 1; }\n'
    '[ "${s%% *}" = True ] || { echo "the node is not Ready: ${s:-no node}"; exit 1; }'
)


def available(namespace, kind, name):
    """A probe: all wanted pods of a Deployment, StatefulSet or DaemonSet are available, and at least one is wanted."""
    fields = {
        "deployment": "{.spec.replicas} {.status.availableReplicas}",
        "statefulset": "{.spec.replicas} {.status.readyReplicas}",
        "daemonset": "{.status.desiredNumberScheduled} {.status.numberAvailable}",
    }[kind]
    return (
        f"s=$(microk8s kubectl get {kind} {name} -n {namespace} -o jsonpath='{fields}' 2>&1) || {{ echo \"$s\" | tail -1; exit 1; }}\n"
        f'set -- $s; [ "${{1:-0}}" -ge 1 ] && [ "${{1:-0}}" = "${{2:-0}}" ] || {{ echo "{kind} {namespace}/{name}: ${{2:-0}} of ${{1:-0}} pods available"; exit 1; }}'
    )


def all_of(*probes):
    """One probe that holds when all of them do."""
    return "\n".join(probes)


@contextlib.contextmanager
def outside(path, context):
    """The Kubernetes API as the operator's own kubeconfig reaches it: yields a CoreV1Api."""
    from kubernetes import client, config

    with config.new_client_from_config(config_file=str(path), context=context) as api:
        api.configuration.retries = 0
        yield client.CoreV1Api(api)
