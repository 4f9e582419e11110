"""`./runbook notebook`: JupyterLab in the cluster, with the runbook in it. The notebook's metadata name this module."""

from __future__ import annotations

import time
from pathlib import Path

from helpers.components.determined import inside, task_files
from helpers.components.determined.master import Determined
from helpers.components.determined.proofs import Proofs
from helpers.core.errors import BadInput

EXAMPLES = """
./runbook notebook                    a notebook in the cluster, with the helpers in it; prints its address
./runbook notebook --tunnel           the same at a port of this machine, until Ctrl-C
./runbook notebook --context ~/work   with your files, too
./runbook notebook --verify           verifies chapters 05 and 07 to 10 in it, without SSH, and keeps a record
./runbook notebook --verify --only minio,seldon --stop   some of them, and ends it
./runbook notebook --stop"""


def run(ch, say, tunnel=False, stop=False, verify=False, only="", context=""):  # noqa: PLR0913 - its options
    """JupyterLab in the cluster's network, started by Determined (chapter 08).

    tunnel: Open a port of this machine that leads there, until Ctrl-C.
    stop: End it, after --verify when both are given. What is not saved elsewhere is lost.
    verify: Verify chapters in it, with the platform's passwords. Who reaches Determined's port can read these.
    only CHAPTERS: Of these chapters, verify those that are named, with commas between.
    context FOLDER: Send this folder's files as well, except what its .detignore names.
    """
    det, user = Determined(ch, ch.values["release"], ch.values["namespace"], ch.values["port"]), ch.values["user"]
    running = det.notebooks(user)
    if verify:
        books = inside.wanted(ch, only)
        _refuse(det, user, running, tunnel)
        return _verified(det, user, running, say, context, stop, books)
    if stop:
        return _stop(det, user, running, say)
    task = running[0] if running else _started(det, user, say, context)
    _say_where(det, task, say)
    if tunnel:
        _tunnel(det, task, say)
    return None


def _refuse(det, user, running, tunnel):
    """BadInput where --verify does not fit what is there."""
    if tunnel:
        do = "./runbook notebook --verify; ./runbook notebook --tunnel"
        raise BadInput("verify chapters in a notebook", saw="--tunnel would never end", do=do)
    if running and not inside.is_given(det.task("notebooks", running[0]["id"], user)):
        do = "What is not saved in it is lost: ./runbook notebook --stop; ./runbook notebook --verify"
        saw = "one is running already, which was not given them when it started"
        raise BadInput("give the platform's passwords to a notebook", det.ch.host.name, saw, do)


def _verified(det, user, running, say, context, stop, books):  # noqa: PLR0913 - the command's options
    """What chapters come to in a running notebook, or a new one."""
    made = running[0] if running else _started(det, user, say, context, verify=True)
    try:
        task = det.task("notebooks", made["id"], user)
        Proofs(det).helpers_load(task)
        say("verifying chapters in it, by papermill")
        came = inside.outcomes(task, books)
        if not stop:
            _say_where(det, made, say)
            say("by hand    open a chapter there and run it, or in its terminal:")
            say("           python3 -m papermill notebooks/05_minio.ipynb /tmp/05.ipynb")
        return came
    finally:
        if stop:
            _stop(det, user, [made], say)


def _stop(det, user, running, say):
    for task in running:
        det.stop_notebook(task, user)
    inside.take_back(det)
    say("stopped" if running else "none is running")


def _say_where(det, task, say):
    say("notebook   http://{}:{}{}".format(det.address, det.port, task["serviceAddress"]))
    say("           for a browser behind the SOCKS proxy of chapter 02;")
    say("           without one: ./runbook notebook --tunnel")


def _tunnel(det, task, say):
    address = "http://127.0.0.1:{}{}".format(det.http.base_url.port, task["serviceAddress"])
    say("from here  " + address + "   until Ctrl-C, which leaves the notebook")
    while True:
        time.sleep(60)


def _started(det, user, say, context, verify=False):
    """A new notebook, with the runbook's files and those of a folder."""
    more = task_files.files(Path(context).expanduser()) if context else []
    found = sorted(dict(task_files.with_runbooks(more), **dict(inside.chapters(det.ch) if verify else [])).items())
    files = task_files.packed(found)
    say("files      " + task_files.size(found, files))
    say("starting; its pod first installs the packages that its image lacks")
    say("the first time the image itself is pulled, which is several GB")
    if not verify:
        return det.start_notebook(user, files=files)
    try:
        inside.give(det, det.ch.values["minio_host"])
        return det.start_notebook(user, files=files, secrets={inside.SECRET: inside.PLACE})
    except BaseException:
        inside.take_back(det)
        raise
