"""Determined's client, steps and proofs against a server that answers as 0.15.3 was recorded; no cluster here."""

import ast
import json
import os
import re
import subprocess
import sys
import time

import determined_recording as recording
import httpx
import pytest

from helpers.components.determined import checkpoint, forms, task, task_pod
from helpers.components.determined.install import KEYS, Install
from helpers.components.determined.master import Determined, _message
from helpers.components.determined.proofs import Proofs
from helpers.core.errors import BadInput, NotYet, RunbookError, Unmet
from helpers.core.paths import REPO
from tests import stand_in
from tests.serving import serving

EMPTY, OURS = "", "our-own-password"


@pytest.fixture
def made(monkeypatch, own_home):
    """made(answer, said) -> a Determined. answer(method, path, body): the master's; said: what the host prints."""
    for user in ("ADMIN", "DETERMINED", "OPERATOR"):
        monkeypatch.setenv("RUNBOOK_SECRET_DETERMINED_" + user, OURS)
    running = []

    def make(answer, said="", **parameters):
        server = serving(lambda request: answer(request.method, request.path, request.json()))
        running.append(server)
        web = server.__enter__()
        ch = stand_in.chapter(
            monkeypatch,
            "determined",
            lambda script, stdin: "127.0.0.1" if "clusterIP" in script else said(script) if callable(said) else said,
            **parameters,
        )
        det = Determined(ch, port=web.port)
        det.asked = web.asked
        return det

    yield make
    for server in running:
        server.__exit__(None, None, None)


def error(status, text, code=13):
    return status, {"error": {"code": code, "reason": "x", "error": text}}


class Master:
    """Users with passwords, as 0.15.3 keeps them: a password that is given at creation is lost."""

    def __init__(self):
        self.users, self.inactive, self.seen = {"admin": EMPTY, "determined": EMPTY}, set(), []

    def __call__(self, method, path, body):
        said = self._say(method, path, body)
        self.seen.append({name for name in self.users if self.users[name] == EMPTY and name not in self.inactive})
        return said

    def _say(self, method, path, body):
        if path == "/api/v1/auth/login":
            return self._login(body["username"], body["password"])
        if path == "/api/v1/auth/logout":
            return 200, {}
        if path == "/api/v1/users":
            self.users[body["user"]["username"]] = EMPTY
            return self._activate(body["user"]["username"], body["user"].get("active"))
        name = path.split("/")[-1 if method in ("GET", "PATCH") else -2]
        if name not in self.users:
            return error(404, "user not found", 5)
        if method == "PATCH":
            return self._activate(name, body["active"])
        if path.endswith("/password"):
            self.users[name] = body
            return 200, {}
        return 200, {"user": {"username": name, "active": name not in self.inactive}}

    def _activate(self, name, active):
        (self.inactive.discard if active else self.inactive.add)(name)
        return 200, {}

    def _login(self, name, password):
        if self.users.get(name) != password:
            return error(401, "invalid credentials", 16)
        if name in self.inactive:
            return error(403, "user does not have permission", 7)
        return 200, {"token": "token-of-" + name, "user": {"username": name}}, {"Set-Cookie": "auth=x; Path=/"}


# -- what others have ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found, says",
    [([], None), ([{"id": 3, "username": "ann", "description": "cats"}], "experiments of others: 3 (ann: cats)")],
)
def test_experiments_of_others_are_named_before_remove(made, found, says):
    master = Master()
    master.users["admin"] = OURS

    def answer(method, path, body):
        return (200, {"experiments": found}) if "/experiments" in path else master(method, path, body)

    det = made(answer, lambda script: (1, "", "") if "not_installed" in script else "service/x", mode="remove")
    assert det.why_others_work() == says


