"""The double of gitlab-runner against tests/recordings/gitlab-runner-13.12.md, row by row: read, not recorded.

Its image's program runs as it is; Kubernetes and GitLab are answered by the test, and a job's commands are processes.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import tomllib
import zipfile
import zlib

import pytest
from image_files import unpacked
from job_pods import GitLab, JobPods

from helpers.sandbox import processes
from tests.certificates import self_signed
from tests.facts import Facts
from tests.serving import Server, serving, until

FACTS = Facts("gitlab-runner-13.12.md")
row = FACTS.row
MORE = "Check https://docs.gitlab.com/runner/shells/index.html#shell-profile-loading for more information"
HOME = "/home/gitlab-runner/.gitlab-runner"
SCRIPT = {"name": "script", "script": ["echo hello"], "timeout": 3600, "when": "on_success", "allow_failure": False}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the image's files are entered as root")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The helper's files: the runner's program is among them, and both images stand on the same."""
    return unpacked("gitlab-runner", "helper", tmp_path_factory.mktemp("image") / "root")[0]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository of one commit with a file: the folder that it lies below, and its commit."""
    top = tmp_path_factory.mktemp("repositories")
    work, bare = top / "work", top / "group/project.git"
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

    def git(*words):
        env = {**os.environ, **who}
        return subprocess.run(["git", *words], check=True, capture_output=True, text=True, env=env).stdout.strip()

    git("init", "-q", "-b", "master", str(work))
    (work / "model.txt").write_text("a model\n")
    git("-C", str(work), "add", "-A")
    git("-C", str(work), "commit", "-qm", "first")
    git("clone", "-q", "--bare", str(work), str(bare))
    return top, git("-C", str(work), "rev-parse", "HEAD")


@pytest.fixture
def project(repository):
    """The commit of a project."""
    return repository[1]


class Runner:
    """The image's program with a configuration of its own, in a pod."""

    def __init__(self, root, folder, api):
        self.root, self.folder, self.api, self.process = root, folder / "home", api, None
        self.folder.mkdir()
        self.log = folder / "runner.log"

    def argv(self, *words):
        service = {self.folder: HOME}
        if self.api:
            service[self.api.account] = "/run/secrets/kubernetes.io/serviceaccount"
        return processes.entered(self.root, ["gitlab-runner", *words], service)

    def env(self, more=()):
        place = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.api.port)}
        return {**processes.MINIMAL, **place, "CONFIG_FILE": f"{HOME}/config.toml", **dict(more)}

    def run(self, *words, **more):
        """(exit code, what was printed, without colours)"""
        env = self.env(more)
        done = subprocess.run(self.argv(*words), env=env, text=True, capture_output=True, timeout=60)
        return done.returncode, plain(done.stdout + done.stderr)

    def write(self, url, **kubernetes):
        """config.toml with one runner; underscored words are keys of [runners.kubernetes] or of [[runners]]."""
        top = {
            key: kubernetes.pop(key) for key in ("output_limit", "limit", "request_concurrency") if key in kubernetes
        }
        concurrent = kubernetes.pop("concurrent", 1)
        keys = {"namespace": "jobs", "image": "an-image:1", "poll_interval": 1, **kubernetes}
        lines = [f"concurrent = {concurrent}", "check_interval = 1", "[[runners]]"]
        lines += ['name = "a runner"', f'url = "{url}"', 'token = "runner-token-of-1"', 'executor = "kubernetes"']
        lines += [f"{key} = {toml(value)}" for key, value in top.items()]
        lines += ["[runners.kubernetes]", *(f"{key} = {toml(value)}" for key, value in keys.items())]
        (self.folder / "config.toml").write_text("\n".join(lines) + "\n")

    def config(self):
        return tomllib.loads((self.folder / "config.toml").read_text())

    def __enter__(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.argv("run"), env=self.env(), stdout=log, stderr=log)
        return self

    def said(self):
        return plain(self.log.read_text())

    def signal(self, what):
        """To the program itself, which is the first in a space of processes."""
        child = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()[0]
        os.kill(int(child), what)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def toml(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text)


@pytest.fixture
def working_on(runner, gitlab, server, project):
    """A job of these lines, done: what was told at its end, and its log."""
    return lambda *lines: result(runner, gitlab, server, job(server, project, *lines))


@pytest.fixture
def gitlab(repository):
    return GitLab(repository[0])


@pytest.fixture
def server(gitlab):
    with serving(gitlab) as web:
        yield web


