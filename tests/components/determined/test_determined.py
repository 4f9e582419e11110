"""Determined without a cluster: its answers as recorded, files for a task, and the chart as helm renders it."""

import base64
import json
import os
import shutil
import subprocess
import types

import httpx
import pytest
import yaml

from helpers.components.determined import task_files as context
from helpers.components.determined.master import KEYS, Determined, _message
from helpers.core.errors import Unmet
from helpers.core.errors import BadInput, CommandFailed, RunbookError
from helpers.core.paths import SETUP, home

EMPTY, OURS = "", "our-own-password"


def error(status, text, code=13):
    return status, {"error": {"code": code, "reason": "x", "error": text}}


@pytest.fixture
def made(monkeypatch):
    """A Determined whose master is `answer(method, path, body) -> (status, JSON)`."""

    def make(answer, secret_json=""):
        asked = []

        def handle(request):
            body = json.loads(request.content) if request.content else None
            asked.append((request.method, request.url.path, body))
            status, said = answer(request.method, request.url.path, body)
            return httpx.Response(
                status,
                json=said,
                headers={"Set-Cookie": "auth=x; Path=/"}
                if request.url.path == "/api/v1/auth/login" and status == 200
                else {},
            )

        host = types.SimpleNamespace(
            name="x",
            run=lambda script, **kw: types.SimpleNamespace(out=secret_json, code=0, err=""),
            target=types.SimpleNamespace(kind="ssh"),
        )
        ch = types.SimpleNamespace(
            host=host,
            mode="install",
            masker=types.SimpleNamespace(add=lambda text: None),
            cleanup=lambda call: None,
            secret=lambda name: types.SimpleNamespace(reveal=lambda: OURS),
        )
        det = Determined(ch)
        det._http = httpx.Client(base_url="http://x", transport=httpx.MockTransport(handle))
        det.asked = asked
        return det

    return make


class Master:
    """Users with passwords, as 0.15.3 keeps them: a password that is given at creation is lost."""

    def __init__(self):
        self.users = {"admin": EMPTY, "determined": EMPTY}

    def __call__(self, method, path, body):
        if path == "/api/v1/auth/login":
            if self.users.get(body["username"]) != body["password"]:
                return error(401, "invalid credentials", 16)
            return 200, {"token": "token-of-" + body["username"], "user": {"username": body["username"]}}
        if path == "/api/v1/users":
            self.users[body["user"]["username"]] = EMPTY
            return 200, {}
        name = path.split("/")[4]
        if path.endswith("/password"):
            self.users[name] = body
            return 200, {}
        return (
            (200, {"user": {"username": name, "active": True}})
            if name in self.users
            else error(404, "user not found", 5)
        )


def test_empty_passwords_are_found_replaced_and_found_replaced(made):
    master = Master()
    det = made(master)
    for name in ("admin", "determined"):
        action = det.password(name)
        assert action.probe() == name + " gets in with an empty password"
        action.apply()
        assert action.probe() is None and master.users[name] == OURS
    assert ("POST", "/api/v1/users/admin/password", OURS) in det.asked, "a bare JSON string, as 0.15.3 wants it"


def test_a_user_gets_its_password_by_a_second_call(made):
    master = Master()
    det = made(master)
    det.password("admin").apply()
    user, password = det.user("operator"), det.password("operator")
    assert user.probe() == "there is no user operator"
    user.apply()
    assert user.probe() is None and password.probe() == "operator gets in with an empty password"
    password.apply()
    assert password.probe() is None


def test_a_login_leaves_no_cookie_by_which_later_questions_would_be_answered(made):
    det = made(Master())
    assert det.login("admin", EMPTY) == "token-of-admin" and not det.http.cookies


def test_a_password_that_somebody_else_set_is_told_and_not_replaced(made):
    master = Master()
    master.users["admin"] = "of somebody else"
    det = made(master)
    with pytest.raises(RunbookError) as e:
        det.password("admin").probe()
    assert e.value.saw == "admin's password is not ours" and e.value.entry == "det-login"
    with pytest.raises(RunbookError) as e:
        det.password("admin").apply()
    assert "neither empty nor ours" in e.value.saw and master.users["admin"] == "of somebody else"


@pytest.mark.parametrize(
    "text",
    [
        "unexpected EOF",
        "failed to connect to `host=127.0.0.1 user=postgres database=determined`: dial error (dial tcp 127.0.0.1:15432: connect: connection refused)",
    ],
)
def test_a_lost_database_is_told_as_such(made, text):
    with pytest.raises(RunbookError) as e:
        made(lambda *a: error(500, text)).ask("GET", "/api/v1/users")
    assert e.value.saw == "the master does not reach its database" and e.value.entry == "det-db"


def test_the_first_question_after_a_lost_database_is_asked_again(made):
    answers = [error(500, "unexpected EOF"), (200, {"version": "0.15.3"})]
    assert made(lambda *a: answers.pop(0)).info() == {"version": "0.15.3"}


def test_a_master_that_is_away_or_has_no_service(made):
    def away(*a):
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    def no_service(*a):
        raise CommandFailed("kubectl get service")

    for answer in (away, no_service):
        with pytest.raises(RunbookError) as e:
            made(answer).answers()
        assert e.value.saw == "GET /api/v1/master gets no answer" and e.value.entry == "det-down"


