"""Determined's chart as helm renders it; no cluster here."""

import shutil
import subprocess

import pytest
import yaml

from helpers.core.paths import SETUP, home


@pytest.fixture(scope="module")
def helm():
    """Run the helm that a chapter fetched, or one on PATH."""
    found = sorted(home("bin").glob("helm-*/helm"))
    program = str(found[-1]) if found else shutil.which("helm")
    if not program:
        pytest.skip("no helm on this machine yet: ./runbook up --only determined")
    return lambda *words: subprocess.run([program, *words], capture_output=True, text=True)


STORE = ["--set", "checkpointStorage.endpointUrl=http://10.0.1.1:9000"]


def objects(helm, *more):
    done = helm("template", "determined", str(SETUP / "detai-setup"), "-n", "determined", *STORE, *more)
    assert done.returncode == 0, done.stderr
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.stdout) if d}


def test_lint(helm):
    done = helm("lint", "--strict", str(SETUP / "detai-setup"), *STORE)
    assert done.returncode == 0, done.stdout


def test_names_are_those_of_determineds_own_chart_and_no_key_is_in_it(helm):
    found = objects(helm)
    assert {
        ("Deployment", "determined-master-deployment-determined"),
        ("Service", "determined-master-service-determined"),
        ("ServiceAccount", "determined-master-determined"),
        ("Deployment", "determined-db-deployment-determined"),
        ("Service", "determined-db-service-determined"),
        ("PersistentVolumeClaim", "determined-db-pvc-determined"),
        ("ConfigMap", "determined-master-config-determined"),
    } <= set(found)
    config = yaml.safe_load(found["ConfigMap", "determined-master-config-determined"]["data"]["master.yaml"])
    assert (
        config["checkpoint_storage"]["secret_key"] == "@SECRET_KEY@"
        and config["telemetry"] == {"enabled": False}
        and config["db"]["password"] == "@DB_PASSWORD@"
    )
    assert config["resource_manager"] == {
        "type": "kubernetes",
        "namespace": "determined",
        "max_slots_per_pod": 1,
        "master_service_name": "determined-master-service-determined",
    }
    assert not any(kind == "Secret" for kind, _ in found)
    master = found["Deployment", "determined-master-deployment-determined"]["spec"]["template"]
    assert master["spec"]["containers"][0]["image"] == "determinedai/determined-master:0.15.3"
    assert all("determined" not in (d["metadata"].get("labels") or {}) for d in found.values()), (
        "the master deletes pods and ConfigMaps with that label"
    )
    assert "determined" not in master["metadata"]["labels"]


def test_a_master_that_lost_its_pods_is_started_anew_and_one_that_starts_slowly_is_not(helm):
    """By what answers without a login and without a database, as recorded: /api/v1/master, and /agents, 404 then."""
    found = objects(helm)
    spec = found["Deployment", "determined-master-deployment-determined"]["spec"]["template"]["spec"]
    (master,) = spec["containers"]
    starts, ready, lives = (master[name + "Probe"] for name in ("startup", "readiness", "liveness"))
    assert [p["httpGet"]["path"] for p in (starts, ready, lives)] == ["/api/v1/master", "/agents", "/agents"]
    assert {p["httpGet"]["port"] for p in (starts, ready, lives)} == {master["ports"][0]["name"]}
    assert starts["periodSeconds"] <= 2, "it is not ready before that"
    assert starts["periodSeconds"] * starts["failureThreshold"] >= 1800, "migrations, fifteen tries for its database"
    assert lives["periodSeconds"] * lives["failureThreshold"] == 30, "an install waits that long for a lost one"
    assert lives["timeoutSeconds"] * lives["failureThreshold"] >= 60, "a busy node answers late"
    assert ready["timeoutSeconds"] < 5 and "initialDelaySeconds" not in lives


def test_to_be_asked_whether_it_is_ready_starts_no_process_in_a_container(helm):
    """Every two seconds, for as long as the platform is there."""
    pods = [o["spec"]["template"]["spec"] for (kind, _), o in objects(helm).items() if kind == "Deployment"]
    probes = [c[probe] for pod in pods for c in pod["containers"] for probe in c if probe.endswith("Probe")]
    assert len(probes) == 4 and not any("exec" in probe for probe in probes)


def test_another_database_another_service(helm):
    found = objects(
        helm,
        "--set",
        "db.hostAddress=10.0.1.1,masterService.type=NodePort,masterService.nodePort=30880,imageRegistry=registry.example/det",
    )
    assert not any("-db-" in name for _, name in found)
    assert found["Service", "determined-master-service-determined"]["spec"]["ports"] == [
        {"name": "http", "port": 8080, "targetPort": 8081, "nodePort": 30880}
    ]
    assert (
        yaml.safe_load(found["ConfigMap", "determined-master-config-determined"]["data"]["master.yaml"])["db"]["host"]
        == "10.0.1.1"
    )
    assert found["Deployment", "determined-master-deployment-determined"]["spec"]["template"]["spec"]["containers"][0][
        "image"
    ].startswith("registry.example/det/")


@pytest.mark.parametrize(
    "given, says",
    [
        ("checkpointStorage.endpointUrl=", "endpointUrl is needed"),
        ("checkpointStorage.type=gcs", "this chart knows s3 only"),
        ("maxSlotsPerPod=null", "maxSlotsPerPod is needed"),
    ],
)
def test_what_is_missing_is_said(helm, given, says):
    done = helm("template", "determined", str(SETUP / "detai-setup"), *STORE, "--set", given)
    assert done.returncode and says in done.stderr


def test_the_keys_are_put_in_as_they_are(helm):
    """The init container's awk, with values that mean something to sed, awk and shells."""
    awk = shutil.which("busybox") and ["busybox", "awk"] or ["awk"]
    spec = objects(helm)["Deployment", "determined-master-deployment-determined"]["spec"]["template"]["spec"][
        "initContainers"
    ][0]
    program = (
        spec["command"][1]
        .replace("/template/master.yaml", "/dev/stdin")
        .replace(' > "/etc/determined/master.yaml"', "")
    )
    env = {"PATH": "/usr/bin:/bin", "ACCESS_KEY": "a&b", "SECRET_KEY": "x|/#$(id)`id`", "DB_PASSWORD": "%s{}[]~"}
    said = subprocess.run(
        awk + [program],
        input='a: "@ACCESS_KEY@"\ns: "@SECRET_KEY@"\n  p: "@DB_PASSWORD@"\n',
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert said == 'a: "a&b"\ns: "x|/#$(id)`id`"\n  p: "%s{}[]~"\n'


def test_it_renders_to_the_same_each_time(helm):
    """What a release was made of is compared with what the chart renders to now."""
    assert objects(helm) == objects(helm)
