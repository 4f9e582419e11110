"""The add-ons' probes and removals in a real bash, on what kubectl answers; no cluster here."""

import contextlib
import json

import httpx
import pytest
import stand_in
import yaml

from helpers.components.addons import addons, istio, knative
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.proofs import Proofs
from helpers.core import notes
from helpers.core.errors import RunbookError, TimedOut, Unmet
from helpers.core.paths import SETUP


def deployments(**changed):
    """What kubectl lists of istio-system: name, generations, wanted, all, of the newest template, ready, why not.

    changed: another text for a name (- as _), None: it is missing.
    """
    said = dict.fromkeys(istio.DEPLOYMENTS, "1|1|1|1|1|1|")
    said.update({name.replace("_", "-"): text for name, text in changed.items()})
    return "".join(f"{name}|{text}\n" for name, text in said.items() if text is not None)


@pytest.mark.parametrize(
    "answer, says",
    [
        (deployments(), ""),
        (deployments(istio_ingressgateway="2|2|0||||"), "istio-system: istio-ingressgateway: 0 of 0 ready"),
        (
            deployments(istio_ingressgateway="1|1|1|1|1||", kiali="1|1|2|2|2|1|"),
            "istio-system: istio-ingressgateway: 0 of 1 ready; istio-system: kiali: 1 of 2 ready",
        ),
        (deployments(istio_pilot=None), "istio-system: istio-pilot is missing"),
        (
            deployments(kiali="2|2|1|2|1|1|"),
            "istio-system: kiali: pods of an older template are still there: 1",
        ),
        (
            deployments(kiali="1|1|1||||exceeded quota: few"),
            "istio-system: kiali: 0 of 1 ready: exceeded quota: few",
        ),
        (deployments(stranger="1|1|1||||"), ""),
    ],
)
def test_istios_probe_names_what_is_not_ready_the_gateway_first(probe, answer, says):
    assert probe(istio.READY, answer) == (not says, says)


def test_a_probe_says_what_kubectl_said_when_it_fails(probe):
    ok, says = probe(istio.READY, "The connection to the server 127.0.0.1:16443 was refused\n", code=1)
    assert not ok and "16443 was refused" in says


@pytest.mark.parametrize(
    "said, says",
    [
        ("b3Vycw==|", ""),
        ('b3Vycw==|{"data":{"passphrase":"YWRtaW4="}}', ""),
        ('b3Vycw==|{"data":{"passphrase":"b3Vycw=="}}', "Kiali's password stands in an annotation, in clear"),
        ("YWRtaW4=|", "Kiali's password is still admin"),
    ],
)
def test_kialis_password_is_neither_the_demos_nor_to_be_read_in_an_annotation(probe, said, says):
    assert probe(istio._NOT_ADMIN, said) == (not says, says)


def names(*more):
    return "".join(name + "\n" for name in (*istio.DEPLOYMENTS, *more))


def holding(deployments="", others="", where="istio-system"):
    """A microk8s with these Deployments in istio-system, and these objects of other kinds in a namespace."""
    return (
        f"case $* in *'get statefulsets,'*' -n {where} '*) printf '%s' '{others}' ;; *'get statefulsets,'*) ;;\n"
        f" *'get namespace '*) [ -z '{deployments}' ] || echo namespace/istio-system ;;\n"
        f" *) printf '%s' '{deployments}' ;; esac"
    )


@pytest.fixture
def snapd(program):
    program("snap", "echo microk8s")


def test_a_thirteenth_deployment_is_somebody_elses(bash, snapd):
    assert bash(istio.NO_STRANGERS, holding(names())) == (0, "")
    said = "istio-system also holds the Deployments: shop cart"
    assert bash(istio.NO_STRANGERS, holding(names("shop", "cart"))) == (1, said)
    assert bash(istio.NO_STRANGERS, holding()) == (0, ""), "there is no such namespace"
    code, said = bash(istio.NO_STRANGERS, AWAY)
    assert code == 1 and "cannot tell what is in the cluster" in said


@pytest.mark.parametrize("space", ["istio-system", "knative-serving", "knative-eventing", "knative-monitoring"])
def test_what_is_no_deployment_is_somebody_elses_too(bash, snapd, space):
    """Somebody's database in istio-system went with the namespace, and nobody asked in Knative's."""
    theirs = "StatefulSet db\nPersistentVolumeClaim data\n"
    said = f"{space} also holds: StatefulSet/db PersistentVolumeClaim/data"
    assert bash(istio.NO_STRANGERS, holding(names(), theirs, space)) == (1, said)