@pytest.fixture
def api(tmp_path, image):
    (tmp_path / "builds").mkdir()
    with JobPods(tmp_path / "serviceaccount", image, tmp_path / "builds") as pods:
        yield pods
        for process in pods.processes:
            process.kill()
            process.wait()


@pytest.fixture
def runner(image, tmp_path, api):
    return Runner(image, tmp_path, api)


def job(server, sha, *lines, number=7, **more):
    """A job as GitLab hands it out."""
    variables = [
        {"key": "CI_JOB_TOKEN", "value": "job-token", "public": False, "masked": True},
        {"key": "CI_REGISTRY_PASSWORD", "value": "a-secret-of-mine", "public": False, "masked": True},
        {"key": "CI_PROJECT_PATH", "value": "group/project", "public": True, "masked": False},
        {"key": "GREETING", "value": "for $CI_PROJECT_PATH", "public": True, "masked": False},
    ]
    repository = server.url.replace("//", "//gitlab-ci-token:job-token@") + "/group/project.git"
    specs = [f"+{sha}:refs/pipelines/3", "+refs/heads/master:refs/remotes/origin/master"]
    git = {"repo_url": repository, "ref": "master", "sha": sha, "before_sha": "0" * 40, "ref_type": "branch"}
    return {
        "id": number,
        "token": "job-token",
        "allow_git_fetch": True,
        "job_info": {"name": "test", "stage": "test", "project_id": 5, "project_name": "project"},
        "git_info": {**git, "refspecs": specs, "depth": 50},
        "runner_info": {"timeout": 3600, "runner_session_url": None},
        "variables": variables + more.pop("variables", []),
        "steps": [{**SCRIPT, "script": list(lines)}, *more.pop("after", [])],
        "image": None,
        "services": [],
        "artifacts": None,
        "cache": [],
        "credentials": [],
        "dependencies": [],
        "features": {"trace_sections": True, "failure_reasons": ["script_failure"]},
        **more,
    }


@contextlib.contextmanager
def working(runner, gitlab, server, *jobs, **config):
    """The runner, which takes these jobs."""
    gitlab.jobs += jobs
    runner.write(server.url, **config)
    with runner:
        yield runner


def ended(runner, gitlab, timeout=120):
    """What the runner told of a job's end."""
    return until("the job to end", lambda: gitlab.ended and gitlab.ended[0], lambda: died(runner), timeout)


def died(runner):
    return runner.said() if runner.process.poll() is not None else None


def result(runner, gitlab, server, *jobs, **config):
    """(what was told at the end, the log)"""
    with working(runner, gitlab, server, *jobs, **config):
        said = ended(runner, gitlab)
        until("the runner to say so", lambda: "Job succeeded  " in runner.said() or "Job failed" in runner.said())
    return said, gitlab.trace.decode()


# --- registration -----------------------------------------------------------------------------------------------------

REGISTER = ("register", "--non-interactive", "--executor", "kubernetes", "--name", "a runner")


@row("register, all well", "info at registration", "config.toml is written", "register, no tags")
def test_a_registration_token_makes_a_runner(runner, server, gitlab):
    code, said = runner.run(*REGISTER, "--url", server.url + "/", REGISTRATION_TOKEN="the-registration-token")
    assert code == 0 and re.search(r"Registering runner\.\.\. succeeded +runner=the-regi\n", said)
    assert said.splitlines()[-1].startswith("Runner registered successfully.")
    told = server.asked[0].json()
    features = told["info"].pop("features")
    assert [name for name, on in features.items() if on] == [
        "cancelable",
        "trace_checksum",
        "trace_reset",
        "trace_size",
    ]
    assert len(features) == 22
    about = {"name": "gitlab-runner", "version": "13.12.0", "revision": "7a6612da", "platform": "linux"}
    assert told == {
        "token": "the-registration-token",
        "description": "a runner",
        "tag_list": "",
        "run_untagged": True,
        "locked": True,
        "active": True,
        "info": {**about, "architecture": "amd64"},
    }
    written = runner.folder / "config.toml"
    assert written.stat().st_mode & 0o777 == 0o600
    (made,) = runner.config()["runners"]
    assert (made["token"], made["url"], made["executor"]) == ("runner-token-of-1", server.url + "/", "kubernetes")


@row("register, tags")
def test_tags_are_one_text_and_untagged_jobs_are_not_wanted(runner, server, gitlab):
    runner.run(*REGISTER, "--url", server.url, "-r", "x", "--tag-list", "gpu, cluster", "--locked=false")
    told = server.asked[0].json()
    assert (told["tag_list"], told["run_untagged"], told["locked"]) == ("gpu,cluster", False, False)


