"""`./runbook notebook`: JupyterLab in the cluster, with the runbook in it. The notebook's metadata name this module."""

from __future__ import annotations

import time
from pathlib import Path

from helpers.components.determined import task_files
from helpers.components.determined.master import Determined

EXAMPLES = """
./runbook notebook                    a notebook in the cluster, with the helpers in it; prints its address
./runbook notebook --tunnel           the same at a port of this machine, until Ctrl-C
./runbook notebook --context ~/work   with your files, too
./runbook notebook --stop"""


def run(ch, say, tunnel=False, stop=False, context=""):
    """JupyterLab in the cluster's network, started by Determined (chapter 08).

    tunnel: Open a port of this machine that leads there, until Ctrl-C.
    stop: End it. What is not saved elsewhere is lost.
    context FOLDER: Send this folder's files as well, except what its .detignore names.
    """
    files = {} if stop else _files(context)
    det, user = Determined(ch, ch.values["release"], ch.values["namespace"], ch.values["port"]), ch.values["user"]
    running = det.notebooks(user)
    if stop:
        for task in running:
            det.stop_notebook(task, user)
        say("stopped" if running else "none is running")
        return
    if not running:
        say("starting; its pod first installs the packages that its image lacks")
        say("the first time the image itself is pulled, which is several GB")
    task = running[0] if running else det.start_notebook(user, files=files)
    say("notebook   http://{}:{}{}".format(det.address, det.port, task["serviceAddress"]))
    if not tunnel:
        say("           for a browser behind the SOCKS proxy of chapter 02;")
        say("           without one: ./runbook notebook --tunnel")
        return
    address = "http://127.0.0.1:{}{}".format(det.http.base_url.port, task["serviceAddress"])
    say("from here  " + address + "   until Ctrl-C, which leaves the notebook")
    while True:
        time.sleep(60)


def _files(context):
    """The runbook's own files, and those of a folder."""
    folder = task_files.files(Path(context).expanduser()) if context else []
    return task_files.packed(task_files.with_runbooks(folder))
