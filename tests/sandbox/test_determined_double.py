"""The double of determined-master, held to recordings of the real one; the real `det` client against it; its images."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from helpers.core.paths import SETUP
from helpers.sandbox import builds, needs, processes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import determined_client
import determined_recording as recording
import python37
from image_files import unpacked

from tests.serving import free_port, until

pytestmark = pytest.mark.skipif(
    bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox: ./runbook doctor"
)

PLAIN = ssl.create_default_context()  # made once for all requests, none of which is by TLS
SALT = "GubPEmmotfiK9TMD6Zdw"  # with which the client hashes a password before it sends it

#: What may differ from the recording, and why: fidelity.toml says the same.
ALLOWED = {
    "GET /det/": "a page of its own: the recorded master was built without the web page",
}


# --- the programs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def binary() -> Path:
    """RUNBOOK_DETERMINED_BIN, else the program that is in the image, built when it is not there yet."""
    return Path(
        os.environ.get("RUNBOOK_DETERMINED_BIN") or builds.build("determined-master", print) / "out/determined-master"
    )


def why_ended(process, log: Path):
    """What a program left in its log, once it has ended."""
    return None if process.poll() is None else log.read_text() or "it ended without a word"


class Database:
    """The database's image, run as its entrypoint runs it, on a loopback port. stop() and start() keep its data."""

    PASSWORD = "not-a-real-password"

    def __init__(self, folder: Path):
        self.root, self.config = unpacked("determined-db", "postgres", folder / "root")
        self.port, self.log = free_port(), folder / "postgres.log"
        self.process = None

    def start(self):
        env = dict(line.split("=", 1) for line in self.config["Env"])
        env.update(POSTGRES_PASSWORD=self.PASSWORD, POSTGRES_DB="determined")
        argv = [
            *self.config["Entrypoint"],
            *self.config["Cmd"],
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"port={self.port}",
        ]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(processes.entered(self.root, argv), env=env, stdout=log, stderr=log)
        until("PostgreSQL to answer", lambda: self.query("select 1"), lambda: why_ended(self.process, self.log))

    def query(self, text: str):
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=self.PASSWORD, dbname="determined"
        ) as link:
            cursor = link.execute(text)
            return cursor.fetchall() if cursor.description else []

    def stop(self):
        """At once, as a machine that loses power: the first process of its namespace goes, and with it all others."""
        for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("database"))
    database.start()
    yield database
    database.stop()