def test_what_is_advised_before_remove_deletes_no_checkpoints():
    """`det experiment delete` deletes them from MinIO as well, as the facts of 0.15.3 say."""
    assert "experiment delete: its checkpoints go." in recording.ON_KUBERNETES.read_text("utf-8")
    cells = json.loads(next((REPO / "notebooks").glob("*_determined.ipynb")).read_text("utf-8"))["cells"]
    cell = next(cell for cell in cells if "det.why_others_work" in "".join(cell["source"]))
    (call,) = [
        node
        for node in ast.walk(ast.parse("".join(cell["source"])))
        if isinstance(node, ast.Call) and "det.why_others_work" in [ast.unparse(word) for word in node.args]
    ]
    (advice,) = [ast.literal_eval(word.value) for word in call.keywords if word.arg == "do"]
    assert "Not det experiment delete: it deletes the checkpoints in MinIO" in advice
    assert advice.count("experiment delete") == 1 and "list-checkpoints" in advice


def test_a_master_without_its_service_has_none_and_one_that_is_silent_may_have_some(made, monkeypatch, own_home):
    def said(service):
        return lambda script: (1, "", "") if "not_installed" in script else service

    assert made(None, said(""), mode="remove").why_others_work() is None
    assert made(None, lambda script: "", mode="remove").why_others_work() is None, "no MicroK8s"
    away = made(lambda *_: error(503, "no"), said("service/x"), mode="remove")
    with pytest.raises(RunbookError):
        away.why_others_work()


# -- users -------------------------------------------------------------------------------------------


def test_empty_passwords_are_found_replaced_and_found_replaced(made):
    master = Master()
    det = made(master)
    for name in ("admin", "determined"):
        action = Install(det).password(name)
        assert action.probe() == name + " gets in with an empty password"
        action.apply()
        assert action.probe() is None and master.users[name] == OURS
    bare = [r.json() for r in det.asked if r.path == "/api/v1/users/admin/password"]
    assert bare == [OURS], "a bare JSON string, as 0.15.3 wants it"


def test_who_is_logged_in_with_our_password_is_not_again_for_each_user(made):
    master = Master()
    det = made(master)
    install = Install(det)
    install.password("admin").apply()
    assert install.password("admin").probe() is None
    install.password("determined").apply()
    install.user("operator").apply()
    tried = [r.json() for r in det.asked if r.path == "/api/v1/auth/login"]
    assert tried.count({"username": "admin", "password": OURS}) == 2, "refused at first, taken once"


def test_remove_forgets_the_passwords_though_it_logs_nobody_in(monkeypatch, own_home):
    ch = stand_in.chapter(monkeypatch, "determined", lambda script, stdin: "", mode="remove")
    ch.secrets.keep("determined-admin", OURS)
    Install(Determined(ch)).password("admin")
    ch.verdict()
    assert ch.secrets.names() == []


def test_a_user_is_made_with_its_password_and_never_gets_in_without(made):
    master = Master()
    install = Install(made(master))
    install.password("admin").apply()
    user, password = install.user("operator"), install.password("operator")
    assert user.probe() == "there is no user operator"
    user.apply()
    assert user.probe() is None and password.probe() is None
    assert not any("operator" in open_ for open_ in master.seen)


def test_a_user_whose_making_was_cut_off_is_finished(made):
    master = Master()
    install = Install(made(master))
    install.password("admin").apply()
    master.users["operator"], master.inactive = EMPTY, {"operator"}
    assert install.user("operator").probe() == "user operator is not active"
    install.user("operator").apply()
    assert install.user("operator").probe() is None and master.users["operator"] == OURS
    assert not any("operator" in open_ for open_ in master.seen)


def test_our_users_are_told_and_whoever_else_may_administer(made):
    people = [("operator", False, True), ("admin", True, True), ("clothes", False, True), ("eve", True, False)]
    users = [dict(zip(("username", "admin", "active"), person, strict=True)) for person in people]
    master = Master()
    master.users["admin"] = OURS

    def answer(method, path, body):
        return (200, {"users": users}) if (method, path) == ("GET", "/api/v1/users") else master(method, path, body)

    assert Install(made(answer)).accounts("admin", "operator") == [
        ("admin", "yes", "yes"),
        ("eve", "yes", "no"),
        ("operator", "no", "yes"),
    ]


