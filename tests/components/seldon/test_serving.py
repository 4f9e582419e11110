"""The SeldonDeployment: what is written, and what it still lacks."""

import json
import re
from pathlib import Path

import pytest
import yaml

from helpers.components.seldon import serving
from helpers.components.seldon.serving import CRD, MODELS, NAME, difference, why_not_rolled_out
from helpers.core.errors import RunbookError
from helpers.core.waiting import TimedOut, wait

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "wanted, live, words",
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),  # a server's default
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}]}}, None),
        ({"a": 1}, {"a": 2}, "a is 2, not 1"),
        ({"a": {"b": 1}}, {"a": {}}, "a.b is null, not 1"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1, 2], not [1]"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a[0].b is 2, not 1"),
    ],
)
def test_only_what_we_say_is_compared(wanted, live, words):
    assert difference(wanted, live) == words


def test_versions_differ_in_their_weights_alone_and_no_secret_is_in_the_manifest(made):
    one, two = made().manifest(1), made().manifest(2)
    predictor = one["spec"]["predictors"][0]
    named = (one["metadata"]["name"], predictor["name"], "0", predictor["graph"]["name"])
    assert "-".join(named) == serving.DEPLOYMENT, "as the operator names it: recordings/seldon.md"
    assert "very-secret-key" not in json.dumps(one) and one != two
    assert difference(one, two).endswith(
        'value is "s3://models/flowers/2/model.json", not "s3://models/flowers/1/model.json"'
    )
    assert one["metadata"] == {"name": NAME, "namespace": MODELS}
    predictor = one["spec"]["predictors"][0]
    container = predictor["componentSpecs"][0]["spec"]["containers"][0]
    assert container["name"] == predictor["graph"]["name"]
    assert container["image"].startswith("localhost:32000/flowers:")


def test_another_key_in_the_secret_is_another_pod(made):
    """A pod has the key that the Secret had at its start: MinIO's root key, on a host of an older runbook."""
    kubectl = {"get secret minio -n models": 7}

    def env():
        (container,) = made(kubectl).manifest(1)["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
        return container["env"][-1]

    assert env() == {"name": "S3_KEY_REVISION", "value": "7"}
    kubectl["get secret minio -n models"] = 8
    assert env()["value"] == "8"
    kubectl.clear()
    assert env()["value"] == "none", "before the Secret is there, for the webhook's trial"


def test_the_tag_is_the_one_that_hosts_have(made):
    """Flowers.py, requirements-model.txt and build_image.py to the byte. Who changes one on purpose changes this."""
    seldon = made()
    assert seldon.images.name(*seldon.image()) == "localhost:32000/flowers:c64f4e33a020"


def test_every_package_of_the_model_is_pinned(made):
    lines = [line for line in made().image()[2].splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines)
    assert {"seldon-core", "scikit-learn", "minio"} <= {line.split("==")[0] for line in lines}


def test_no_list_of_packages_has_a_seldon_core_that_is_not_open_source():
    """1.17.1 is the last under Apache 2.0: from 1.18.0 use in production is paid, by the Business Source License."""
    lists = [file for file in ROOT.glob("setup/**/*.txt") if "seldon-core==" in file.read_text("utf-8")]
    notebooks = [file for file in ROOT.glob("notebooks/*.ipynb") if "seldon-core==" in file.read_text("utf-8")]
    found = {f.name: re.findall(r"seldon-core==([\d.]+\d)", f.read_text("utf-8")) for f in [*lists, *notebooks]}
    assert len(lists) == 3 and len(notebooks) == 1
    late = {name: v for name, many in found.items() for v in many if tuple(map(int, v.split("."))) >= (1, 18)}
    assert not late


def pods_of(name):
    """A Deployment in the namespace with its one pod, whose image is nowhere."""

    def meta(name, *owner):
        owners = [{"kind": kind, "name": of, "uid": of, "controller": True} for kind, of in owner]
        return {"name": name, "namespace": MODELS, "uid": name, "generation": 1, "ownerReferences": owners}

    status, revision = {"observedGeneration": 1}, {"deployment.kubernetes.io/revision": "1"}
    replicas = dict(meta(name + "-1", ("Deployment", name)), annotations=revision)
    waits = {"reason": "ErrImagePull", "message": "manifest unknown: not found"}
    container = {"name": "c", "image": "x/y:1"}
    said = {"phase": "Pending", "containerStatuses": [{**container, "restartCount": 0, "state": {"waiting": waits}}]}
    about = meta(name + "-1-a", ("ReplicaSet", name + "-1"))
    return [
        {"kind": "Deployment", "metadata": meta(name), "status": status},
        {"kind": "ReplicaSet", "metadata": replicas, "status": status},
        {"kind": "Pod", "metadata": about, "spec": {"containers": [container]}, "status": said},
    ]


def deployment(uri="s3://models/flowers/1/model.json", replicas=1, updated=1, observed=2):
    env = [{"name": "MODEL_URI", "value": uri}]
    return {
        "metadata": {"name": "flowers-default", "generation": 2},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"env": env}, {}]}}},
        "status": {
            "observedGeneration": observed,
            "updatedReplicas": updated,
            "availableReplicas": 1,
            "replicas": replicas,
        },
    }


