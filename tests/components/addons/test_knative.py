"""Knative in a cluster of this test's own: objects in a file, kubectl's refusals as the real webhooks make them."""

import contextlib
import json

import pytest
import stand_in
import yaml

from helpers.components.addons import istio, knative
from helpers.components.addons.knative import Knative
from helpers.components.kubernetes.kube import Kube, all_of
from helpers.components.kubernetes.proofs import Proofs
from helpers.core.errors import TimedOut, Unmet
from helpers.core.paths import SETUP

#: what Eventing 0.13.0 leaves outside its namespace (facts: Knative 0.13.0), one of each kind
EVENTING = [
    "mutatingwebhookconfiguration/webhook.eventing.knative.dev",
    "validatingwebhookconfiguration/config.webhook.eventing.knative.dev",
    "clusterrole/knative-eventing-controller",
    "clusterrolebinding/eventing-controller",
]
SERVING = ["validatingwebhookconfiguration/config.webhook.serving.knative.dev", "clusterrole/knative-serving-admin"]

#: kubectl on that cluster. delete and get know kinds and the release labels; apply is refused as config.webhook does.
CLUSTER = r"""
import re, sys
words, cluster = sys.argv[2:], {cluster!r}
there = open(cluster).read().split()
kinds = [k for k in words[1].split(",")] if len(words) > 1 else []
label = next((re.sub(r"\.knative.*", "", w) for w in words if w.endswith("knative.dev/release")), "")
mine = [t for t in there if t.split("/")[0] in kinds and (not label or label in t) and not (set("-n") & set(words))]
if words[0] == "delete" and label:
    there = [t for t in there if t not in mine]
if words[0] == "get" and words[-1] == "name":
    print(*mine, sep="\n")
if words[0] == "apply":
    print(*words, file=open(cluster + ".log", "a"))
    if any(t.startswith("validatingwebhook") and "eventing" in t for t in there):
        sys.exit("failed calling webhook config.webhook.eventing.knative.dev: service eventing-webhook not found")
    if not words[-1].endswith(("setup", "crds.yaml")) and words[-1] + " once" not in open(cluster + ".log").read():
        print(words[-1], "once", file=open(cluster + ".log", "a"))
        sys.exit("namespaces knative-eventing not found")
open(cluster, "w").write(" ".join(there))
"""


@pytest.fixture
def cluster(bash, tmp_path):
    """Run a script against a cluster that has these objects: (exit code, what it printed, what is left)."""
    path, kubectl = tmp_path / "cluster", tmp_path / "kubectl.py"
    kubectl.write_text(CLUSTER.replace("{cluster!r}", repr(str(path))))

    def run(script, there):
        path.write_text(" ".join(there))
        (tmp_path / "cluster.log").write_text("")
        code, said = bash(script, f'exec python3 {kubectl} "$@"')
        return code, said, path.read_text().split()

    return run


@pytest.fixture
def made(monkeypatch, own_home):
    """Knative on a host that answers nothing."""
    return Knative(Proofs(Kube(stand_in.chapter(monkeypatch, "addons", None))))


def test_remove_takes_eventings_webhooks_and_roles_too(made, cluster):
    enabled = made.enabled(False)
    code, said, left = cluster(enabled.undo, [*EVENTING, *SERVING, "clusterrole/view"])
    assert code == 0, said
    assert left == ["clusterrole/view"]


@pytest.mark.parametrize("left", [*EVENTING, *SERVING])
def test_it_is_away_when_nothing_of_it_is_left_outside_its_namespaces(made, cluster, left):
    absent = made.enabled(False).absent
    assert cluster(absent, ["clusterrole/view"])[:2] == (0, "")
    code, said, _ = cluster(absent, [left])
    assert code and said == "still there: " + left


@pytest.mark.parametrize("kinds", ["setup", "serving-crds.yaml"])
def test_an_install_that_was_cut_off_is_finished_kinds_first(cluster, tmp_path, kinds):
    """Also where an earlier remove left Eventing's webhooks, which refuse what Eventing needs to start."""
    folder = tmp_path / "knative"
    (folder / kinds).mkdir(parents=True)
    script = istio.finish("knative_finish.sh", folder).replace("sleep 3", "")
    code, said, _ = cluster(script, EVENTING)
    assert code == 0 and said.count("not all of") == 1, said
    applied = [line for line in (tmp_path / "cluster.log").read_text().splitlines() if line.startswith("apply")]
    assert applied == [f"apply -f {folder / kinds}", f"apply -f {folder}", f"apply -f {folder}"]


@pytest.mark.parametrize("goes", [True, False])
def test_an_enable_that_is_not_done_in_its_time_is_finished_or_told(monkeypatch, own_home, goes):
    """All of Serving's Deployments may be there by then without the rest: the next run would take it for whole."""
    asked = []

    def answer(script, stdin):
        asked.append(script)
        if script == "microk8s enable knative":
            raise TimeoutError
        if script.startswith("microk8s kubectl get deployment -n knative-serving"):
            return "".join(f"deployment.apps/{name}\n" for name in knative._DEPLOYMENTS)
        return "" if goes or "kubectl apply" not in script else (1, "", "refused")

    made = Knative(Proofs(Kube(stand_in.chapter(monkeypatch, "addons", answer, "install"))))
    with contextlib.nullcontext() if goes else pytest.raises(TimedOut, match="not finished after 300 s; ended"):
        made._enable()
    assert any("kubectl apply" in script for script in asked)
    assert goes == (all_of(*knative._PODS) in asked)