@row("the template")
def test_a_template_fills_only_what_is_empty(runner, server):
    template = '[[runners]]\nlimit = 3\n[runners.kubernetes]\nnamespace = "theirs"\nimage = "an-image:1"\n'
    (runner.folder / "template.toml").write_text(template + "[runners.kubernetes.node_selector]\nzone = 'a'\n")
    words = ("--url", server.url, "-r", "x", "--template-config", HOME + "/template.toml")
    code, said = runner.run(*REGISTER, *words, KUBERNETES_NAMESPACE="ours", KUBERNETES_IMAGE="")
    assert code == 0 and f'Merging configuration from template file "{HOME}/template.toml"' in said
    (made,) = runner.config()["runners"]
    assert made["limit"] == 3
    assert made["kubernetes"] == {"namespace": "ours", "image": "an-image:1", "node_selector": {"zone": "a"}}


@row("the template has two")
def test_a_template_of_two_runners_is_refused_and_the_runner_given_back(runner, server):
    (runner.folder / "template.toml").write_text("[[runners]]\n[[runners]]\n")
    words = ("--url", server.url, "-r", "x", "--template-config", HOME + "/template.toml")
    code, said = runner.run(*REGISTER, *words)
    assert code == 1 and "FATAL: " in said
    assert not (runner.folder / "config.toml").exists()


@pytest.mark.parametrize(
    "status, words",
    [
        (403, "ERROR: Registering runner... forbidden (check registration token)"),
        (500, "ERROR: Registering runner... failed"),
    ],
)
@row("register refused")
def test_a_refused_registration_writes_nothing(runner, server, gitlab, status, words):
    gitlab.says["register"] = [(status, {"message": "403 Forbidden"})]
    code, said = runner.run(*REGISTER, "--url", server.url, "-r", "wrong-token")
    assert code == 1 and words in said
    assert said.splitlines()[-1].startswith("PANIC: Failed to register the runner. You may be having network problems.")
    assert not (runner.folder / "config.toml").exists()


@pytest.mark.parametrize(
    "words, missing",
    [
        (("--url", "http://127.0.0.1:1"), "The registration-token needs to be entered"),
        (("-r", "x"), "The url needs to be entered"),
        (("--url", "ftp://127.0.0.1", "-r", "x"), "only http or https scheme supported"),
    ],
)
@row("a value is missing")
def test_what_is_missing_is_said(runner, words, missing):
    code, said = runner.run(*REGISTER, *words)
    assert code == 1 and "PANIC: " + missing in said


@row("executor unknown")
def test_an_unknown_executor_gives_the_runner_back(runner, server):
    code, said = runner.run("register", "-n", "--executor", "kubernets", "--url", server.url, "-r", "x")
    assert code == 1 and "PANIC: Invalid executor specified" in said
    assert [(a.method, a.json()) for a in server.asked[1:]] == [("DELETE", {"token": "runner-token-of-1"})]
    assert not (runner.folder / "config.toml").exists()


@pytest.mark.parametrize("status, code", [(200, 0), (403, 1)])
@row("register with a token")
def test_a_runners_own_token_is_verified_not_registered(runner, server, gitlab, status, code):
    gitlab.says["verify"] = [(status, {})]
    got, said = runner.run(*REGISTER, "--url", server.url, "--token", "a-token-of-its-own")
    assert got == code and "Token specified trying to verify runner..." in said
    assert [(a.path, a.json()) for a in server.asked] == [("/api/v4/runners/verify", {"token": "a-token-of-its-own"})]
    assert ("PANIC: Failed to verify the runner." in said) == bool(code)


@row("verify", "unregister", "unregister --all-runners")
def test_runners_are_verified_and_removed(runner, server, gitlab):
    runner.write(server.url)
    assert "Verifying runner... is alive" in runner.run("verify")[1]
    gitlab.says["verify"] = [(500, {})]
    code, said = runner.run("verify")
    assert code == 0 and "Verifying runner... failed" in said
    gitlab.says["verify"] = [(403, {})]
    code, said = runner.run("verify")
    assert code == 1 and "ERROR: Verifying runner... is removed" in said and "FATAL: Failed to verify runners" in said
    gitlab.says["register"] = [(403, {})]
    code, said = runner.run("unregister", "--all-runners")
    assert code == 0 and "WARNING: Unregistering all runners" in said
    assert "Unregistering runner from GitLab forbidden" in said and len(runner.config()["runners"]) == 1
    code, said = runner.run("unregister", "--name", "a runner")
    assert code == 0 and "Unregistering runner from GitLab succeeded" in said
    assert runner.config()["runners"] == []
    assert runner.run("verify")[0] == 1


