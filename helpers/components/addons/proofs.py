"""What proves the add-ons: names resolve, an address answers, the dashboard lets the right one in, a pod computes."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

import httpx

from helpers.components.kubernetes import firewall
from helpers.components.kubernetes.probes import ASK_DNS
from helpers.components.kubernetes.proofs import PROOF_NAMESPACE
from helpers.core import address_pools as addresses
from helpers.core.errors import Unmet
from helpers.core.http import through
from helpers.core.shell import script

_HERE = Path(__file__).parent
_DNS_ADDRESS = "10.152.183.10"  # kube-dns: MicroK8s' dns add-on (actions/enable.dns.sh)
_INSIDE = "kubernetes.default.svc.cluster.local"


class AddonProofs:
    """Proofs of the add-ons, in the namespace of proofs (kubernetes' Proofs)."""

    def __init__(self, proofs):
        self.proofs, self.kube, self.ch = proofs, proofs.kube, proofs.ch

    def names_resolve(self):
        """CoreDNS, asked from the host, has addresses of a Service and of an outside name. Returns what it left out."""
        ask = f"python3 -c {shlex.quote(ASK_DNS)} {_DNS_ADDRESS}"
        outside, left_out = self._outside()
        for name in (_INSIDE, *outside):
            got = self.ch.host.run(f"{ask} {name}", check=False, quiet=True)
            if got.code:
                raise Unmet(f"an address for {name}", got.err.strip() or "none")
        return left_out

    def pod_resolves(self):
        """The same from inside a pod."""
        outside, left_out = self._outside()
        self.proofs.hello("LoadBalancer")
        for name in (f"hello.{PROOF_NAMESPACE}.svc.cluster.local", *outside):
            self.ch.wait("a pod to resolve " + name, lambda name=name: self._pod_knows(name))
        return left_out

    def _outside(self):
        """([a name of the outside], None); or ([], why none is asked for): only the host's own names prove a pod's."""
        said, _, name = self.ch.run(script(_HERE / "scripts" / "outside_name.sh")).strip().partition(" ")
        if said == "knows":
            return [name], None
        why = f"the host itself has no address for {name}" if name else "no archive of the host's apt has a name"
        return [], f"an outside name was left out: {why}"

    def _pod_knows(self, name):
        return "Address" in self.proofs.in_pod(f"nslookup {name} | tail -n +3")

    def loadbalancer(self, pool):
        """A Service gets an address from the pool, and answers there, through the proxy."""
        self.proofs.hello("LoadBalancer")
        address = self.ch.wait("an address from the pool", self._address)
        if not addresses.inside(address, pool):
            raise Unmet(f"an address from {pool}", address)
        with self.ch.host.socks() as socks, through(socks, timeout=30) as client:
            self.ch.wait(
                "the address to answer",
                lambda: client.get(f"http://{address}/").text.strip() == self.proofs.nonce,
            )

    def _address(self):
        field = "{.status.loadBalancer.ingress[0].ip}"
        return self.kube.kubectl(f"get service hello -n {PROOF_NAMESPACE} -o jsonpath='{field}'")

    def pod_reaches(self, address):
        """A pod is told a word by a program that listens at that address of the host for as long as this takes."""
        self.proofs.hello("LoadBalancer")
        listener = (_HERE / "scripts" / "say_word.py").read_text("utf-8")
        ask = script(_HERE / "scripts" / "pod_reaches.sh", PROOF_NAMESPACE, address, self.proofs.nonce, listener)
        got = self.ch.host.run(ask, check=False, timeout=300, quiet=True)
        if got.out.strip() != self.proofs.nonce:
            seen = (got.out + got.err).strip()[-200:] or "nothing"
            raise Unmet("the word made up for this proof", seen + firewall.told(self.ch))

    def dashboard_login(self):
        """The page comes, the login takes the token of a service account, and refuses another."""
        address = self.kube.kubectl("get service kubernetes-dashboard -n kube-system -o jsonpath='{.spec.clusterIP}'")
        token = self._token()
        with self.ch.host.forward(443, address) as port, httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=False, timeout=60, trust_env=False
        ) as client:
            page = client.get("/")
            if page.status_code != 200 or "Kubernetes Dashboard" not in page.text:
                raise Unmet("the dashboard's page", f"status {page.status_code}")
            _login(client, token, True, "the token taken")
            _login(client, "not-a-token", False, "a wrong token refused")

    def _token(self):
        said = self.ch.host.run(script(_HERE / "scripts" / "dashboard_token.sh"), raw=True).out
        token = base64.b64decode(said.strip()).decode()
        self.ch.masker.add(token)
        return token

    def pod_sees_gpu(self):
        """NVIDIA's own sample passes in a pod."""
        self.proofs.open()
        self.proofs.apply((_HERE / "manifests" / "cuda.yaml").read_text("utf-8"))
        pods = self.kube.pods(PROOF_NAMESPACE, "cuda")
        self.ch.wait(
            "the CUDA sample to pass",
            lambda: "PASSED" in self.kube.kubectl(f"logs -n {PROOF_NAMESPACE} cuda"),
            failed=pods.failed,
            stands=pods.stands,
        )


def _login(client, token, wanted, expected):
    csrf = client.get("/api/v1/csrftoken/login").json()["token"]
    got = client.post("/api/v1/login", json={"token": token}, headers={"X-CSRF-TOKEN": csrf})
    accepted = got.status_code == 200 and bool(got.json().get("jweToken")) and not got.json().get("errors")
    if accepted != wanted:
        raise Unmet(expected, f"status {got.status_code}")
