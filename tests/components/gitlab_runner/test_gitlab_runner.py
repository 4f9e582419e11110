"""Chapter 12's steps and proofs against GitLab's stand-in: each holds once applied, and says what is broken."""

from __future__ import annotations

import inspect
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import tomllib

import pytest
from gitlab_server import run_a_job
from serving import free_port, serving

from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab_runner.integration import Integration
from helpers.components.gitlab_runner.layout import CLUSTER_TOKEN, HERE, TOKEN
from helpers.components.gitlab_runner.registration import Registration
from helpers.components.gitlab_runner.variables import why_not_maskable
from helpers.components.kubernetes.image_build import IN_CLUSTER
from helpers.components.kubernetes.probes import ASK_DNS
from helpers.core import notebooks
from helpers.core.errors import OutOfReach, Unmet
from helpers.core.host import Probe
from helpers.core.secrets import Secret
from helpers.core.shell import script
from tests.certificates import self_signed


def applied(action):
    action.apply()
    assert action.probe() is None
    return action


# -- the runner in GitLab ------------------------------------------------------------------------------------


def test_a_runner_is_registered_once_and_taken_away(made):
    action = applied(made.registration.made())
    (record,) = runners(made)
    about = made.git.api().http_get("/runners/{}".format(record["id"]))
    assert (about["tag_list"], about["run_untagged"]) == (["runbook"], True)
    action.undo()
    assert action.absent() is None and runners(made) == []


def runners(made):
    """All that GitLab has, the newest last."""
    found = made.git.api().http_get("/runners/all", per_page=100)
    return sorted(found, key=lambda each: each["id"])


@pytest.fixture
def theirs(made):
    """The number of somebody's runner on a host that is called runbook: its name is a runner's description."""
    ask = (HERE / "registration.rb").read_text()
    token = made.cluster.server.run("rails", "runner", "-", stdin=ask).stdout.strip()
    found = made.git.api().http_post("/runners", post_data={"token": token, "description": "runbook"})["id"]
    yield found
    made.git.api().http_delete(f"/runners/{found}")


def test_a_runner_of_somebodys_that_is_called_like_ours_is_left_alone(made, theirs):
    action = applied(made.registration.made())
    made.git.api().http_put(f"/runners/{theirs}", post_data={"active": False})
    assert action.probe() is None, "it is not ours that is paused"
    action.undo()
    assert action.absent() is None and [each["id"] for each in runners(made)] == [theirs]


def test_a_runner_that_an_older_runbook_made_is_ours_unless_another_is_called_like_it(made, request):
    action = applied(made.registration.made())
    (ours,) = runners(made)
    made.git.api().http_put("/runners/{}".format(ours["id"]), post_data={"description": "runbook", "active": False})
    assert action.probe() == "it is paused"
    theirs = request.getfixturevalue("theirs")
    assert "which of the runners called runbook is ours" in action.probe()
    applied(action)
    assert theirs in (left := [each["id"] for each in runners(made)]) and ours["id"] not in left and len(left) == 2


def test_a_runner_whose_token_was_reset_is_replaced(made):
    action = applied(made.registration.made())
    (old,) = runners(made)
    made.registration._is_known = bool  # as GitLab says of a token that was reset
    assert "GitLab does not know the runner's token" in action.probe()
    action.apply()
    del made.registration._is_known
    (new,) = runners(made)
    assert action.probe() is None and new["id"] != old["id"]


def test_remove_once_more_when_gitlab_is_gone_finds_nothing_of_ours_in_it(made, monkeypatch):
    actions = [applied(part.made()) for part in (made.registration, made.variables, made.project)]
    monkeypatch.setattr(made.git, "local", "http://127.0.0.1:1")
    for action in actions:
        with pytest.raises(Unmet):
            action.absent()
    monkeypatch.setattr(made.cluster.server, "away", True)
    assert [action.absent() for action in actions] == [None, None, None]


