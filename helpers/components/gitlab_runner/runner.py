"""The runner in the cluster: its namespaces, its token, GitLab's own Helm chart, and the account of its jobs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

from helpers.components.gitlab_runner.layout import AUTHORITY, FULL, HERE, JOB, JOBS, LABEL, RELEASE, RUNNER, SECRET
from helpers.components.gitlab_runner.layout import SETUP_FOLDER as FOLDER
from helpers.components.kubernetes.kube import available
from helpers.components.kubernetes.objects import why_not_as_written
from helpers.components.kubernetes.probes import ASK_DNS
from helpers.core.actions import Action
from helpers.core.shell import filled, script

#: what the runner needs where its jobs' pods are: read in the sources of 13.12. It lists, watches and changes nothing.
RIGHTS = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "delete"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets", "services"], "verbs": ["create", "delete"]},
]
READY = available(RUNNER, "deployment", FULL)
CONFIG = "/home/gitlab-runner/.gitlab-runner/config.toml"


def applied(kube, name):
    """Action: the objects of a manifest in setup/gitlab-setup are there. They go with their namespace."""
    text = (FOLDER / name).read_text("utf-8")
    return Action(
        f"kubectl apply -f setup/gitlab-setup/{name}",
        lambda: why_not_as_written(kube, text),
        lambda: kube.apply(text),
    )


def why_not_reached(kube, url):
    """None when the cluster finds GitLab's own address and gets an answer there, else why not."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    ask = script(HERE / "scripts" / "pod_reaches.sh", url, parts.hostname, port, ASK_DNS)
    said = kube.ch.host.run(ask, check=False, quiet=True, timeout=300, what="see whether the cluster reaches GitLab")
    return None if said.code == 0 else (said.out + said.err).strip()[-300:] or "no answer"


class Runner:
    """The runner of a GitLab. helm, chart: see components/kubernetes/helm.py; token: what reveals the runner's."""

    def __init__(self, helm, chart, git, token, image, at_once):  # noqa: PLR0913 - all that it is made of
        self.helm, self.chart, self.git, self.token = helm, chart, git, token
        self.ch, self.kube, self.image, self.at_once = helm.ch, helm.kube, image, at_once

    def namespace(self, name):
        """Action: the namespace exists. Remove deletes it only when it was made here."""
        return self.kube.namespace(name, LABEL)

    def is_ours(self):
        """Is the runner's namespace there, and made by the runbook?"""
        ask = f"get namespace --field-selector metadata.name={RUNNER} -l {LABEL} -o name"
        return self.kube.installed() and bool(self.kube.kubectl(ask))

    def account(self):
        """Action: pods of jobs run as an account whose token is not put into them."""
        return applied(self.kube, "job-service-account.yaml")

    def key(self):
        """Action: the Secret from which the chart has the runner's token. A registration token is not in it."""
        return self.kube.secret(SECRET, RUNNER, {"runner-token": self.token, "runner-registration-token": ""})

    def authority(self):
        """Actions: the certificate that vouches for GitLab, where there is one of its own."""
        if not self._vouched():
            return []
        text = Path(self.git.verify).read_text("utf-8")
        return [self.kube.secret(AUTHORITY, RUNNER, {urlsplit(self.git.url).hostname + ".crt": text})]

    def _vouched(self):
        return isinstance(self.git.verify, str)

    def values(self):
        """The chart's values, without a secret."""
        # A pod has ten minutes to start, pulls and all: of themselves they are three.
        config = filled(HERE / "config.toml", IMAGE=self.image)
        noted = hashlib.sha256(self.token.reveal().encode()).hexdigest()[:12]
        found = {
            "gitlabUrl": self.git.url,
            "concurrent": self.at_once,
            "checkInterval": 3,
            "rbac": {"create": True, "rules": RIGHTS},
            "runners": {"config": config, "namespace": JOBS, "secret": SECRET, "serviceAccountName": JOB},
            # Another token is another pod: the chart looks at no Secret of ours.
            "podAnnotations": {"runbook/token": noted},
        }
        return dict(found, certsSecretName=AUTHORITY) if self._vouched() else found

    def installed(self):
        """Action: the chart is installed with our values, and its pod is ready."""
        release = self.helm.installed(RELEASE, self.chart, RUNNER, self.values, ready=READY)
        shown = f"helm upgrade --install {RELEASE} {self.chart.shown} -n {RUNNER} -f -   (gitlabUrl={self.git.url}"
        return release.but(shown=f"{shown}, runners.namespace={JOBS}, rbac.rules={json.dumps(RIGHTS)})")
