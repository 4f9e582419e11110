"""A job with an environment, and the cluster that is joined for it: its namespace there, and its variables."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import time
import urllib.error
import urllib.request

import store
import url_filter
import yaml

RBAC = "/apis/rbac.authorization.k8s.io/v1"
WORDS = ["get", "list", "create", "update", "delete", "patch", "watch"]
KNATIVE = ["configurations", "configurationgenerations", "routes", "revisions", "revisionuids", "autoscalers",
           "services"]  # fmt: skip
WAIT = 5  # seconds for the cluster to fill a Secret in


class Unmet(Exception):
    """Why the namespace is not there."""


def slug(name: str) -> str:
    """An environment's: at most 24 characters, with six of a digest when it is not the name itself."""
    made = re.sub(r"-+", "-", re.sub(r"[^a-z0-9]", "-", name.lower()))
    made = made if made[:1].isalpha() else "env-" + made
    if len(made) <= 24 and made == name:
        return made
    return made[:17].rstrip("-") + "-" + hashlib.sha256(name.encode()).hexdigest()[:6]


def cluster_of(kept: store.Store, project: dict, environment: str | None) -> dict | None:
    """The one for this environment: the project's before the instance's, the longer scope before the shorter."""
    for owner in (project["id"], 0):
        found = [c for c in kept.all("cluster", owner=owner) if c["enabled"] and in_scope(c, environment)]
        if found:
            return max(found, key=lambda c: len(c["environment_scope"]))
    return None


def in_scope(thing: dict, environment: str | None) -> bool:
    """Is a variable, or a cluster, for this environment?"""
    scope = thing["environment_scope"]
    rule = ".*".join(map(re.escape, scope.split("*")))
    return scope == "*" or environment is not None and bool(re.fullmatch(rule, environment))


def namespace(cluster: dict, project: dict, environment: str) -> str:
    said, each = cluster["platform"].get("namespace"), cluster["namespace_per_environment"]
    name = said or f"{project['path']}-{project['id']}"
    if cluster["managed"] and each or not said and each:
        name += "-" + slug(environment)
    return re.sub(r"[^a-z0-9-]", "-", name.lower())[:63].strip("-")


def made_of(kept: store.Store, cluster: dict, project: dict, name: str) -> dict | None:
    """What GitLab keeps of a namespace that it has made: its account and token."""
    return kept.one("namespace", cluster_id=cluster["id"], project_id=project["id"], name=name)


def is_unmet(kept: store.Store, project: dict, environment: str | None) -> bool:
    """Must a namespace be made before a job with this environment can wait for a runner?"""
    cluster = cluster_of(kept, project, environment) if environment else None
    if not cluster or not environment or not cluster["managed"]:
        return False
    return not made_of(kept, cluster, project, namespace(cluster, project, environment))


def prepare(cluster: dict, name: str, settings: dict, url: str) -> str:
    """Make the namespace with its account; that account's token. Unmet when it cannot be had."""
    why = url_filter.blocked(cluster["platform"]["api_url"], settings, url)
    if why:
        raise Unmet(f"{cluster['platform']['api_url']} is blocked: {why}")
    kube = Kube(cluster["platform"])
    for place, thing in objects(cluster, name):
        kube.put(place, thing)
    secret, end = f"/api/v1/namespaces/{name}/secrets/{name}-token", time.monotonic() + WAIT
    while time.monotonic() < end:
        token = ((kube.get(secret) or {}).get("data") or {}).get("token")
        if token:
            return base64.b64decode(token).decode()
        time.sleep(0.2)
    raise Unmet(f"{secret} has no token")


def objects(cluster: dict, name: str) -> list[tuple[str, dict]]:
    """(address, object) in the order in which they are made."""
    core, account = f"/api/v1/namespaces/{name}", f"{name}-service-account"
    known = {"kubernetes.io/service-account.name": account}
    secret = {"metadata": {"name": f"{name}-token", "namespace": name, "annotations": known},
              "type": "kubernetes.io/service-account-token"}  # fmt: skip
    made = [
        ("/api/v1/namespaces", {"metadata": {"name": name}}),
        (core + "/serviceaccounts", {"metadata": {"name": account, "namespace": name}}),
        (core + "/secrets", secret),
    ]
    return made if cluster["platform"]["authorization_type"] == "abac" else made + _rights(name, account)