def test_the_registration_token_goes_nowhere_and_the_runners_is_masked(made):
    applied(made.registration.made())
    kept = made.cluster.server.run("rails", "runner", "-", stdin=(HERE / "registration.rb").read_text()).stdout.strip()
    assert kept and kept not in str(made.ch.secrets.values()) and made.ch.masker.mask(kept) == "*****"
    mine = made.registration.reveal()
    assert made.ch.masker.mask(mine) == "*****" and TOKEN in made.ch._installed._mine
    assert not [asked for asked, _ in made.cluster.asked if mine in str(asked) or kept in str(asked)]


def test_a_runner_that_was_deleted_in_gitlab_is_told_and_made_anew(made):
    action = applied(made.registration.made())
    old = made.registration.reveal()
    made.registration._take_away()
    assert "GitLab does not know the runner's token" in action.probe()
    applied(action)
    assert made.registration.reveal() != old and len(runners(made)) == 1


def test_a_runner_that_was_paused_or_narrowed_is_told_and_mended(made):
    action = applied(made.registration.made())
    where = "/runners/{}".format(runners(made)[0]["id"])
    for change, why in (({"active": False}, "it is paused"), ({"run_untagged": False}, "it takes other jobs")):
        made.git.api().http_put(where, post_data=change)
        assert why in action.probe()
        applied(action)
    assert len(runners(made)) == 1


def test_from_16_on_an_administrator_makes_the_runner(made):
    def answer(request):
        if request.path.startswith("/api/v4/version"):
            return 200, {"version": "16.4.1"}
        if request.path == "/api/v4/user/runners":
            return 201, {"id": 7, "token": "glrt-0123456789abcdef"}
        return 200, []

    with serving(answer) as web:
        registration = Registration(made.ch, GitLab(made.git.ch, web.url))
        registration._make()
    (asked,) = [a for a in web.asked if a.method == "POST"]
    assert asked.json()["runner_type"] == "instance_type"
    assert registration.reveal() == "glrt-0123456789abcdef"
    assert not [1 for asked, _ in made.cluster.asked if "gitlab-rails" in asked and "registration" in str(_)]
    made.ch.secrets.forget(TOKEN)


def test_the_charts_values_have_no_secret_and_another_token_is_another_pod(made):
    made.ch.secrets.keep(TOKEN, "first-token-of-a-runner")
    first = made.runner.values()
    made.ch.secrets.keep(TOKEN, "second-token-of-a-runner")
    second = made.runner.values()
    assert "token-of-a-runner" not in str(first) and first["podAnnotations"] != second["podAnnotations"]
    assert first["runners"]["namespace"] == "gitlab-jobs" and first["rbac"]["create"]
    granted = {(r, v) for rule in first["rbac"]["rules"] for r in rule["resources"] for v in rule["verbs"]}
    assert ("secrets", "get") not in granted and not [v for _, v in granted if v in ("*", "list")]
    made.ch.secrets.forget(TOKEN)


# -- the variables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, why",
    [
        ({"protected": True}, "CI_REGISTRY_PASSWORD is protected: only protected branches get it"),
        ({"masked": False}, "CI_REGISTRY_PASSWORD is not masked: logs show it"),
        ({"value": "another-value"}, "CI_REGISTRY_PASSWORD has another value"),
        (None, "CI_REGISTRY_PASSWORD is not there"),
    ],
)
def test_a_variable_that_was_changed_or_deleted_is_told_and_mended(made, change, why):
    action, where = applied(made.variables.made()), "/admin/ci/variables/CI_REGISTRY_PASSWORD"
    if change:
        made.git.api().http_put(where, post_data=dict({"value": made.secret}, **change))
    else:
        made.git.api().http_delete(where)
    assert action.probe() == why
    with pytest.raises(Unmet) as e:
        made.prove.variables_are_so()
    assert e.value.entry == "glr-variable" and made.secret not in str(e.value)
    applied(action)


def test_the_password_is_masked_and_what_is_too_short_for_it_is_readable(made):
    action = applied(made.variables.made())
    masked = {key: (v["masked"], v["protected"]) for key, v in made.variables.there().items()}
    assert masked == {
        "CI_REGISTRY": (True, False),
        "CI_REGISTRY_USER": (False, False),
        "CI_REGISTRY_PASSWORD": (True, False),
    }
    action.undo()
    assert action.absent() is None and made.variables.there() == {}


