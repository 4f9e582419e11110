"""What chapter 12 proves: GitLab takes the runner; a job runs in a pod, reaches the registry, reads no Secrets."""

from __future__ import annotations

import functools
import re

import gitlab

from helpers.components.gitlab_runner.layout import FULL, JOBS, RUNNER
from helpers.components.gitlab_runner.project import PATH
from helpers.components.gitlab_runner.runner import CONFIG
from helpers.components.kubernetes.image_build import IN_CLUSTER
from helpers.core.errors import NotYet, OutOfReach, RunbookError, Unmet

_REGISTRY = "get service registry -n container-registry --ignore-not-found -o name"
_WAITING = ("created", "pending")
#: what a job's log, or the runner, says, and the row that tells of it
_KNOWN = [
    (r"image pull failed|pulling image|timed out waiting for pod to start", "glr-image"),
    (r"no such host|Could not resolve host", "glr-name"),
    (r"x509|certificate", "glr-ca"),
    (r"connection refused|i/o timeout|no route to host|deadline exceeded", "glr-reach"),
    (r"is forbidden", "glr-rights"),
]
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|section_(?:start|end):\S*\r?")


def entry_of(text, otherwise):
    """The troubleshooting row for what was said."""
    return next((entry for pattern, entry in _KNOWN if re.search(pattern, text)), otherwise)


def plain(text):
    """A job's log without colours."""
    return _COLOUR.sub("", text)


