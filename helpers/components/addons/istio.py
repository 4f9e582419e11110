"""Istio as MicroK8s 1.20 installs it: its Deployments, its gateway's address, and what answers there."""

from __future__ import annotations

import base64
import contextlib
import json

from helpers.core.actions import Action
from helpers.core.errors import NotYet, Unmet
from helpers.core.http import through

NAMESPACE, GATEWAY = "istio-system", "istio-ingressgateway"

#: the Deployments of Istio 1.5.1's demo profile: `microk8s enable knative` waits until exactly 12 are ready
DEPLOYMENTS = (
    "grafana",
    "istio-citadel",
    "istio-egressgateway",
    "istio-galley",
    GATEWAY,
    "istio-pilot",
    "istio-policy",
    "istio-sidecar-injector",
    "istio-telemetry",
    "istio-tracing",
    "kiali",
    "prometheus",
)

_LIST = (
    "s=$(microk8s kubectl get deployments -n istio-system -o jsonpath='{range .items[*]}{.metadata.name} {.spec.replicas} {.status.readyReplicas}{\"\\n\"}{end}' 2>&1) || "
    '{ echo "$s" | tail -1; exit 1; }\n'
)

#: a probe: each of Istio's Deployments has its pods ready. Names those that have not, the gateway first.
READY = (
    _LIST
    + """bad=
for d in {}; do
  read -r name want have <<< "$(echo "$s" | grep "^$d " || echo "$d missing")"
  if [ "$want" = missing ]; then bad="$bad; istio-system: $d is missing"
  elif [ "$want" = 0 ] || [ "${{have:-0}}" -lt "$want" ]; then bad="$bad; istio-system: $d: ${{have:-0}} of $want ready"; fi
done
[ -z "$bad" ] || {{ echo "${{bad#; }}"; exit 1; }}""".format(" ".join(sorted(DEPLOYMENTS, key=lambda d: d != GATEWAY)))
)

#: a probe: no Deployment in istio-system that is not Istio's
NO_STRANGERS = (
    "! microk8s kubectl get namespace istio-system >/dev/null 2>&1 && exit 0\n"
    + _LIST
    + "others=$(echo \"$s\" | cut -d' ' -f1 | grep -vxE '{}' | paste -sd' ' || true)\n"
    '[ -z "$others" ] || {{ echo "istio-system also holds the Deployments: $others"; exit 1; }}'.format(
        "|".join(DEPLOYMENTS)
    )
)

_NOT_ADMIN = (
    "p=$(microk8s kubectl get secret kiali -n istio-system -o jsonpath='{.data.passphrase}' 2>&1) || { echo \"$p\" | tail -1; exit 1; }\n"
    '[ "$p" != YWRtaW4= ] || { echo "Kiali\'s password is still admin"; exit 1; }'
)


