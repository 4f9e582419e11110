"""The double of gitlab-runner's chart against tests/recordings/gitlab-runner-chart-0.29.0.md, row by row."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import tomllib

import pytest
import yaml
from image_files import unpacked
from job_pods import GitLab
from test_gitlab_runner_double import plain
from test_seldon_double import helm  # noqa: F401

from helpers.core import catalogue
from helpers.core.paths import SETUP
from helpers.sandbox import builds, processes
from tests.facts import Facts
from tests.serving import serving, until

RECIPE = SETUP / "sandbox/substitutes/gitlab-runner"
FACTS = Facts("gitlab-runner-chart-0.29.0.md")
row = FACTS.row
FULL = "ours-gitlab-runner"
GIVEN = {"gitlabUrl": "http://gitlab.example", "runnerRegistrationToken": "a-token"}


@pytest.fixture(scope="module")
def render(helm):  # noqa: F811
    """{(kind, namespace, name): object} with these values; a name with dots is a key below."""

    def rendered(**values):
        text = helm(
            "template", "ours", RECIPE / "chart", "-n", "space", **{k.replace("__", "."): v for k, v in values.items()}
        )
        made = [one for one in yaml.safe_load_all(text) if one]
        return {(o["kind"], o["metadata"].get("namespace", "-"), o["metadata"]["name"]): o for o in made}

    return rendered


def pod(made):
    return made["Deployment", "space", FULL]["spec"]["template"]


def environment(container):
    return {e["name"]: e["value"] for e in container["env"]}


def files(made):
    return made["ConfigMap", "space", FULL]["data"]


@row("objects", "labels", "annotations of the pod", "the Secret")
def test_the_chart_makes_the_objects_of_the_real_one(render):
    made = render(**GIVEN)
    assert {kind for kind, _, _ in made} == {"Deployment", "ConfigMap", "Secret"}
    labels = {"app": FULL, "chart": "gitlab-runner-0.29.0", "release": "ours", "heritage": "Helm"}
    assert all(one["metadata"]["labels"] == labels for one in made.values())
    deployment = made["Deployment", "space", FULL]["spec"]
    assert deployment["selector"] == {"matchLabels": {"app": FULL}} and deployment["replicas"] == 1
    assert deployment["template"]["metadata"]["labels"] == labels
    notes = deployment["template"]["metadata"]["annotations"]
    assert set(notes) == {"checksum/configmap", "checksum/secrets", "prometheus.io/scrape", "prometheus.io/port"}
    secret = made["Secret", "space", FULL]
    assert secret["type"] == "Opaque"
    told = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert told == {"runner-registration-token": "a-token", "runner-token": ""}


@row("the Secret")
def test_a_secret_of_ones_own_is_used_and_not_made(render):
    made = render(gitlabUrl="x", runners__secret="mine")
    assert "Secret" not in {kind for kind, _, _ in made}
    volume = next(v for v in pod(made)["spec"]["volumes"] if v["name"] == "init-runner-secrets")
    (source,) = volume["projected"]["sources"]
    assert source["secret"]["name"] == "mine"
    assert [i["key"] for i in source["secret"]["items"]] == ["runner-registration-token", "runner-token"]


@row("rbac.create")
def test_rights_are_made_where_the_jobs_run(render):
    made = render(**GIVEN, rbac__create="true", runners__namespace="jobs")
    kinds = {(kind, space) for kind, space, name in made if name == FULL}
    assert kinds >= {("ServiceAccount", "space"), ("Role", "jobs"), ("RoleBinding", "jobs")}
    (subject,) = made["RoleBinding", "jobs", FULL]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": FULL, "namespace": "space"}
    assert pod(made)["spec"]["serviceAccountName"] == FULL
    assert pod(render(**GIVEN, rbac__serviceAccountName="theirs"))["spec"]["serviceAccountName"] == "theirs"
    assert pod(render(**GIVEN))["spec"]["serviceAccountName"] == ""


@row("rbac.clusterWideAccess")
def test_rights_may_be_of_the_whole_cluster(render):
    made = render(**GIVEN, rbac__create="true", rbac__clusterWideAccess="true")
    assert {("ClusterRole", "-", FULL), ("ClusterRoleBinding", "-", FULL)} <= set(made)
    assert "Role" not in {kind for kind, _, _ in made}


@row("rbac.rules")
def test_without_rules_everything_is_allowed_and_with_them_only_what_they_say(render):
    everything = [{"apiGroups": [""], "resources": ["*"], "verbs": ["*"]}]
    assert render(**GIVEN, rbac__create="true")["Role", "space", FULL]["rules"] == everything
    given = {"rbac.rules[0].resources": "{pods}", "rbac.rules[0].verbs": "{create,get}", "rbac.rules[1].verbs": "{get}"}
    assert render(**GIVEN, rbac__create="true", **given)["Role", "space", FULL]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get"]},
        {"apiGroups": [""], "resources": ["*"], "verbs": ["get"]},
    ]


@row("environment", "config.toml", "the template", "runners.*")
def test_values_become_the_configuration(render):
    made = render(**GIVEN)
    (container,) = pod(made)["spec"]["containers"]
    told = environment(container)
    assert (told["CI_SERVER_URL"], told["RUNNER_EXECUTOR"]) == ("http://gitlab.example", "kubernetes")
    assert (told["REGISTER_LOCKED"], told["RUNNER_TAG_LIST"], told["KUBERNETES_NAMESPACE"]) == ("true", "", "space")
    assert told["KUBERNETES_SERVICE_ACCOUNT"] == told["KUBERNETES_HELPER_IMAGE"] == ""
    config = tomllib.loads(files(made)["config.toml"])
    whole = {"concurrent": 10, "check_interval": 30, "log_level": "info", "listen_address": ":9252"}
    assert config == whole
    (template,) = tomllib.loads(files(made)["config.template.toml"])["runners"]
    assert template == {"kubernetes": {"namespace": "space", "image": "ubuntu:16.04"}}
    flags = {"runners__runUntagged": "true", "runners__protected": "true", "runners__name": "theirs"}
    made = render(**GIVEN, concurrent="4", checkInterval="3", runners__tags="a\\,b", runners__locked="false", **flags)
    assert tomllib.loads(files(made)["config.toml"])["concurrent"] == 4
    told = environment(pod(made)["spec"]["containers"][0])
    assert (told["RUNNER_TAG_LIST"], told["REGISTER_LOCKED"]) == ("a,b", "false")
    words = files(made)["register-the-runner"].split()
    assert {"--run-untagged=true", '--access-level="ref_protected"', '--name="theirs"'} <= set(words)


@row("preStop")
def test_a_runner_that_registered_itself_takes_itself_away(render):
    def hook(**values):
        return pod(render(gitlabUrl="x", **values))["spec"]["containers"][0].get("lifecycle")

    away = {"preStop": {"exec": {"command": ["/entrypoint", "unregister", "--all-runners"]}}}
    assert hook(runnerRegistrationToken="a") == away == hook(runners__secret="mine", unregisterRunners="true")
    assert hook(runnerToken="a") is None is hook(runnerRegistrationToken="a", unregisterRunners="false")


@row("the pod", "probes", "certsSecretName")
def test_the_pod_is_the_real_ones(render):
    spec = pod(render(**GIVEN, certsSecretName="authority"))["spec"]
    (first,), (main,) = spec["initContainers"], spec["containers"]
    assert (first["name"], main["name"]) == ("configure", FULL)
    assert {first["image"], main["image"]} == {catalogue.load()["gitlab-runner-image"].entry["image"]}
    assert main["command"] == ["/bin/bash", "/configmaps/entrypoint"]
    assert spec["securityContext"] == {"runAsUser": 100, "fsGroup": 65533}
    assert spec["terminationGracePeriodSeconds"] == 3600
    assert main["ports"] == [{"name": "metrics", "containerPort": 9252}]
    assert main["readinessProbe"]["exec"]["command"] == ["/usr/bin/pgrep", "gitlab.*runner"]
    assert (main["readinessProbe"]["initialDelaySeconds"], main["livenessProbe"]["initialDelaySeconds"]) == (10, 60)
    certificates = "/home/gitlab-runner/.gitlab-runner/certs/"
    assert all(certificates in [m["mountPath"] for m in one["volumeMounts"]] for one in (first, main))
    assert {"name": "custom-certs", "secret": {"secretName": "authority"}} in spec["volumes"]


def kinds(*named):
    """A group's answer to what kinds it has."""
    return {
        "resources": [{"name": kind.lower() + "s", "kind": kind, "namespaced": True, "verbs": []} for kind in named]
    }