@row("--version", "unknown command")
def test_the_program_says_what_it_is(runner):
    code, said = runner.run("--version")
    assert code == 0 and [line.split(":")[0] for line in said.splitlines()] == [
        "Version",
        "Git revision",
        "Git branch",
        "GO version",
        "Built",
        "OS/Arch",
    ]
    assert "13.12.0" in said and "7a6612da" in said
    code, said = runner.run("wizard")
    assert code == 1 and "FATAL: Command wizard not found." in said


# --- asking -----------------------------------------------------------------------------------------------------------


@row("jobs/request", "204", "info", "start, lines")
def test_it_asks_for_jobs_and_gives_the_cursor_back(runner, gitlab, server):
    with working(runner, gitlab, server):
        until("two requests", lambda: len(gitlab.requests) > 1)
        said = runner.said()
    first, second = gitlab.requests[:2]
    assert first["token"] == "runner-token-of-1" and "last_update" not in first
    assert second["last_update"] == "cursor-1"
    info = first["info"]
    assert (info["executor"], info["shell"]) == ("kubernetes", "bash")
    assert [name for name, on in info["features"].items() if not on] == ["shared"] and len(info["features"]) == 22
    (agent,) = gitlab.agents
    assert re.fullmatch(r"gitlab-runner 13\.12\.0 \(13-12-stable; go[\d.]+; linux/amd64\)", agent)
    for text in (
        f"Starting multi-runner from {HOME}/config.toml...",
        "Running in system-mode.",
        "Configuration loaded",
    ):
        assert text in said
    assert "listen_address not defined, metrics & debug endpoints disabled" in said


@row("403", "3 unhealthy in a row")
def test_a_runner_that_gitlab_does_not_know_is_left_alone_after_three_refusals(runner, gitlab, server):
    gitlab.says["request"] = [(403, {})] * 9
    with working(runner, gitlab, server):
        until("the end of it", lambda: "is not healthy and will be disabled!" in runner.said())
        asked = len(server.asked)
        time.sleep(1.5)
        assert len(server.asked) == asked == 3
        assert runner.said().count("ERROR: Checking for jobs... forbidden") == 3


@row("any other status")
def test_a_server_in_trouble_is_asked_on(runner, gitlab, server):
    gitlab.says["request"] = [(500, {}), (502, b""), (409, {}), (201, "no JSON")]
    with working(runner, gitlab, server):
        until("an answer", lambda: gitlab.requests, timeout=40)
        said = runner.said()
    assert said.count("WARNING: Checking for jobs... failed") == 4 and "not healthy" not in said
    assert "server should return application/json. Got: text/plain" in said


# --- a job ------------------------------------------------------------------------------------------------------------


@row(
    "main lines",
    "the clone",
    "sections",
    "job ends",
    "masked",
    "public: false",
    "expansion",
    "clean-up",
    "RBAC",
    "build folder",
)
def test_a_job_runs_in_a_pod_and_its_log_comes_back(runner, gitlab, server, api, project):
    lines = (
        "cat model.txt",
        'echo "$GREETING, $CI_REGISTRY_PASSWORD"',
        "pwd",
        "printf 'a-secret-'; sleep 0.2; echo of-mine",
    )
    said, log = result(runner, gitlab, server, job(server, project, *lines))
    assert (said["state"], said["token"]) == ("success", "job-token")
    assert "exit_code" not in said and "failure_reason" not in said
    checksum = f"crc32:{zlib.crc32(gitlab.trace):08x}"
    assert said["checksum"] == checksum and said["output"] == {"checksum": checksum, "bytesize": len(gitlab.trace)}
    pod = api.pods()[0]["metadata"]["generateName"] + "x0001"
    text = re.sub(r"section_(start|end):\d+:\w+\r", "", plain(log))
    wanted = [
        "Running with gitlab-runner 13.12.0 (7a6612da)",
        "  on a runner runner-t",
        'Preparing the "kubernetes" executor',
        "Using Kubernetes namespace: jobs",
        "Using Kubernetes executor with image an-image:1 ...",
        "Preparing environment",
        "WARNING: Pulling GitLab Runner helper image from Docker Hub.",
        "Running on ",
        "Getting source from Git repository",
        "Fetching changes with git depth set to 50...",
        "Initialized empty Git repository in /builds/runner-t/0/group/project/.git/",
        "Created fresh repository.",
        f"Checking out {project[:8]} as master...",
        "Skipping Git submodules setup",
        'Executing "step_script" stage of the job script',
        "$ cat model.txt",
        "a model",
        "for group/project, [MASKED]",
        "/builds/runner-t/0/group/project",
        "[MASKED]",
        "Job succeeded",
    ]
    at = 0
    for line in wanted:
        at = text.find(line, at)
        assert at >= 0, (line, text)
    assert "a-secret-of-mine" not in log and "job-token" not in log
    assert re.search(r"section_start:\d+:step_script\r\x1b\[0K\x1b\[0K\x1b\[36;1mExecuting", log)
    assert api.deleted == ["/api/v1/namespaces/jobs/pods/" + pod] and api.objects == {}
    assert set(api.asked) == {("POST", "pods"), ("GET", "pods"), ("POST", "pods/exec"), ("DELETE", "pods")}
    assert "git/" in "".join(gitlab.agents) or "gitlab-runner 13.12.0 linux/amd64" in gitlab.agents
    assert "Checking for jobs... received" in runner.said() and "job-token" not in runner.said()


