"""What the story breaks of GitLab's runner."""

import httpx

from helpers.core.secrets import SecretStore


def protect_the_password(story, host):
    """The story's GitLab is on the same host, or on the one beside it."""
    change(story, "PUT", "/admin/ci/variables/CI_REGISTRY_PASSWORD", {"value": password(host), "protected": True})


def delete_the_user(story, host):
    change(story, "DELETE", "/admin/ci/variables/CI_REGISTRY_USER")


def password(host):
    return SecretStore(host.target.slug).get("ci-registry").reveal()


def change(story, method, path, content=None):
    host = story.host_of("gitlab")
    headers = {"PRIVATE-TOKEN": SecretStore(host.target.slug).get("gitlab-token").reveal()}
    with host.forward(80) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        client.request(method, "/api/v4" + path, json=content, headers=headers).raise_for_status()


FAULTS = {
    "above": [
        (
            "microk8s kubectl scale deployment gitlab-runner-gitlab-runner -n gitlab --replicas=0",
            "gitlab-runner-gitlab-runner: 0 of 0 pods available",
        ),
    ],
    "away": [
        (protect_the_password, "CI_REGISTRY_PASSWORD is protected"),
        (delete_the_user, "CI_REGISTRY_USER is not there"),
    ],
}