def test_metallb_has_exactly_our_pool(monkeypatch, own_home, bash):
    add = addons.Addons(stand_in.chapter(monkeypatch, "addons", None))
    pool = "10.1.2.3-10.1.2.9,10.1.3.1-10.1.3.1"
    manifest = addons._metallb_config(["10.1.2.3-10.1.2.9", "10.1.3.1-10.1.3.1"])
    pods = "*daemonset*) echo '1|1|1||1|1|';; *) echo '1|1|1|1|1|1|';;"
    microk8s = f"case $* in *configmap*) cat <<'END'\n{manifest['data']['config']}\nEND\n;; {pods} esac"
    assert bash(add.metallb(pool).probe, microk8s) == (0, "")
    code, said = bash(add.metallb("10.1.2.3-10.1.2.9").probe, microk8s)
    assert code and said == "MetalLB's pool is 10.1.2.3-10.1.2.9 10.1.3.1-10.1.3.1 , not 10.1.2.3-10.1.2.9"


def test_a_pool_that_the_host_has_an_address_of_collides(monkeypatch, own_home):
    add = addons.Addons(stand_in.chapter(monkeypatch, "addons", lambda script, stdin: "10.64.0.5 fe80::1 \n"))
    for_pods = "10.0.1.1"
    assert add.why_pool_collides("10.64.1.1-10.64.1.9", for_pods) is None
    assert "the host's own address 10.64.0.5" in add.why_pool_collides("10.64.0.1-10.64.0.9", for_pods)
    assert "the host's own address 10.0.1.1" in add.why_pool_collides("10.0.1.0-10.0.1.9", for_pods)
    assert "the cluster's network 10.1.0.0/16" in add.why_pool_collides("10.1.0.1-10.1.0.9", for_pods)


@pytest.fixture
def kube(monkeypatch, own_home):
    def make(*answers):
        """A Kube whose kubectl answers these, one after the other."""
        left = [json.dumps(answer) for answer in answers]
        return Kube(stand_in.chapter(monkeypatch, "addons", lambda script, stdin: left.pop(0)))

    return make


def test_the_gateways_address_is_the_balancers(kube):
    balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "10.64.140.44"}]}}}
    assert istio.gateway_address(kube(balancer)) == "10.64.140.44"
    with pytest.raises(Unmet) as e:
        istio.gateway_address(kube({"status": {"loadBalancer": {}}}))
    assert "pending" in e.value.saw and e.value.entry == "add-metallb"


@pytest.fixture
def answered(monkeypatch, kube):
    """A Kube whose gateway answers these (status, headers, text), one after the other."""

    def make(*answers):
        left = list(answers)

        def answer(request):
            status, headers, text = left.pop(0)
            return httpx.Response(status, headers=headers, text=text)

        client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://10.0.0.1")
        monkeypatch.setattr(istio, "gateway", lambda kube: contextlib.nullcontext(client))
        return kube()

    return make


def test_an_empty_gateway_answers_404_of_envoy_and_nothing_else_does(answered):
    istio.Istio(answered((404, {"server": "istio-envoy"}, ""))).gateway_answers()
    for other in ((404, {"server": "nginx"}, ""), (200, {"server": "istio-envoy"}, "")):
        with pytest.raises(Unmet):
            istio.Istio(answered(other)).gateway_answers()


CLUSTER = """
shift
echo "$*" >> LOG
case "$*" in
  "get crd -o name") printf 'crd/%s\\n' routes.serving.knative.dev gateways.networking.istio.io other.example ;;
  "get routes.serving.knative.dev -A"*) echo "space thing" ;;
esac
"""


@pytest.fixture
def removed(monkeypatch, own_home, bash, tmp_path):
    """What a removal's script asks of kubectl, a line each."""

    def run(action):
        log = tmp_path / "log"
        log.write_text("")
        code, said = bash(action.undo, CLUSTER.replace("LOG", str(log)))
        assert code == 0, said
        return log.read_text().splitlines()

    return run


def position(lines, text):
    return next(n for n, line in enumerate(lines) if text in line)


def test_knatives_kinds_go_only_when_asked(removed, kube):
    kept, taken = (removed(knative.Knative(Proofs(kube())).enabled(kinds)) for kinds in (False, True))
    assert not [line for line in kept if "crd" in line]
    assert "delete --timeout=300s crd/routes.serving.knative.dev" in taken
    assert not [line for line in taken if "other.example" in line or "istio.io" in line]
    assert position(taken, "webhookconfiguration") < position(taken, "delete routes.serving.knative.dev thing -n space")
    assert position(taken, "patch routes.serving") < position(taken, "delete namespace knative-serving")


