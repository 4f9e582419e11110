"""What the story breaks of GitLab."""

import httpx

from helpers.core.secrets import SecretStore


def open_sign_up(story, host):
    token = SecretStore(host.target.slug).get("gitlab-token").reveal()
    with host.forward(80) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        wanted = {"signup_enabled": True}
        client.put("/api/v4/application/settings", json=wanted, headers={"PRIVATE-TOKEN": token}).raise_for_status()


FAULTS = {
    "above": [("gitlab-ctl stop puma", "down: puma")],
    "away": [(open_sign_up, "signup_enabled is true")],
}
