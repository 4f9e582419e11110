"""Determined as a chapter sets it up and proves it: its master's REST API, its users, its tasks on Kubernetes."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket

import httpx
import urllib3
from minio.error import S3Error

from helpers.components.determined import task_files as context
from helpers.components.kubernetes.kube import Kube, all_of, available
from helpers.core import catalogue
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed, NotYet, RunbookError, Unmet

KEYS = "determined-keys"
#: where a task's files lie in its container, and the container's name, which a pod_spec of ours must have
WORK, CONTAINER = "/run/determined/workdir", "determined-container"
#: what the proof's task writes, below its bucket
CHECKPOINT, CHECKPOINT_BYTES = "runbook-proof/checkpoint.bin", bytes(range(256)) * 256
NOTEBOOK = "runbook"
#: the parameter `expose` as the Service's type
SERVICES = {"cluster": "ClusterIP", "node": "NodePort", "loadbalancer": "LoadBalancer"}

# boto3 is what Determined itself writes checkpoints with. The endpoint and the keys come as the task's environment.
_WRITER = """
import boto3, os
s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], region_name="us-east-1",
                  aws_access_key_id=os.environ["ACCESS_KEY"], aws_secret_access_key=os.environ["SECRET_KEY"])
data = bytes(range(256)) * 256
s3.put_object(Bucket=os.environ["BUCKET"], Key=os.environ["KEY"], Body=data)
assert s3.get_object(Bucket=os.environ["BUCKET"], Key=os.environ["KEY"])["Body"].read() == data
print("checkpoint written and read back:", len(data), "bytes")
"""


class Refused(RunbookError):
    """The master says no to what was sent: status 4xx, but not 404 (that one is None)."""


class Determined:
    """Determined's master on the chapter's cluster. release, namespace: helm's; port: of its Service."""

    def __init__(self, ch, release="determined", namespace="determined", port=8080):
        self.ch, self.kube = ch, Kube(ch)
        self.release, self.space, self.port = release, namespace, port
        self.service = "determined-master-service-" + release
        self.version = catalogue.load()["determined-master"].version
        self._address, self._http, self._tokens, self._open = None, None, {}, []

    # -- the API -----------------------------------------------------------------------------------

    @property
    def address(self):
        """The Service's address in the cluster, for the host, for pods, and for a SOCKS proxy through the host."""
        if self._address is None:
            self._address = self.kube.kubectl(
                f"get service {self.service} -n {self.space} -o jsonpath='{{.spec.clusterIP}}'"
            )
        return self._address

    @property
    def http(self):
        if self._http is None:
            local = self.ch.host.target.kind == "local"
            where = (self.address, self.port) if local else ("127.0.0.1", self.ch.forward(self.port, self.address))
            self._http = httpx.Client(base_url="http://{}:{}".format(*where), timeout=30, trust_env=False)
            self.ch.cleanup(self._leave)
        return self._http

    def _leave(self):
        """Log out of every session that was opened: each is a row in the master's database."""
        for token in self._open:
            try:
                self._http.post("/api/v1/auth/logout", headers={"Authorization": "Bearer " + token}, timeout=5)
            except httpx.HTTPError:
                break
        self._http.close()

    def ask(self, method, path, body=None, token=None, timeout=30):
        """The answer's JSON (text where it is none); None for 404. Refused for other 4xx; RunbookError, with its entry, when the master or its database is away."""
        what = f"{method} {path}"
        kw = {"headers": {"Authorization": "Bearer " + token} if token else {}, "timeout": timeout}
        if body is not None:
            kw["content"] = json.dumps(body)
        for attempt in (1, 2):
            try:
                answer = self.http.request(method, path, **kw)
            except (httpx.HTTPError, OSError, CommandFailed):  # the last: there is no Service
                raise self._error(what, what + " gets no answer", "det-down")
            # After its database was away, the master's first question to it fails once more.
            if answer.status_code < 500 or attempt == 2:
                break
        said = _message(answer)
        if answer.status_code >= 500:
            lost = re.search("unexpected EOF|failed to connect|connection re|conn closed|bad connection", said)
            raise self._error(
                what, "the master does not reach its database" if lost else said, "det-db" if lost else "det-down"
            )
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            raise Refused(what, self.ch.host.name, f"status {answer.status_code}: {said}")
        try:
            return answer.json()
        except ValueError:
            return answer.text

    def _error(self, what, saw, entry):
        error = RunbookError(
            "ask Determined's master: " + what,
            self.ch.host.name,
            saw,
            f"On the host: microk8s kubectl get pods -n {self.space}; microk8s kubectl logs -n {self.space} deploy/determined-master-deployment-{self.release} --tail=30",
        )
        error.entry = entry
        return error

    def info(self):
        """What the master says of itself, without a login: version, clusterId, clusterName."""
        return self.ask("GET", "/api/v1/master", timeout=10)

    def found_version(self):
        """The version of the master that answers; "" when none does, or nothing is to be asked."""
        if not self.ch.proving:
            return ""
        try:
            return self.info()["version"]
        except RunbookError:
            return ""

    def login(self, name, password):
        """A token, or None when that password is not the user's."""
        try:
            answer = self.ask("POST", "/api/v1/auth/login", {"username": name, "password": password})
        except Refused:
            return None
        self.ch.masker.add(answer["token"])
        self._open.append(answer["token"])
        self.http.cookies.clear()  # a login also sets a cookie, and we are several users
        return answer["token"]

    def token(self, name="admin"):
        """A token of this user, by our password. RunbookError when the master does not take it."""
        if name not in self._tokens:
            token = self.login(name, self._secret(name).reveal())
            if token is None:
                raise self._error("log in as " + name, f"{name}'s password is not ours", "det-login")
            self._tokens[name] = token
        return self._tokens[name]

    def _secret(self, name):
        return self.ch.secret("determined-" + name)

    # -- steps -------------------------------------------------------------------------------------

    def namespace(self):
        """Action: the namespace, marked as ours. Removing deletes it with all that is in it: tasks, the database, its volume."""
        ours = (
            self.whose()
            + f"\nmicrok8s kubectl get namespace {self.space} >/dev/null 2>&1 || {{ echo 'there is no namespace {self.space}'; exit 1; }}"
        )
        return Action(
            f"kubectl create namespace {self.space}; kubectl label namespace {self.space} runbook=determined",
            ours,
            lambda: self.kube.kubectl(
                "apply -f -",
                stdin=json.dumps(
                    {
                        "apiVersion": "v1",
                        "kind": "Namespace",
                        "metadata": {"name": self.space, "labels": {"runbook": "determined"}},
                    }
                ),
            ),
            lambda: self.kube.kubectl(f"delete namespace {self.space} --ignore-not-found --timeout=180s", timeout=200),
            absent=f"! microk8s kubectl get namespace {self.space} >/dev/null 2>&1",
        )

    def whose(self):
        """A probe: there is no such namespace, or it is ours."""
        return (
            f"s=$(microk8s kubectl get namespace {self.space} --ignore-not-found -o jsonpath='{{.metadata.name}} {{.metadata.labels.runbook}}')\n"
            f"case $s in ''|'{self.space} determined') ;; *) echo 'namespace {self.space} was there before the runbook'; exit 1;; esac"
        )

    def keys(self, wanted):
        """Action: the Secret that the chart reads. wanted: {"accessKey": text or Secret, ...}."""
        wanted = {k: v if isinstance(v, str) else v.reveal() for k, v in wanted.items()}

        def done():
            found = self._read_keys()
            if found is None:
                return f"there is no Secret {KEYS}"
            other = sorted(
                k
                for k, v in wanted.items()
                if base64.b64decode(found.get("data", {}).get(k, "")).decode("utf-8", "replace") != v
            )
            return " and ".join(f"{k} is not ours" for k in other) or None

        def apply():
            self.kube.kubectl(
                f"apply -n {self.space} -f -",
                stdin=json.dumps(
                    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS}, "stringData": wanted}
                ),
            )

        return Action("kubectl apply -f -   (Secret {}: {})".format(KEYS, ", ".join(sorted(wanted))), done, apply)

    def _read_keys(self):
        said = self.ch.host.run(
            f"microk8s kubectl get secret {KEYS} -n {self.space} --ignore-not-found -o json", raw=True, check=False
        )
        return json.loads(said.out) if said.out.strip() else None

    def revision(self):
        """A word that changes when the Secret does: it restarts the master, which reads its keys at its start only."""
        return ((self._read_keys() or {}).get("metadata") or {}).get("resourceVersion", "")

    def ready(self, own_database):
        """A probe: the master is available, which means that its API answers, and its database in the cluster is."""
        return all_of(
            *[
                available(self.space, "deployment", f"determined-{w}-deployment-{self.release}")
                for w in (["db"] if own_database else []) + ["master"]
            ]
        )

    def database(self, postgres, name):
        """Action: the database and its role on chapter 06's server; remove drops both."""
        made, port = postgres.database(name), postgres.port
        sql = f"runuser -u postgres -- psql -p {port} -AtXc"
        return Action(
            made.shown,
            made.probe,
            made.apply,
            f"runuser -u postgres -- dropdb -p {port} --if-exists {name}\nrunuser -u postgres -- dropuser -p {port} --if-exists {name}",
            absent=f'command -v psql >/dev/null || exit 0\n[ -z "$({sql} "select 1 from pg_roles where rolname = \'{name}\'")" ]',
        )

    def other_database(self, host):
        """None unless Determined is there and its database is elsewhere. host: of another server's, "" for the one in the cluster."""
        said = self.ch.run(
            f"microk8s kubectl get configmap determined-master-config-{self.release} -n {self.space} --ignore-not-found -o jsonpath='{{.data.master\\.yaml}}'",
            quiet=True,
        )
        found = re.search('db:\n +host: "(.*)"', said)
        if found is None or found.group(1) == (host or "determined-db-service-" + self.release):
            return None
        return f"its database is at {found.group(1)}"

    def password(self, name):
        """Action: this user's password is ours, the secret determined-<name>; an empty one gets nobody in."""
        secret = self._secret(name)

        def done():
            if self.login(name, ""):
                return f"{name} gets in with an empty password"
            self.token(name)
            return None

        def apply():
            token = self.login("admin", self._secret("admin").reveal()) or self.login("admin", "")
            if token is None:
                raise self._error("log in as admin", "its password is neither empty nor ours", "det-login")
            self.ask("POST", f"/api/v1/users/{name}/password", secret.reveal(), token)

        return Action(f"POST /api/v1/users/{name}/password   (the secret determined-{name})", done, apply)

    def user(self, name):
        """Action: an active user, without a right to administer. Its password is another action: 0.15.3 loses one that is given here."""

        def done():
            found = self.ask("GET", "/api/v1/users/" + name, token=self.token())
            return (
                None
                if found and found["user"]["active"]
                else f"there is no user {name}"
                if not found
                else f"user {name} is not active"
            )

        def apply():
            if self.ask("GET", "/api/v1/users/" + name, token=self.token()):
                self.ask("PATCH", "/users/" + name, {"active": True}, self.token())
            else:
                self.ask(
                    "POST", "/api/v1/users", {"user": {"username": name, "admin": False, "active": True}}, self.token()
                )

        return Action(f"POST /api/v1/users   (user {name})", done, apply)

    def checkpoint(self, s3, bucket, user):
        """Action: a task has written a checkpoint to the object store, with the master's endpoint and keys, and read it back."""

        def apply():
            store = self.settings()["checkpoint_storage"]
            env = [
                {"name": k, "value": v}
                for k, v in (("ENDPOINT", store["endpoint_url"]), ("BUCKET", store["bucket"]), ("KEY", CHECKPOINT))
            ]
            # By reference: what stands in a task's configuration is shown to every user.
            env += [
                {"name": k, "valueFrom": {"secretKeyRef": {"name": KEYS, "key": v}}}
                for k, v in (("ACCESS_KEY", "accessKey"), ("SECRET_KEY", "secretKey"))
            ]
            self.command(["python3", "-c", _WRITER], user, env)

        def undo():
            with contextlib.suppress(S3Error, urllib3.exceptions.HTTPError):  # a MinIO that is away stops no removal
                s3.client.remove_object(bucket, CHECKPOINT)

        return Action(
            f"det cmd run python3 -c ...   (writes s3://{bucket}/{CHECKPOINT} from a pod)",
            lambda: self._other(s3, bucket),
            apply,
            undo,
            absent=lambda: self._left(s3, bucket),
        )

    @staticmethod
    def _left(s3, bucket):
        try:
            s3.client.stat_object(bucket, CHECKPOINT)
        except (S3Error, urllib3.exceptions.HTTPError):
            return None
        return f"{bucket}/{CHECKPOINT} is still there"

    def has_checkpoint(self, s3, bucket):
        """What the task wrote is read back from here."""
        why = self._other(s3, bucket)
        if why:
            raise Unmet(f"the {len(CHECKPOINT_BYTES)} bytes that the task wrote", why)

    @staticmethod
    def _other(s3, bucket):
        try:
            return (
                None
                if s3.get(bucket, CHECKPOINT) == CHECKPOINT_BYTES
                else f"{bucket}/{CHECKPOINT} is not as a task wrote it"
            )
        except S3Error as e:
            return f"{bucket}/{CHECKPOINT}: {e.code}"

    # -- tasks -------------------------------------------------------------------------------------

    def command(self, words, user, env=(), files=()):
        """Run a command of zero slots to its end; returns its output. RunbookError with its last lines when it fails."""
        config = {"description": "runbook proof", "entrypoint": list(words), "resources": {"slots": 0}}
        if env:
            config["environment"] = {"pod_spec": {"spec": {"containers": [{"name": CONTAINER, "env": list(env)}]}}}
        task = self.ask("POST", "/api/v1/commands", {"config": config, "files": list(files)}, self.token(user))[
            "command"
        ]["id"]
        try:
            found = self._follow("commands", task, user, lambda t: t["state"] == "TERMINATED")
            lines = self._lines(task, user)
        finally:
            self._end("commands", task, user)
        if "success" not in (found.get("exit_status") or ""):
            raise self._error(
                "run a command", "\n".join(["it failed: {}".format(found.get("exit_status"))] + lines[-8:]), "det-task"
            )
        return "\n".join(lines)

    def _follow(self, kind, task, user, until):
        """Wait for a task; its pod may have to pull an image of gigabytes."""

        def ready():
            found = self.ask("GET", f"/{kind}/{task}", token=self.token(user))
            if found is None:
                raise RunbookError("follow the task", saw="the master has forgotten it: was it restarted?")
            if until(found):
                return found
            raise NotYet("; ".join([found["state"].lower()] + [t for t, _ in self.kube.troubles()][:2]))

        return self.ch.wait(
            "a task to run",
            ready,
            failed=self.kube.hopeless,
            timeout=900,
            do=f"On the host: microk8s kubectl get pods -n {self.space}; microk8s kubectl describe pods -n {self.space} -l determined",
        )

    def _lines(self, task, user):
        events = self.ask("GET", f"/commands/{task}/events", token=self.token(user)) or []
        return [
            e["log_event"].rstrip("\n").partition(" || ")[2] or e["log_event"].rstrip("\n")
            for e in events
            if e.get("log_event")
        ]

    def _end(self, kind, task, user):
        try:
            self.ask("POST", f"/api/v1/{kind}/{task}/kill", {}, self.token(user))
        except RunbookError:
            pass  # the error before this one says more

    def start_notebook(self, user, description=NOTEBOOK, files=()):
        """Start JupyterLab with these files (see context.packed); returns the task once its page answers. Killed when it does not."""
        made = self.ask(
            "POST",
            "/api/v1/notebooks",
            {"config": {"description": description, "resources": {"slots": 0}}, "files": list(files)},
            self.token(user),
        )["notebook"]
        try:

            def answers(found):
                if found["state"] == "TERMINATED":
                    raise RunbookError("start a notebook", saw="it ended: {}".format(found.get("exit_status")))
                return found["state"] == "RUNNING" and self._page(made)

            self._follow("notebooks", made["id"], user, answers)
        except BaseException:
            self._end("notebooks", made["id"], user)
            raise
        return made

    def _page(self, task):
        """Does its JupyterLab answer through the master's proxy?"""
        try:
            answer = self.http.get("/proxy/{}/lab".format(task["id"]), timeout=10, follow_redirects=True)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and "jupyter" in answer.text.lower()

    def notebooks(self, user, description=NOTEBOOK):
        """The running notebooks of that description."""
        found = self.ask("GET", "/api/v1/notebooks", token=self.token(user))["notebooks"]
        return [
            n
            for n in found
            if n["description"] == description and n["username"] == user and n["state"] == "STATE_RUNNING"
        ]

    def stop_notebook(self, task, user):
        self.ask("POST", "/api/v1/notebooks/{}/kill".format(task["id"]), {}, self.token(user))

    # -- proofs ------------------------------------------------------------------------------------

    def answers(self):
        """The master answers, and is the pinned version."""
        found = self.info()
        if found["version"] != self.version:
            raise Unmet("version " + self.version, "version " + found["version"], "det-version")
        return "version {}, cluster {}".format(found["version"], found["clusterId"])

    def settings(self):
        """The master's configuration as it runs; secrets in it are stars."""
        return self.ask("GET", "/api/v1/master/config", token=self.token())["config"]

    def stores_in(self, bucket, endpoint):
        """The master runs with our object store, and reports to nobody."""
        found = self.settings()
        store = found["checkpoint_storage"]
        is_so = (store.get("type"), store.get("bucket"), store.get("endpoint_url"))
        if is_so != ("s3", bucket, endpoint):
            raise Unmet(f"checkpoints in s3, {bucket}, {endpoint}", "{}, {}, {}".format(*is_so))
        if (found.get("telemetry") or {}).get("enabled"):
            raise Unmet("no reports to Determined's makers", "telemetry is on")
        return f"s3://{bucket} at {endpoint}"

    def logs_in(self, name):
        """The user logs in with our password and is who it says."""
        found = self.ask("GET", "/api/v1/auth/user", token=self.token(name))["user"]
        if found["username"] != name or not found["active"]:
            raise Unmet("user " + name, "user {}".format(found["username"]))

    def refuses(self, name):
        """A wrong password does not get the user in, and without a token there is nothing to see."""
        if self.login(name, "not-the-password"):
            raise Unmet("refused", f"{name} gets in with a wrong password")
        try:
            self.ask("GET", "/api/v1/experiments")
        except Refused:
            return None
        raise Unmet("refused without a token", "the list of experiments")

    def shut(self, expose, node_port):
        """The Service is of the type that was asked for; an exposed one answers there."""
        found = self.kube.get(f"service {self.service} -n {self.space}")
        wanted = SERVICES[expose]
        if found["spec"]["type"] != wanted:
            raise Unmet("a service of type " + wanted, "its type is {}".format(found["spec"]["type"]), "det-open")
        if expose == "cluster":
            return "no port of the host leads to it"
        if expose == "node":
            with socket.create_connection((self.ch.host.address, node_port), timeout=10):
                return f"port {node_port} of the host"
        given = [i.get("ip") for i in (found["status"]["loadBalancer"].get("ingress") or [])]
        if not given:
            raise Unmet("an address of MetalLB's", "none", "det-open")
        self.ch.run(catalogue.FETCH + f"fetch http://{given[0]}:{self.port}/api/v1/master", sudo=False, quiet=True)
        return f"{given[0]}:{self.port}"

    def runs_command(self, user):
        """A command of zero slots is accepted, followed to its end, and its output seen."""
        said = self.command(["sh", "-c", "echo $((6 * 7)) is the answer"], user)
        if "42 is the answer" not in said:
            raise Unmet("its output", repr(said[:80]))
        return "accepted, ended, and said: 42 is the answer"

    def tells_failure(self, user):
        """A command that fails is told to have failed, with what it said."""
        try:
            self.command(["sh", "-c", "echo no such data; exit 3"], user)
        except RunbookError as e:
            if "no such data" in (e.saw or ""):
                return "it failed, and said: no such data"
            raise
        raise Unmet("a command that fails", "it ended well")

    def runs_notebook(self, user):
        """A notebook with the runbook in it: its JupyterLab answers through the master's proxy, and the helpers load in its container."""
        task = self.start_notebook(user, "runbook proof", context.packed(context.runbooks()))
        try:
            there = self.http.get("/proxy/{}/api/contents/helpers/__init__.py".format(task["id"])).status_code
            if there != 200:
                raise Unmet("helpers/ among its files", f"status {there}")
            pod = self.kube.kubectl(
                "get pods -n {} -l determined={} -o jsonpath='{{.items[0].metadata.name}}'".format(
                    self.space, task["id"]
                )
            )
            said = self.kube.kubectl(
                f"exec -n {self.space} {pod} -c {CONTAINER} -- sh -c 'cd {WORK}; python3 -c \"from helpers import Chapter; print(Chapter.__name__)\"'"
            )
            if said != "Chapter":
                raise Unmet("the runbook's helpers in the notebook", said[-80:])
        finally:
            self._end("notebooks", task["id"], user)
        return "JupyterLab answers, the helpers load"

    def lists_gpus(self):
        """On Kubernetes each node with GPUs is an agent, each GPU a slot; a node without is none."""
        rows = []
        for a in self.ask("GET", "/api/v1/agents", token=self.token())["agents"]:
            slots = [
                s for s in (a.get("slots") or {}).values() if (s.get("device") or {}).get("type", "").endswith("GPU")
            ]
            if slots:
                rows.append(
                    "{}: {} GPUs, {} in use".format(a["id"], len(slots), sum(bool(s.get("container")) for s in slots))
                )
        return "; ".join(sorted(rows)) or "none: no node offers a GPU"


def _message(answer):
    """What an error of the master says: {"error": {"error": ...}} under /api/v1, {"message": ...} elsewhere."""
    try:
        said = answer.json()
    except ValueError:
        return answer.text[:200]
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        return str(error.get("error") or error.get("message"))
    return str(said.get("message", ""))[:200] if isinstance(said, dict) else ""
