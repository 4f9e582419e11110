"""The certificate-based way: GitLab knows the cluster's address, certificate and a token, for jobs with an environment.

13.x has it; since 14.5 it is deprecated, and from 15.0 on off where nobody switches it on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
from urllib.parse import urlsplit

import gitlab

from helpers.components.gitlab_runner.layout import CLUSTER_TOKEN, DEPLOYS, HERE, NAME
from helpers.components.gitlab_runner.runner import applied
from helpers.core import notes
from helpers.core.actions import Action
from helpers.core.advice import aimed
from helpers.core.errors import NotYet, RunbookError, Unmet
from helpers.core.shell import script

_CLUSTERS, _SETTINGS, _ALLOWED = "/admin/clusters", "/application/settings", "outbound_local_requests_allowlist_raw"
_ACCOUNT, _TOKEN = "gitlab", "gitlab-token"
_NO_RIGHTS = (
    "this cluster asks for nobody's rights (MicroK8s without its add-on rbac): a job with an environment could read "
    "every Secret. To join it all the same: -p gitlab_runner.integration=yes"
)
#: curl's exit codes, and the row that tells of each
_CURL = {6: "glr-name", 7: "glr-reach", 28: "glr-reach", 35: "glr-ca", 60: "glr-ca", 77: "glr-ca"}


class Integration:
    """The cluster in GitLab's list. ch: the chapter; git: the GitLab; kube: the cluster."""

    def __init__(self, ch, git, kube):
        self.ch, self.git, self.kube = ch, git, kube
        ch.forgets(CLUSTER_TOKEN)

    # -- whether -----------------------------------------------------------------------------------

    def why_not_wanted(self, choice):
        """None when the cluster is to be joined, else why not. choice: yes, no or auto."""
        try:
            return self._why_not_wanted(choice)
        except (RunbookError, gitlab.GitlabError) as e:  # what does not answer is told by a step or a check
            return "it cannot be told: " + (getattr(e, "saw", None) or str(e))

    def _why_not_wanted(self, choice):
        if self.ch.mode == "remove":
            # A namespace without a record is of an install, or a remove, that was cut off.
            left = self.record() or not self.ch.host.ask(notes.gone([f"namespace {DEPLOYS}"])).ok
            return None if left else "GitLab has no cluster of ours"
        if choice == "no":
            return "integration is no"
        why = self.why_not_offered()
        if why or choice == "yes":
            return why
        return None if self.rights_are_checked() else _NO_RIGHTS

    def why_not_offered(self):
        """None when this GitLab has clusters by certificate, else why not."""
        try:
            self.git.api().http_get(_CLUSTERS)
        except gitlab.GitlabHttpError as e:
            if e.response_code != 404:
                raise
            version = self.git.api().http_get("/version")["version"]
            return f"GitLab {version} has no clusters by certificate: they went with 15.0, and the runner needs none"
        return None

    def rights_are_checked(self):
        """Does the API server refuse an account what nobody gave to it?"""
        ask = f"auth can-i get secrets -n kube-system --as=system:serviceaccount:{DEPLOYS}:nobody-at-all"
        said = self.ch.host.run("microk8s kubectl " + ask, check=False, quiet=True)
        if said.out.strip() not in ("yes", "no"):
            do = "On the host: microk8s status; run chapter 03 again."
            raise RunbookError("ask the cluster for an account's rights", self.ch.host.name, said.err or said.out, do)
        return said.out.strip() == "no"

    # -- what GitLab is told ------------------------------------------------------------------------

    def api_url(self):
        """The address of the cluster's API, as `microk8s config` has it."""
        found = re.search(r"server: *(https://\S+)", self.kube.config())
        if not found:
            do = aimed("Run chapter 03 first: ./runbook up --only kubernetes", self.ch.notebook, self.ch.values)
            raise RunbookError("read the cluster's address", self.ch.host.name, "microk8s config names none", do)
        return found.group(1)

    def _secret(self, key):
        ask = f"microk8s kubectl get secret {_TOKEN} -n {DEPLOYS} --ignore-not-found -o json"
        said = self.ch.host.run(ask, raw=True, what="read the token of the account gitlab").out
        data = (json.loads(said).get("data") or {}) if said.strip() else {}
        if key not in data:
            raise NotYet(f"{DEPLOYS}/{_TOKEN} has no {key} yet")
        return base64.b64decode(data[key]).decode()

    def token(self):
        """The account's token. NotYet while the cluster has not made it."""
        value = self._secret("token")
        self.ch.masker.add(value)
        return value

    def authority(self):
        """The certificate that vouches for the cluster's API, as PEM."""
        return self._secret("ca.crt").strip()

    def shown(self):
        """Rows for a reader: the three things that GitLab's form asks for, the token masked."""
        der = ssl.PEM_cert_to_DER_cert(self.authority() + "\n")
        told = "sha256 " + hashlib.sha256(der).hexdigest()[:16] + "..."
        return [("API URL", self.api_url()), ("CA certificate", told), ("token", "*" * 5 + f" ({len(self.token())})")]

    # -- steps -------------------------------------------------------------------------------------

    def account(self):
        """Action: the account, with rights in one namespace alone."""
        made = applied(self.kube, "gitlab-admin-service-account.yaml")

        def apply():
            made.apply()
            self.ch.wait("the account's token", self.token)

        return made.but(apply=apply)

    def allowed(self):
        """Action: GitLab may call the cluster's API in its local network, and no more of it than before."""
        return Action(
            f"PUT /api/v4{_SETTINGS}   ({_ALLOWED}: the cluster's API is added)",
            lambda: None if self._entry() in self._allowed() else f"GitLab may not call {self._entry()}",
            lambda: self._allow([*self._allowed(), self._entry()]),
            lambda: self._allow([entry for entry in self._allowed() if entry != self._entry()]),
            lambda: f"GitLab may still call {self._entry()}" if self._entry() in self._allowed() else None,
        )

    def _entry(self):
        parts = urlsplit(self.api_url())
        return f"{parts.hostname}:{parts.port or 443}"

    def _allowed(self):
        return (self.git.api().http_get(_SETTINGS).get(_ALLOWED) or "").split()

    def _allow(self, entries):
        self.git.api().http_put(_SETTINGS, post_data={_ALLOWED: "\n".join(entries)})

    def record(self):
        """GitLab's cluster of our name; None when there is none, or no such list."""
        try:
            found = self.git.all_of(_CLUSTERS)
        except gitlab.GitlabHttpError as e:
            if e.response_code != 404:
                raise
            return None
        return next((c for c in found if c["name"] == NAME), None)

    def joined(self):
        """Action: GitLab has the cluster, with its address, certificate and token."""
        return Action(
            f"POST /api/v4{_CLUSTERS}/add   (API URL, CA certificate, token; not managed: it makes no namespaces)",
            self.why_not_joined,
            self._join,
            self._leave,
            lambda: f"GitLab has the cluster {NAME}" if self.record() else None,
        )

    def _wanted(self):
        return {"api_url": self.api_url(), "ca_cert": self.authority(), "namespace": DEPLOYS}

    def why_not_joined(self):
        """None when GitLab has the cluster as it is, else what is different."""
        record = self.record()
        if record is None:
            return f"GitLab has no cluster {NAME}"
        if not record["enabled"]:
            return "it is switched off in GitLab"
        try:
            wanted, token = self._wanted(), self.token()
        except NotYet as e:
            return e.saw
        held = record["platform_kubernetes"]
        other = [name for name in sorted(wanted) if (held.get(name) or "").strip() != wanted[name]]
        given = self.ch.secrets.find(CLUSTER_TOKEN)
        other += [] if given and given.reveal() == token else ["token"]
        return "GitLab has another " + ", ".join(other) if other else None

    def _join(self):
        record, token = self.record(), self.token()
        about = {"name": NAME, "enabled": True, "managed": False, "environment_scope": "*"}
        about["platform_kubernetes_attributes"] = dict(self._wanted(), token=token)
        if record:
            self.git.api().http_put("{}/{}".format(_CLUSTERS, record["id"]), post_data=about)
        else:
            self.git.api().http_post(_CLUSTERS + "/add", post_data=about)
        self.ch.secrets.keep(CLUSTER_TOKEN, token)

    def _leave(self):
        record = self.record()
        if record:
            self.git.api().http_delete("{}/{}".format(_CLUSTERS, record["id"]))

    # -- proofs ------------------------------------------------------------------------------------

    def _status(self, path):
        """The status that GitLab's host is answered at the cluster's API, with what GitLab holds. Unmet when none."""
        record = self.record()
        if record is None:
            raise Unmet("the cluster in GitLab's list", "there is none", "glr-cluster")
        held, given = record["platform_kubernetes"], self.ch.secrets.find(CLUSTER_TOKEN)
        text = "{}\n{}\n".format(given.reveal() if given else "none", held.get("ca_cert") or "")
        ask = script(HERE / "scripts" / "ask_cluster.sh", held["api_url"] + path)
        said = self.git.ch.host.run(ask, stdin=text, check=False, quiet=True, what="ask the cluster from GitLab's host")
        if said.code:
            saw = f"from {self.git.ch.host.name}: {(said.out + said.err).strip()[-300:]}"
            raise Unmet("an answer of " + held["api_url"], saw, _CURL.get(said.code, "glr-cluster"))
        return int(said.out.strip().split("\n")[-1])

    def is_reached(self):
        """With address, certificate and token as GitLab holds them its host is let in by the cluster's API."""
        status = self._status(f"/api/v1/namespaces/{DEPLOYS}/pods")
        if status != 200:
            raise Unmet("200 from the cluster's API", f"{status}: it does not take the token", "glr-cluster")

    def reads_no_others(self):
        """The token that GitLab holds reads no Secrets of another namespace."""
        status = self._status("/api/v1/namespaces/kube-system/secrets")
        if status != 403:
            raise Unmet("403 for Secrets of kube-system", str(status), "glr-rights")