def deployments(**replicas):
    """What kubectl lists of knative-eventing."""
    known = {"broker_controller": 1, "eventing_webhook": 1, "imc_dispatcher": 1, "sources_controller": 0, **replicas}
    return "".join("{} {}\n".format(name.replace("_", "-"), count) for name, count in known.items())


@pytest.mark.parametrize(
    "wanted, there, says",
    [
        (False, deployments(), "of Eventing, these run: broker-controller imc-dispatcher"),
        (False, deployments(broker_controller=0, imc_dispatcher=0), ""),
        (False, "", ""),
        (True, deployments(), ""),
        (True, deployments(imc_dispatcher=0), "of Eventing, these are scaled down: imc-dispatcher"),
    ],
)
def test_eventing_asks_for_no_cpus_unless_it_is_wanted(made, probe, wanted, there, says):
    assert probe(made.eventing(wanted).probe, there) == (not says, says)


def test_eventing_that_cannot_be_asked_is_not_so(made, probe):
    assert probe(made.eventing(False).probe, "The connection was refused", code=1)[0] is False


@pytest.mark.parametrize("wanted, count", [(False, 0), (True, 1)])
def test_its_webhook_stays_and_sources_controller_never_runs(made, bash, tmp_path, wanted, count):
    log = tmp_path / "log"
    names = "broker-controller eventing-webhook sources-controller"
    assert bash(made.eventing(wanted).apply, f'[ "$2" != get ] || echo {names}; echo "$*" >> {log}')[0] == 0
    said = [line.split()[3:] for line in log.read_text().splitlines() if " scale " in line]
    assert [(words[0], words[-1]) for words in said] == [
        ("broker-controller", f"--replicas={count}"),
        ("eventing-webhook", "--replicas=1"),
    ]


USED = """
brokers=brokers.eventing.knative.dev channels=channels.messaging.knative.dev
case "$*" in
  *"get crd"*) printf 'crd/%s\\n' $brokers routes.serving.knative.dev $channels ;;
  *"get $brokers,$channels -A "*) echo {} ;;
  *) exit 1 ;;
esac
"""


def test_eventing_that_somebody_uses_is_not_scaled_down(bash):
    assert bash(knative.EVENTING_UNUSED, USED.format(""))[0] == 0
    assert bash(knative.EVENTING_UNUSED, USED.format("broker/shop")) == (1, "still there: broker/shop")
    assert bash(knative.EVENTING_UNUSED, "exit 0") == (0, ""), "no kind of it is there"
    assert bash(knative.EVENTING_UNUSED, "exit 1")[0] == 1


def test_the_sidecars_image_is_pulled_before_a_service_is_made(monkeypatch, own_home):
    """Knative takes a pod away that is not ready after 130 s, and its first one had this image to pull as well."""
    phases, asked = ["Pending", "Failed"], []

    def answer(script, stdin):
        asked.append(stdin or script)
        if "get configmap config-deployment" in script:
            return "gcr.io/queue@sha256:1"
        if "get pod sidecar" in script:
            return phases.pop(0)
        return json.dumps({"items": []}) if "-o json" in script else ""

    def stops():
        raise Unmet("no more is asked for here", "")

    made = Knative(Proofs(Kube(stand_in.chapter(monkeypatch, "addons", answer, "install"))))
    monkeypatch.setattr(made.proofs, "hello", lambda: None)
    monkeypatch.setattr(made, "_says_our_word", stops)
    with pytest.raises(Unmet, match="no more is asked for here"):
        made.starts_on_request()
    pod = next(yaml.safe_load(text) for text in asked if "kind: Pod" in text)
    assert pod["spec"]["containers"][0]["image"] == "gcr.io/queue@sha256:1" and phases == []


def in_a_cluster(text):
    """A manifest as an API server has it: defaults added, an apiVersion of its own."""
    items = [each for each in yaml.safe_load_all(text) if each]
    for each in items:
        each["apiVersion"] = "server/v1"
        each["metadata"].update(uid="1", resourceVersion="2")
        each.setdefault("status", {})
    return json.dumps({"kind": "List", "items": items})


@pytest.mark.parametrize(
    "written, stands, says",
    [
        ("", "", None),
        (
            "v0.13.0\n          env",
            "v0.12.0\n          env",
            'containers[0].image is "gcr.io/knative',
        ),
        ("verbs: [get, list, ", "verbs: [get, ", "ClusterRole/knative-serving-istio: rules[0].verbs is "),
        ("name: config-istio\n", "name: config-other\n", "ConfigMap/config-istio: is missing"),
    ],
)
def test_a_manifest_that_was_changed_is_applied(monkeypatch, own_home, written, stands, says):
    text = (SETUP / "knative-setup/istio.yaml").read_text()
    assert written in text

    def answer(script, stdin):
        if " get --ignore-not-found -o json -f -" in script:
            assert stdin == text
            return in_a_cluster(text.replace(written, stands, 1) if written else text)
        return ""  # the Deployment is available

    action = Knative(Proofs(Kube(stand_in.chapter(monkeypatch, "addons", answer)))).through_istio()
    said = action.probe()
    assert said is None if says is None else says in said


def test_a_cluster_that_does_not_answer_is_not_so(monkeypatch, own_home):
    refused = (1, "", "The connection to the server was refused\n")
    ch = stand_in.chapter(monkeypatch, "addons", lambda *_: refused)
    assert Knative(Proofs(Kube(ch))).through_istio().probe() == "The connection to the server was refused"