@pytest.mark.parametrize("value, good", [("dckr_pat_0123456", True), ("short", False), ("has!bangs%in", False)])
def test_a_password_that_gitlab_cannot_mask_is_refused_without_showing_it(value, good):
    why = why_not_maskable(Secret("ci-registry", value))
    assert (why is None) is good and value not in (why or "")


def test_what_somebody_has_in_gitlab_is_named_before_anything_is_changed(made):
    made.cluster.said["microk8s kubectl get namespace"] = ""
    made.cluster.said["( ! command -v"] = ""
    made.runner.is_ours = bool
    assert made.ours.why_others() is None
    applied(made.variables.made())
    made.ours._was = None
    assert "CI_REGISTRY" in made.ours.why_others()
    made.ours._was = True
    assert made.ours.why_others() is None, "an install that goes on"


# -- the cluster in GitLab's list ----------------------------------------------------------------------------


def test_gitlab_may_call_the_clusters_api_and_no_more_than_before(made):
    settings = "/application/settings"
    made.git.api().http_put(settings, post_data={"outbound_local_requests_allowlist_raw": "192.168.3.4"})
    action = applied(made.joining.allowed())
    found = made.git.api().http_get(settings)
    assert found["outbound_local_requests_allowlist_raw"].split() == ["192.168.3.4", "10.0.0.5:16443"]
    assert found["allow_local_requests_from_web_hooks_and_services"] is False
    action.undo()
    assert action.absent() is None and made.joining._allowed() == ["192.168.3.4"]
    made.joining._allow([])


def test_a_cluster_is_joined_and_what_differs_is_told(made, authority):
    action = made.joining.joined()
    with pytest.raises(Exception, match="blocked"):
        action.apply()
    applied(made.joining.allowed())
    applied(action)
    made.cluster.account("a-new-token-of-the-account", authority)
    assert action.probe() == "GitLab has another token"
    applied(action)
    where = "/admin/clusters/{}".format(made.joining.record()["id"])
    made.git.api().http_put(where, post_data={"platform_kubernetes_attributes": {"ca_cert": ""}})
    assert action.probe() == "GitLab has another ca_cert"
    applied(action)
    made.git.api().http_put(where, post_data={"enabled": False})
    assert action.probe() == "it is switched off in GitLab"
    action.undo()
    assert action.absent() is None
    made.joining.allowed().undo()


def test_address_certificate_and_token_are_shown_and_the_token_is_not(made):
    rows = dict(made.joining.shown())
    assert rows["API URL"] == "https://10.0.0.5:16443" and rows["CA certificate"].startswith("sha256 ")
    assert rows["token"].startswith("*****") and "account" not in rows["token"]
    assert CLUSTER_TOKEN in made.ch._installed._mine


def test_a_gitlab_without_clusters_and_a_cluster_without_rights_are_told(made):
    rights = "microk8s kubectl auth can-i"
    made.cluster.said[rights] = (1, "no\n", "")
    assert made.joining.why_not_wanted("auto") is None and made.joining.why_not_wanted("no") == "integration is no"
    made.cluster.said[rights] = "yes\n"
    assert "asks for nobody's rights" in made.joining.why_not_wanted("auto")
    assert made.joining.why_not_wanted("yes") is None

    def later(request):
        return (200, {"version": "15.2.0"}) if "version" in request.path else (404, {"message": "404 Not Found"})

    with serving(later) as web:
        joining = Integration(made.ch, GitLab(made.git.ch, web.url), made.kube)
        assert "GitLab 15.2.0 has no clusters by certificate" in joining.why_not_wanted("yes")


@pytest.mark.parametrize("stands, left_out", [(True, None), (False, "GitLab has no cluster of ours")])
def test_remove_takes_the_namespace_of_a_join_that_was_cut_off(made, monkeypatch, stands, left_out):
    """Without a record in GitLab it stood for ever: no remove came to it, and the note kept it."""
    monkeypatch.setattr(made.ch, "mode", "remove")
    monkeypatch.setattr(made.ch.host, "ask", lambda probe: Probe(not stands, "it is there" * stands))
    assert made.joining.record() is None and made.joining.why_not_wanted("auto") == left_out