def _rights(name: str, account: str) -> list[tuple[str, dict]]:
    place = f"{RBAC}/namespaces/{name}"
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": name}]
    roles = {"gitlab-knative-serving-role": ("serving.knative.dev", KNATIVE),
             "gitlab-crossplane-database-role": ("database.crossplane.io", ["postgresqlinstances"])}  # fmt: skip
    found = [(place + "/rolebindings", _binding(f"gitlab-{name}", name, ("ClusterRole", "admin"), subjects))]
    for role, (group, resources) in roles.items():
        rules = [{"apiGroups": [group], "resources": resources, "verbs": WORDS}]
        found.append((place + "/roles", {"metadata": {"name": role, "namespace": name}, "rules": rules}))
        found.append((place + "/rolebindings", _binding(role + "binding", name, ("Role", role), subjects)))
    return found


def _binding(name: str, space: str, role: tuple[str, str], subjects: list[dict]) -> dict:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": role[0], "name": role[1]}
    return {"metadata": {"name": name, "namespace": space}, "roleRef": ref, "subjects": subjects}


class Kube:
    """A cluster's API, by the address, certificate and token that the cluster was joined with."""

    def __init__(self, platform: dict):
        self.url, self.token = platform["api_url"].rstrip("/"), platform["token"]
        self.tls = ssl.create_default_context()
        if platform.get("ca_cert"):
            self.tls.load_verify_locations(cadata=platform["ca_cert"])

    def _ask(self, method: str, place: str, body: dict | None = None) -> dict | None:
        """The answer; None for a 404. Unmet for every other no."""
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        asked = urllib.request.Request(self.url + place, data, head, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=10, context=self.tls) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "GET":
                return None
            raise Unmet(f"{method} {place}: {error}") from None
        except (OSError, ValueError) as error:
            raise Unmet(f"{self.url}: {error}") from None

    def get(self, place: str) -> dict | None:
        return self._ask("GET", place)

    def put(self, place: str, thing: dict) -> None:
        """Make it. One that is there stays as it is."""
        if self.get(f"{place}/{thing['metadata']['name']}") is None:
            self._ask("POST", place, thing)


# -- a job's variables of its cluster --------------------------------------------------------------------


def _plain(key: str, value: str, **more: object) -> dict:
    return {"key": key, "value": value, "public": True, "masked": False, **more}


def variables(kept: store.Store, project: dict, environment: str | None) -> list[dict]:
    cluster = cluster_of(kept, project, environment) if environment else None
    if not cluster or not environment:
        return []
    platform, name = cluster["platform"], namespace(cluster, project, environment)
    found, pem = [_plain("KUBE_URL", platform["api_url"])], platform.get("ca_cert")
    if pem:
        found += [_plain("KUBE_CA_PEM", pem), _plain("KUBE_CA_PEM_FILE", pem, file=True)]
    token = platform["token"]
    if cluster["managed"]:
        made = made_of(kept, cluster, project, name)
        if not made:
            return found
        token = made["token"]
        found.append(_plain("KUBE_SERVICE_ACCOUNT", f"{name}-service-account"))
    found += [_plain("KUBE_TOKEN", token, public=False, masked=True), _plain("KUBE_NAMESPACE", name)]
    found.append(_plain("KUBECONFIG", _kubeconfig(platform, name, token), public=False, file=True))
    if cluster["domain"]:
        found.append(_plain("KUBE_INGRESS_BASE_DOMAIN", cluster["domain"]))
    return found + [_plain(key, "true") for key in ("CI_KUBERNETES_ACTIVE", "KUBERNETES_ACTIVE")]


def _kubeconfig(platform: dict, name: str, token: str) -> str:
    server: dict = {"server": platform["api_url"]}
    if platform.get("ca_cert"):
        server["certificate-authority-data"] = base64.b64encode(platform["ca_cert"].encode()).decode()
    deploy = "gitlab-deploy"
    context = {"cluster": deploy, "namespace": name, "user": deploy}
    said = {"apiVersion": "v1", "clusters": [{"name": deploy, "cluster": server}],
            "contexts": [{"name": deploy, "context": context}], "current-context": deploy, "kind": "Config",
            "users": [{"name": deploy, "user": {"token": token}}]}  # fmt: skip
    return yaml.safe_dump(said)
