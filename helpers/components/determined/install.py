"""The steps of chapter 08: Determined's namespace, keys and users, as actions."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.components.determined import checkpoint
from helpers.components.determined.checkpoint import KEYS
from helpers.components.determined.task_pod import PIP, pip_files
from helpers.components.kubernetes.microk8s import made_by_older
from helpers.components.kubernetes.objects import SERVICE_TYPES
from helpers.components.kubernetes.probes import all_of, available, with_cluster
from helpers.core import shell
from helpers.core.actions import Action
from helpers.core.errors import RunbookError


class Install:
    """The steps; det: the client."""

    def __init__(self, det):
        self.det, self.ch, self.kube, self.space = det, det.ch, det.kube, det.space

    # -- the cluster -------------------------------------------------------------------------------

    def namespace_is_ours(self):
        """A probe: there is no such namespace, or it is ours."""
        return with_cluster(shell.script(Path(__file__).with_name("namespace_is_ours.sh"), self.space))

    def things(self, database_port):
        """What the chapter makes, as core/ownership.py names it. database_port: PostgreSQL's, where that has it."""
        kinds = ("database", "role") if database_port else ()
        return [f"namespace {self.space}", *(f"{kind} {database_port}/determined" for kind in kinds)]

    def made_by_older(self):
        """A probe of one of these: a runbook that kept no note made it, as the namespace's label says."""
        return made_by_older(self.ch, "runbook=determined", self.space)

    def namespace(self):
        """Action: the namespace is there and ours. Remove deletes it with all in it: tasks, database, volume."""
        made = self.kube.namespace(self.space, "runbook=determined")
        return made.but(
            shown=f"kubectl create namespace {self.space}; kubectl label namespace {self.space} runbook=determined",
            probe=all_of(self.namespace_is_ours(), made.probe),
        )

    def keys(self, wanted):
        """Action: the Secret that the chart reads, which goes with its namespace. wanted: {"accessKey": text, ...}."""
        return self.kube.secret(KEYS, self.space, wanted).but(undo=None)

    def pip(self):
        """Action: the Secret with the host's settings for pip, for notebooks' pods. It goes with its namespace."""
        return self.kube.secret(PIP, self.space, pip_files(self.ch.host)).but(undo=None)

    def revision(self):
        """A word that changes when the Secret does: it restarts the master, which reads its keys at its start only."""
        ask = f"microk8s kubectl get secret {KEYS} -n {self.space} --ignore-not-found -o "
        return self.ch.host.run(ask + "jsonpath='{.metadata.resourceVersion}'", quiet=True, check=False).out.strip()

    def ready(self, own_database):
        """A probe: the master is available, which means that its API answers, and so is its database in the cluster."""
        parts = ["db", "master"] if own_database else ["master"]
        return all_of(*[available(self.space, "deployment", self._deployment(part)) for part in parts])

    def _deployment(self, part):
        return f"determined-{part}-deployment-{self.det.release}"

    # -- the database ------------------------------------------------------------------------------

    def why_other_database(self, host):
        """None unless Determined has its database elsewhere. host: of a server, "" for the one in the cluster."""
        ask = f"microk8s kubectl get configmap determined-master-config-{self.det.release} -n {self.space}"
        ask += " --ignore-not-found -o jsonpath='{.data.master\\.yaml}'"
        config = self.ch.run(with_cluster("if not_installed; then exit 0; fi\n" + ask))
        found = re.search('db:\n +host: "(.*)"', config)
        if found is None or found.group(1) == (host or "determined-db-service-" + self.det.release):
            return None
        return f"its database is at {found.group(1)}"

    # -- users -------------------------------------------------------------------------------------

    def password(self, name):
        """Action: this user's password is ours, the secret determined-<name>; an empty one gets nobody in."""

        def why_not_ours():
            if self.det.login(name, ""):
                return f"{name} gets in with an empty password"
            self.det.token(name)
            return None

        self.ch.forgets("determined-" + name)  # remove logs nobody in, and reads no secret
        shown = f"POST /api/v1/users/{name}/password   (the secret determined-{name})"
        return Action(shown, why_not_ours, lambda: self._set_password(name))

    def _set_password(self, name):
        word = self.det.secret(name).reveal()
        self.det.ask("POST", f"/api/v1/users/{name}/password", word, self.det.first_token())

    def user(self, name):
        """Action: an active user, without a right to administer.

        0.15.3 loses a password that is given when a user is made. So it is made inactive, and may log in when its
        password is ours.
        """

        def found():
            return self.det.ask("GET", "/api/v1/users/" + name, token=self.det.token())

        def why_not_active():
            there = found()
            if not there:
                return f"there is no user {name}"
            return None if there["user"]["active"] else f"user {name} is not active"

        def apply():
            new = {"user": {"username": name, "admin": False, "active": False}}
            if not found():
                self.det.ask("POST", "/api/v1/users", new, self.det.token())
            self._set_password(name)
            self.det.ask("PATCH", "/users/" + name, {"active": True}, self.det.token())

        shown = f"POST /api/v1/users   (user {name}, inactive), its password, PATCH /users/{name}   (active)"
        return Action(shown, why_not_active, apply)

    def accounts(self, *names):
        """[(user, whether it may administer, whether it may log in)] of these, and of whoever else may administer."""
        found = self.det.ask("GET", "/api/v1/users", token=self.det.token())["users"]
        shown = sorted((u for u in found if u["username"] in names or u["admin"]), key=lambda u: u["username"])
        return [(u["username"], *("yes" if u[right] else "no" for right in ("admin", "active"))) for u in shown]

    # -- who reaches it ----------------------------------------------------------------------------

    def service(self, expose, node_port, *users):
        """The chart's masterService as `expose` says, but for the cluster only until these users' passwords are ours.

        Without one, whoever reaches the port is admin.
        """
        shut = {"type": SERVICE_TYPES["cluster"], "nodePort": 0}
        if expose == "cluster" or not self._all_ours(users):
            return shut
        return {"type": SERVICE_TYPES[expose], "nodePort": node_port if expose == "node" else 0}

    def _all_ours(self, users):
        try:
            return all(self.password(name).probe() is None for name in users)
        except RunbookError:  # no master that answers, or a password of somebody's
            return False

    # -- a task ------------------------------------------------------------------------------------

    def checkpoint(self, s3, bucket, user):
        """Action: a task of the user's has written a checkpoint to the object store; see checkpoint.written."""
        return checkpoint.written(self.det, s3, bucket, user)
