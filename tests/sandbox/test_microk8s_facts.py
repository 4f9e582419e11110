"""MicroK8s' stand-in against tests/recordings/microk8s-1.20.md, row by row, bad sides included."""

from __future__ import annotations

import json
import os
import re
import time

import microk8s_host
import pytest
import yaml
from microk8s_facts import ROWS, TESTED, found, row

from helpers.core.paths import SETUP
from helpers.sandbox import mirror, needs

SUBSTITUTES = SETUP / "sandbox/substitutes"
ACTIONS = SUBSTITUTES / "microk8s/snap/actions"
RELEASE = SUBSTITUTES / "istio/release"
DATA, SNAP = "/var/snap/microk8s/current", "/snap/microk8s/current"
RELEASED = "eventing.knative.dev/release"
#: seconds, where how soon is the fact: "from the first minute", and what a daemon does before it starts
A_MINUTE, A_START = 60, 20

#: minutes of it: Istio, Knative and what asks a dead API server
long = pytest.mark.skipif(
    "RUNBOOK_FAULTS" not in os.environ, reason="long: ./runbook test --faults tests/sandbox/test_microk8s_facts.py"
)
#: what cannot be tried here, and the words in which the recipe's fidelity.toml says so
NAMED = {
    ("command", "each call"): ("microk8s", "each call is quicker than the real one's 1 to 3 s"),
    ("Add-ons", "Seconds are of the trial"): ("microk8s", "no sleep in enable dns (5 s)"),
    ("Times", "enable"): ("microk8s", "each call is quicker"),
    ("Times", "metrics-server"): ("microk8s", "no sleep in enable dns (5 s)"),
    ("Knative", "CPU that the pods ask for"): ("knative-eventing", "imc-dispatcher, limit 2200m"),
}


def differs(artifact):
    return " ".join(mirror.fidelity()[artifact]["differs"])


@pytest.mark.parametrize("first", NAMED, ids=": ".join)
def test_what_is_otherwise_here_is_said(first):
    found(*first)
    artifact, words = NAMED[first]
    assert words in differs(artifact)


def test_every_row_has_a_test_or_is_named():
    assert {*TESTED, *(found(*first) for first in NAMED)} == set(ROWS)


def objects(*files):
    """{(kind, name): object} of manifests, each $KEY as it is."""
    texts = [file.read_text() for file in files]
    return {(o["kind"], o["metadata"]["name"]): o for text in texts for o in yaml.safe_load_all(text) if o}


def named(there, kind):
    return {name for k, name in there if k == kind}


# The manifests ----------------------------------------------------------------------------------------------------


@row(("Objects", "dns"))
def test_dns_objects(row):
    there = objects(ACTIONS / "coredns.yaml")
    mode = "addonmanager.kubernetes.io/mode"
    modes = {kind: o["metadata"].get("labels", {}).get(mode) for (kind, _), o in there.items() if "Role" not in kind}
    assert modes.pop("ConfigMap") == "EnsureExists" and set(modes.values()) == {"Reconcile"}
    pod = there["Deployment", "coredns"]["spec"]["template"]["metadata"]
    assert "scheduler.alpha.kubernetes.io/critical-pod" in pod["annotations"]


@row(("Objects", "metrics-server"))
def test_metrics_server_objects(row):
    text = (ACTIONS / "metrics-server.yaml").read_text()
    assert "apiVersion: apiregistration.k8s.io/v1beta1" in text and "--metric-resolution" not in text
    assert "nodes/metrics" not in text or "its ClusterRole has nodes/metrics" in differs("metrics-server")


@row(("Objects", "metallb"))
def test_metallb_objects(row):
    assert "discovery.k8s.io" not in (ACTIONS / "metallb.yaml").read_text()
    assert not objects(ACTIONS / "metallb.yaml")["ConfigMap", "config"]["data"]["config"].endswith("\n")


@row(("Objects", "dashboard"))
def test_dashboard_objects(row):
    rules = objects(ACTIONS / "dashboard.yaml")["Role", "kubernetes-dashboard"]["rules"]
    assert [r["verbs"] for r in rules if "heapster" in r.get("resourceNames", [])] == [["proxy"], ["get"]]


@pytest.fixture(scope="module")
def demo():
    """The objects of Istio's demo profile."""
    return objects(RELEASE / "istio-demo.yaml")


def test_istio_has_150_objects(demo):
    there = [o for file in RELEASE.glob("*.yaml") for o in yaml.safe_load_all(file.read_text()) if o]
    assert "150 objects" in (SUBSTITUTES / "istio/fidelity.toml").read_text() and len(there) == 150


@row(("Istio", "12 Deployments"))
def test_istio_deployments(row, demo):
    assert named(demo, "Deployment") == set(re.sub(r"^- 12 Deployments: |\.$", "", row).split())


@row(("Istio", "2 Jobs"))
def test_istio_jobs(row, demo):
    jobs = named(demo, "Job")
    assert len(jobs) == 2 and all(name in row for name in jobs)
    for name in jobs:
        pod = demo["Job", name]["spec"]["template"]["spec"]
        assert pod["restartPolicy"] == "OnFailure" and pod["containers"][0]["image"] == "docker.io/istio/kubectl:1.5.1"
        script = demo["ConfigMap", pod["volumes"][0]["configMap"]["name"]]["data"]["run.sh"]
        assert script.index("rollout status deployment istio-galley") < script.index("sleep 5") < script.index("apply")