def test_the_port_is_opened_when_every_password_is_ours_and_shut_while_one_is_not(made):
    master = Master()
    install = Install(made(master))
    shut, open_ = {"type": "ClusterIP", "nodePort": 0}, {"type": "NodePort", "nodePort": 30880}
    assert install.service("node", 30880, "admin", "determined") == shut
    install.password("admin").apply()
    assert install.service("node", 30880, "admin", "determined") == shut
    install.password("determined").apply()
    assert install.service("node", 30880, "admin", "determined") == open_
    assert install.service("loadbalancer", 30880, "admin") == {"type": "LoadBalancer", "nodePort": 0}
    assert install.service("cluster", 30880, "admin") == shut
    master.users["admin"] = EMPTY
    assert install.service("node", 30880, "admin", "determined") == shut


def test_the_port_is_shut_while_no_master_answers(made):
    assert Install(made(lambda *a: None)).service("node", 30880, "admin")["type"] == "ClusterIP"


def test_a_login_leaves_no_cookie_by_which_later_questions_would_be_answered(made):
    det = made(Master())
    assert det.login("admin", EMPTY) == "token-of-admin" and not det.http.cookies


def test_every_session_is_ended_at_the_verdict(made):
    det = made(Master())
    det.login("admin", EMPTY)
    det.login("determined", EMPTY)
    det.ch.verdict()
    ended = [r.headers["Authorization"] for r in det.asked if r.path == "/api/v1/auth/logout"]
    assert ended == ["Bearer token-of-admin", "Bearer token-of-determined"]


def test_a_password_that_somebody_else_set_is_told_and_not_replaced(made):
    master = Master()
    master.users["admin"] = "of somebody else"
    action = Install(made(master)).password("admin")
    with pytest.raises(RunbookError) as e:
        action.probe()
    assert e.value.saw == "admin's password is not ours" and e.value.entry == "det-login"
    with pytest.raises(RunbookError) as e:
        action.apply()
    assert "neither empty nor ours" in e.value.saw and master.users["admin"] == "of somebody else"


def refusing_strangers(password):
    """A master that shows nothing without a token, with this password for operator."""
    master = Master()
    master.users["operator"] = password
    return lambda method, path, body: error(401, "x") if "experiments" in path else master(method, path, body)


def test_a_wrong_password_and_no_token_are_refused(made):
    assert Proofs(made(refusing_strangers(OURS))).strangers_are_refused("operator") is None


def test_who_gets_in_with_a_wrong_password_is_told(made):
    with pytest.raises(Unmet) as e:
        Proofs(made(refusing_strangers("not-the-password"))).strangers_are_refused("operator")
    assert "gets in with a wrong password" in e.value.saw


def test_a_list_without_a_token_is_no_refusal(made):
    master = Master()
    det = made(lambda method, path, body: (200, []) if "experiments" in path else master(method, path, body))
    with pytest.raises(Unmet) as e:
        Proofs(det).strangers_are_refused("operator")
    assert e.value.saw == "the list of experiments"


# -- a master that is away ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "unexpected EOF",
        "failed to connect to `host=127.0.0.1 user=postgres database=determined`: "
        "dial error (dial tcp 127.0.0.1:15432: connect: connection refused)",
    ],
)
def test_a_lost_database_is_told_as_such(made, text):
    with pytest.raises(RunbookError) as e:
        made(lambda *a: error(500, text)).ask("GET", "/api/v1/users")
    assert e.value.saw == "the master does not reach its database" and e.value.entry == "det-db"


def test_the_first_question_after_a_lost_database_is_asked_again(made):
    answers = [error(500, "unexpected EOF"), (200, {"version": "0.15.3"})]
    assert made(lambda *a: answers.pop(0)).info() == {"version": "0.15.3"}


def test_a_master_that_is_away_gives_no_answer(made):
    with pytest.raises(RunbookError) as e:
        Proofs(made(lambda *a: None)).answers()
    assert e.value.saw == "GET /api/v1/master gets no answer" and e.value.entry == "det-down"


def test_a_master_without_a_service_gives_no_answer(monkeypatch, own_home):
    no_service = (1, "", 'Error from server (NotFound): services "determined-master-service-determined" not found')
    det = Determined(stand_in.chapter(monkeypatch, "determined", lambda *a: no_service))
    with pytest.raises(RunbookError) as e:
        det.info()
    assert e.value.saw == "GET /api/v1/master gets no answer" and e.value.entry == "det-down"
    assert det.found_version() == ""
    assert det.why_no_answer() == "GET /api/v1/master gets no answer"