@row("name", "labels", "containers", "volumes", "securityContext", "restartPolicy", "serviceAccountName")
def test_the_pod_is_the_real_ones(runner, gitlab, server, api, project):
    config = {"service_account": "an-account", "cpu_limit": "1", "helper_memory_request": "64Mi"}
    config |= {"pull_policy": "if-not-present", "image_pull_secrets": ["a-secret"]}
    more = {
        "image": {"name": "their-image:$GREETING_TAG"},
        "services": [{"name": "docker.io/a/database:9", "alias": "db"}],
    }
    tag = {"key": "GREETING_TAG", "value": "2", "public": True}
    result(runner, gitlab, server, job(server, project, "true", variables=[tag], **more), **config)
    (pod,) = api.pods()
    about, spec = pod["metadata"], pod["spec"]
    assert about["generateName"] == "runner-runner-t-project-5-concurrent-0" == about["labels"]["pod"]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == (
        "Never",
        "ClusterFirst",
        0,
    )
    assert (spec["serviceAccountName"], spec["imagePullSecrets"]) == ("an-account", [{"name": "a-secret"}])
    build, helper, service = spec["containers"]
    assert [c["name"] for c in spec["containers"]] == ["build", "helper", "svc-0"]
    images = ["their-image:2", "gitlab/gitlab-runner-helper:x86_64-7a6612da", "docker.io/a/database:9"]
    assert [c["image"] for c in spec["containers"]] == images
    assert {c["imagePullPolicy"] for c in spec["containers"]} == {"IfNotPresent"}
    assert build["command"][:2] == ["sh", "-c"] and build["stdin"] and "command" not in service
    assert build["resources"] == {"limits": {"cpu": "1"}, "requests": {}}
    assert helper["resources"] == {"limits": {}, "requests": {"memory": "64Mi"}}
    assert build["securityContext"]["privileged"] is False
    assert build["securityContext"]["capabilities"]["drop"] == ["NET_RAW"]
    environment = {e["name"]: e["value"] for e in build["env"]}
    assert environment["GREETING"] == "for group/project" and environment["CI_RUNNER_VERSION"] == "13.12.0"
    assert "CI_REGISTRY_PASSWORD" not in environment and "CI_JOB_TOKEN" not in environment
    assert spec["volumes"] == [{"name": "repo", "emptyDir": {}}]
    assert {m["mountPath"] for c in spec["containers"] for m in c["volumeMounts"]} == {"/builds"}
    assert spec["hostAliases"] == [{"ip": "127.0.0.1", "hostnames": ["docker.io-a-database", "db"]}]


@row("Secret")
def test_credentials_of_registries_become_a_secret_that_goes_with_the_pod(runner, gitlab, server, api, project):
    given = [{"type": "registry", "url": "registry.example", "username": "u", "password": "p"}]
    result(runner, gitlab, server, job(server, project, "true", credentials=given))
    secret, pod = api.made
    assert secret["type"] == "kubernetes.io/dockercfg" and list(secret["data"]) == [".dockercfg"]
    assert pod["spec"]["imagePullSecrets"] == [{"name": secret["metadata"]["generateName"] + "x0001"}]
    assert [path.split("/")[-2] for path in api.deleted] == ["pods", "secrets"]


@pytest.mark.parametrize(
    "lines, code",
    [(("exit 37",), 37), (("echo before; (exit 37)", "echo never"), 1)],
)
@row("exit N", "a command fails")
def test_a_script_that_fails_tells_its_code(working_on, lines, code):
    said, log = working_on(*lines)
    assert (said["state"], said["failure_reason"], said["exit_code"]) == ("failed", "script_failure", code)
    assert plain(log).rstrip().endswith(f"ERROR: Job failed: command terminated with exit code {code}")
    assert "never\n" not in log.replace("$ echo never", "")


