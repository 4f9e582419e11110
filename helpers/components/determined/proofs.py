"""The proofs of chapter 08: what a user of Determined would accept as a sign that it works."""

from __future__ import annotations

import re
import shlex
import socket

from helpers.components.determined import checkpoint, task_files
from helpers.components.determined.master import Refused
from helpers.components.determined.task_pod import CONTAINER, WORK
from helpers.components.kubernetes.objects import SERVICE_TYPES
from helpers.core import catalogue
from helpers.core.errors import RunbookError, Unmet

#: seconds that a command stays, at its first and second try: the master opens its log when it has seen it run, on a
#: busy host many seconds later, and what a command says that has ended by then is lost
_STAYS = (3, 30)
#: what a chapter in a notebook stands on: the helpers, and the clients of three servers
_LOAD = "import minio, psycopg, python_pachyderm; from helpers import Chapter; print(Chapter.__name__)"
#: of what the hook printed: its own words, pip's errors (of what builds a package, too), the last line of a traceback
_HOOK_SAYS = re.compile(r"runbook: |\s*(ERROR|\w+Error): ")


class Proofs:
    """Each returns a text to show or None, and raises when it is not so. det: the client."""

    def __init__(self, det):
        self.det, self.ch, self.kube = det, det.ch, det.kube
        self.version = catalogue.load()["determined-master"].version

    # -- the master --------------------------------------------------------------------------------

    def answers(self):
        """The master answers, and is the pinned version."""
        found = self.det.info()
        if found["version"] != self.version:
            raise Unmet("version " + self.version, "version " + found["version"], "det-version")
        return "version {}, cluster {}".format(found["version"], found["clusterId"])

    def stores_in(self, bucket, endpoint):
        """The master runs with our object store, and reports to nobody."""
        settings = self.det.settings()
        store = settings["checkpoint_storage"]
        is_so = (store.get("type"), store.get("bucket"), store.get("endpoint_url"))
        if is_so != ("s3", bucket, endpoint):
            raise Unmet(f"checkpoints in s3, {bucket}, {endpoint}", "{}, {}, {}".format(*is_so))
        if (settings.get("telemetry") or {}).get("enabled"):
            raise Unmet("no reports to Determined's makers", "telemetry is on")
        return f"s3://{bucket} at {endpoint}"

    def has_checkpoint(self, s3, bucket):
        """What the task wrote is read back from here."""
        why = checkpoint.why_not_written(s3, bucket)
        if why:
            raise Unmet(f"the {len(checkpoint.CHECKPOINT_BYTES)} bytes that the task wrote", why)

    def agents_with_gpus(self):
        """On Kubernetes each node with GPUs is an agent, each GPU a slot; a node without is none."""
        agents = self.det.ask_cluster("GET", "/api/v1/agents", token=self.det.token())["agents"]
        rows = [_gpus(agent) for agent in agents]
        return "; ".join(sorted(row for row in rows if row)) or "none: no node offers a GPU"

    # -- who gets in -------------------------------------------------------------------------------

    def logs_in(self, name):
        """The user logs in with our password and is who it says."""
        found = self.det.ask("GET", "/api/v1/auth/user", token=self.det.token(name))["user"]
        if found["username"] != name or not found["active"]:
            raise Unmet("user " + name, "user {}".format(found["username"]))

    def strangers_are_refused(self, name):
        """A wrong password does not get the user in, and without a token there is nothing to see."""
        if self.det.login(name, "not-the-password"):
            raise Unmet("refused", f"{name} gets in with a wrong password")
        try:
            self.det.ask("GET", "/api/v1/experiments")
        except Refused:
            return None
        raise Unmet("refused without a token", "the list of experiments")

    def exposed_as_asked(self, expose, node_port):
        """The Service is of the type that was asked for; an exposed one answers there."""
        found = self.kube.get(f"service {self.det.service} -n {self.det.space}")
        wanted = SERVICE_TYPES[expose]
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
        at = f"{given[0]}:{self.det.port}"
        self.ch.run(catalogue.FETCH + f"fetch http://{at}/api/v1/master", sudo=False)
        return at

    # -- tasks -------------------------------------------------------------------------------------

    def runs_command(self, user):
        """A command of zero slots is accepted, followed to its end, and its output seen."""
        for stay in _STAYS:
            said = self.det.command(["sh", "-c", f"echo $((6 * 7)) is the answer; sleep {stay}"], user)
            if "42 is the answer" in said:
                return "accepted, ended, and said: 42 is the answer"
        raise Unmet("its output", repr(said[-80:]), "det-output")

    def tells_failure(self, user):
        """A command that fails is told to have failed, with what it said."""
        for stay in _STAYS:
            try:
                self.det.command(["sh", "-c", f"echo no such data; sleep {stay}; exit 3"], user)
            except RunbookError as e:
                if "no such data" in (e.saw or ""):
                    return "it failed, and said: no such data"
                failure = e
            else:
                raise Unmet("a command that fails", "it ended well")
        raise failure

    def runs_notebook(self, user):
        """A notebook with the runbook in it: JupyterLab answers through the master's proxy, and the helpers load.

        Before JupyterLab starts, startup-hook.sh installs what the helpers need; that is waited for.
        """
        made = self.det.start_notebook(user, "runbook proof", task_files.packed(task_files.runbooks()))
        task = self.det.task("notebooks", made["id"], user)
        try:
            there = self.det.http.get("/proxy/{}/api/contents/helpers/__init__.py".format(made["id"])).status_code
            if there != 200:
                raise Unmet("helpers/ among its files", f"status {there}")
            self.helpers_load(task)
        finally:
            task.kill()
        return "JupyterLab answers, the packages that its image lacked are there, the helpers load"

    def helpers_load(self, task):
        """Unmet, with what the hook said, when they do not load in the notebook's pod."""
        at = f"-n {self.det.space}"
        load = f"cd {WORK}; python3 -c {shlex.quote(_LOAD)} 2>&1 | tail -n 1"
        said = self.kube.kubectl(f"exec {at} {task.pod()} -c {CONTAINER} -- sh -c {shlex.quote(load)}")
        if said != "Chapter":
            words = [said, *(line for line in task.lines() if _HOOK_SAYS.match(line))]
            raise Unmet("the runbook's helpers in the notebook", "\n".join(words), "det-notebook")


def _gpus(agent):
    """How many GPUs an agent has and how many are in use; "" when it has none."""
    slots = (agent.get("slots") or {}).values()
    gpus = [slot for slot in slots if (slot.get("device") or {}).get("type", "").endswith("GPU")]
    used = sum(bool(slot.get("container")) for slot in gpus)
    return "{}: {} GPUs, {} in use".format(agent["id"], len(gpus), used) if gpus else ""