class Proofs:
    """Proofs of a Runner. project: the proof's Project; variables: the Variables."""

    def __init__(self, runner, project, variables):
        self.runner, self.project, self.variables = runner, project, variables
        self.ch, self.git, self.kube = runner.ch, runner.git, runner.kube
        self._pod = self._log_of_pod = None

    def is_taken(self):
        """The runner's pod reaches GitLab by its address, and GitLab takes its token."""
        pod = f"-n {RUNNER} deploy/{FULL} --pod-running-timeout=300s"
        ask = f"microk8s kubectl exec {pod} -- gitlab-runner verify -c {CONFIG}"
        said = self.ch.host.run(ask, check=False, quiet=True, timeout=360, what="ask the runner in its pod")
        text = plain(said.out + said.err)
        if re.search(r"is alive|is valid", text):
            return None
        if re.search(r"is removed|is not valid", text):
            raise Unmet("a runner that GitLab takes", "GitLab does not know it any more", "glr-removed")
        last = next((line for line in reversed(text.strip().split("\n")) if re.search("Verifying|rror", line)), text)
        raise Unmet(f"the runner's pod reaches {self.git.url}", last.strip()[-300:], entry_of(last, "glr-offline"))

    def variables_are_so(self):
        """GitLab has the three variables, hidden in logs and for every branch."""
        why = self.variables.why_not()
        if why:
            raise Unmet("three variables, masked and not protected", why, "glr-variable")

    def job_runs(self, timeout=900, taken=300):
        """A pipeline's job runs in a pod, its log comes back; it has the variables, hides them, reads no Secrets.

        timeout: seconds for it to end, the pull of its image among them; taken: for a runner to take it.
        """
        log = self._log_of_new_pipeline(timeout, taken)
        pod = re.search(r"^pod (\S+)", log, re.M)
        if not pod or not pod.group(1).startswith("runner-"):
            raise Unmet("the log of a job in a pod", log.strip()[-200:] or "an empty log", "glr-log")
        self._pod, self._log_of_pod = f"pod {pod.group(1)} in {JOBS}", log
        self._check_variables(log)
        self._check_secrets(log)
        return self._pod

    def registry_answers(self):
        """The registry that jobs are told of has answered the job of job_runs, in its pod. Returns what it said."""
        place = self.variables.values["CI_REGISTRY"]
        self._has_registry(place)
        if not self._pod:
            raise Unmet(f"a job asks the registry {place}", "the job of the check before left no log", "glr-job")
        said = re.search(r"^registry (.+)$", self._log_of_pod, re.M)
        saw = said.group(1) if said else "no word of it in the job's log"
        if saw.split()[-1] not in ("200", "401"):  # 401: it wants a login
            raise Unmet(
                f"the registry {place} answers a job with 200 or 401", f"{saw}, from {self._pod}", "glr-registry"
            )
        return f"GET /v2/ of {place} by {saw.split()[0]}, from {self._pod}: {saw.split()[-1]}"

    def _has_registry(self, place):
        """OutOfReach when there is none to ask."""
        why = None
        if not place:
            why = "jobs are told of no registry: gitlab_runner.registry is empty"
        elif place == IN_CLUSTER and not self.kube.kubectl(_REGISTRY):
            why = f"the cluster has no registry {place}: the add-on registry is not enabled"
        if why:
            do = "./runbook up --only addons with its registry, or -p gitlab_runner.registry=..."
            raise OutOfReach("ask the registry in a job", self.ch.host.name, why, do)

    def _log_of_new_pipeline(self, timeout, taken):
        project = self.project.found()
        if project is None:
            raise Unmet(f"the project {PATH}", "there is none", "glr-project")
        branch = project.default_branch or "master"
        made = self.git.api().http_post(f"/projects/{project.id}/pipeline", post_data={"ref": branch})
        self._is_begun(project, made["id"], taken)
        job = self._ended(project, made["id"], timeout)
        log = plain(self._log(project, job["id"]))
        if job["status"] != "success":
            self._raise(log, job)
        return log

    def _log(self, project, number):
        return project.jobs.get(number).trace().decode("utf-8", "replace")

    def _job(self, project, number, *not_yet):
        """The pipeline's one job. NotYet while it is in one of these states."""
        (job,) = self.git.api().http_get(f"/projects/{project.id}/pipelines/{number}/jobs")
        if job["status"] in not_yet:
            raise NotYet("the job is {}".format(job["status"]))
        return job

    def _is_begun(self, project, number, timeout):
        try:
            asked = functools.partial(self._job, project, number, *_WAITING)
            self.ch.wait("a runner to take the proof's job", asked, timeout=timeout)
        except RunbookError as e:
            if "pending" in (e.saw or ""):
                saw = f"it waits: no runner took it in {timeout} s"
                raise Unmet("a runner that takes the job", saw, "glr-offline") from e
            raise

    def _ended(self, project, number, timeout):
        do = f"On the host: microk8s kubectl logs -n {RUNNER} deploy/{FULL}; microk8s kubectl get pods -n {JOBS}"
        asked = functools.partial(self._job, project, number, *_WAITING, "running")
        return self.ch.wait("the proof's job to end", asked, None, timeout, do)

    def _raise(self, log, job):
        lines = [line for line in log.split("\n") if re.search("WARNING: Failed|ERROR", line)]
        saw = " / ".join(line.strip() for line in lines[-2:]) or log.strip()[-300:] or "an empty log"
        raise Unmet(
            "a job that ends well", self.ch.masker.mask("{}: {}".format(job["status"], saw)), entry_of(saw, "glr-job")
        )

    def _check_variables(self, log):
        for key in sorted(self.variables.values):
            wanted = self.variables._wanted(key)
            found = re.search(rf"^variable {key} (\d+) ?(.*)$", log, re.M)
            if not found or int(found.group(1)) != len(wanted["value"]):
                raise Unmet(f"{key} in the job", "the job has none, or another", "glr-variable")
            if wanted["masked"] and (wanted["value"] in log or found.group(2).strip() != "[MASKED]"):
                raise Unmet(f"{key} as [MASKED] in the log", "the log shows something else", "glr-masked")

    def _check_secrets(self, log):
        found = re.search(r"^secrets (\d+)", log, re.M)
        status = found.group(1) if found else "no answer"
        if status not in ("401", "403"):
            raise Unmet("401 or 403 for Secrets of kube-system", status, "glr-rights")

    def token_is_good(self):
        """GitLab takes the runbook's token (chapter 11's)."""
        try:
            why = self.git.why_token_refused()
        except gitlab.GitlabError as e:
            why = str(e)
        if why:
            raise Unmet("our token is taken", f"{self.git.ch.host.name}: {why}", "glr-token")
