"""What a notebook in the cluster is given so that chapters verify there: parameters, the host's address, secrets."""

from __future__ import annotations

import base64
import json

from helpers.components.kubernetes.objects import put_secret
from helpers.core import in_cluster, notebooks, parameters
from helpers.core.files import write_whole
from helpers.core.paths import home

#: the Secret, which goes with the notebook, and where the pod has it
SECRET, PLACE = "determined-incluster", str(in_cluster.PLACE)
#: of the target's secrets, those by which chapters 05 and 07 to 10 verify
_NEEDED = ("minio-", "determined-", "label-studio-", "postgres-determined")


def chapters(ch):
    """[(path, Path)]: the notebooks of what is installed, with the parameters that it was installed with."""
    books = [(n, ch.installed[n.id]) for n in notebooks.load_all().values() if n.id in ch.installed]
    return [("notebooks/" + n.path.name, _written(n, values)) for n, values in books]


def _written(notebook, values):
    content = notebook.content
    wanted = dict(values, target="incluster", mode="verify", origin="upstream")
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = parameters.filled("".join(cell["source"]), wanted).splitlines(keepends=True)
    path = home("incluster") / notebook.path.name
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def give(det, address):
    """Put what a pod must know into the Secret. address: of the host, as pods reach it."""
    store = det.ch.secrets
    known = {name: store.get(name).reveal() for name in store.names() if name.startswith(_NEEDED)}
    files = {"address": address, "secrets.json": json.dumps(known)}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
    about = {"name": SECRET, "namespace": det.space}
    put_secret(det.kube, {"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": data})


def take_back(det):
    """Delete the Secret: no later notebook has it."""
    det.kube.kubectl(f"delete secret {SECRET} -n {det.space} --ignore-not-found")