def test_istios_kinds_go_only_when_asked(removed, kube):
    kept, taken = (removed(istio.Istio(kube()).enabled(kinds)) for kinds in (False, True))
    assert not [line for line in kept if "crd" in line]
    assert "delete --timeout=300s crd/gateways.networking.istio.io" in taken
    assert position(kept, "webhookconfiguration") < position(kept, "delete namespace istio-system")


HAS_KINDS = 'case "$*" in *"get crd"*) echo crd/x.knative.dev; echo crd/y.istio.io;; esac'


def test_what_is_removed_is_gone_with_its_kinds_when_asked(bash, kube):
    for made in (knative.Knative(Proofs(kube())), istio.Istio(kube())):
        assert bash(made.enabled(False).absent, HAS_KINDS)[0] == 0
        assert bash(made.enabled(True).absent, HAS_KINDS)[0] != 0
        there = bash(made.enabled(False).absent, "echo namespace/there")
        assert there == (1, "still there: namespace/there")


AWAY = "echo The connection to the server was refused >&2; exit 1"


@pytest.fixture
def every(monkeypatch, own_home):
    """The actions of all add-ons that are something in the cluster."""
    add = addons.Addons(stand_in.chapter(monkeypatch, "addons", None))
    made = [add.dns([]), add.storage(), add.dashboard(), add.gpu(), add.metallb("10.9.0.1-10.9.0.9")]
    kinds = [add.knative.enabled(all_kinds) for all_kinds in (False, True)]
    return [*made, add.registry.enabled(), *kinds, add.istio_enabled(False), add.istio_enabled(True)]


def test_a_cluster_that_does_not_answer_has_lost_nothing(every, bash):
    for action in every:
        code, said = bash(action.absent, AWAY)
        assert code and "was refused" in said and "microk8s start" in said, action.shown


def test_remove_stops_in_words_when_the_cluster_does_not_answer(every, bash, tmp_path):
    for action in every:
        code, said = bash(action.undo, f'echo "$*" >> {tmp_path}/asked\n{AWAY}')
        assert code and "cannot tell what is in the cluster" in said, action.shown
    assert set((tmp_path / "asked").read_text().splitlines()) == {"kubectl get namespace default -o name"}


def test_an_add_on_is_gone_when_the_cluster_says_so_and_not_when_its_pods_are_down(every, bash):
    for action in every:
        assert bash(action.absent, "true") == (0, "")
        assert bash(action.absent, "echo deployment.apps/x")[0] != 0, action.shown


@pytest.mark.parametrize(
    "snapd, gone",
    [
        ("echo error: no matching snaps installed >&2; exit 1", True),
        ("echo error: cannot communicate with server >&2; exit 1", False),
        ("echo 'microk8s  v1.20.13  2695  1.20/stable  canonical'", False),
    ],
)
def test_without_microk8s_all_is_gone_and_snapd_must_say_so(every, bash, program, snapd, gone):
    program("snap", snapd)
    for action in every:
        assert (bash(action.absent, AWAY)[0] == 0) == gone, action.shown


def test_what_sends_knatives_requests_through_istio():
    text = (SETUP / "knative-setup/istio.yaml").read_text()
    found = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(text)}
    assert {kind for kind, _ in found} == {"ClusterRole", "Gateway", "ConfigMap", "Deployment"}
    gateway = found["Gateway", "knative-ingress-gateway"]["spec"]
    assert gateway["selector"] == {"istio": "ingressgateway"} and gateway["servers"][0]["port"]["number"] == 80


