"""Determined's master as a client sees it: its REST API, sessions of its users, and its tasks on Kubernetes."""

from __future__ import annotations

import json
import re

import httpx

from helpers.components.determined.task import Task
from helpers.components.determined.task_pod import with_host_pip
from helpers.components.kubernetes.kube import Kube
from helpers.core.errors import CommandFailed, RunbookError

NOTEBOOK = "runbook"
#: what the master says when it is there and its database is not
_DATABASE_LOST = re.compile("unexpected EOF|failed to connect|connection re|conn closed|bad connection")


class Refused(RunbookError):
    """The master says no to what was sent: status 4xx, but not 404 (that one is None)."""

    final = True


class Determined:
    """Determined's master on the chapter's cluster. release, namespace: helm's; port: of its Service."""

    def __init__(self, ch, release="determined", namespace="determined", port=8080):
        self.ch, self.kube = ch, Kube(ch)
        self.release, self.space, self.port = release, namespace, port
        self.service = "determined-master-service-" + release
        self._deployment = "deploy/determined-master-deployment-" + release
        self._address, self._http, self._tokens, self._open = None, None, {}, []

    # -- the API -----------------------------------------------------------------------------------

    @property
    def address(self):
        """The Service's address in the cluster, for the host, for pods, and for a SOCKS proxy through the host."""
        if self._address is None:
            self._address = self.kube.service_address(self.service, self.space)
        return self._address

    @property
    def http(self):
        """An HTTP client whose paths are the master's, through SSH where this machine needs that."""
        if self._http is None:
            where = self.ch.until_the_verdict(self.ch.host.way(self.port, self.address))
            self._http = httpx.Client(base_url="http://{}:{}".format(*where), timeout=120, trust_env=False)
            self.ch.cleanup(self._leave)
        return self._http

    def _leave(self):
        """Log out of every session that was opened: each is a row in the master's database."""
        for token in self._open:
            try:
                self._http.post("/api/v1/auth/logout", headers=_bearer(token), timeout=5)
            except httpx.HTTPError:
                break
        self._http.close()

    def ask(self, method, path, body=None, token=None):
        """The answer's JSON (text where it is none); None for 404.

        Refused for other 4xx; RunbookError, with its entry, when the master or its database is away.
        """
        answer = self._send(method, path, body, token)
        if answer.status_code >= 500:  # after its database was away, the master's first question to it fails once more
            answer = self._send(method, path, body, token)
        what, said = f"{method} {path}", _message(answer)
        if answer.status_code >= 500:
            lost = _DATABASE_LOST.search(said)
            raise self._error(what, "the master does not reach its database" if lost else said, _away(lost))
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            raise Refused(what, self.ch.host.name, f"status {answer.status_code}: {said}")
        try:
            return answer.json()
        except ValueError:
            return answer.text

    def ask_cluster(self, method, path, body=None, token=None):
        """As ask, for what the master has of its cluster. RunbookError, det-pods, where it has lost that.

        0.15.3 ends its part for pods for good when it cannot open a watch again, as while the API server restarts. It
        serves on, and answers 404 for what it has no part for (master/internal/kubernetes/pods.go).
        """
        found = self.ask(method, path, body, token)
        if found is None:
            do = f"On the host: microk8s kubectl rollout restart -n {self.space} " + self._deployment
            saw = "the master has lost the cluster's API, and finds it again when it starts anew only"
            raise RunbookError(f"ask Determined's master: {method} {path}", self.ch.host.name, saw, do, "det-pods")
        return found

    def _send(self, method, path, body, token):
        content = None if body is None else json.dumps(body)
        try:
            return self.http.request(method, path, content=content, headers=_bearer(token))
        except (httpx.HTTPError, OSError, CommandFailed) as e:  # the last: there is no Service
            raise self._error(f"{method} {path}", f"{method} {path} gets no answer", _away(False)) from e

    def _error(self, what, saw, entry):
        do = (
            f"On the host: microk8s kubectl get pods -n {self.space}; "
            f"microk8s kubectl logs -n {self.space} {self._deployment} --tail=30"
        )
        return RunbookError("ask Determined's master: " + what, self.ch.host.name, saw, do, entry)

    def info(self):
        """What the master says of itself, without a login: version, clusterId, clusterName."""
        return self.ask("GET", "/api/v1/master")

    def found_version(self):
        """The version of the master that answers; "" when none does, or nothing is to be asked."""
        if not self.ch.proving:
            return ""
        try:
            return self.info()["version"]
        except RunbookError:
            return ""

    def why_no_answer(self):
        """None when the master answers, else what came back."""
        try:
            return None if self.info() else f"what answers at {self.address}:{self.port} is no master"
        except RunbookError as e:
            return e.saw

    def settings(self):
        """The master's configuration as it runs; secrets in it are stars."""
        return self.ask("GET", "/api/v1/master/config", token=self.token())["config"]

    def why_others_work(self):
        """For remove: None when there are no experiments; this chapter makes none. RunbookError when nobody knows."""
        if not self.kube.installed():
            return None
        if not self.kube.kubectl(f"get service {self.service} -n {self.space} --ignore-not-found -o name"):
            return None  # it was never there, or a remove was cut off after it had asked
        said = self.ask("GET", "/api/v1/experiments?limit=5", token=self.first_token())["experiments"]
        names = [f"{e['id']} ({e.get('username', 'somebody')}: {e.get('description', '')})" for e in said]
        return "experiments of others: " + ", ".join(names) if names else None

    # -- users -------------------------------------------------------------------------------------

    def secret(self, name):
        """Our password of this user: the secret determined-<name>."""
        return self.ch.secret("determined-" + name)

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
            token = self.login(name, self.secret(name).reveal())
            if token is None:
                raise self._error("log in as " + name, f"{name}'s password is not ours", "det-login")
            self._tokens[name] = token
        return self._tokens[name]

    def first_token(self):
        """A token of admin, whose password is ours, or empty as on the first day. A login costs seconds: bcrypt."""
        token = self._tokens.get("admin") or self.login("admin", self.secret("admin").reveal())
        token = token or self.login("admin", "")
        if token is None:
            raise self._error("log in as admin", "its password is neither empty nor ours", "det-login")
        return token

    # -- tasks -------------------------------------------------------------------------------------

    def command(self, words, user, environment=None, files=()):
        """Run a command of zero slots to its end; returns its output, which is lost when it ends within a second.

        environment: as in Determined's configurations; see task_pod. files: see task_files.packed.
        RunbookError with its last lines when it fails.
        """
        config = {"description": "runbook proof", "entrypoint": list(words), "resources": {"slots": 0}}
        if environment:
            config["environment"] = environment
        task = self.task("commands", self._start("command", config, files, user)["id"], user)
        try:
            ended = task.follow(lambda found: found["state"] == "TERMINATED")
            if "success" not in str(ended.get("exit_status")):
                raise self._error("run a command", task.end(ended), "det-task")
            return "\n".join(task.lines())
        finally:
            task.kill()

    def _start(self, kind, config, files, user):
        request = {"config": config, "files": list(files)}
        return self.ask_cluster("POST", f"/api/v1/{kind}s", request, self.token(user))[kind]

    def task(self, kind, id, user):
        """A task that was started: task.Task. kind: "commands" or "notebooks"."""
        return Task(self, kind, id, user)

    def start_notebook(self, user, description=NOTEBOOK, files=(), secrets=None):
        """Start JupyterLab with these files (see task_files.packed); returns the task once its page answers.

        secrets: see task_pod.with_host_pip.

        It is killed when its page does not.
        """
        config = {"description": description, "resources": {"slots": 0}}
        config["environment"] = {"pod_spec": {"spec": with_host_pip(secrets)}}
        made = self._start("notebook", config, files, user)
        task = self.task("notebooks", made["id"], user)
        try:
            task.follow(lambda found: found["state"] == "RUNNING" and self._page(made))
        except BaseException:
            task.kill()
            raise
        return made

    def _page(self, task):
        """Does its JupyterLab answer through the master's proxy?"""
        try:
            answer = self.http.get("/proxy/{}/lab".format(task["id"]), timeout=60, follow_redirects=True)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and "jupyter" in answer.text.lower()

    def notebooks(self, user, description=NOTEBOOK):
        """The user's running notebooks of that description."""
        found = self.ask_cluster("GET", "/api/v1/notebooks", token=self.token(user))["notebooks"]
        wanted = (description, user, "STATE_RUNNING")
        return [task for task in found if (task["description"], task["username"], task["state"]) == wanted]

    def stop_notebook(self, task, user):
        self.ask("POST", "/api/v1/notebooks/{}/kill".format(task["id"]), {}, self.token(user))


def _bearer(token):
    return {"Authorization": "Bearer " + token} if token else {}


def _away(database):
    """The troubleshooting entry: is it the database that is away, or the master itself?"""
    return "det-db" if database else "det-down"


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
