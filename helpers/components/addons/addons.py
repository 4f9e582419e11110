"""MicroK8s' add-ons as steps, and what proves each."""

from __future__ import annotations

import base64
import json
import shlex

import httpx

from helpers.components.addons import istio
from helpers.components.addons.knative import Knative
from helpers.components.kubernetes.kube import PROOF_NAMESPACE, READY, Kube, all_of, available
from helpers.components.kubernetes.registry import Registry
from helpers.core import address_pools as addresses
from helpers.core.actions import Action
from helpers.core.errors import Unmet

# Asks a name server for an A record, with nothing but Python: prints the number of answers. Arguments: server, name.
_RESOLVE = r"""
import socket, struct, sys
server, name = sys.argv[1:]
query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0\0\1\0\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(query, (server, 53)); print(struct.unpack(">H", s.recv(4096)[6:8])[0])
"""
_DNS_ADDRESS = "10.152.183.10"  # kube-dns: MicroK8s' dns add-on (actions/enable.dns.sh)

_GPU_POD = """
apiVersion: v1
kind: Pod
metadata: {name: cuda}
spec:
  restartPolicy: Never
  containers: [{name: cuda, image: "k8s.gcr.io/cuda-vector-add:v0.1", resources: {limits: {nvidia.com/gpu: 1}}}]
"""

#: a probe: the metrics API answers. While it does not, no namespace can be deleted, since the cluster cannot list what is in it.
METRICS = (
    "s=$(microk8s kubectl get apiservice v1beta1.metrics.k8s.io -o jsonpath='{.status.conditions[?(@.type==\"Available\")].status}' 2>&1 || true)\n"
    "[ \"$s\" = True ] || { echo 'the metrics API does not answer (APIService v1beta1.metrics.k8s.io)'; exit 1; }"
)