class Istio:
    """Istio on the chapter's target, through a Kube."""

    def __init__(self, kube):
        self.kube, self.ch = kube, kube.ch

    # -- steps ---------------------------------------------------------------------------------

    def enabled(self, delete_crds):
        """Action: the add-on istio, its 12 Deployments ready. delete_crds: remove takes Istio's kinds too, and all objects of them."""

        def apply():
            run = lambda script, what, **kw: self.ch.host.run(script, what=what, **kw)
            said = run(_LIST + 'echo "$s"', "list Istio's Deployments", check=False).out
            there = {line.split()[0] for line in said.splitlines() if line.strip()}
            if there & set(DEPLOYMENTS) and not set(DEPLOYMENTS) <= there:
                # An install that was cut off: `enable` would say that it is enabled, and do nothing.
                run("microk8s disable istio </dev/null", "take a half Istio away", timeout=300)
            run("microk8s enable istio", "enable istio", stdin="", timeout=300)
            run(
                "for d in {}; do [ \"$(microk8s kubectl get deployment $d -n istio-system -o jsonpath='{{.spec.replicas}}')\" != 0 ] || "
                "microk8s kubectl scale deployment $d -n istio-system --replicas=1; done".format(" ".join(DEPLOYMENTS)),
                "start what was scaled down",
            )
            self.kube.wait_for("Istio", READY, timeout=600)

        undo = (
            "k='microk8s kubectl'\n"
            "$k delete mutatingwebhookconfiguration,validatingwebhookconfiguration --ignore-not-found istio-sidecar-injector istio-galley\n"
            "$k delete deployment --all -n istio-system --wait=false >/dev/null 2>&1 || true\n"
            "$k delete pod --all -n istio-system --force --grace-period=0 >/dev/null 2>&1 || true\n"
            "$k delete namespace istio-system --ignore-not-found --timeout=200s\n"
            "$k delete clusterrole,clusterrolebinding -l release=istio --ignore-not-found\n"
        )
        if delete_crds:
            undo += "$k get crd -o name | grep -E '\\.istio\\.io$' | xargs -r microk8s kubectl delete --timeout=180s\n"
        gone = "! microk8s kubectl get namespace istio-system >/dev/null 2>&1"
        if delete_crds:
            gone += "\n! microk8s kubectl get crd -o name | grep -E >/dev/null '\\.istio\\.io$'"
        return Action("microk8s enable istio", READY, apply, undo, gone)

    def kiali_password(self):
        """Action: Kiali's login is a secret of this target instead of the demo's admin/admin."""

        def apply():
            word = self.ch.secret("kiali").reveal()
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "kiali", "namespace": NAMESPACE, "labels": {"app": "kiali"}},
                "data": {"username": "YWRtaW4=", "passphrase": base64.b64encode(word.encode()).decode()},
            }
            self.kube.kubectl("apply -f -", stdin=json.dumps(secret))
            self.kube.kubectl("rollout restart deployment kiali -n " + NAMESPACE)
            self.kube.wait_for("Kiali", READY)

        self.ch.forgets("kiali")
        return Action(
            "kubectl apply -f - (Secret istio-system/kiali), kubectl rollout restart deployment kiali",
            _NOT_ADMIN,
            apply,
        )

    # -- proofs --------------------------------------------------------------------------------

    def gateway_answers(self):
        """The gateway answers at its address, through the proxy: for a name that nobody has, 404."""
        with gateway(self.kube) as client:
            got = self.ch.wait(
                "the gateway to answer", lambda: client.get("/", headers={"Host": "nobody.invalid"}), timeout=30
            )
        if (got.status_code, got.headers.get("server")) != (404, "istio-envoy"):
            raise Unmet(
                "404 from istio-envoy for a name that nobody has",
                "{} from {}".format(got.status_code, got.headers.get("server", "an unnamed server")),
            )


def gateway_address(kube):
    """The gateway's address from MetalLB's pool. Unmet while it has none."""
    service = kube.get(f"service {GATEWAY} -n {NAMESPACE}")
    for entry in service["status"].get("loadBalancer", {}).get("ingress") or []:
        if entry.get("ip"):
            return entry["ip"]
    raise Unmet("an address of MetalLB for Istio's gateway", "none yet: EXTERNAL-IP is pending", "add-metallb")


@contextlib.contextmanager
def gateway(kube, timeout=30):
    """An HTTP client whose addresses begin at the gateway, through SSH as by the proxy of chapter 02. timeout: seconds for an answer."""
    address, host = gateway_address(kube), kube.ch.host
    if not any(s.get("addresses") for s in kube.get(f"endpoints {GATEWAY} -n {NAMESPACE}").get("subsets") or []):
        # The host would send a request to that address away, to whoever answers outside.
        raise Unmet("a pod behind Istio's gateway", "none is ready", "add-istio")
    with contextlib.ExitStack() as stack:
        socks = None if host.target.kind == "local" else stack.enter_context(host.socks())
        yield stack.enter_context(through(socks, base_url="http://" + address, timeout=timeout))


def wait_for_route(kube, path, host, timeout=60):
    """Wait until the gateway has a route for this path and Host: until the answer is no 404 of its own. Returns the answer."""
    with gateway(kube) as client:

        def routed():
            got = client.get(path, headers={"Host": host})
            if got.status_code in (404, 503) and got.headers.get("server") == "istio-envoy" and not got.content:
                raise NotYet(f"{got.status_code} from the gateway")
            return got

        return kube.ch.wait("the gateway's route to " + host + path, routed, timeout=timeout)
