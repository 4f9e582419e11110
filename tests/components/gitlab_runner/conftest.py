"""Chapter 12 on the stand-in for GitLab, with what a cluster would say."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import gitlab_server
import pytest
import stand_in
from gitlab_server import ROOT

from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.elsewhere import Elsewhere
from helpers.components.gitlab.layout import PASSWORD
from helpers.components.gitlab_runner.integration import Integration
from helpers.components.gitlab_runner.ours import Ours
from helpers.components.gitlab_runner.project import Project
from helpers.components.gitlab_runner.proofs import Proofs
from helpers.components.gitlab_runner.registration import Registration
from helpers.components.gitlab_runner.runner import Runner
from helpers.components.gitlab_runner.variables import Variables
from helpers.components.kubernetes.helm import Helm
from helpers.components.kubernetes.image_build import IN_CLUSTER
from helpers.core.secrets import Secret, SecretStore
from helpers.core.waiting import wait
from tests.certificates import self_signed

SECRET = "not-a-real-registry-password"
server = gitlab_server.server


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate as PEM."""
    return self_signed(tmp_path_factory.mktemp("authority"))[0].read_text()


class Cluster:
    """What a cluster says. said: {how a command begins: its answer}."""

    def __init__(self, server, authority):
        self.server, self.asked, self.said = server, [], {"microk8s config": "server: https://10.0.0.5:16443\n"}
        self.account("the-token-of-an-account", authority)

    def account(self, token, authority):
        data = {"token": token, "ca.crt": authority}
        coded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        self.said["microk8s kubectl get secret gitlab-token"] = json.dumps({"data": coded})

    def answer(self, script, stdin):
        self.asked.append((script, stdin))
        found = [said for start, said in self.said.items() if script.startswith(start)]
        return found[-1] if found else self.server.answer(script, stdin)


@pytest.fixture
def made(server, authority, monkeypatch, own_home):
    """All parts of the chapter, by their names in the notebook."""
    SecretStore("local").keep(PASSWORD, ROOT)
    cluster = Cluster(server, authority)
    ch = stand_in.chapter(monkeypatch, "gitlab_runner", cluster.answer, mode="install")
    there = Elsewhere(ch, "local")
    git = GitLab(there, server.url)
    wait("the stand-in", lambda: git.why_not_ready() is None, every=0.1)
    if server.token:  # gitlab-rails takes a second to make one
        git.keep_token(server.token)
    else:
        Account(git).token().apply()
        server.token = git.token()
    helm, local = Helm(ch, None), git.local
    values = {"CI_REGISTRY": IN_CLUSTER, "CI_REGISTRY_USER": "short"}
    variables = Variables(git, dict(values, CI_REGISTRY_PASSWORD=Secret("ci-registry", SECRET)))
    registration, project = Registration(ch, git), Project(git, "python:3")
    runner = Runner(helm, None, git, registration, "python:3", 4)
    joining = Integration(ch, git, helm.kube)
    yield SimpleNamespace(
        ch=ch,
        git=git,
        cluster=cluster,
        kube=helm.kube,
        variables=variables,
        registration=registration,
        project=project,
        runner=runner,
        joining=joining,
        ours=Ours(runner, project, variables, joining),
        prove=Proofs(runner, project, variables),
        secret=SECRET,
    )
    git.local = local
    git.keep_token(server.token)
    for part in (variables.made(), registration.made(), project.made(), joining.joined()):
        part.undo()
    ch.close()