@row("after_script", "artifacts upload", "artifacts by when")
def test_a_failed_job_still_runs_its_after_script_and_leaves_what_it_should(runner, gitlab, server, api, project):
    after = [{**SCRIPT, "name": "after_script", "script": ["echo it $CI_JOB_STATUS"], "when": "always"}]
    kept = {"name": "report", "paths": ["out/", "missing"], "when": "on_failure", "artifact_type": "archive"}
    kept |= {"artifact_format": "zip", "expire_in": "1 day"}
    left = {**kept, "when": "on_success", "name": "other"}
    lines = ("mkdir out; echo 1 > out/a", "exit 3")
    _, log = result(runner, gitlab, server, job(server, project, *lines, after=after, artifacts=[kept, left]))
    assert "it failed\n" in log and "Uploading artifacts for failed job" in log
    assert "out/: found 2 matching files and directories" in log and "WARNING: missing: no matching files" in plain(log)
    assert 'Uploading artifacts as "archive" to coordinator... ok' in log
    ((name, query, packed),) = gitlab.artifacts
    assert name == "report.zip"
    assert query == {"artifact_format": "zip", "artifact_type": "archive", "expire_in": "1 day"}
    assert zipfile.ZipFile(io.BytesIO(packed)).namelist() == ["out/", "out/a"]


@row("artifacts download")
def test_what_a_job_before_left_is_there(runner, gitlab, server, project):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("out/a", "from before")
    gitlab.artifacts.append(("", {}, packed.getvalue()))
    before = [{"id": 6, "name": "make", "token": "their-token", "artifacts_file": {"filename": "a.zip", "size": 1}}]
    said, log = result(runner, gitlab, server, job(server, project, "cat out/a", dependencies=before))
    assert said["state"] == "success" and "Downloading artifacts for make (6)..." in log and "from before" in log
    asked = next(a for a in server.asked if "/artifacts" in a.path)
    assert asked.path == "/api/v4/jobs/6/artifacts?direct_download=true"
    assert asked.headers["JOB-TOKEN"] == "their-token"


@row("file: true")
def test_a_variable_that_is_a_file_is_a_path(runner, gitlab, server, project):
    variable = {"key": "KEY_FILE", "value": "its content", "public": False, "file": True}
    said, log = result(
        runner, gitlab, server, job(server, project, "echo $KEY_FILE; cat $KEY_FILE", variables=[variable])
    )
    assert said["state"] == "success" and "/builds/runner-t/0/group/project.tmp/KEY_FILE\nits content" in log
    assert "Cleaning up file based variables" in log


# --- pods that do not come --------------------------------------------------------------------------------------------


@row("image cannot be pulled")
def test_an_image_that_cannot_be_pulled_fails_the_job_in_the_real_words(runner, gitlab, server, api, project):
    text = 'Back-off pulling image "an-image:1"'
    waiting = {
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": text}},
        "name": "build",
        "image": "an-image:1",
    }
    api.status = {"phase": "Pending", "containerStatuses": [waiting]}
    said, log = result(runner, gitlab, server, job(server, project, "true"))
    assert (said["state"], said["failure_reason"]) == ("failed", "runner_system_failure")
    assert f'WARNING: Failed to pull image with policy "": image pull failed: {text}' in plain(log)
    end = f'prepare environment: pulling image "an-image:1": image pull failed: {text}. {MORE}'
    assert plain(log).rstrip().endswith("ERROR: Job failed (system failure): " + end)
    assert api.objects == {} and len(api.deleted) == 1


@row("a further policy")
def test_each_pull_policy_is_tried_with_a_pod_of_its_own(runner, gitlab, server, api, project):
    waiting = {
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}},
        "name": "build",
        "image": "an-image:1",
    }
    api.status = {"phase": "Pending", "containerStatuses": [waiting]}
    _, log = result(runner, gitlab, server, job(server, project, "true"), pull_policy=["always", "if-not-present"])
    assert 'Attempt #2: Trying "IfNotPresent" pull policy for "an-image:1" image' in plain(log)
    policies = [pod["spec"]["containers"][0]["imagePullPolicy"] for pod in api.pods()]
    assert policies == ["Always", "IfNotPresent"] and len(api.deleted) == 2