def test_another_server_at_the_masters_address_is_no_master(made):
    assert made(lambda *a: (200, {"version": "0.15.3"})).why_no_answer() is None
    assert made(lambda *a: (404, "not found")).why_no_answer().endswith(" is no master")


def test_another_version_is_no_proof(made):
    with pytest.raises(Unmet) as e:
        Proofs(made(lambda *a: (200, {"version": "0.16.0", "clusterId": "x"}))).answers()
    assert e.value.saw == "version 0.16.0" and e.value.entry == "det-version"


@pytest.mark.parametrize(
    "answer, says",
    [
        (
            httpx.Response(400, json={"error": {"code": 3, "reason": "InvalidArgument", "error": "token missing"}}),
            "token missing",
        ),
        (
            httpx.Response(500, json={"error": {"grpcCode": 13, "message": "actor was not created"}}),
            "actor was not created",
        ),
        (httpx.Response(401, json={"message": "Unauthorized"}), "Unauthorized"),
        (httpx.Response(502, text="bad"), "bad"),
    ],
)
def test_every_shape_of_an_error_is_read(answer, says):
    assert _message(answer) == says


# -- the cluster -------------------------------------------------------------------------------------


def test_the_keys_go_with_their_namespace(made):
    keys = Install(made(Master())).keys({"accessKey": "runbook"})
    assert keys.probe() == f"there is no Secret determined/{KEYS}" and keys.undo is None


def test_another_secret_is_another_revision(made):
    assert Install(made(Master(), "7\n")).revision() == "7"
    assert Install(made(Master(), (1, "", "the server is away"))).revision() == ""


def test_another_database_would_begin_empty(made):
    def why(config, host):
        return Install(made(Master(), config)).why_other_database(host)

    theirs = 'port: 8081\ndb:\n  host: "10.0.1.1"\n  port: "5432"\n'
    assert why(theirs, "10.0.1.1") is None and why(theirs, "") == "its database is at 10.0.1.1"
    in_cluster = 'db:\n  host: "determined-db-service-determined"\n'
    assert why(in_cluster, "") is None
    assert why(in_cluster, "10.0.1.1") == "its database is at determined-db-service-determined"
    assert why("", "") is None


def test_where_there_is_no_cluster_there_is_no_other_database(made):
    """Remove once more, when MicroK8s is away too."""
    asked = []
    det = made(Master(), lambda script: asked.append(script) or "")
    assert Install(det).why_other_database("") is None
    snap = "snap() { echo 'error: no matching snaps installed' >&2; return 1; }\nmicrok8s() { return 127; }\n"
    done = subprocess.run(["bash", "-ec", snap + asked[0]], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "kind, ingress, expose, says",
    [
        ("ClusterIP", [], "cluster", "no port of the host leads to it"),
        ("NodePort", [], "cluster", "its type is NodePort"),
        ("LoadBalancer", [], "loadbalancer", "none"),
        ("LoadBalancer", [{"ip": "10.9.8.7"}], "loadbalancer", "10.9.8.7:"),
    ],
)
def test_the_service_is_exposed_as_was_asked(made, kind, ingress, expose, says):
    service = {"spec": {"type": kind}, "status": {"loadBalancer": {"ingress": ingress}}}
    prove = Proofs(made(Master(), json.dumps(service)))
    try:
        said = prove.exposed_as_asked(expose, 30880)
    except Unmet as e:
        said = e.saw
        assert e.entry == "det-open"
    assert says in said


# -- tasks -------------------------------------------------------------------------------------------


