"""What the proof's job does in its pod: shows the variables, asks the registry, tries to read Secrets of others."""

import http.client
import os
import pathlib
import re
import socket
import ssl
import urllib.error
import urllib.request

print("pod", socket.gethostname())
for name in ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"):
    value = os.environ.get(name, "")
    print("variable", name, len(value), value)

context = ssl._create_unverified_context()


def asked(url, headers=None):
    """The status that is answered."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        return urllib.request.urlopen(request, timeout=20, context=context).status
    except urllib.error.HTTPError as e:
        return e.code


def registry(place):
    """How the registry's API answers, by HTTPS, or else by HTTP as the platform's own; or why it does not."""
    host = re.sub("^https?://", "", place).partition("/")[0]
    host = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}.get(host, host)
    silent = []
    for scheme in ("https", "http"):
        try:
            return f"{scheme} {asked(f'{scheme}://{host}/v2/')}"
        except (OSError, http.client.HTTPException) as e:
            silent.append(f"{scheme}: {e}")
    return "no answer by " + ", by ".join(silent)


print("registry", registry(os.environ.get("CI_REGISTRY", "")))

token = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
key = token.read_text() if token.exists() else os.environ.get("KUBE_TOKEN", "")
print("token", "there" if key else "none")
url = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}/api/v1/namespaces/kube-system/secrets"
print("secrets", asked(url.format(**os.environ), {"Authorization": "Bearer " + key} if key else {}))