@row("pod pending")
def test_a_pod_that_waits_too_long_is_given_up(runner, gitlab, server, api, project):
    unready = {"type": "Ready", "status": "False", "reason": "Unschedulable", "message": "no node"}
    api.status = {"phase": "Pending", "conditions": [unready]}
    said, log = result(runner, gitlab, server, job(server, project, "true"), poll_timeout=1)
    assert said["failure_reason"] == "runner_system_failure"
    assert "prepare environment: timed out waiting for pod to start. " + MORE in plain(log)
    assert re.search(
        r"Waiting for pod jobs/\S+ to be running, status is Pending\n\tUnschedulable: \"no node\"", plain(log)
    )


@row("API refuses")
def test_a_right_that_is_missing_is_told_in_kubernetes_words(runner, gitlab, server, api, project):
    account = "system:serviceaccount:gitlab-runner:default"
    api.refusal = (
        f'pods is forbidden: User "{account}" cannot create resource "pods" in API group "" in the namespace "jobs"'
    )
    said, log = result(runner, gitlab, server, job(server, project, "true"))
    assert said["failure_reason"] == "runner_system_failure"
    assert f"ERROR: Job failed (system failure): prepare environment: {api.refusal}. {MORE}" in plain(log)


@row("Prepare fails")
def test_a_job_without_an_image_is_tried_three_times(runner, gitlab, server, api, project):
    said, log = result(runner, gitlab, server, job(server, project, "true"), image="")
    text = "no image specified and no default set in config"
    assert plain(log).count("ERROR: Preparation failed: " + text) == 2 and api.made == []
    assert f"ERROR: Job failed (system failure): {text}" in plain(log)


# --- the trace, and the end -------------------------------------------------------------------------------------------


@row("chunk", "interval")
def test_the_log_is_sent_while_the_job_runs_at_the_servers_pace(runner, gitlab, server, project):
    pace = {"X-GitLab-Trace-Update-Interval": "1", "Range": "0-0"}
    gitlab.says["trace"] = [(416, b"", pace)]
    with working(runner, gitlab, server, job(server, project, "echo begun; sleep 15; echo done")):
        until("its first words", lambda: b"begun\n" in gitlab.trace, lambda: died(runner))
        assert b"done\n" not in gitlab.trace and not gitlab.ended
        ended(runner, gitlab)
    assert gitlab.ranges[0][0] == 0
    assert all(second[0] == first[1] + 1 for first, second in zip(gitlab.ranges, gitlab.ranges[1:], strict=False))


@row("202", "416")
def test_a_server_that_lost_a_part_is_told_from_there(runner, gitlab, server, project):
    with working(runner, gitlab, server, job(server, project, "echo begun; sleep 12; echo done")):
        until("its first words", lambda: b"begun\n" in gitlab.trace, lambda: died(runner))
        with gitlab.lock:
            whole = gitlab.trace
            gitlab.traces["7"] = whole[:10]
        ended(runner, gitlab)
    assert gitlab.trace.startswith(whole) and gitlab.trace.count(b"begun\n") == whole.count(b"begun\n")


@row("final 412")
def test_a_server_that_lost_all_is_told_all(runner, gitlab, server, project):
    gitlab.says["job"] = [(412, b""), (202, b"")]
    with working(runner, gitlab, server, job(server, project, "echo begun")):
        said = ended(runner, gitlab)
    assert said["state"] == "success" and [first for first, _ in gitlab.ranges].count(0) == 2


@row("Job-Status canceled")
def test_a_cancelled_job_ends_and_its_pod_is_gone(runner, gitlab, server, api, project):
    after = [{**SCRIPT, "name": "after_script", "script": ["echo after"]}]
    with working(
        runner,
        gitlab,
        server,
        job(server, project, "echo begun; for i in $(seq 60); do sleep 1; echo $i; done", after=after),
    ):
        until("it to run", lambda: b"begun\n" in gitlab.trace, lambda: died(runner))
        gitlab.says["trace"] = [(403, {}, {"Job-Status": "canceled"})] * 99
        gitlab.says["job"] = [(403, {}, {"Job-Status": "canceled"})] * 99
        until("the pod to be gone", lambda: api.deleted, lambda: died(runner))
        until("its end", lambda: "Submitting job to coordinator... aborted" in runner.said())
    assert [container for container, _ in api.commands] == ["helper", "helper", "build"] and api.objects == {}