class Tasks(Master):
    """Runs every command at once, to this end."""

    def __init__(self, status, *log):
        super().__init__()
        self.users["operator"], self.status, self.log = OURS, status, log

    def __call__(self, method, path, body):
        if path == "/api/v1/commands":
            self.config = body["config"]
            return 200, {"command": {"id": "task-1"}}
        if path == "/commands/task-1":
            return 200, {"state": "TERMINATED", "exit_status": self.status}
        if path == "/commands/task-1/events":
            return 200, [{"log_event": None, "scheduled_event": {}}] + [{"log_event": line} for line in self.log]
        if path == "/api/v1/commands/task-1/kill":
            return 200, {}
        if path == "/api/v1/master/config":
            return 200, {"config": {"checkpoint_storage": {"endpoint_url": "http://s3:9000", "bucket": "detai"}}}
        return super().__call__(method, path, body)


def test_a_commands_output_is_what_stands_behind_the_bars(made):
    tasks = Tasks("command exited successfully", "[2026-11-25T13:22:21Z] 8c4b3b1a [RUNNING] || a || b\n", "plain")
    assert made(tasks).command(["true"], "operator") == "a || b\nplain"


def test_a_command_that_fails_is_told_with_its_last_lines_and_ended(made):
    det = made(Tasks("container failed with non-zero exit code:  (exit code 3)", "x || no such data\n"))
    with pytest.raises(RunbookError) as e:
        det.command(["false"], "operator")
    assert e.value.entry == "det-task" and "exit code 3" in e.value.saw and e.value.saw.endswith("no such data")
    assert det.asked[-1].path == "/api/v1/commands/task-1/kill"


class Unkind(Tasks):
    """Runs a command, and loses what it says when it ends within a second, as the real master does on Kubernetes.

    late: seconds that it takes on a busy host.
    """

    def __init__(self, late=1):
        super().__init__("")
        self.late = late

    def __call__(self, method, path, body):
        if path == "/api/v1/commands":
            *shell, text = body["config"]["entrypoint"]
            done = subprocess.run([*shell, "sleep() { :; }\n" + text], stdout=subprocess.PIPE, text=True)
            lives = int(re.search("sleep ([0-9]+)|$", text).group(1) or 0) >= self.late
            self.log = ["[2026-11-25T13:22:21Z] 8c4b3b1a [RUNNING] || " + done.stdout] if lives else []
            failed = f"container failed with non-zero exit code:  (exit code {done.returncode})"
            self.status = failed if done.returncode else "command exited successfully"
        return super().__call__(method, path, body)


def test_the_proofs_commands_live_until_the_master_reads_what_they_say(made):
    for late in (1, 20):
        prove = Proofs(made(Unkind(late)))
        assert prove.runs_command("operator") == "accepted, ended, and said: 42 is the answer"
        assert prove.tells_failure("operator") == "it failed, and said: no such data"
    prove = Proofs(made(Unkind(60)))
    with pytest.raises(Unmet, match="its output"):
        prove.runs_command("operator")
    with pytest.raises(RunbookError, match="exit code 3"):
        prove.tells_failure("operator")


def test_an_event_of_the_log_has_many_lines_and_bars_before_the_first_only(made):
    tasks = Tasks("command exited successfully", "[x] 8c4b3b1a [RUNNING] || first\nlast || not bars\n", "[x] y || \n")
    assert made(tasks).command(["true"], "operator") == "first\nlast || not bars\n"


# -- a task that does not come to what it is for ------------------------------------------------------


class Notebook(Tasks):
    """A notebook whose summary is this, and its log."""

    def __init__(self, summary, *log):
        super().__init__("", *log)
        self.summary, self.ended = summary, []

    def __call__(self, method, path, body):
        if path == "/api/v1/notebooks":
            return 200, {"notebook": {"id": "task-1"}}
        if path == "/notebooks/task-1":
            return (404, {"message": "Not Found"}) if self.summary is None else (200, self.summary)
        if path == "/notebooks/task-1/events":
            return 200, [{"log_event": line} for line in self.log]
        if path == "/api/v1/notebooks/task-1/kill":
            self.ended.append(path)
            return 200, {}
        return super().__call__(method, path, body)


def why_not_started(made, notebook, said=""):
    """What ends the wait for a notebook, and that it is ended."""
    began = time.monotonic()
    with pytest.raises(RunbookError) as e:
        made(notebook, said).start_notebook("operator")
    assert time.monotonic() - began < 5 and notebook.ended, "not after 15 minutes"
    return e.value.saw


