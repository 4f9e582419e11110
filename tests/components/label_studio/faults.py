"""What the story breaks of Label Studio."""

import httpx

from helpers.core.secrets import SecretStore


def revoke_token(story, host):
    token = SecretStore(host.target.slug).get("label-studio-token").reveal()
    with (
        host.forward(8080) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        access = client.post("/api/token/refresh/", json={"refresh": token}).raise_for_status().json()["access"]
        headers = {"Authorization": "Bearer " + access}
        client.post("/api/token/blacklist/", json={"refresh": token}, headers=headers).raise_for_status()


FAULTS = {
    "above": [("systemctl stop label-studio", "label-studio is inactive")],
    "away": [(revoke_token, "the API takes our token")],
}