@row("time-out")
def test_a_job_that_takes_too_long_is_ended(runner, gitlab, server, api, project):
    info = {"timeout": 2, "runner_session_url": None}
    said, log = result(runner, gitlab, server, job(server, project, "sleep 60", runner_info=info))
    assert (said["state"], said["failure_reason"]) == ("failed", "job_execution_timeout")
    assert "ERROR: Job failed: execution took longer than 2s seconds" in plain(log) and api.objects == {}


@row("size limit")
def test_a_log_over_the_limit_ends_with_a_word_of_it(runner, gitlab, server, project):
    said, log = result(runner, gitlab, server, job(server, project, "seq 9999; echo last"), output_limit=8)
    assert said["state"] == "success" and "Job's log exceeded limit of 8192 bytes." in log
    assert log.endswith("Job execution will continue but no more output will be collected.\x1b[0;m\n")


@row("encoding")
def test_bytes_that_are_no_text_are_replaced(runner, gitlab, server, project):
    _, log = result(runner, gitlab, server, job(server, project, r"printf 'ä\377ö\n'"))
    assert "\nä\ufffdö\n" in log


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secured(server, tmp_path):
    """GitLab by https, with a certificate of its own: the Server, and the certificate's file."""
    certificate, key = self_signed(tmp_path, "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Relay(socketserver.BaseRequestHandler):
        """What comes in clear of one side goes to the other."""

        def handle(self):
            inside = socket.create_connection(("127.0.0.1", server.port))
            with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as outside, inside:
                self.relay({outside: inside, inside: outside}, outside)

        @staticmethod
        def relay(ends, outside):
            """In one thread: OpenSSL lets nobody read while another one writes."""
            while True:
                ready = [outside] if outside.pending() else select.select(list(ends), [], [])[0]
                for end in ready:
                    piece = end.recv(65536)
                    if not piece:
                        return
                    ends[end].sendall(piece)

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        threading.Thread(target=relay.serve_forever, args=(0.02,), daemon=True).start()
        yield Server(relay.server_address[1], "https"), certificate
        relay.shutdown()


@row("unknown authority")
def test_a_certificate_that_nobody_vouches_for_is_refused(runner, secured):
    code, said = runner.run(*REGISTER, "--url", secured[0].url, "-r", "x")
    assert code == 1 and "x509: certificate signed by unknown authority" in said


@row("the CA beside the configuration", "the CA in the job")
def test_a_ca_beside_the_configuration_is_trusted_by_runner_and_job(runner, gitlab, secured, api, project):
    web, authority = secured
    (runner.folder / "certs").mkdir()
    (runner.folder / "certs/127.0.0.1.crt").write_bytes(authority.read_bytes())
    assert runner.run(*REGISTER, "--url", web.url, "-r", "x")[0] == 0
    (runner.folder / "config.toml").unlink()
    kept = [{"paths": ["model.txt"], "when": "always", "artifact_type": "archive", "artifact_format": "zip"}]
    said, log = result(runner, gitlab, web, job(web, project, "cat $CI_SERVER_TLS_CA_FILE", artifacts=kept))
    assert said["state"] == "success" and "-----BEGIN CERTIFICATE-----" in log and len(gitlab.artifacts) == 1, log


# --- signals ----------------------------------------------------------------------------------------------------------


@row("SIGTERM")
def test_sigterm_ends_the_jobs(runner, gitlab, server, api, project):
    with working(runner, gitlab, server, job(server, project, "echo begun; sleep 60")):
        until("it to run", lambda: b"begun\n" in gitlab.trace, lambda: died(runner))
        runner.signal(signal.SIGTERM)
        assert runner.process.wait(90) == 0
        assert "[runWait] received stop signal" in runner.said()
    (said,) = gitlab.ended
    assert said["failure_reason"] == "runner_system_failure"
    assert "ERROR: Job failed: aborted: terminated" in plain(gitlab.trace.decode()) and api.objects == {}


@row("SIGQUIT", "right after a job")
def test_sigquit_waits_for_the_jobs_and_takes_no_more(runner, gitlab, server, project):
    jobs = [job(server, project, f"echo begun; sleep {n}", number=n) for n in (12, 13)]
    with working(runner, gitlab, server, *jobs, concurrent=2):
        until("both to run", lambda: sum(b"begun\n" in t for t in gitlab.traces.values()) == 2, lambda: died(runner))
        asked = len(gitlab.requests)
        runner.signal(signal.SIGQUIT)
        gitlab.jobs.append(job(server, project, "true", number=5))
        assert runner.process.wait(90) == 0
        assert "All workers stopped. Can exit now" in runner.said()
    assert len(gitlab.ended) == 2 and len(gitlab.requests) == asked


def test_every_row_has_a_test():
    assert FACTS.untested == set()