def test_a_knative_service_ends_six_seconds_after_a_request():
    template = knative._service("x", "image@sha256:1", "sh", "-c", 'echo "a: b"')["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "image@sha256:1" and container["command"] == ["sh", "-c", 'echo "a: b"']
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/window"] == "6s"
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "1"


def test_a_half_istio_is_taken_away_webhooks_first_and_not_by_disable(monkeypatch, own_home):
    """What `microk8s disable istio` leaves refuses the next Istio's rules, and every pod of Knative's namespace."""
    asked = []

    def answer(script, stdin):
        asked.append(script)
        if "get deployments" in script:
            return "istio-galley kiali"
        return (1, "", "the enabling is not asked for here") if "enable istio" in script else ""

    with pytest.raises(RunbookError):
        istio.Istio(Kube(stand_in.chapter(monkeypatch, "addons", answer)))._enable()
    enabling = position(asked, "microk8s enable istio")
    taken = next(script for script in asked[:enabling] if "delete namespace istio-system" in script)
    assert taken.index("istio-sidecar-injector") < taken.index("delete namespace istio-system")
    assert not any("disable istio" in script for script in asked)


#: kubectl as it ends when one of the file's objects is refused, the first time
REFUSES_ONCE = """
echo "$*" >> LOG
case "$*" in *istio-demo.yaml) [ "$(grep -c istio-demo.yaml LOG)" -gt TIMES ] || exit 1 ;; esac
"""


@pytest.fixture
def fetched(tmp_path):
    folder = tmp_path / "istio"
    folder.mkdir()
    for name in ("crd-10.yaml", "crd-mixer.yaml", "istio-demo.yaml"):
        (folder / name).touch()
    return folder


def finished(bash, folder, times):
    """What is applied from the folder of Istio's manifests, when so many first tries are refused; the exit code."""
    log = folder.parent / "log"
    log.touch()
    text = istio.finish("istio_finish.sh", folder).replace("sleep 3", "SECONDS=$((SECONDS + 30))")
    code, _ = bash(text, REFUSES_ONCE.replace("LOG", str(log)).replace("TIMES", str(times)))
    return code, [line.rpartition("/")[2] for line in log.read_text().splitlines()]


def test_what_enable_istio_ended_at_is_applied_again_kinds_first(bash, fetched):
    kinds = ["crd-10.yaml", "crd-mixer.yaml"]
    assert finished(bash, fetched, 1) == (0, [*kinds, *["istio-demo.yaml"] * 2])


def test_what_is_refused_for_ever_is_given_up_and_what_was_not_fetched_is_not_applied(bash, fetched):
    code, applied = finished(bash, fetched, 99)
    assert code == 1 and applied.count("istio-demo.yaml") == 11, "for five minutes"
    (fetched.parent / "log").unlink()
    (fetched / "istio-demo.yaml").unlink()
    assert finished(bash, fetched, 0) == (1, [])


@pytest.mark.parametrize("goes", [True, False])
def test_an_istio_whose_first_try_is_refused_is_finished_and_taken_away_only_when_that_fails(
    monkeypatch, own_home, goes
):
    """Real ones refuse an object now and then; taken away at once, every run is a first try again."""
    asked, refused = [], "Enabling Istio\nerror when creating: unexpected EOF\n"

    def answer(script, stdin):
        asked.append(script)
        if script == "microk8s enable istio":
            return refused
        return "" if goes or "kubectl apply" not in script else (1, "", "refused again")

    made = istio.Istio(Kube(stand_in.chapter(monkeypatch, "addons", answer, "install")))
    with contextlib.nullcontext() if goes else pytest.raises(Unmet, match="add-on istio enabled"):
        made._enable()
    assert goes != any("delete namespace istio-system" in script for script in asked)
    assert goes == (istio.READY in asked)


@pytest.mark.parametrize("applied, taken", [(True, True), (False, True), (False, False)])
def test_an_enable_istio_that_is_not_done_in_its_time_is_finished_or_taken_away(monkeypatch, own_home, applied, taken):
    """All its Deployments may be there by then without the rest: the next run would take it for whole."""
    asked = []

    def answer(script, stdin):
        asked.append(script)
        if script == "microk8s enable istio":
            raise TimeoutError
        good = applied if "kubectl apply" in script else taken or "delete namespace istio-system" not in script
        return "" if good else (1, "", "no answer")

    made = istio.Istio(Kube(stand_in.chapter(monkeypatch, "addons", answer, "install")))
    if applied:
        made._enable()
        assert istio.READY in asked and not any("delete namespace istio-system" in script for script in asked)
        return
    with pytest.raises(TimedOut, match="enable istio") as e:
        made._enable()
    assert e.value.saw.startswith("not finished after 600 s; ended\n")
    assert ("the next run enables it anew" if taken else "what it left is there still") in e.value.saw
    assert any("delete namespace istio-system" in script for script in asked)
    ended = position(asked, "microk8s enable istio") + 1
    assert "tell KILL" in asked[ended], "before anything else what runs there is ended"


def _enabled_with_all_pods(monkeypatch, made_of, name, cut_off, ends=True):
    """What is asked for when `enable` says that it is so already; cut off: an earlier run's note is there."""
    asked = []

    def answer(script, stdin):
        asked.append(script)
        if script == f"microk8s enable {name}":
            return f"Addon {name} is already enabled.\n" if ends else (1, "", "ended by Ctrl-C")
        if "-o jsonpath='{.items[*].metadata.name}'" in script:
            return " ".join(istio.DEPLOYMENTS)
        if "kubectl get deployment" in script and script.endswith("-o name"):
            return "".join(f"deployment.apps/{one}\n" for one in (*istio.DEPLOYMENTS, *knative._DEPLOYMENTS))
        return "cut off\n" if cut_off and f"touch {notes.STATE}/copies/addons/half-{name}" in script else ""

    made = made_of(Kube(stand_in.chapter(monkeypatch, "addons", answer, "install")))
    with contextlib.nullcontext() if ends else pytest.raises(RunbookError):
        made._enable()
    return asked


ADD_ONS = [("istio", istio.Istio), ("knative", lambda kube: knative.Knative(Proofs(kube)))]


@pytest.mark.parametrize("name, made_of", ADD_ONS)
@pytest.mark.parametrize("cut_off", [True, False])
def test_an_enable_that_was_cut_off_is_finished_though_all_its_pods_are_there(
    monkeypatch, own_home, name, made_of, cut_off
):
    """Its Deployments come before the rest: the next run took it for whole."""
    asked = _enabled_with_all_pods(monkeypatch, made_of, name, cut_off)
    assert cut_off == any("kubectl apply" in script for script in asked)
    assert asked[-1] == f"rm {notes.STATE}/copies/addons/half-{name}"


@pytest.mark.parametrize("name, made_of", ADD_ONS)
def test_what_ends_badly_stays_noted_and_is_not_taken_for_whole(  # noqa: PLR0913 - fixtures
    monkeypatch, own_home, bash, tmp_path, name, made_of
):
    monkeypatch.setattr(notes, "STATE", str(tmp_path / "state"))
    asked = _enabled_with_all_pods(monkeypatch, made_of, name, False, ends=False)
    note = next(script for script in asked if f"half-{name}" in script)
    assert not any(script.startswith("rm ") for script in asked)
    action = made_of(Kube(stand_in.chapter(monkeypatch, "addons", lambda script, stdin: ""))).enabled(False)
    pods = "case $* in *istio-system*) printf '%s' '" + deployments() + "' ;; *) echo '1|1|1|1|1|1|' ;; esac"
    assert bash(action.probe, pods)[0] == 0
    assert bash(note, pods) == (0, "") and bash(note, pods) == (0, "cut off")
    half = (1, f"a run was cut off while it changed {name}")
    assert bash(action.probe, pods) == half
    assert bash(action.undo, "true")[0] == 0 and bash(action.probe, pods)[0] == 0
    # A remove that is cut off leaves all its pods, too, and its webhooks not.
    assert bash(action.undo, 'case $* in *"get namespace default"*) echo x ;; *delete*) exit 1 ;; esac')[0] != 0
    assert bash(action.probe, pods) == half


@pytest.mark.parametrize(
    "image, says",
    [
        ("k8s.gcr.io/metrics-server-amd64:v0.3.6", ""),
        ("", ""),
        ("registry.k8s.io/metrics-server/metrics-server:v0.7.2", "its image is registry.k8s.io/"),
        (
            'k8s.gcr.io/metrics-server-amd64:v0.3.6 {} {"chart":"metrics-server-2.11.4","heritage":"Helm"}',
            "it is Helm's",
        ),
        ('k8s.gcr.io/metrics-server-amd64:v0.3.6 {"meta.helm.sh/release-name":"x"} {}', "it is Helm's"),
    ],
)
def test_a_metrics_server_that_is_not_microk8s_is_not_written_over(monkeypatch, own_home, bash, image, says):
    """With adopt, `enable dashboard` applied its manifest to the one that Helm had installed."""
    asked = []

    def answer(script, stdin):
        asked.append(script)
        return (*bash(script, f"echo '{image}'"), "")

    add = addons.Addons(stand_in.chapter(monkeypatch, "addons", answer, "install"))
    monkeypatch.setattr(add.ch.own, "was_before", lambda thing: True)
    assert (add.why_other_metrics_server() or "").startswith(says) and asked
    monkeypatch.setattr(add.ch.own, "was_before", lambda thing: False)
    assert add.why_other_metrics_server() is None