def test_another_version_is_no_proof(made):
    with pytest.raises(Unmet) as e:
        made(lambda *a: (200, {"version": "0.16.0", "clusterId": "x"})).answers()
    assert e.value.seen == "version 0.16.0" and e.value.entry == "det-version"


def test_both_shapes_of_an_error_are_read():
    assert (
        _message(
            httpx.Response(400, json={"error": {"code": 3, "reason": "InvalidArgument", "error": "token missing"}})
        )
        == "token missing"
    )
    assert (
        _message(httpx.Response(500, json={"error": {"grpcCode": 13, "message": "actor was not created"}}))
        == "actor was not created"
    )
    assert (
        _message(httpx.Response(401, json={"message": "Unauthorized"})) == "Unauthorized"
        and _message(httpx.Response(502, text="bad")) == "bad"
    )


def test_a_changed_key_is_named_and_never_shown(made):
    code = lambda text: base64.b64encode(text.encode()).decode()  # noqa: E731
    det = made(
        Master(),
        json.dumps(
            {
                "metadata": {"resourceVersion": "7"},
                "data": {"accessKey": code("runbook"), "secretKey": code("not-the-key-at-all")},
            }
        ),
    )
    assert (
        det.keys({"accessKey": "runbook", "secretKey": "ours-ours"}).probe() == "secretKey is not ours"
        and det.revision() == "7"
    )
    assert made(Master()).keys({"accessKey": "x"}).probe() == "there is no Secret " + KEYS


def test_a_commands_output_is_what_stands_behind_the_bars(made):
    events = [
        {"log_event": None, "scheduled_event": {}},
        {"log_event": "[2026-11-25T13:22:21Z] 8c4b3b1a [RUNNING] || a || b\n"},
        {"log_event": "plain"},
    ]
    det = made(lambda method, path, body: (200, events) if path.endswith("/events") else Master()(method, path, body))
    det._tokens["u"] = "t"
    assert det._lines("id", "u") == ["a || b", "plain"]


def test_another_database_would_begin_empty(made):
    det = made(Master())
    det.ch.run = lambda *a, **kw: 'port: 8081\ndb:\n  host: "10.0.1.1"\n  port: "5432"\n'
    assert det.other_database("10.0.1.1") is None and det.other_database("") == "its database is at 10.0.1.1"
    det.ch.run = lambda *a, **kw: 'db:\n  host: "determined-db-service-determined"\n'
    assert det.other_database("") is None and "determined-db" in det.other_database("10.0.1.1")
    det.ch.run = lambda *a, **kw: ""
    assert det.other_database("") is None


# -- files for a task --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.py",
        "data/big.csv",
        "data/keep.csv",
        "sub/.ipynb_checkpoints/x.ipynb",
        "sub/b.py",
        "sub/__pycache__/b.pyc",
        "sub/notes.txt",
        "runs/1/out.txt",
    ):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "work"


def test_detignore_is_honoured(folder):
    (folder / ".detignore").write_text("# what stays here\n*.csv\n!keep.csv\n/runs/\nsub/notes.txt\n\n")
    assert [p for p, _ in context.files(folder)] == [".detignore", "a.py", "data/keep.csv", "sub/b.py"]


def test_without_one_only_rubbish_stays(folder):
    assert [p for p, _ in context.files(folder)] == [
        "a.py",
        "data/big.csv",
        "data/keep.csv",
        "runs/1/out.txt",
        "sub/b.py",
        "sub/notes.txt",
    ]
    with pytest.raises(BadInput):
        context.files(folder / "nowhere")


def test_folders_come_before_their_files_and_contents_are_base64(folder):
    sent = context.packed(context.files(folder))
    paths = [f["path"] for f in sent]
    assert [f["type"] for f in sent if f["path"] == "runs/1"] == [53] and paths.index("runs/1") < paths.index(
        "runs/1/out.txt"
    )
    assert base64.b64decode(sent[paths.index("sub/b.py")]["content"]) == b"sub/b.py"


def test_too_many_files_are_refused_with_their_size(folder, monkeypatch):
    (folder / "noise.bin").write_bytes(os.urandom(1200000))
    with pytest.raises(BadInput) as e:
        context.packed(context.files(folder))
    assert "1.1 MiB when packed" in e.value.saw and ".detignore" in e.value.do
    assert context.LIMIT == 99614720
    monkeypatch.setattr(context, "LIMIT", 1000000)
    with pytest.raises(BadInput) as e:
        context.packed(context.files(folder))
    assert "in base64" in e.value.saw


def test_the_runbook_itself_fits_and_has_what_a_chapter_needs():
    found = dict(context.runbooks())
    assert {
        "helpers/__init__.py",
        "helpers/core/chapter.py",
        "notebooks/05_minio.ipynb",
        "setup/catalogue.toml",
        "setup/requirements-notebook.txt",
    } <= set(found)
    assert not any("sandbox/" in p or p.endswith(".pyc") for p in found)
    context.packed(sorted(found.items()))


# -- the chart ---------------------------------------------------------------------------------------


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
    assert master["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/api/v1/master"
    assert all("determined" not in (d["metadata"].get("labels") or {}) for d in found.values()), (
        "the master deletes pods and ConfigMaps with that label"
    )
    assert "determined" not in master["metadata"]["labels"]


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