APPS = {"groupVersion": "apps/v1", "version": "v1"}
DISCOVERY = {
    "/version": {"major": "1", "minor": "20", "gitVersion": "v1.20.2"},
    "/api": {"versions": ["v1"]},
    "/api/v1": {"groupVersion": "v1", **kinds("ConfigMap", "Secret")},
    "/apis": {"groups": [{"name": "apps", "versions": [APPS], "preferredVersion": APPS}]},
    "/apis/apps/v1": {"groupVersion": "apps/v1", **kinds("Deployment")},
}


@row("no gitlabUrl")
def test_without_an_address_the_notes_warn(helm):  # noqa: F811
    def answer(request):
        path = request.path.partition("?")[0]
        return (200, DISCOVERY[path]) if path in DISCOVERY else (404, {"kind": "Status", "code": 404})

    with serving(answer) as cluster:
        words = ["install", "ours", RECIPE / "chart", "--dry-run", "--disable-openapi-validation"]
        words += ["--kube-apiserver", cluster.url]
        assert "WARNING: You did not specify a gitlabUrl" in helm(*words)
        assert "now stands at ours-gitlab-runner" in helm(*words, **GIVEN)


@row("the repository")
def test_the_chart_lies_where_the_catalogue_and_the_index_say():
    out = builds.build("gitlab-runner", print) / "out"
    known = catalogue.load()["gitlab-runner"]
    (entry,) = yaml.safe_load((out / "charts.gitlab.io/index.yaml").read_text())["entries"]["gitlab-runner"]
    assert entry["urls"] == [known.url] and entry["version"] == known.version
    assert builds.sha256(out / known.path) == entry["digest"]