def test_a_notebook_that_ends_early_ends_the_wait_with_its_last_lines(made):
    status = "task failed without an associated exit code: agent failed while container was running"
    too_long = 'ConfigMap "cmd-1" is invalid: []: Too long: must have at most 1048576 bytes'
    saw = why_not_started(made, Notebook({"state": "TERMINATED", "exit_status": status}, "[x] 8c [] || " + too_long))
    assert saw == f"it ended: {status}\n{too_long}"


def test_a_notebook_that_the_master_forgot_ends_the_wait(made):
    why = why_not_started(made, Notebook(None))
    assert "was it restarted, or did it end more than a day ago?" in why


def cluster(own, *names):
    """A host whose cluster has pods of these names without an image; own: the name of the task's."""
    waiting = {"reason": "ImagePullBackOff", "message": "gone:1: not found"}
    status = {"containerStatuses": [{"name": "x", "image": "gone:1", "state": {"waiting": waiting}}]}
    about = [{"name": name, "namespace": "determined", "uid": name} for name in names]
    items = json.dumps({"items": [{"kind": "Pod", "metadata": one, "spec": {}, "status": status} for one in about]})
    return lambda script: own if "-l determined=task-1 " in script else items


def test_a_pod_that_gets_no_image_ends_the_wait_for_its_own_task_only(made):
    starting = {"state": "STARTING"}
    saw = why_not_started(made, Notebook(starting), cluster("cmd-task-1-x", "cmd-task-2-x", "cmd-task-1-x"))
    assert "pod determined/cmd-task-1-x gets no image gone:1" in saw

    class Comes(Notebook):
        """It answers at the third question, whatever becomes of another's pod."""

        def __call__(self, method, path, body):
            if path == "/notebooks/task-1":
                self.ended.append(path)
                return 200, {"state": "RUNNING" if len(self.ended) > 2 else "STARTING"}
            return (200, "JupyterLab") if path == "/proxy/task-1/lab" else super().__call__(method, path, body)

    assert made(Comes({}), cluster("", "cmd-task-2-x")).start_notebook("operator") == {"id": "task-1"}


class Page(Notebook):
    """A notebook that answers, with the runbook's files."""

    def __init__(self, *log):
        super().__init__({"state": "RUNNING"}, *log)

    def __call__(self, method, path, body):
        if path == "/api/v1/notebooks":
            self.config, self.files = body["config"], {file["path"] for file in body["files"]}
        if path == "/proxy/task-1/lab":
            return 200, "<title>JupyterLab</title>"
        if path == "/proxy/task-1/api/contents/helpers/__init__.py":
            return (200 if "helpers/__init__.py" in self.files else 404), {}
        return super().__call__(method, path, body)


def test_a_notebook_starts_with_the_hook_that_installs_what_the_helpers_need(made):
    page = Page()
    assert "the helpers load" in Proofs(made(page, "Chapter")).runs_notebook("operator")
    assert {"startup-hook.sh", "setup/requirements-notebook-task.txt"} <= page.files and page.ended
    (container,) = page.config["environment"]["pod_spec"]["spec"]["containers"]
    assert set(container) <= ALLOWED


def test_helpers_that_do_not_load_are_told_with_what_pip_said(made):
    page = Page(
        "x || runbook: pip failed, so the helpers will not load; JupyterLab starts without them\n", "x || [I] up"
    )
    with pytest.raises(Unmet) as e:
        Proofs(made(page, "ModuleNotFoundError: No module named 'minio'")).runs_notebook("operator")
    first, second = e.value.saw.split("\n")
    assert first.endswith("No module named 'minio'") and second.startswith("runbook: pip failed") and page.ended
    assert e.value.entry == "det-notebook"


def test_what_a_task_says_is_told_while_it_is_waited_for(made):
    det = made(Notebook({"state": "STARTING"}, "Pod cmd-task-1: Pulling image"))
    with pytest.raises(NotYet) as e:
        task.Task(det, "notebooks", "task-1", "operator")._ready(bool_of_nothing)
    assert e.value.saw == "starting; Pod cmd-task-1: Pulling image"