@pytest.mark.parametrize(
    "said, proof, entry, words",
    [
        ((60, "", "curl: (60) SSL certificate problem"), "is_reached", "glr-ca", "SSL certificate problem"),
        ((28, "", "curl: (28) timed out"), "is_reached", "glr-reach", "timed out"),
        ((6, "", "curl: (6) Could not resolve host: x"), "is_reached", "glr-name", "Could not resolve"),
        ("401\n", "is_reached", "glr-cluster", "does not take the token"),
        ("200\n", "reads_no_others", "glr-rights", "200"),
        ("200\n", "is_reached", None, ""),
        ("403\n", "reads_no_others", None, ""),
    ],
)
def test_what_gitlabs_host_is_answered_by_the_cluster(made, said, proof, entry, words):
    applied(made.joining.allowed())
    applied(made.joining.joined())
    ask = (HERE / "scripts" / "ask_cluster.sh").read_text().split("\n")[2]
    made.cluster.answer_to_curl = said
    original = made.cluster.answer
    made.ch.host.run = _running(made, original, ask, said)
    try:
        getattr(made.joining, proof)()
        assert entry is None
    except Unmet as e:
        assert e.entry == entry and words in e.saw
    sent = [stdin for asked, stdin in made.cluster.asked if ask in asked]
    assert "the-token-of-an-account" in sent[-1] and "BEGIN CERTIFICATE" in sent[-1]
    assert not [asked for asked, _ in made.cluster.asked if "the-token-of-an-account" in asked]
    del made.ch.host.run
    made.joining.allowed().undo()


def _running(made, original, ask, said):
    whole = made.ch.host.run

    def run(text, stdin=None, **how):
        if ask not in text:
            return whole(text, stdin=stdin, **how)
        made.cluster.asked.append((text, stdin))
        code, out, err = (0, said, "") if isinstance(said, str) else said
        return type("Said", (), {"code": code, "out": out, "err": err})

    return run


# -- the runner's pod ----------------------------------------------------------------------------------------


_VERIFYING = "ERROR: Verifying runner... failed  status=couldn't execute POST: "


@pytest.mark.parametrize(
    "said, entry, words",
    [
        ((1, "", "ERROR: Verifying runner... is removed   runner=abc\nFATAL: Failed to verify"), "glr-removed", "know"),
        (_VERIFYING + "dial tcp: lookup git.x: no such host", "glr-name", "no such host"),
        (_VERIFYING + "x509: unknown authority", "glr-ca", "x509"),
        (_VERIFYING + "connection refused", "glr-reach", "refused"),
        ("Runtime platform\nWARNING: Verifying runner... failed  status=502", "glr-offline", "WARNING: Verifying"),
        ((1, "", 'Error from server (NotFound): deployments.apps "x" not found'), "glr-offline", "not found"),
        ("\x1b[0;33mVerifying runner... is alive\x1b[0;m   runner=abc", None, ""),
    ],
)
def test_what_the_runners_pod_says_of_gitlab(made, said, entry, words):
    made.cluster.said["microk8s kubectl exec -n gitlab deploy/"] = said
    try:
        made.prove.is_taken()
        assert entry is None
    except Unmet as e:
        assert e.entry == entry and words in e.saw


def test_a_gitlab_that_the_cluster_does_not_reach_is_told(made, program):
    reaches = (HERE / "scripts" / "pod_reaches.sh").read_text().split("\n")[2]
    assert reaches in script(HERE / "scripts" / "pod_reaches.sh", "http://x", "x", 80, "asks")
    program("microk8s", "printf 127.0.0.1")
    said = _bash("http://git.example", "git.example", 80)
    assert said.returncode == 1 and said.stdout.strip() == "the name server 127.0.0.1 gives no answer"
    said = _bash("http://git.example", "git.example", 80, asks="raise SystemExit(1)")
    assert said.returncode == 1 and said.stdout.startswith(
        "no such host: the name server of the cluster has no address"
    )
    assert _bash("http://127.0.0.1:1", "127.0.0.1", 1).returncode == 1
    with serving(lambda request: (200, "GitLab OK")) as web:
        assert _bash(web.url, "127.0.0.1", web.port).returncode == 0


def _bash(url, name, port, asks=ASK_DNS):
    text = script(HERE / "scripts" / "pod_reaches.sh", url, name, port, asks)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=60)


