"""A notebook in the cluster that verifies chapters: what it is given, and what they came to there."""

from __future__ import annotations

import base64
import json

from helpers.components.determined.task_pod import CONTAINER, WORK
from helpers.components.kubernetes.objects import put_secret
from helpers.core import in_cluster, notebooks, parameters
from helpers.core.errors import BadInput, CommandFailed, RunbookError, TimedOut
from helpers.core.files import write_whole
from helpers.core.outcome import Outcome
from helpers.core.paths import home

#: the Secret, which goes with the notebook, and where the pod has it
SECRET, PLACE = "determined-incluster", str(in_cluster.PLACE)
#: what can be verified there, and where a chapter is run in the pod
CHAPTERS = ("minio", "pachyderm", "determined", "seldon", "label_studio")
_RUN = f"cd {WORK} && exec python3 -m helpers.components.determined.run_chapters"
_SECONDS = 1800  # for each, at most: a chapter's own waits end before
_CHOOSE = "Install them, or name others: --only minio,seldon"
#: of the target's secrets, those by which they verify
_NEEDED = ("minio-", "determined-", "label-studio-", "postgres-determined")


def chapters(ch):
    """[(path, Path)]: the notebooks of what is installed, with the parameters that it was installed with."""
    books = [(n, ch.installed[n.id]) for n in notebooks.load_all().values() if n.id in ch.installed]
    return [("notebooks/" + n.path.name, written(n, given(values), home("incluster"))) for n, values in books]


def written(notebook, wanted, folder):
    """The notebook in this folder, with these parameters in its cell of them; its path."""
    content = notebook.content
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = parameters.filled("".join(cell["source"]), wanted).splitlines(keepends=True)
    path = folder / notebook.path.name
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def given(values):
    """The parameters of a chapter there. values: those that it was installed with."""
    return dict(values, target="incluster", mode="verify", origin="upstream")


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


def is_given(task):
    """Was this running notebook started with the Secret?"""
    ask = "{.items[*].spec.volumes[*].secret.secretName}"
    return (
        SECRET
        in task.det.kube.kubectl(f"get pods -n {task.det.space} -l determined={task.id} -o jsonpath='{ask}'").split()
    )


def wanted(ch, only):
    """The installed chapters that can be verified there. only: names with commas between, "" for all. BadInput."""
    named = [notebooks.find(name.strip()).id for name in only.split(",")] if only else CHAPTERS
    books = [n for n in notebooks.load_all().values() if n.id in named and n.id in CHAPTERS and n.id in ch.installed]
    if not books or (only and len(books) < len(set(named))):
        there = ", ".join(name for name in CHAPTERS if name in ch.installed) or "none"
        raise BadInput("verify chapters in a notebook", ch.host.name, f"there can be verified: {there}", _CHOOSE)
    return books


def outcomes(task, books):
    """[Outcome] of these chapters, run in the notebook's pod, each as its user would there: by papermill."""
    det, ch = task.det, task.det.ch
    paths = " ".join("notebooks/" + n.path.name for n in books)
    ask = f"exec -n {det.space} {task.pod()} -c {CONTAINER} -- sh -c '{_RUN} {paths}'"
    try:
        said = det.kube.kubectl(ask, timeout=_SECONDS * len(books)).splitlines()[-1:]
        came = json.loads("".join(said))
    except (CommandFailed, TimedOut) as e:
        raise _not_run(task, getattr(e, "err", "") or e.saw) from e
    except ValueError:
        raise _not_run(task, "".join(said)) from None
    return [Outcome(n.id, given(ch.installed[n.id]), **each) for n, each in zip(books, came)]


def _not_run(task, said):
    last = "\n".join(str(said).strip().splitlines()[-3:]) or "nothing"
    do = f"On the host: microk8s kubectl logs -n {task.det.space} -l determined={task.id} --tail 20"
    return RunbookError("run chapters in the notebook", task.det.ch.host.name, last, do, "det-notebook")