class Master:
    """The program as a process over the database; new=True gives it an empty one."""

    def __init__(self, binary: Path, database: Database, folder: Path, new: bool = True, **config):
        self.binary, self.port, self.log = binary, free_port(), folder / "master.log"
        self.url = f"http://127.0.0.1:{self.port}"
        if new:
            database.query("drop table if exists user_sessions, users, cluster_id")
        self.file = folder / "master.yaml"
        self.file.write_text(
            yaml.safe_dump(
                {
                    "port": self.port,
                    "db": {
                        "user": "postgres",
                        "password": database.PASSWORD,
                        "host": "127.0.0.1",
                        "port": database.port,
                        "name": "determined",
                    },
                    "checkpoint_storage": {"type": "shared_fs", "host_path": "/ckpt"},
                    "telemetry": {"enabled": False},
                    **config,
                }
            )
        )

    def __enter__(self) -> Master:
        self.start([self.binary, "--config-file", self.file], {"PATH": "/usr/bin:/bin"})
        self.wait()
        return self

    def start(self, argv: list, env: dict):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(argv, stderr=log, env=env)

    def wait(self):
        """Until it answers."""
        until("the master to answer", self.answers, lambda: why_ended(self.process, self.log))

    def answers(self) -> bool:
        return self.ask("GET", "/info").status_code == 200

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def seconds_of_processor(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, token: str = "", **request) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(trust_env=False, timeout=30, verify=PLAIN) as client:
            return client.request(method, self.url + path, headers={**headers, **request.pop("headers", {})}, **request)

    def login(self, name: str = "determined", password: str = "") -> str:
        answer = self.ask("POST", "/api/v1/auth/login", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


@pytest.fixture
def master(binary, database, tmp_path):
    with Master(binary, database, tmp_path) as running:
        yield running


# --- replay ----------------------------------------------------------------------------------------------------------


def replay(master: Master) -> list[tuple[recording.Exchange, httpx.Response]]:
    """Every recorded request, asked in the recorded order, with our tokens and ids."""
    tokens, ids, seen = {}, {}, []
    for one in recording.exchanges():
        if one.title.startswith(
            "create user w2 with a password"
        ):  # two users that the recording does not show came before
            for name in ("u2", "u3"):
                master.ask("POST", "/api/v1/users", tokens["admin"], json={"user": {"username": name, "active": True}})
        headers = {}
        auth = re.sub(r"<TOKEN:(\w+)>", lambda m: tokens.get(m[1], "none"), one.auth)
        if auth:
            headers = {"Cookie": auth} if auth.startswith("auth=") else {"Authorization": auth}
        path = one.path
        for theirs, ours in ids.items():
            path = path.replace(theirs, ours)
        answer = master.ask(one.method, path, headers=headers, content=one.body.encode() if one.body else None)
        seen.append((one, answer))
        if answer.status_code == 200 and one.path == "/api/v1/auth/login":
            tokens[answer.json()["user"]["username"]] = answer.json()["token"]
        if one.title.startswith("launch") and one.status == 200:
            theirs = re.search(r'"id":"([^"]+)"', one.answer)[1]
            ids[theirs] = re.search(r'"id":"([^"]+)"', answer.text)[1]
    return seen


@pytest.fixture(scope="module")
def replayed(binary, database, tmp_path_factory):
    with Master(binary, database, tmp_path_factory.mktemp("replay")) as running:
        return replay(running)


def differences(one: recording.Exchange, answer: httpx.Response) -> list[str]:
    return recording.differences(one, answer.status_code, dict(answer.headers), answer.text)


def test_answers_every_recorded_request_as_the_real_master_did(replayed):
    assert len(replayed) > 130
    found, excused = [], set()
    for one, answer in replayed:
        wrong = differences(one, answer)
        asked = f"{one.method} {one.path}"
        if wrong and asked in ALLOWED:
            excused.add(asked)
        else:
            found += [f"{one.title} | {asked}: {text}" for text in wrong]
    assert not found, "\n".join(found)
    assert excused == set(ALLOWED), "an excuse that excuses nothing"


def test_the_comparison_sees_one_changed_field(replayed):
    """Shows that the contract holds something: a member of an answer with another kind of value is seen."""
    missed, tried = [], 0
    for one, answer in replayed:
        if (
            f"{one.method} {one.path}" in ALLOWED
            or one.answer[:1] not in "{["
            or not one.answer
            or recording.cut(one.answer)
        ):
            continue
        for name, value in list(members(json.loads(answer.text))):
            changed = json.loads(answer.text)
            parent = follow(changed, name[:-1])
            parent[name[-1]] = 7 if isinstance(value, str) else "other"
            tried += 1
            if not recording.differences(one, answer.status_code, dict(answer.headers), json.dumps(changed)):
                missed.append(f"{one.title}: {name}")
    assert tried > 300 and not missed, missed


def members(value, path=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in pairs:
        yield (*path, key), one
        yield from members(one, (*path, key))


def follow(value, path):
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("change", ["status", "header", "a member of an answer that was cut"])
def test_the_comparison_sees_other_changes(replayed, change):
    if change == "header":
        one, answer = next((o, a) for o, a in replayed if o.title == "login: determined/empty")
        assert recording.differences(one, answer.status_code, {"set-cookie": "auth=x"}, answer.text)
        return
    one, answer = next((o, a) for o, a in replayed if o.title == "resource pools")
    assert not differences(one, answer)
    if change == "status":
        assert recording.differences(one, 404, {}, answer.text)
    else:
        assert recording.differences(
            one, answer.status_code, {}, answer.text.replace('"numAgents":0', '"numAgents":"0"', 1)
        )


def test_every_json_answer_carries_the_recorded_headers(replayed):
    for one, answer in replayed:
        if one.answer and f"{one.method} {one.path}" not in ALLOWED and "swagger" not in one.path:
            assert answer.headers["content-type"].startswith("application/json"), one.title
            assert {answer.headers.get("x-content-type-options"), answer.headers.get("x-frame-options")} == {
                "nosniff",
                "SAMEORIGIN",
            }
            assert "x-xss-protection" in answer.headers
            rpc = one.path.startswith("/api/v1/") and answer.status_code == 200
            assert answer.headers.get("grpc-metadata-content-type") == ("application/grpc" if rpc else None), one.title


# --- users -----------------------------------------------------------------------------------------------------------


def test_a_password_given_at_creation_is_lost_and_one_that_is_set_is_kept(master):
    admin = master.login("admin")
    user = {"user": {"username": "somebody", "active": True}, "password": "given"}
    assert master.ask("POST", "/api/v1/users", admin, json=user).status_code == 200
    assert (
        master.ask("POST", "/api/v1/auth/login", json={"username": "somebody", "password": "given"}).status_code == 401
    )
    token = master.login("somebody", "")
    assert master.ask("POST", "/api/v1/users/somebody/password", token, json="a new one").status_code == 200
    before = master.seconds_of_processor()
    assert master.ask("POST", "/api/v1/auth/login", json={"username": "somebody", "password": ""}).status_code == 401
    assert master.seconds_of_processor() - before < 0.5, "no hash is made for an empty one"
    master.login("somebody", "a new one")
    assert master.seconds_of_processor() - before > 0.5, "bcrypt of cost 15, as the real one's"
    hashed = hashlib.sha512((SALT + "a new one").encode()).hexdigest()
    assert master.ask("POST", "/login", json={"username": "somebody", "password": hashed}).status_code == 200


def test_no_password_and_no_token_is_kept_readable(master, database):
    token = master.login("admin")
    master.ask("POST", "/api/v1/users/admin/password", token, json="readable-1")
    rows = str(database.query("select * from users") + database.query("select * from user_sessions"))
    assert "$2a$" in rows and "readable-1" not in rows and token not in rows
    assert (
        database.PASSWORD not in master.log.read_text() and database.PASSWORD not in master.ask("GET", "/config").text
    )


def test_s3_keys_are_never_shown(binary, database, tmp_path):
    storage = {
        "type": "s3",
        "bucket": "models",
        "access_key": "ak-1",
        "secret_key": "sk-1",
        "endpoint_url": "http://minio.example:9000",
    }
    with Master(binary, database, tmp_path, checkpoint_storage=storage) as master:
        shown = master.ask("GET", "/api/v1/master/config", master.login()).json()["config"]["checkpoint_storage"]
        assert shown == {
            **storage,
            "access_key": "********",
            "secret_key": "********",
            "save_experiment_best": 0,
            "save_trial_best": 1,
            "save_trial_latest": 1,
        }
        everything = (
            master.ask("GET", "/config").text + master.ask("GET", "/logs", master.login()).text + master.log.read_text()
        )
        assert "ak-1" not in everything and "sk-1" not in everything


def test_users_sessions_and_cluster_id_outlive_the_master_tasks_do_not(binary, database, tmp_path):
    with Master(binary, database, tmp_path) as first:
        token, info = first.login(), first.ask("GET", "/info").json()
        first.ask("POST", "/api/v1/commands", token, json={"config": {"entrypoint": ["true"]}})
    with Master(binary, database, tmp_path, new=False) as second:
        again = second.ask("GET", "/info").json()
        assert again["cluster_id"] == info["cluster_id"] and again["master_id"] != info["master_id"]
        assert second.ask("GET", "/api/v1/commands", token).json()["commands"] == []


# --- starts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, said",
    [
        ("nosuchkey: 1\n", 'json: unknown field "nosuchkey"'),
        ("db: [\n", "cannot unmarshal configuration"),
        (None, "error finding configuration file"),
        ("checkpoint_storage: {type: s3}\n", "s3 needs bucket"),
    ],
)
def test_a_bad_configuration_ends_it(binary, tmp_path, text, said):
    path = tmp_path / "master.yaml"
    if text is not None:
        path.write_text(text)
    done = subprocess.run([binary, "--config-file", path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and said in done.stderr


def test_waits_for_the_database_and_survives_its_loss(binary, database, tmp_path):
    database.stop()
    master = Master(binary, database, tmp_path, new=False)
    master.start([binary, "--config-file", master.file], {"PATH": "/usr/bin:/bin"})
    try:
        until("it to say that it waits", lambda: "trying again in 4s" in master.log.read_text())
        assert f"dial error (dial tcp 127.0.0.1:{database.port}: connect: connection refused)" in master.log.read_text()
        database.start()
        master.wait()
        token = master.login()
        database.stop()
        assert master.ask("GET", "/info").status_code == 200
        lost = master.ask("GET", "/api/v1/auth/user", token)
        assert lost.status_code == 500 and lost.json()["error"]["code"] == 13
        lost = master.ask("GET", "/users/me", token)
        assert lost.status_code == 500 and set(lost.json()) == {"message"}
        database.start()
        until("it to find it again", lambda: master.ask("GET", "/api/v1/auth/user", token).status_code == 200)
        master.process.send_signal(signal.SIGTERM)
        assert master.process.wait(30) == -signal.SIGTERM  # as the real one: at once, by the signal
    finally:
        master.__exit__()
        if database.process.poll() is not None:
            database.start()


def odd(binary, database, folder, password) -> Master:
    """A master that logs in to its database as another user, with this password."""
    if database.query("select 1 from pg_roles where rolname = 'odd'"):
        database.query("drop owned by odd")
    database.query("drop role if exists odd")
    database.query(f"create role odd superuser login password '{password}'")
    given = {"user": "odd", "password": password, "host": "127.0.0.1", "port": database.port, "name": "determined"}
    return Master(binary, database, folder, db=given)


MAY, MAY_NOT = recording.signs_of_a_password()


def test_a_password_of_what_a_url_takes_is_the_databases(binary, database, tmp_path):
    with odd(binary, database, tmp_path, "a" + "".join(MAY) + "9") as master:
        assert master.login()


@pytest.mark.parametrize("password", [*(f"not{sign}a-word" for sign in MAY_NOT), "a/b#cdefgh", "not-%41-word"])
def test_a_password_that_a_url_takes_for_something_else_opens_no_database(binary, database, tmp_path, password):
    master = odd(binary, database, tmp_path, password)
    master.start([binary, "--config-file", master.file], {"PATH": "/usr/bin:/bin"})
    try:
        until("it to try again", lambda: "trying again in 4s" in master.log.read_text())
        assert not re.search("accepting incoming connections", master.log.read_text())
    finally:
        master.__exit__()


def test_a_master_on_anothers_port_ends_as_the_real_one(master, binary):
    said, code = recording.busy_port()
    done = subprocess.run([binary, "--config-file", master.file], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (code, "")
    assert said.replace(":18080", f":{master.port}") in done.stderr


def test_without_its_database_it_answers_as_the_real_one(binary, database, tmp_path):
    recorded = recording.without_its_database()
    assert len(recorded) == 6
    refused = next(said["error"]["error"] for _, _, said in recorded if "dial error" in str(said))
    with Master(binary, database, tmp_path) as master:
        token = master.login()
        database.stop()
        try:
            # Of a connection that ends below it, it tells what PostgreSQL said last, if anything.
            until("it to connect anew", lambda: "dial error" in master.ask("GET", "/api/v1/users", token).text)
            for path, status, said in recorded:
                text = json.dumps(said).replace("unexpected EOF", refused).replace("15432", str(database.port))
                answer = master.ask("GET", path, token)
                assert (path, answer.status_code, answer.json()) == (path, status, json.loads(text))
        finally:
            database.start()


def test_kubernetes_without_a_cluster(binary, database, tmp_path):
    with Master(
        binary,
        database,
        tmp_path,
        resource_manager={"type": "kubernetes", "namespace": "default", "max_slots_per_pod": 0},
    ) as master:
        token = master.login()
        for method, path, said in (
            ("GET", "agents", "cannot find agents or pods actor"),
            ("POST", "notebooks", "/api/v1/notebooks not found"),
            ("GET", "resource-pools", "cannot find appropriate resource manager"),
        ):
            answer = master.ask(method, "/api/v1/" + path, token)
            assert (answer.status_code, answer.json()["error"]["error"]) == (404, said)
        assert master.ask("GET", "/api/v1/notebooks", token).json()["notebooks"] == []


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_waits_while_no_agent_is_there_and_ends_when_it_is_killed(master):
    token = master.login()
    made = master.ask(
        "POST", "/api/v1/commands", token, json={"config": {"entrypoint": ["true"], "resources": {"slots": 2}}}
    ).json()["command"]
    assert made["state"] == "STATE_PENDING"
    assert master.ask("GET", "/tasks", token).json()[made["id"]]["slots_needed"] == 2
    master.ask("POST", f"/api/v1/commands/{made['id']}/kill", token)
    summary = master.ask("GET", f"/commands/{made['id']}", token).json()
    assert (summary["state"], summary["exit_status"]) == ("TERMINATED", "task is aborted without being scheduled")
    events = master.ask("GET", f"/commands/{made['id']}/events", token).json()
    assert [bool(e["scheduled_event"]) for e in events] == [True, False] and events[1]["exited_event"] == summary[
        "exit_status"
    ]


def test_experiments_are_refused_as_a_double_must(master):
    config = yaml.safe_dump({"description": "x", "entrypoint": "model:Trial", "searcher": {"name": "single"}})
    answer = master.ask("POST", "/api/v1/experiments", master.login(), json={"config": config, "modelDefinition": []})
    assert (
        answer.status_code == 501
        and "double" in answer.json()["error"]["error"]
        and "no experiments" in answer.json()["error"]["error"]
    )


def test_a_request_to_the_api_of_more_than_4_mib_is_refused_and_one_to_an_older_route_is_not(master):
    token, most = master.login(), recording.most_of_a_request()

    def start(path, name, size):
        file = {"path": "zeros", "type": 48, "content": base64.b64encode(bytes(size)).decode()}
        config = {"entrypoint": ["true"], "resources": {"slots": 0}}
        return master.ask("POST", path, token, json={"config": config, name: [file]})

    assert start("/api/v1/commands", "files", most - 4096).status_code == 200
    refused = start("/api/v1/commands", "files", most)
    assert refused.status_code == 429
    said = refused.json()["error"]
    assert (said["code"], said["reason"]) == (8, "ResourceExhausted")
    assert re.fullmatch(rf"grpc: received message larger than max \(\d+ vs\. {most}\)", said["error"])
    assert start("/commands", "user_files", most).status_code == 200


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../outside", ""])
def test_a_context_reaches_nothing_outside_itself(master, path):
    file = {"path": path, "type": 48, "content": base64.b64encode(b"x").decode()}
    answer = master.ask(
        "POST", "/api/v1/commands", master.login(), json={"config": {"entrypoint": ["true"]}, "files": [file]}
    )
    assert answer.status_code == 400 and "below the context" in answer.text


# --- the real client -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def client():
    """`det`, with a Python 3.7 of this machine."""
    base = python37.interpreter()
    if not base:
        pytest.skip("no Python 3.7 on this machine: pyenv install 3.7")
    client = determined_client.Client(determined_client.installed(base))
    yield client
    client.end()


@pytest.fixture
def det(client, master, tmp_path):
    """det(...) -> (exit code, what it printed), logged in as its default user."""
    return functools.partial(client, master.url, tmp_path)


def test_the_real_client_logs_in_and_lists(det):
    assert det("user", "whoami") == (0, "You are logged in as user 'determined'\n")
    code, users = det("user", "list")
    assert (
        code == 0
        and re.search(r"admin\s+\| True\s+\| True", users)
        and re.search(r"determined\s+\| False\s+\| True", users)
    )
    headings = {
        "notebook": "Exit Status",
        "shell": "Exit Status",
        "command": "Exit Status",
        "tensorboard": "Experiment Ids",
        "experiment": "Progress",
        "agent": "Registered Time",
        "slot": "Enabled",
        "task": "Slots Needed",
        "template": "Name",
        "model": "Creation Time",
    }
    printed = {kind: det(kind, "list")[1] for kind in headings}
    assert {kind: headings[kind] in text for kind, text in printed.items()} == dict.fromkeys(headings, True), printed
    code, config = det("master", "config")
    assert code == 0 and json.loads(config)["db"]["password"] == "********"
    code, logs = det("master", "logs")
    assert code == 0 and "[info]: " in logs
    code, version = det("version")
    assert code == 0 and version.count("0.15.3") == 2


def test_the_real_client_runs_into_what_was_recorded(det):
    assert det("experiment", "describe", "1") == (1, "Failed to describe experiment: Not Found\n")
    assert det("notebook", "kill", "nosuch") == (1, "Failed to kill a notebook: Not Found\n")
    code, printed = det("resources", "raw", "2026-01-01", "2026-01-02")
    assert (
        code == 1
        and 'invalid start time: parsing time "2026-01-01" as "2006-01-02T15:04:05Z": cannot parse "" as "T"' in printed
    )
    assert det("user", "logout") == (0, "")


def test_the_real_client_starts_follows_and_kills(det, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "a.txt").write_text("a")
    code, printed = det(
        "notebook", "start", "--no-browser", "--detach", "-c", str(context), "--config", "description=mine"
    )
    made = printed.split()[-1]
    assert code == 0 and re.fullmatch("[0-9a-f-]{36}", made)
    assert re.search(made + r" \| determined \| mine\s+\| PENDING", det("notebook", "list")[1])
    assert det("notebook", "kill", made) == (0, f"Killed notebook {made}\n")
    code, printed = det("notebook", "logs", made)  # over a websocket
    assert code == 0 and "mine was terminated: task is aborted without being scheduled" in printed


# --- the image of its tasks ------------------------------------------------------------------------------------------


ENVIRONMENT = builds.RECIPES / "determined-environment/requirements.txt"


def pins(text: str) -> dict[str, str]:
    """{name: version}"""
    found = re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", text, flags=re.M)
    return {re.sub("[_.]", "-", name.lower()): version for name, version in found}


def test_the_environment_has_nothing_that_only_the_runbook_needs():
    """The real image has none of it: a notebook has to bring it along."""
    needed = pins((SETUP / "requirements-notebook-task.txt").read_text())
    theirs = {"protobuf"}  # TensorFlow's
    assert needed.keys() > theirs and not (needed.keys() - theirs) & pins(ENVIRONMENT.read_text()).keys()


def test_the_environment_has_the_runbooks_versions():
    """Else a helper that works in the tests' Python 3.7 does not in a notebook there."""

    ours, theirs = pins((SETUP / "requirements-notebook.txt").read_text()), pins(ENVIRONMENT.read_text())
    boto3s = {"python-dateutil", "urllib3"}
    assert {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]} == boto3s
    assert theirs["boto3"].split(".")[:2] < ["1", "36"]  # MinIO of 2021 refuses the checksums of later ones