# -- the proof -----------------------------------------------------------------------------------------------


def log_of(variables, password="[MASKED]", secrets="401", registry="http 200"):
    """What the proof's job prints in a pod, as its runner masks it."""
    lines = ["Running with gitlab-runner 13.12.0", "pod runner-abc-project-2-concurrent-0"]
    shown = {"CI_REGISTRY": "[MASKED]", "CI_REGISTRY_PASSWORD": password}
    for key in ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"):
        value = variables.get(key, "")
        lines.append(f"variable {key} {len(value)} {shown.get(key, value) if value else ''}")
    lines.append(f"registry {registry}")
    return "\n".join([*lines, "token none", f"secrets {secrets}", "\x1b[32;1mJob succeeded\x1b[0;m", ""])


_SLOW = "ERROR: Job failed (system failure): prepare environment: timed out waiting for pod to start. Check https://x"
_PULL = 'ERROR: Job failed (system failure): prepare environment: pulling image "x:1": image pull failed: not found'


@pytest.mark.parametrize(
    "log, state, entry",
    [
        (log_of, "success", None),
        (lambda v: log_of(v, password=v["CI_REGISTRY_PASSWORD"]), "success", "glr-masked"),
        (lambda v: log_of(v, secrets="200"), "success", "glr-rights"),
        (lambda v: log_of(dict(v, CI_REGISTRY_PASSWORD="")), "success", "glr-variable"),
        (lambda v: "nothing of a pod\n", "success", "glr-log"),
        (lambda v: f"WARNING: Failed to pull image\n{_PULL}\n", "failed", "glr-image"),
        (lambda v: f"{_SLOW} for more information\n", "failed", "glr-image"),
        (lambda v: 'ERROR: Job failed (system failure): pods is forbidden: User "x"\n', "failed", "glr-rights"),
        (lambda v: "ERROR: Job failed: command terminated with exit code 1\n", "failed", "glr-job"),
    ],
)
def test_what_the_proofs_job_shows(made, log, state, entry):
    for action in (made.registration.made(), made.variables.made(), made.project.made()):
        applied(action)
    token = made.registration.reveal()
    running = threading.Thread(target=run_a_job, args=(made.git, token, log, state))
    running.start()
    try:
        said = made.prove.job_runs(timeout=30)
        assert entry is None and said.startswith("pod runner-abc")
    except Unmet as e:
        assert e.entry == entry and made.secret not in str(e)
    running.join()


@pytest.mark.parametrize(
    "saw, told",
    [
        ("http 200", "by http, from pod runner-abc-project-2-concurrent-0 in gitlab-jobs: 200"),
        ("https 401", "by https, from pod runner-abc-project-2-concurrent-0 in gitlab-jobs: 401"),
        ("http 404", None),
        ("no answer by https: refused, by http: <urlopen error [Errno 111] Connection refused>", None),
    ],
)
def test_what_the_registry_answered_the_proofs_job(made, saw, told):
    _with_registry(made)
    _run_the_proof(made, lambda v: log_of(v, registry=saw))
    try:
        assert made.prove.registry_answers() == f"GET /v2/ of {IN_CLUSTER} {told}"
    except Unmet as e:
        assert told is None and e.entry == "glr-registry"
        assert e.saw == f"{saw}, from pod runner-abc-project-2-concurrent-0 in gitlab-jobs" and IN_CLUSTER in e.what


def _run_the_proof(made, log):
    for action in (made.registration.made(), made.variables.made(), made.project.made()):
        applied(action)
    running = threading.Thread(target=run_a_job, args=(made.git, made.registration.reveal(), log))
    running.start()
    made.prove.job_runs(timeout=30)
    running.join()


def _with_registry(made, there="service/registry"):
    made.cluster.said["microk8s kubectl get service registry -n container-registry"] = there


def test_a_job_that_asked_no_registry_or_did_not_run_is_no_proof(made):
    _with_registry(made)
    with pytest.raises(Unmet) as e:
        made.prove.registry_answers()
    assert e.value.entry == "glr-job"
    _run_the_proof(made, lambda v: log_of(v).replace("registry http", "nothing of it"))
    with pytest.raises(Unmet, match="registry") as e:
        made.prove.registry_answers()
    assert e.value.entry == "glr-registry" and "no word of it" in e.value.saw


