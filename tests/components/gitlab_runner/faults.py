"""What the story breaks of GitLab's runner; its GitLab is on the same host."""

import httpx

from helpers.core.secrets import SecretStore

_PASSWORD = "/api/v4/admin/ci/variables/CI_REGISTRY_PASSWORD"


def protect_the_password(story, host):
    store = SecretStore(host.target.slug)
    wanted = {"value": store.get("ci-registry").reveal(), "masked": True, "protected": True}
    headers = {"PRIVATE-TOKEN": store.get("gitlab-token").reveal()}
    with host.forward(80) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        client.put(_PASSWORD, json=wanted, headers=headers).raise_for_status()


FAULTS = {
    "above": [
        (
            "microk8s kubectl scale deployment gitlab-runner-gitlab-runner -n gitlab --replicas=0",
            "gitlab-runner-gitlab-runner: 0 of 0 pods available",
        ),
    ],
    "away": [(protect_the_password, "CI_REGISTRY_PASSWORD is protected")],
}