def bool_of_nothing(_):
    return False


def test_a_command_that_should_fail_and_does_not_is_no_proof(made):
    with pytest.raises(Unmet):
        Proofs(made(Tasks("command exited successfully"))).tells_failure("operator")


def checkpoint_task(made):
    """The configuration of the task that writes the checkpoint."""
    tasks = Tasks("command exited successfully")
    tasks.users["admin"] = OURS
    checkpoint.written(made(tasks), None, "detai", "operator").apply()
    return tasks.config


def test_the_keys_reach_a_task_as_files_of_their_secret_and_no_others_of_it(made):
    environment = checkpoint_task(made)["environment"]
    spec = environment["pod_spec"]["spec"]
    (volume,), (container,) = spec["volumes"], spec["containers"]
    assert volume["secret"]["secretName"] == KEYS
    assert [item["key"] for item in volume["secret"]["items"]] == ["accessKey", "secretKey"], "no dbPassword"
    (mount,) = container["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/run/runbook-keys")
    assert environment["environment_variables"][:2] == ["ENDPOINT=http://s3:9000", "BUCKET=detai"]


#: what 0.15.3 lets a pod_spec say of its container: master/pkg/model/environment_config.go refuses most of the rest,
#: master/internal/kubernetes/spec.go takes over only these
ALLOWED = {"name", "resources", "volumeMounts", "volumeDevices"}


def test_a_tasks_pod_spec_has_only_what_the_real_master_takes(made):
    environment = checkpoint_task(made)["environment"]
    assert set(environment["pod_spec"]) == {"spec"}
    assert all(set(one) <= ALLOWED for one in environment["pod_spec"]["spec"]["containers"])
    assert all(one.count("=") == 1 for one in environment["environment_variables"])


def test_a_variable_with_a_second_equals_sign_is_refused_before_the_task_would_end_without_a_word():
    with pytest.raises(BadInput) as e:
        task_pod.variables({"A": "b=c"})
    assert "give A to a task" in str(e.value)


#: boto3's two calls, which only the task's image has; what was asked of them goes to standard output
BOTO3 = """
import io, json
kept = {}
class client:
    def __init__(self, kind, **given): print(json.dumps(dict(given, kind=kind)))
    def put_object(self, Body, **place): kept[str(place)] = Body; print(json.dumps(place))
    def get_object(self, **place): return {"Body": io.BytesIO(kept[str(place)])}
"""