@row("start")
def test_the_charts_scripts_register_and_run(render, tmp_path):
    """As the pod does it, in the image's files: the server refuses the first time."""
    scripts, secrets = tmp_path / "configmaps", tmp_path / "secrets"
    for folder, content in ((scripts, files(render(**GIVEN))), (secrets, {"runner-registration-token": "a-token"})):
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    gitlab = GitLab(tmp_path)
    gitlab.says["register"] = [(502, b"")]
    root = unpacked("gitlab-runner", "gitlab-runner:", tmp_path / "root")[0]
    with serving(gitlab) as server:
        env = {**processes.MINIMAL, **environment(pod(render(**GIVEN))["spec"]["containers"][0])}
        env |= {
            "CI_SERVER_URL": server.url,
            "HOME": "/home/gitlab-runner",
            "CONFIG_FILE": "/home/gitlab-runner/.gitlab-runner/config.toml",
        }
        argv = processes.entered(
            root, ["/bin/bash", "/configmaps/entrypoint"], {scripts: "/configmaps", secrets: "/secrets"}
        )
        log = tmp_path / "log"
        process = subprocess.Popen(argv, env=env, stdout=log.open("w"), stderr=subprocess.STDOUT)
        until("it to ask for jobs", lambda: gitlab.requests, lambda: log.read_text() if process.poll() else None)
        said = plain(log.read_text())
        assert "Registration attempt 2 of 30" in said and "Registration attempt 3" not in said
        child = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()[0]
        os.kill(int(child), signal.SIGQUIT)
        assert process.wait(20) == 0
    assert gitlab.requests[0]["token"] == "runner-token-of-1"


def test_every_row_has_a_test():
    assert FACTS.untested == set()