class Addons:
    """The add-ons of the chapter's target."""

    def __init__(self, ch):
        self.ch, self.kube = ch, Kube(ch)
        self.kube_ready = READY
        self.istio, self.knative, self.registry = istio.Istio(self.kube), Knative(self.kube), Registry(self.kube)

    # -- steps ---------------------------------------------------------------------------------

    def dns(self, servers):
        """Action: CoreDNS, forwarding to these servers (the host's own when empty). Other servers later are applied for real."""
        forward = " ".join(servers) if servers else "/etc/resolv.conf"
        probe = all_of(
            available("kube-system", "deployment", "coredns"),
            "microk8s kubectl get configmap coredns -n kube-system -o jsonpath='{{.data.Corefile}}' | grep -E >/dev/null 'forward \\. +{} *$' || "
            "{{ echo 'CoreDNS forwards elsewhere'; exit 1; }}".format(forward.replace(".", "\\.")),
        )
        enable = self.kube.addon("dns", ",".join(servers) or "/etc/resolv.conf", probe)

        ended = "microk8s kubectl delete pod -n kube-system -l k8s-app=kube-dns --force --grace-period=0 >/dev/null 2>&1 || true"

        def apply():
            # A pod left behind without its Deployment would make `enable` say that the add-on is enabled, and do nothing.
            self.ch.host.run(
                "if microk8s kubectl get deployment coredns -n kube-system >/dev/null 2>&1; then microk8s kubectl scale deployment coredns -n kube-system --replicas=1; "
                "else " + ended + "; fi",
                what="scale CoreDNS up",
            )
            self.ch.host.run(
                "! microk8s kubectl get configmap coredns -n kube-system >/dev/null 2>&1 || microk8s kubectl get configmap coredns -n kube-system -o yaml | "
                f"sed -E 's#forward \\. .*#forward . {forward}#' | microk8s kubectl apply -f -; "
                "! microk8s kubectl get deployment coredns -n kube-system >/dev/null 2>&1 || microk8s kubectl rollout restart deployment coredns -n kube-system",
                what="set CoreDNS' upstream servers",
            )
            enable.apply()

        # `disable` restarts the kubelet, which then cannot end a pod whose ConfigMap is gone.
        return Action(
            enable.shown,
            probe,
            apply,
            enable.undo + "\n" + ended,
            '[ -z "$(microk8s kubectl get deployment,pod,service -n kube-system -l k8s-app=kube-dns -o name)" ]',
        )

    def storage(self):
        """Action: the hostPath provisioner, and its StorageClass as the default one."""
        default = (
            "[ \"$(microk8s kubectl get storageclass microk8s-hostpath -o jsonpath='{.metadata.annotations.storageclass\\.kubernetes\\.io/is-default-class}')\" = true ] || "
            "{ echo 'StorageClass microk8s-hostpath is not the default'; exit 1; }"
        )
        probe = all_of(available("kube-system", "deployment", "hostpath-provisioner"), default)
        enable = self.kube.addon("storage", "", available("kube-system", "deployment", "hostpath-provisioner"))

        def apply():
            enable.apply()
            self.kube.kubectl(
                "annotate storageclass microk8s-hostpath storageclass.kubernetes.io/is-default-class=true --overwrite"
            )

        # Plain `disable storage` asks whether to delete the volumes; here that is said.
        return Action(enable.shown, probe, apply, "microk8s disable storage:destroy-storage </dev/null")

    def dashboard(self):
        """Action: dashboard, its scraper and metrics-server."""
        return self.kube.addon(
            "dashboard",
            "",
            all_of(
                available("kube-system", "deployment", "metrics-server"),
                available("kube-system", "deployment", "kubernetes-dashboard"),
                available("kube-system", "deployment", "dashboard-metrics-scraper"),
                METRICS,
            ),
        )

    def has_gpu(self, wish):
        return wish != "no" and self.ch.run("lsmod | grep -c '^nvidia ' || true").strip() != "0"

    def gpu(self):
        """Action: NVIDIA's device plugin."""
        return self.kube.addon("gpu", "", available("kube-system", "daemonset", "nvidia-device-plugin-daemonset"))

    def metallb(self, pool):
        """Action: MetalLB with this pool; a changed one is written to its ConfigMap, since `enable` leaves the old."""
        ranges = "[{}]".format(", ".join(f'"{a}-{b}"' for a, b in addresses.parse_ranges(pool)))
        config = f"address-pools:\n- name: default\n  protocol: layer2\n  addresses: {ranges}\n"
        listed = " ".join(f"{a}-{b}" for a, b in addresses.parse_ranges(pool))
        configured = (
            "found=$(microk8s kubectl get configmap config -n metallb-system -o jsonpath='{.data.config}' 2>&1) || { echo \"MetalLB has no configuration: $found\" | tail -1; exit 1; }\n"
            "found=$(echo \"$found\" | grep -oE '[0-9.]+-[0-9.]+' | tr '\\n' ' ')\n"
            f'[ "$found" = \'{listed} \' ] || {{ echo "MetalLB\'s pool is ${{found:-empty}}, not {listed}"; exit 1; }}'
        )
        pods = all_of(
            available("metallb-system", "deployment", "controller"), available("metallb-system", "daemonset", "speaker")
        )
        enable = self.kube.addon("metallb", pool, pods)

        def apply():
            enable.apply()
            manifest = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "config", "namespace": "metallb-system"},
                "data": {"config": config},
            }
            self.kube.kubectl("apply -f -", stdin=json.dumps(manifest))
            self.kube.kubectl("rollout restart deployment controller -n metallb-system")
            self.kube.wait_for("MetalLB with its pool", all_of(pods, configured))

        return Action(
            enable.shown + ["kubectl apply -f - (ConfigMap metallb-system/config)"],
            all_of(pods, configured),
            apply,
            enable.undo,
        )

    def host_access(self, address):
        """Action: an address of the host on its loopback, for pods."""
        probe = (
            "[ -e /var/snap/microk8s/current/var/lock/host-access-enabled ] || { echo 'host-access is not enabled'; exit 1; }\n"
            f"ip -4 -o addr show lo | grep >/dev/null ' {address}/' || {{ echo '{address} is not on lo'; exit 1; }}"
        )
        enable = self.kube.addon("host-access", "ip=" + address, probe)

        def apply():
            self.ch.host.run("microk8s disable host-access </dev/null || true", what="take an older address away")
            enable.apply()

        return Action(enable.shown, probe, apply, enable.undo)

    # -- proofs --------------------------------------------------------------------------------

    def _outside_name(self):
        """A name of the outside that the host itself depends on: that of its first package archive."""
        return self.ch.run(
            'apt-get update --print-uris 2>/dev/null | sed -nE "s#^.[a-z]+://([^/:]+).*#\\1#p" | grep -m1 .',
            quiet=True,
        ).strip()

    def names_resolve(self):
        for name in ("kubernetes.default.svc.cluster.local", self._outside_name()):
            got = self.ch.run(f"python3 -c {shlex.quote(_RESOLVE)} {_DNS_ADDRESS} {name}", quiet=True).strip()
            if got in ("", "0"):
                raise Unmet(f"an address for {name}", "none")

    def pod_resolves(self):
        self.kube.hello("LoadBalancer")
        for name in (f"hello.{PROOF_NAMESPACE}.svc.cluster.local", self._outside_name()):
            self.ch.wait(
                "a pod to resolve " + name,
                lambda: "Address" in self.kube.in_pod(f"nslookup {name} | tail -n +3"),
                timeout=30,
            )

    def loadbalancer(self, pool):
        self.kube.hello("LoadBalancer")
        address = self.ch.wait(
            "an address from the pool",
            lambda: self.kube.kubectl(
                f"get service hello -n {PROOF_NAMESPACE} -o jsonpath='{{.status.loadBalancer.ingress[0].ip}}'"
            ),
            timeout=60,
        )
        if not addresses.inside(address, pool):
            raise Unmet(f"an address from {pool}", address)
        with self.ch.host.socks() as socks, istio.through(socks, timeout=10) as client:
            self.ch.wait(
                "the address to answer",
                lambda: client.get(f"http://{address}/").text.strip() == self.kube.nonce,
                timeout=30,
            )

    def pod_reaches(self, address):
        """A pod talks to the host's SSH server at that address."""
        self.kube.hello("LoadBalancer")
        got = self.kube.in_pod(f"nc -w 3 {address} 22 </dev/null | head -c 4")
        if got != "SSH-":
            raise Unmet("the host's SSH server", repr(got))

    def dashboard_login(self):
        """The page comes, the login takes the token of a service account, and refuses another."""
        address = self.kube.kubectl("get service kubernetes-dashboard -n kube-system -o jsonpath='{.spec.clusterIP}'")
        secret = self.ch.host.run(
            "microk8s kubectl get secrets -n kube-system -o jsonpath='{range .items[?(@.type==\"kubernetes.io/service-account-token\")]}{.metadata.name} {.data.token}{\"\\n\"}{end}' | grep '^default-token' | cut -d' ' -f2",
            raw=True,
        ).out.strip()
        token = base64.b64decode(secret).decode()
        self.ch.masker.add(token)
        with self.ch.host.forward(443, address) as port, httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=False, timeout=10, trust_env=False
        ) as client:
            page = client.get("/")
            if page.status_code != 200 or "Kubernetes Dashboard" not in page.text:
                raise Unmet("the dashboard's page", f"status {page.status_code}")
            for given, wanted in ((token, True), ("not-a-token", False)):
                csrf = client.get("/api/v1/csrftoken/login").json()["token"]
                got = client.post("/api/v1/login", json={"token": given}, headers={"X-CSRF-TOKEN": csrf})
                accepted = got.status_code == 200 and bool(got.json().get("jweToken")) and not got.json().get("errors")
                if accepted != wanted:
                    raise Unmet("the token taken" if wanted else "a wrong token refused", f"status {got.status_code}")

    def pod_sees_gpu(self):
        self.kube.proof_namespace()
        self.kube.kubectl(f"apply -n {PROOF_NAMESPACE} -f -", stdin=_GPU_POD)
        self.ch.wait(
            "the CUDA sample to pass",
            lambda: "PASSED" in self.kube.kubectl(f"logs -n {PROOF_NAMESPACE} cuda"),
            failed=self.kube.hopeless,
            timeout=300,
        )