def test_the_tasks_program_writes_with_the_keys_that_it_finds_in_files(made, tmp_path):
    for name, text in {"accessKey": "ours", "secretKey": "a=b/c", "boto3.py": BOTO3}.items():
        (tmp_path / name).write_text(text)
    config = checkpoint_task(made)
    given = dict(one.split("=") for one in config["environment"]["environment_variables"])
    given.update(KEYS=str(tmp_path), PYTHONPATH=str(tmp_path), PATH=os.environ["PATH"])
    done = subprocess.run([sys.executable, *config["entrypoint"][1:]], env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked, place = map(json.loads, done.stdout.splitlines()[:2])
    assert (asked["aws_access_key_id"], asked["aws_secret_access_key"]) == ("ours", "a=b/c")
    assert asked["endpoint_url"] == "http://s3:9000" and place == {"Bucket": "detai", "Key": checkpoint.CHECKPOINT}


def test_gpus_are_counted_per_agent_and_a_node_without_is_none(made):
    gpu = {"device": {"type": "TYPE_GPU"}}
    slots = {"0": dict(gpu, container={"id": "x"}), "1": gpu, "2": {"device": {"type": "TYPE_CPU"}}}
    agents = [{"id": "b", "slots": slots}, {"id": "a", "slots": {}}, {"id": "c"}]
    master = Master()
    master.users["admin"] = OURS

    def answer(method, path, body):
        return (200, {"agents": agents}) if path == "/api/v1/agents" else master(method, path, body)

    assert Proofs(made(answer)).agents_with_gpus() == "b: 2 GPUs, 1 in use"
    del agents[0]
    assert Proofs(made(answer)).agents_with_gpus() == "none: no node offers a GPU"


class Lost(Master):
    """0.15.3 after the API server was away: "kubernetes resource manager without a cluster" in the recordings."""

    def __init__(self):
        super().__init__()
        self.users.update(admin=OURS, operator=OURS)

    def __call__(self, method, path, body):
        if path == "/api/v1/agents":
            return error(404, "cannot find agents or pods actor", 5)
        if path in ("/api/v1/notebooks", "/api/v1/commands"):
            return error(404, path + " not found", 5)
        return super().__call__(method, path, body)


@pytest.mark.parametrize(
    "ask",
    [
        lambda det: Proofs(det).agents_with_gpus(),
        lambda det: Proofs(det).runs_command("operator"),
        lambda det: Proofs(det).runs_notebook("operator"),
        lambda det: det.start_notebook("operator"),
        lambda det: det.notebooks("operator"),
    ],
    ids=["agents", "command", "notebook", "start", "list"],
)
def test_a_master_that_lost_the_cluster_is_told_as_such(made, ask):
    with pytest.raises(RunbookError) as e:
        ask(made(Lost()))
    assert e.value.entry == "det-pods" and "lost the cluster's API" in e.value.saw
    assert "rollout restart -n determined deploy/determined-master-deployment-determined" in e.value.do


# -- parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, says",
    [
        ({"release": "Big"}, "'Big'"),
        ({"namespace": "kube-system"}, "'kube-system'"),
        ({"user": "admin"}, "'admin'"),
        ({"bucket": "x"}, "x: "),
        ({"bucket": "a..b"}, "a..b: "),  # minio-py ends with a bare ValueError for these
        ({"bucket": "10.0.0.1"}, "10.0.0.1: "),
        ({"cpu": "0.1"}, "'0.1'"),
        ({"memory": "1G"}, "'1G'"),
        ({"expose": "node", "node_port": 80}, "80"),
        ({"max_slots_per_pod": 0}, "0"),
    ],
)
@pytest.mark.parametrize("mode", ["install", "verify", "remove"])
def test_a_parameter_of_another_form_is_refused_in_every_mode(monkeypatch, own_home, given, says, mode):
    ch = stand_in.chapter(monkeypatch, "determined", lambda *a: "", mode, **given)
    with pytest.raises(BadInput) as e:
        forms.require(ch)
    saw = e.value.saw
    assert (
        saw.startswith(says) if "bucket" in given else saw == "it is " + says
    ) and f"-p determined.{list(given)[-1]}=" in e.value.do


MAY, MAY_NOT = recording.signs_of_a_password()


@pytest.mark.parametrize("sign", MAY_NOT)
@pytest.mark.parametrize("name", ["determined-db", "postgres-determined"])
def test_a_password_that_the_masters_url_would_break_is_refused_and_not_told(monkeypatch, own_home, sign, name):
    monkeypatch.setenv("RUNBOOK_SECRET_" + name.upper().replace("-", "_"), f"word{sign}ordw")
    ch = stand_in.chapter(monkeypatch, "determined", lambda *a: "", "install")
    with pytest.raises(BadInput) as e:
        forms.require_password(ch, ch.secrets.get(name))
    assert f"RUNBOOK_SECRET_{name.upper().replace('-', '_')}=" in e.value.do
    assert f"word{sign}ordw" not in str(e.value)


@pytest.mark.parametrize("password", ["ab12" + "".join(MAY), "Zz-_09abc"])
def test_a_password_of_what_a_url_takes_is_not_refused(monkeypatch, own_home, password):
    monkeypatch.setenv("RUNBOOK_SECRET_DETERMINED_DB", password)
    ch = stand_in.chapter(monkeypatch, "determined", lambda *a: "", "install")
    forms.require_password(ch, ch.secrets.get("determined-db"))


def test_the_chapter_asks_for_the_passwords_form_before_its_first_step():
    cells = json.loads(next((REPO / "notebooks").glob("*_determined.ipynb")).read_text("utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert 0 < text.index("forms.require_password(ch, db_password)") < text.index("ch.step(")