@pytest.mark.parametrize("place, why", [("", "registry is empty"), (IN_CLUSTER, "the add-on registry is not enabled")])
def test_where_there_is_no_registry_it_is_left_out_and_said_why(made, place, why):
    _with_registry(made, there="")
    made.variables.values["CI_REGISTRY"] = place
    with pytest.raises(OutOfReach) as e:
        made.prove.registry_answers()
    assert why in e.value.saw


def registry_of_a_job(place):
    """What the proof's job says of the registry CI_REGISTRY."""
    env = {"CI_REGISTRY": place, "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, HERE / "proof.py"], env=env, capture_output=True, text=True, timeout=60)
    return re.search("^registry (.*)$", done.stdout, re.M).group(1)


@pytest.mark.parametrize("status", [200, 401, 404])
def test_the_proofs_job_asks_the_registry_where_it_runs(status):
    with serving(lambda request: (status if request.path == "/v2/" else 500, "")) as web:
        for place in (f"127.0.0.1:{web.port}", f"127.0.0.1:{web.port}/mine", f"http://127.0.0.1:{web.port}/v1/"):
            assert registry_of_a_job(place) == f"http {status}", "by plain HTTP, as the platform's own"


def test_the_proofs_job_asks_by_https_first(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    asked = []
    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as secured:
        threading.Thread(target=_answer_once, args=(secured, asked), daemon=True).start()
        assert registry_of_a_job(f"127.0.0.1:{secured.getsockname()[1]}") == "https 401"
    assert asked[0].startswith(b"GET /v2/ ")


def _answer_once(secured, asked):
    client = secured.accept()[0]
    with client:
        asked.append(client.recv(65536))
        client.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("place", ["localhost:{}", "", "no such:name"])
def test_an_address_that_is_no_registry_in_the_jobs_pod_is_told(place):
    said = registry_of_a_job(place.format(free_port()))
    assert said.startswith("no answer by https: ") and ", by http: " in said


def test_a_job_that_no_runner_takes_is_told(made):
    for action in (made.registration.made(), made.project.made()):
        applied(action)
    with pytest.raises(Unmet, match="takes the job") as e:
        made.prove.job_runs(taken=2)
    assert e.value.entry == "glr-offline"


def test_a_first_pull_of_a_large_image_may_take_its_time(made):
    """A runner gives a pod three minutes, pulls and all, unless it is told otherwise."""
    (runner,) = tomllib.loads(made.runner.values()["runners"]["config"])["runners"]
    given = runner["kubernetes"]["poll_timeout"]
    assert given == 600 and inspect.signature(made.prove.job_runs).parameters["timeout"].default > given


def test_the_proof_project_is_mended_and_taken_away(made):
    action = applied(made.project.made())
    project = made.project.found()
    project.files.delete("proof.py", branch="master", commit_message="by hand")
    assert action.probe() == "root/runbook-runner has no proof.py"
    applied(action)
    action.undo()
    assert action.absent() is None


def test_a_token_that_was_revoked_and_a_gitlab_that_is_down_are_told(made):
    made.prove.token_is_good()
    made.git.keep_token("0123456789abcdef0123")
    with pytest.raises(Unmet, match="our token is taken") as e:
        made.prove.token_is_good()
    assert e.value.entry == "glr-token" and "401" in e.value.saw
    made.git.is_ready()
    made.git.local = "http://127.0.0.1:1"
    with pytest.raises(Unmet) as e:
        made.prove.token_is_good()
    assert e.value.entry == "gl-down"
    assert "it cannot be told: no answer" in made.joining.why_not_wanted("auto")
    with pytest.raises(Unmet, match="GitLab on local .* is ready") as e:
        made.git.is_ready()
    assert "--target gitlab=local --only gitlab" in e.value.saw


def test_the_registry_that_jobs_are_told_is_one_that_a_pod_reaches():
    """localhost:32000 is the node's port: in a job it would be the job's own pod."""
    assert notebooks.find("gitlab_runner").check({})["registry"] == IN_CLUSTER