@row(("Istio", "Namespace istio-system has label istio-injection=disabled"))
def test_istio_namespace(row, demo):
    assert demo["Namespace", "istio-system"]["metadata"]["labels"] == {"istio-injection": "disabled"}


@row(("Istio", "ValidatingWebhookConfiguration istio-galley"))
def test_istio_webhooks(row, demo):
    galley = demo["ValidatingWebhookConfiguration", "istio-galley"]["webhooks"]
    assert {h["name"]: h["failurePolicy"] for h in galley} == dict.fromkeys(
        ["pilot.validation.istio.io", "mixer.validation.istio.io"], "Ignore"
    )
    (injector,) = demo["MutatingWebhookConfiguration", "istio-sidecar-injector"]["webhooks"]
    assert (injector["name"], injector["failurePolicy"]) == ("sidecar-injector.istio.io", "Fail")
    assert injector["namespaceSelector"] == {"matchLabels": {"istio-injection": "enabled"}}


@row(("Istio", "11 ClusterRoles"))
def test_istio_roles(row, demo):
    roles = [o for (kind, _), o in demo.items() if kind == "ClusterRole"]
    bindings = [o for (kind, _), o in demo.items() if kind == "ClusterRoleBinding"]
    assert (len(roles), len(bindings)) == (11, 11)
    labels = {o["metadata"]["name"]: o["metadata"].get("labels", {}) for o in roles}
    assert [n for n, of in labels.items() if of.get("release") != "istio"] == ["istio-reader"]
    assert labels["istio-reader"] == {} and labels["kiali"]["heritage"] == "Tiller"
    labels = {o["metadata"]["name"]: o["metadata"].get("labels", {}) for o in bindings}
    others = {n: list(of) for n, of in labels.items() if of.get("release") != "istio"}
    assert others == {"istio-reader": ["chart"], "istio-multi": ["chart"]}


@row(("Istio", "kinds only in the real one"))
def test_istio_other_kinds(row, demo):
    for kind, number in re.findall(r"(\w+) \((\d+)\)", row):
        assert len(named(demo, kind)) == int(number), kind
    maps = named(demo, "ConfigMap")
    wanted = {"istio-galley-configuration", "istio-sidecar-injector", "istio-security-custom-resources", "kiali"}
    assert wanted | {"prometheus", "istio-grafana"} <= maps


@row(("Istio", "CRDs"))
def test_istio_kinds(row):
    kinds = named(objects(*RELEASE.glob("crd*.yaml")), "CustomResourceDefinition")
    assert len([name for name in kinds if name.endswith(".istio.io")]) == 25
    cert = {name.partition(".")[0] for name in kinds if name.endswith(".certmanager.k8s.io")}
    assert cert == {"certificates", "challenges", "clusterissuers", "issuers", "orders"}


@row(("Istio", "mounts without which a pod does not start"))
def test_istio_secrets_that_must_be_there(row, demo):
    asked = {}
    for (kind, name), o in demo.items():
        for volume in o["spec"]["template"]["spec"].get("volumes", []) if kind == "Deployment" else []:
            if "secret" in volume and not volume["secret"].get("optional"):
                asked[name] = volume["secret"]["secretName"]
    assert asked == {
        "istio-galley": "istio.istio-galley-service-account",
        "istio-sidecar-injector": "istio.istio-sidecar-injector-service-account",
        "prometheus": "istio.default",
    }
    assert not any(name.startswith("istio.") for name in named(demo, "Secret"))
    kiali = demo["Deployment", "kiali"]["spec"]["template"]["spec"]["containers"][0]
    assert kiali["command"][0] == "/opt/kiali/kiali"


EVENTING = [ACTIONS / "knative" / f"{name}.yaml" for name in ("eventing-core", "channel-broker", "in-memory-channel")]
EVENTING_KINDS = ACTIONS / "knative/setup/eventing-crds.yaml"