@pytest.mark.parametrize(
    "live, words",
    [
        (deployment(), None),
        (deployment(uri="s3://models/flowers/2/model.json"), "the operator has not taken up the change"),
        (deployment(observed=1), "the operator has not taken up the change"),
        (deployment(updated=0), "flowers-default: 0 of 1 new pods available"),
        (deployment(replicas=2), "flowers-default: 1 of 1 new pods available"),  # an old pod is there, too
    ],
)
def test_new_pods_alone_count(live, words):
    assert why_not_rolled_out(live, "s3://models/flowers/1/model.json") == words


def test_what_is_not_served_is_told_in_words(made):
    there = {f"get crd {CRD}": {"any": "thing"}}
    manifest = made().manifest(1)
    assert made({f"get crd {CRD}": {}}).why_not_served(1) == "there is no SeldonDeployment models/flowers"
    assert made(dict(there, **{"get seldondeployment": {}})).why_not_served(1).startswith("there is no")
    assert "is another: spec.predictors[0]" in made(dict(there, **{"get seldondeployment": manifest})).why_not_served(2)
    for status, words in (({}, "is new"), ({"state": "Creating", "description": "waits"}, "is Creating waits")):
        live = dict(manifest, status=status)
        assert made(dict(there, **{"get seldondeployment": live})).why_not_served(1) == "models/flowers " + words


def test_an_available_model_that_the_gateway_does_not_reach_is_not_served(made):
    live = dict(made().manifest(1), status={"state": "Available"})
    said = {f"get crd {CRD}": {"any": "thing"}, "get seldondeployment": live, "get deployment": {"items": []}}
    assert made(said, port=1).why_not_served(1) == "no answer through the gateway: ConnectError"


def test_a_roll_out_is_ended_by_its_own_pods_alone(made, monkeypatch):
    """A colleague's model whose image is not there ended it."""

    def rolled_out(owner):
        kubectl = {
            "apply": {},
            f"get crd {CRD}": {"any": "thing"},
            "get seldondeployment": {},
            "get ": {"items": pods_of(owner)},
            "events": {},
        }
        seldon = made(kubectl)
        monkeypatch.setattr(seldon.ch, "wait", lambda *a, **how: wait(*a, **{**how, "timeout": 1}))
        with pytest.raises(RunbookError) as e:
            seldon.roll_out(1)
        return e.value

    assert "manifest unknown" in rolled_out(serving.DEPLOYMENT).saw
    assert isinstance(rolled_out("theirs-default-0-classifier"), TimedOut)


def test_what_is_served_is_told_by_the_place_of_its_weights(made):
    there = {f"get crd {CRD}": {"any": "thing"}, "get seldondeployment": made().manifest(2)}
    assert made(there).served() == [("models/flowers/default", "s3://models/flowers/2/model.json", 1)]
    assert made(dict(there, **{"get seldondeployment": {}})).served() == [("models/flowers", "it is not there", "")]


@pytest.mark.parametrize("manifest", ["seldon-setup", "end-to-end-setup"])
def test_the_gateway_asks_again_for_longer_than_it_hears_late_of_a_pod_that_ended(manifest):
    """recordings/seldon.md: Pilot waits 100 ms and more; tries are 250 ms apart at most, at random."""
    made = yaml.safe_load((ROOT / "setup" / manifest / "seldondeployment.yaml").read_text("utf-8"))
    notes = made["spec"]["annotations"]
    assert int(notes["seldon.io/istio-retries"]) >= 12, "as many are a second on the average"
    assert int(notes["seldon.io/istio-retries-timeout"]) >= 30, "a first answer may take long"


@pytest.mark.parametrize("manifest", ["seldon-setup", "end-to-end-setup"])
def test_a_busy_node_has_a_minute_before_its_model_is_ended_and_answers_late_for_ten_seconds(manifest):
    """Left alone, three answers of more than one second end it: recordings/seldon.md, the Deployment."""
    made = yaml.safe_load((ROOT / "setup" / manifest / "seldondeployment.yaml").read_text("utf-8"))
    (container,) = made["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    alive, ready = container["livenessProbe"], container["readinessProbe"]
    assert alive["timeoutSeconds"] >= 10 <= ready["timeoutSeconds"]
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 60


def test_what_ended_a_model_is_told_with_its_time_and_never_stands_in_the_way(made, program):
    lines = [f"2026-11-30T13:53:0{n} flowers-default-{n}: Container classifier ended" for n in range(6)]
    program("microk8s", "printf '%s\\n' " + " ".join(f"'{line}'" for line in ["1 theirs: ended", *lines]))
    told = made().ended()
    assert told[0].startswith("13:53:02 flowers-default-2: ") and len(told) == 4 and "theirs" not in str(told)
    program("microk8s", "exit 1")
    assert made().ended() == []