@row(("Knative", "knative-eventing's Deployments"))
def test_eventing_deployments_and_kinds(row):
    there = objects(*EVENTING, EVENTING_KINDS)
    deployments = {name: o["spec"]["replicas"] for (kind, name), o in there.items() if kind == "Deployment"}
    assert deployments.pop("sources-controller") == 0 and set(deployments.values()) == {1}
    assert deployments.keys() == set(row.partition(": ")[2].partition(", and ")[0].split())
    image = there["Deployment", "sources-controller"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert "." in image.partition("/")[0] and "gcr.io" not in image and ":" not in image
    first = named(objects(EVENTING_KINDS), "CustomResourceDefinition")
    kinds = named(there, "CustomResourceDefinition")
    others = {name.partition(".")[0] for name in kinds - first}
    assert (len(first), others) == (14, {"configmappropagations", "inmemorychannels"})


@row(("Knative", "MutatingWebhookConfigurations"))
def test_eventing_webhooks(row):
    there = {key: o for key, o in objects(*EVENTING).items() if "WebhookConfiguration" in key[0]}
    assert sorted(kind for kind, _ in there) == [
        *["MutatingWebhookConfiguration"] * 3,
        *["ValidatingWebhookConfiguration"] * 2,
    ]
    for (_, name), o in there.items():
        (hook,) = o["webhooks"]
        assert name in row and hook["failurePolicy"] == "Fail" and RELEASED in o["metadata"]["labels"]
        assert hook["clientConfig"]["service"] == {"name": "eventing-webhook", "namespace": "knative-eventing"}
        assert "rules" not in hook
    config = there["ValidatingWebhookConfiguration", "config.webhook.eventing.knative.dev"]["webhooks"][0]
    assert config["namespaceSelector"] == {"matchExpressions": [{"key": RELEASED, "operator": "Exists"}]}


@row(("Knative", "ClusterRoles and bindings with label eventing.knative.dev/release"))
def test_eventing_roles(row):
    roles = [o for (kind, _), o in objects(*EVENTING).items() if kind.startswith("ClusterRole")]
    assert len(roles) == 41 and all(RELEASED in o["metadata"]["labels"] for o in roles)
    later = [o["kind"] for (kind, _), o in objects(*EVENTING[1:]).items() if kind.startswith("ClusterRole")]
    assert (later.count("ClusterRole"), later.count("ClusterRoleBinding")) == (5, 3)


# The command, on a host without add-ons ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host():
    if needs.sandbox_lacks():
        pytest.skip("this machine cannot host a sandbox: ./runbook doctor")
    with microk8s_host.fresh() as host:
        host.ok(microk8s_host.INSTALL)
        host.ok("sudo microk8s status --wait-ready --timeout 60")
        host.ok("sudo usermod -aG microk8s ubuntu; sudo useradd -m stranger")
        yield host


def code(done):
    return done.returncode, done.stdout, done.stderr


def get(host, what, path):
    return host.ok(f"microk8s kubectl get {what} -o jsonpath='{path}'")


@row(("Objects", "kube-public/local-registry-hosting"))
def test_registry_hosting_is_told_from_the_first_minute(row, host):
    host.until("microk8s kubectl get configmap -n kube-public", "local-registry-hosting", A_MINUTE)
    said = get(host, "configmap local-registry-hosting -n kube-public", "{.data}")
    assert "help:" in said and "host:" not in said


@row(("Objects", "kubeconfig"))
def test_kubeconfig_has_no_newline_at_its_end(row, host):
    assert host.ok(f"tail -c 1 {DATA}/credentials/client.config | xxd -p || true") != "0a"


@row(("command", "`microk8s`"))
def test_no_subcommand_and_an_unknown_one(row, host):
    done = host("microk8s")
    assert done.returncode == 1 and done.stdout.startswith("Available subcommands are:\n\tadd-node\n")
    done = host("microk8s version")
    assert done.returncode == 1 and done.stdout.startswith("'version' is not a valid MicroK8s subcommand.\nAvailable")


@row(("command", "subcommands"))
def test_subcommands(row, host):
    assert host("microk8s").stdout.split()[3:] == row.split("|")[2].partition(";")[0].split()


@row(("command", "no read access to DATA/credentials/client.config"))
def test_only_the_group_may_use_it(row, host):
    for words in ("status", "enable dns", "disable dns", "config", "kubectl get node"):
        done = host(f"sudo -u stranger /snap/bin/microk8s {words}")
        assert (done.returncode, done.stdout) == (1, ""), words
        assert done.stderr.startswith(
            "Insufficient permissions to access MicroK8s.\nYou can either try again with sudo"
        )


@row(("command", "`status --format yaml`"))
def test_status_as_yaml(row, host):
    text = host.ok("microk8s status --format yaml")
    said = yaml.safe_load(text)
    assert said["microk8s"]["running"] is True and said["high-availability"] == {
        "enabled": True,
        "nodes": [{"address": "127.0.0.1:19001", "role": "voter"}],
    }
    assert [list(a) for a in said["addons"]] == [["name", "description", "version", "status"]] * len(said["addons"])
    order = [(a["status"] != "enabled", a["name"]) for a in said["addons"]]
    assert order == sorted(order) and "    version:  \n" in text


@row(("command", "`status --format short`"))
def test_status_in_short(row, host):
    lines = host.ok("microk8s status --format short").splitlines()
    assert lines[:2] == ["microk8s is running", "addons:"]
    assert {"ha-cluster: enabled", "dns: disabled"} <= set(lines[2:])


@row(("command", "`status -a X`"))
def test_status_of_one(row, host):
    said = [host.ok(f"microk8s status -a {name}") for name in ("ha-cluster", "dns", "no-such-addon")]
    assert said == ["enabled", "disabled", "disabled"]


@row(("command", "high-availability"))
def test_high_availability(row, host):
    assert "high-availability: no\n  datastore master nodes: 127.0.0.1:19001\n" in host.ok("microk8s status")


@row(("command", "`config`"))
def test_config(row, host):
    file = host(f"cat {DATA}/credentials/client.config").stdout
    assert file.count("127.0.0.1") == 1
    assert host("microk8s config -l").stdout == file + "\n"
    said = host("microk8s config").stdout
    assert said == file.replace("127.0.0.1", host.box.address) + "\n"


@row(("command", "`enable` without a name"))
def test_enable_without_a_name(row, host):
    done = host("microk8s enable")
    assert done.returncode == 2 and done.stderr.startswith("Usage: microk8s enable [OPTIONS] ADDONS...\n")
    assert "Try 'microk8s enable --help' for help.\n\nError: Missing argument" in done.stderr
    done = host("microk8s enable dns --help")
    assert done.returncode == 0 and "Enables a MicroK8s addon." in done.stdout


@row(("command", "`disable X`"))
def test_disable_what_is_not_enabled(row, host):
    assert code(host("microk8s disable dns")) == (0, "Addon dns is already disabled.\n", "")
    done = host("microk8s disable no-such-addon")
    assert (done.returncode, done.stderr) == (1, "Nothing to do for `no-such-addon`.\n")


@pytest.fixture
def dead(host):
    """The API does not answer."""
    host.ok("sudo systemctl stop snap.microk8s.daemon-apiserver")
    yield host
    host.ok("sudo systemctl start snap.microk8s.daemon-apiserver")
    host.ok("microk8s status --wait-ready --timeout 60")


@row(("command", "`status`, API not answering"), ("command", "`status --wait-ready`"))
def test_status_with_a_dead_api(row, dead):
    text = "microk8s is not running. Use microk8s inspect for a deeper inspection."
    for words in ("", "--format short", "--wait-ready --timeout 3"):
        assert code(dead("microk8s status " + words)) == (0, text + "\n", ""), words
    done = dead("microk8s status --format yaml")
    assert done.returncode == 0 and done.stdout.startswith("microk8s:\n  running: False\nhigh-availability:\n")
    assert done.stdout.endswith(f"      role: voter\n   message: {text}\n")


@long
@row(("command", "`enable`, API not answering"))
def test_enable_with_a_dead_api(row, dead):
    began = time.monotonic()
    done = dead("microk8s enable dns")
    assert done.returncode == 1 and "Traceback (most recent call last)" in done.stderr
    assert "CalledProcessError" in done.stderr and "Enabling" not in done.stdout
    assert 30 <= time.monotonic() - began < 60


@row(("command", "DATA/var/lock/stopped.lock there"))
def test_stopped(row, host):
    host.ok("microk8s stop")
    text = "microk8s is not running, try microk8s start\n"
    for words in ("", "--format yaml", "--format short", "--wait-ready"):
        assert code(host("microk8s status " + words)) == (0, text, ""), words
    for words in ("enable dns", "disable dns", "kubectl get node"):
        assert code(host("microk8s " + words)) == (1, "", text), words
    assert "server: https://" in host.ok("microk8s config")
    host.ok("microk8s start")
    assert "running: True" in host.ok("microk8s status --wait-ready --timeout 60 --format yaml")


@row(("command", "`kubectl version`"))
def test_its_version_is_a_pre_release_to_semver(row, host):
    major, minor, _ = re.findall('"([^"]+)"', row)[:3]
    server = json.loads(host.ok("microk8s kubectl get --raw /version"))
    assert (server["major"], server["minor"]) == (major, minor)
    assert re.fullmatch(r"v1\.20\.\d+-\d+\+[0-9a-f]{14}", server["gitVersion"])
    node = json.loads(host.ok("microk8s kubectl get nodes -o json"))["items"][0]["status"]["nodeInfo"]
    assert node["kubeletVersion"] == server["gitVersion"]


@row(("command", "`refresh-certs`"))
def test_another_authority(row, host):
    done = host("microk8s refresh-certs")
    assert code(done) == (
        50,
        "Elevated permissions is needed for this operation. Please run this command with sudo.\n",
        "",
    )
    keys = f"sudo sha256sum {DATA}/certs/ca.key {DATA}/certs/server.key {DATA}/credentials/known_tokens.csv"
    config = f"sudo cat {DATA}/credentials/client.config"
    before, older = host.ok(keys), yaml.safe_load(host.ok(config))
    done = host("sudo microk8s refresh-certs")
    assert done.returncode == 0 and all(words in done.stdout for words in re.findall('"([^"]+)"', row)[1:]), done.all
    host.ok("microk8s status --wait-ready --timeout 60")
    newer = yaml.safe_load(host.ok(config))
    assert host.ok(keys) == before and newer["users"] == older["users"]
    authority = [each["clusters"][0]["cluster"].pop("certificate-authority-data") for each in (older, newer)]
    assert older == newer and authority[0] != authority[1]
    for file in ("controller", "kubelet", "proxy", "scheduler"):
        assert authority[1] in host.ok(f"sudo cat {DATA}/credentials/{file}.config"), file
    asked = "https://127.0.0.1:16443/version"
    for data, trusted in zip(authority, (False, True), strict=True):
        host.ok(f"echo {data} | base64 -d > /tmp/ca.crt")
        assert (host(f"curl -s --cacert /tmp/ca.crt {asked}").returncode == 0) is trusted
        kubectl = "microk8s kubectl --certificate-authority=/tmp/ca.crt get --raw /version"
        assert "v1.20.2-" in host.ok(kubectl), "Go goes by the key alone"
    assert authority[0] in host.ok(f"sudo cat {DATA}/var/log/ca-backup/credentials/client.config")


# Add-ons ----------------------------------------------------------------------------------------------------------


def started(host, unit):
    return host.ok(f"systemctl show -p ActiveEnterTimestampMonotonic --value snap.microk8s.daemon-{unit}")


def arguments(host, file):
    return host.ok(f"cat {DATA}/args/{file}").splitlines()


def deployed(host, name, space="kube-system"):
    host.ok(f"microk8s kubectl rollout status {name} -n {space} --timeout=240s")


@long
@row(("command", "a user in group microk8s without sudo"))
def test_without_sudo_what_kubectl_did_stands(row, host):
    host.ok("sudo useradd -m -G microk8s member")
    done = host("sudo -u member /snap/bin/microk8s enable dns < /dev/null")
    assert done.returncode == 0 and "a password is required" in done.all
    assert "is enabled" not in done.stdout and host.ok("microk8s status -a dns") == "enabled"
    assert "--cluster-dns=10.152.183.10" not in arguments(host, "kubelet")
    host.ok("microk8s kubectl delete deploy coredns -n kube-system")
    host.until("microk8s status -a dns", "disabled")


@row(("command", "kubectl prints"), ("Add-ons", "metrics-server"), ("Add-ons", "Restarts go through"))
def test_metrics_server(row, host):
    before = started(host, "kubelet")
    done = host("microk8s enable metrics-server")
    assert done.stdout.endswith("Restarted.\nMetrics-Server is enabled\n")
    assert "Warning: apiregistration.k8s.io/v1beta1 APIService is deprecated" in done.stderr
    assert "--authentication-token-webhook=true" in arguments(host, "kubelet") and started(host, "kubelet") != before
    done = host("microk8s disable metrics-server")
    assert done.returncode == 0 and done.stdout.endswith("Metrics-Server is disabled\n")
    for name in ('configmaps "metrics-server-config"', 'deployments.apps "metrics-server-v0.2.1"'):
        assert f"Error from server (NotFound): {name} not found" in done.stderr


@row(("Add-ons", "dns"), ("command", "a script that fails"))
def test_dns(row, host):
    for bad in ("fe80::1", "dns.example"):
        done = host(f"microk8s enable dns:{bad}")
        text = f"Your input value ({bad.partition(':')[0]}) is not a valid IP address"
        assert done.returncode == 0 and text in done.stdout and "DNS is enabled" not in done.stdout
    kubelet = started(host, "kubelet")
    assert host.ok("microk8s enable dns:1.2.3.999,8.8.4.4").endswith("Restarted.\nDNS is enabled")
    assert started(host, "kubelet") != kubelet
    assert {"--cluster-domain=cluster.local", "--cluster-dns=10.152.183.10"} <= set(arguments(host, "kubelet"))
    host.ok("microk8s enable dns:8.8.8.8,8.8.4.4 ha-cluster")  # with an argument it is never taken as enabled
    corefile = host("microk8s kubectl get configmap coredns -n kube-system -o jsonpath='{.data.Corefile}'").stdout
    assert "    forward . 8.8.8.8 8.8.4.4 \n" in corefile
    quoted = host.ok("microk8s kubectl get configmap coredns -n kube-system -o yaml")
    assert "Corefile: |" not in quoted
    host.ok("microk8s enable dns:/etc/resolv.conf ha-cluster")
    corefile = host("microk8s kubectl get configmap coredns -n kube-system -o jsonpath='{.data.Corefile}'").stdout
    assert "    forward . /etc/resolv.conf\n" in corefile
    deployed(host, "deploy/coredns")


@row(("command", "`enable X`, one name"))
def test_enable_twice(row, host):
    assert code(host("microk8s enable dns")) == (0, "Addon dns is already enabled.\n", "")
    assert code(host("microk8s enable dns:not-an-address")) == (0, "Addon dns is already enabled.\n", "")
    assert code(host("microk8s enable no-such-addon")) == (1, "", "Nothing to do for `no-such-addon`.\n")


@row(("Add-ons", "dashboard"), ("command", "a pod that is Terminating"))
def test_dashboard(row, host):
    host.until("microk8s status -a dashboard", "disabled")
    host.until("microk8s status -a metrics-server", "disabled")
    said = host.ok("microk8s enable dashboard")
    assert said.index("Metrics-Server is enabled") < said.index("If RBAC is not enabled access the dashboard")
    deployed(host, "deploy/kubernetes-dashboard")
    stays = "--command -- sh -c 'trap : TERM; while :; do sleep 1; done'"
    host.ok(f"microk8s kubectl run kubernetes-dashboard-stays --image=busybox:1.35.0 {stays}")
    host.ok("microk8s kubectl wait --for=condition=ready pod/kubernetes-dashboard-stays --timeout=240s")
    assert host.ok("microk8s disable dashboard").endswith("Dashboard is disabled")
    assert host.ok("microk8s status -a metrics-server") == "enabled"
    host.ok("microk8s kubectl delete pod kubernetes-dashboard-stays --wait=false")
    assert host.ok("microk8s enable dashboard") == "Addon dashboard is already enabled."
    assert host("microk8s kubectl get deploy kubernetes-dashboard -n kube-system").returncode == 1


@row(("command", "what marks an add-on"), ("Add-ons", "storage"))
def test_storage(row, host):
    folder = "/var/snap/microk8s/common/default-storage"
    assert host.ok("microk8s enable storage").endswith("Storage will be available soon")
    deployed(host, "deploy/hostpath-provisioner")
    assert host.ok("microk8s status -a storage") == "enabled"
    done = host("microk8s disable storage < /dev/null")
    assert done.returncode == 0 and done.stdout.endswith("Storage removed\n")
    assert host.ok(f"test -d {folder} && echo there") == "there"
    host.until("microk8s status -a storage", "disabled")
    host.ok("microk8s enable storage")
    host.until("microk8s status -a storage", "enabled")
    assert host.ok("microk8s disable storage:destroy-storage").endswith("Storage space reclaimed")
    assert host(f"test -d {folder}").returncode == 1
    host.until("microk8s status -a storage", "disabled")


@row(("Add-ons", "metallb"), ("command", "`enable X:a Y:b`, several"), ("Times", "metallb"))
def test_metallb(row, host):
    args = "cat $(find /var/snap/microk8s/current/args -type f | sort) | sha256sum"
    before = host.ok(args)
    assert code(host("microk8s enable metallb < /dev/null")) == (0, "Enabling MetalLB\n", "")
    done = host("microk8s enable metallb", stdin="\n")
    assert done.returncode == 0 and "You have to input an IP Range value when asked" in done.stdout
    assert "(10.1) is not a valid IP Range" in host.ok("microk8s enable metallb:10.1")
    assert host.ok("microk8s enable metallb:10.9.8.7-10.9.8.1,192.0.2.0/30").endswith("MetalLB is enabled")
    config = host("microk8s kubectl get cm config -n metallb-system -o jsonpath='{.data.config}'").stdout
    assert config.endswith("- 10.9.8.7-10.9.8.1\n  - 192.0.2.0/30")
    key = "microk8s kubectl get secret memberlist -n metallb-system -o jsonpath='{.data.secretkey}'"
    assert host.ok(f"{key} | base64 -d | base64 -d | wc -c") == "128"
    deployed(host, "deploy/controller", "metallb-system")
    assert host.ok(args) == before
    said = host.ok("microk8s enable metallb:10.1 dns:/etc/resolv.conf")
    assert "MetalLB already enabled." in said and "DNS is enabled" in said
    assert host.ok("microk8s disable metallb").endswith("MetalLB is terminating")
    left = host.ok("microk8s kubectl get clusterrole,clusterrolebinding,psp -o name 2> /dev/null").splitlines()
    kinds = ["clusterrole", "clusterrolebinding"]
    wanted = {f"{k}.rbac.authorization.k8s.io/metallb-system:{n}" for k in kinds for n in ("controller", "speaker")}
    assert wanted | {f"podsecuritypolicy.policy/{name}" for name in ("controller", "speaker")} <= set(left)


@row(("Add-ons", "registry"))
def test_registry(row, host):
    for bad, text in (
        ("size=5Gi", "The size of the registry should be higher or equal to 20Gi and match the regex"),
        ("disk=30Gi", 'The only authorized argument is "size"'),
    ):
        done = host(f"microk8s enable registry:{bad}")
        assert done.returncode == 0 and text in done.stdout and "The registry is enabled" not in done.stdout
    said = host.ok("microk8s enable registry:size=21Gi")
    assert said.index("Storage will be available soon") < said.index("The registry is enabled")
    assert said.endswith("The size of the persistent volume is 21Gi")
    assert 'host: "localhost:32000"' in host.ok("microk8s kubectl get cm local-registry-hosting -n kube-public -o yaml")
    said = host.ok("microk8s disable registry")
    assert "The registry is disabled. Use 'microk8s disable storage:destroy-storage'" in said
    assert host("microk8s kubectl get ns container-registry").returncode == 1
    told = get(host, "configmap local-registry-hosting -n kube-public", "{.data}")
    assert "help:" in told and "host:" not in told


def on_lo(host):
    return host.ok("ip -o -4 addr show dev lo | grep lo:microk8s || true")


@row(("Add-ons", "host-access"))
def test_host_access(row, host):
    ifconfig = f"{SNAP}/sbin/ifconfig lo:microk8s"
    for address, mask in (("10.0.1.1", "/8"), ("172.16.1.1", "/16"), ("192.0.2.7", "/24")):
        show = "ip -o -4 addr show label lo:microk8s; ip route show table local"
        said = host.ok(f"sudo unshare -n sh -c 'ip link set lo up; {ifconfig} {address} up; {show}'")
        assert f"{address}{mask} scope global lo:microk8s" in said and f"{mask} dev lo" in said
    kept = f"ip addr add 10.0.1.1/32 dev lo label lo:microk8s; {ifconfig} 10.0.1.1 up; ip -o -4 addr show dev lo"
    assert "10.0.1.1/32 scope global lo:microk8s" in host.ok(f"sudo unshare -n sh -c 'ip link set lo up; {kept}'")
    assert "You should use the the 'ip' as key" in host.ok("microk8s enable host-access:port=1")
    assert "Bad IP[1.2.3.256]" in host.ok("microk8s enable host-access:ip=1.2.3.256") and on_lo(host) == ""
    assert host.ok("microk8s enable host-access:ip=192.0.2.7").endswith("Host-access is enabled")
    assert "192.0.2.7/24 scope global lo:microk8s" in on_lo(host)
    assert host.ok(f"stat -c %U {DATA}/var/lock/host-access-enabled") == "ubuntu"
    host.ok(f"sudo {ifconfig} 192.0.2.7 down && sudo systemctl restart snap.microk8s.daemon-proxy")
    host.until("ip -o -4 addr show dev lo", "192.0.2.7/24 scope global lo:microk8s", A_START)
    assert host.ok("microk8s disable host-access").endswith("Host-access is disabled")
    assert on_lo(host) == "" and host(f"test -e {DATA}/var/lock/host-access-enabled").returncode == 1


@row(("Add-ons", "gpu"))
def test_gpu(row, host):
    said = host.ok("microk8s enable gpu").splitlines()
    assert said[-2:] == [
        "Aborting: NVIDIA kernel module not loaded.",
        "Please ensure you have CUDA capable hardware and the NVIDIA drivers installed.",
    ]
    assert host(f"test -e {DATA}/var/lock/gpu").returncode == 1


@row(("Istio", "a fetch that was cut off"))
def test_a_fetch_of_istio_that_was_cut_off_is_in_the_way_for_ever(row, host):
    host.ok(f"sudo mkdir -p {DATA}/tmp/istio {DATA}/bin; sudo touch {DATA}/tmp/istio/istio.tar")
    done = host("microk8s enable istio")
    assert done.returncode == 0 and "Istio is starting" not in done.stdout
    assert re.search(r"gzip: .*/tmp/istio/istio.tar already exists;\s+not overwritten", done.stderr)
    assert host(f"ls {DATA}/bin/istioctl").returncode != 0
    host.ok(f"sudo rm -r {DATA}/tmp/istio; sudo touch {DATA}/bin/istioctl")
    for _ in range(2):
        done = host("microk8s enable istio")
        assert done.returncode == 0 and "Fetching" not in done.stdout and "Istio is starting" not in done.stdout
        assert re.search(r'the path "/\S+/actions/istio/crd\*yaml" does not exist', done.stderr)
    host.ok(f"sudo rm {DATA}/bin/istioctl")


@long
@row(("Add-ons", "istio"), ("command", "istio's mark"), ("Istio", "mounts without which a pod does not start"))
def test_istio(row, host):
    said = host.ok("microk8s enable istio", timeout=300)
    assert "Fetching istioctl version v1.5.1." in said and "--allow-privileged=true\nIstio is starting\n" in said
    host.ok(f"ls {DATA}/bin/istioctl {DATA}/actions/istio/crd-mixer.yaml {DATA}/actions/istio/istio-demo.yaml")
    host.ok("ls ~/snap/microk8s/common/istio.lock")
    host.ok("microk8s kubectl wait --for=condition=available deploy --all -n istio-system --timeout=240s", timeout=300)
    assert host.ok("microk8s status -a istio") == "enabled"
    kind = get(host, "secret istio.istio-galley-service-account -n istio-system", "{.type}")
    assert kind == "istio.io/key-and-cert"
    galley = "validatingwebhookconfiguration istio-galley"
    host.until(f"microk8s kubectl get {galley} -o jsonpath='{{.webhooks[*].failurePolicy}}'", "Fail Fail")


@long
@row(("Istio", "2 Jobs"))
def test_istio_jobs_end(row, host):
    host.ok("microk8s kubectl wait --for=condition=complete job --all -n istio-system --timeout=120s", timeout=150)
    pods = host.ok("microk8s kubectl get pods -n istio-system --no-headers")
    assert len(re.findall(r"post-install-1\.5\.1\S+ +0/1 +Completed", pods)) == 2


@long
@row(
    ("Add-ons", "knative"),
    ("Knative", "SNAP/actions/knative/setup/{serving-crds,eventing-crds}.yaml"),
    ("Knative", "Namespace knative-serving"),
)
def test_knative(row, host):
    said = host.ok("microk8s enable knative", timeout=400)
    assert said.startswith("Enabling Knative\nAddon istio is already enabled.\nWaiting for Istio to be ready\n")
    assert said.endswith("Knative is starting")
    files = host.ok(f"cd {SNAP}/actions/knative; ls *.yaml setup/*.yaml").split()
    assert files == [
        *[f"{name}.yaml" for name in ("channel-broker", "eventing-core", "in-memory-channel", "monitoring-core")],
        *["serving-core.yaml", "setup/eventing-crds.yaml", "setup/serving-crds.yaml"],
    ]
    again = host.ok(f"grep -c 'kind: CustomResourceDefinition' {SNAP}/actions/knative/{{serving,eventing}}-core.yaml")
    assert all(int(line.rpartition(":")[2]) >= 9 for line in again.split())
    labels = json.loads(get(host, "ns knative-serving", "{.metadata.labels}"))
    assert (labels["istio-injection"], labels["serving.knative.dev/release"]) == ("enabled", "v0.13.0")
    assert json.loads(get(host, "ns knative-eventing", "{.metadata.labels}"))[RELEASED] == "v0.13.0"
    assert "serving.knative.dev/release" in get(host, "ns knative-monitoring", "{.metadata.labels}")
    for space in ("knative-serving", "knative-eventing"):
        waits = f"microk8s kubectl wait --for=condition=available deploy --all -n {space} --timeout=240s"
        host.ok(waits, timeout=300)
    containers = get(host, "pod -n knative-serving -l app=controller", "{.items[*].spec.containers[*].name}")
    assert containers.split() == ["controller", "istio-proxy"]


@long
@row(
    ("Knative", "eventing-webhook ends at once without its ConfigMaps"),
    ("Knative", "MutatingWebhookConfigurations"),
    ("Knative", "ClusterRoles and bindings with label eventing.knative.dev/release"),
    ("command", "knative's mark"),
)
def test_eventing_can_never_start_again(row, host):
    """What of it outlives its namespace refuses the ConfigMaps without which its webhook does not start."""
    config = "validatingwebhookconfiguration config.webhook.eventing.knative.dev"
    host.until(f"microk8s kubectl get {config} -o yaml", "configmaps/*")
    host.ok("microk8s kubectl delete ns knative-eventing --timeout=240s")
    done = host(f"microk8s kubectl apply -f {SNAP}/actions/knative/eventing-core.yaml")
    assert done.returncode == 1 and 'failed calling webhook "config.webhook.eventing.knative.dev"' in done.stderr
    host.until(
        "microk8s kubectl logs -n knative-eventing deploy/eventing-webhook --tail=3 || true",
        'configmap "config-br-defaults" not found',
    )
    host.ok("microk8s kubectl delete ns knative-eventing --timeout=240s")
    roles = host.ok(f"microk8s kubectl get clusterrole,clusterrolebinding -l {RELEASED} -o name").splitlines()
    hooks = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
    assert len(roles) == 41 and len(host.ok(f"microk8s kubectl get {hooks} -l {RELEASED} -o name").split()) == 5
    assert host.ok("microk8s status -a knative") == "enabled"


@long
@row(("Istio", "ValidatingWebhookConfiguration istio-galley"))
def test_istio_leaves_what_refuses_it(row, host):
    """disable takes the namespace and istioctl only; while nobody answers, the next enable is refused half way."""
    host.ok("microk8s kubectl delete ns knative-serving --timeout=240s || true", timeout=300)
    said = host.ok("microk8s disable istio", timeout=300)
    assert said.endswith("Istio is terminating") and host(f"test -e {DATA}/bin/istioctl").returncode == 1
    left = host.ok(
        "microk8s kubectl get validatingwebhookconfiguration,mutatingwebhookconfiguration,clusterrole -o name"
    )
    for name in ("istio-galley", "istio-sidecar-injector", "istio-reader", "istio-pilot-istio-system"):
        assert f"/{name}\n" in left + "\n"
    done = host("microk8s enable istio", timeout=300)
    assert done.returncode == 0 and "Istio is starting" not in done.stdout
    assert "Fetching istioctl" in done.stdout and 'failed calling webhook "pilot.validation.istio.io"' in done.stderr
    host.ok("microk8s kubectl delete validatingwebhookconfiguration istio-galley")
    host.ok("microk8s kubectl delete mutatingwebhookconfiguration istio-sidecar-injector")
    host.ok("microk8s disable istio", timeout=300)


@long
@row(("Istio", "one object that is refused"))
def test_one_refused_object_ends_enable_istio(row, host):
    host.ok("microk8s kubectl apply -f -", stdin=microk8s_host.REFUSES_INSTANCES)
    done = host("microk8s enable istio", timeout=300)
    assert done.returncode == 0 and "Istio is starting" not in done.stdout
    assert 'failed calling webhook "refuses.example.com"' in done.stderr
    assert len(host.ok("microk8s kubectl get deploy -n istio-system -o name").split()) == 12
    host.until("microk8s kubectl get pods -n istio-system", "istio-")
    assert host.ok("microk8s enable istio") == "Addon istio is already enabled."
    assert host.ok("microk8s kubectl get instances.config.istio.io -A -o name") == ""
    host.ok("microk8s kubectl delete validatingwebhookconfiguration refuses")
    again = f"microk8s kubectl apply -f {DATA}/actions/istio/istio-demo.yaml > /dev/null"
    host.until(again + " && echo whole", "whole")
    assert len(host.ok("microk8s kubectl get instances.config.istio.io -A -o name").split()) == 11
    host.ok("microk8s kubectl delete validatingwebhookconfiguration istio-galley")
    host.ok("microk8s kubectl delete mutatingwebhookconfiguration istio-sidecar-injector")
    host.ok("microk8s disable istio", timeout=300)


@row(("Add-ons", "`disable` of an add-on whose objects are half gone"))
def test_disable_of_a_half_dns(row, host):
    host.ok("microk8s kubectl delete configmap coredns -n kube-system")
    done = host("microk8s disable dns", timeout=150)
    assert done.returncode == 0 and "Error from server (NotFound)" in done.stderr and "is disabled" not in done.stdout
    assert "--cluster-dns=10.152.183.10" in arguments(host, "kubelet")


@long
@row(("Add-ons", "rbac"))
def test_rbac(row, host):
    assert host.ok("microk8s enable rbac").endswith("Restarted.\nRBAC is enabled")
    assert "--authorization-mode=RBAC,Node" in arguments(host, "kube-apiserver")
    host.until("microk8s status -a rbac", "enabled")
    said = host.ok("microk8s disable rbac", timeout=180)
    assert "Removing default RBAC resources" in said and said.endswith("RBAC is disabled")
    assert "--authorization-mode=AlwaysAllow" in arguments(host, "kube-apiserver")
    defaults = "microk8s kubectl get rolebindings,roles,clusterrolebindings,clusterroles -A -o name "
    assert host.ok(defaults + "-l kubernetes.io/bootstrapping=rbac-defaults 2> /dev/null") == ""
    assert host.ok("microk8s status -a rbac") == "disabled"


# Removal: the last, it ends the node -------------------------------------------------------------------------------


@row(*(("Removal", what) for what in ("containers", "mounts", "rules", "links", "network namespaces", "other files")))
def test_what_snap_remove_leaves(row, host):
    host.ok("microk8s kubectl run lives --image=busybox:1.35.0 -- sleep 86399")
    host.ok("microk8s kubectl wait --for=condition=ready pod/lives --timeout=240s")
    host.ok("microk8s enable host-access:ip=192.0.2.7")
    host.ok("sudo snap remove --purge microk8s")
    assert "sleep 86399" in host.ok("pgrep -ax sleep")
    assert host.ok("grep -c /var/snap/microk8s /proc/self/mountinfo || true") == "0"
    rules = host.ok("sudo iptables-save")
    assert "\n:KUBE-SERVICES " in rules and "generated for MicroK8s pods" not in rules
    assert "lo:microk8s" in host.ok("ip addr show lo") and "veth" in host.ok("ip -o link")
    assert host.ok("ls /run/netns").startswith("cni-")
    host.ok("sudo ls -d /var/lib/cni/results /var/lib/kubelet/device-plugins /var/log/pods/default_lives_*")
