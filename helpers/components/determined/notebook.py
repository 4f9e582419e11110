"""`./runbook notebook`: JupyterLab in the cluster, with the runbook in it. The notebook's metadata name this module."""

from __future__ import annotations

import time
from pathlib import Path

from helpers.components.determined import inside, task_files
from helpers.components.determined.master import Determined
from helpers.core.errors import BadInput

EXAMPLES = """
./runbook notebook                    a notebook in the cluster, with the helpers in it; prints its address
./runbook notebook --tunnel           the same at a port of this machine, until Ctrl-C
./runbook notebook --context ~/work   with your files, too
./runbook notebook --verify           chapters 05 and 07 to 10 can be verified in it: python3 -m papermill ...
./runbook notebook --stop"""


def run(ch, say, tunnel=False, stop=False, verify=False, context=""):  # noqa: PLR0913 - its options
    """JupyterLab in the cluster's network, started by Determined (chapter 08).

    tunnel: Open a port of this machine that leads there, until Ctrl-C.
    stop: End it. What is not saved elsewhere is lost.
    verify: Give it parameters and passwords of the platform. Who reaches Determined's port can read these.
    context FOLDER: Send this folder's files as well, except what its .detignore names.
    """
    det, user = Determined(ch, ch.values["release"], ch.values["namespace"], ch.values["port"]), ch.values["user"]
    running = det.notebooks(user)
    if stop:
        for task in running:
            det.stop_notebook(task, user)
        inside.take_back(det)
        say("stopped" if running else "none is running")
        return
    if verify and running:
        do = "What is not saved in it is lost: ./runbook notebook --stop; ./runbook notebook --verify"
        raise BadInput("give the platform's passwords to a notebook", ch.host.name, "one is running already", do)
    if not running:
        say("starting; its pod first installs the packages that its image lacks")
        say("the first time the image itself is pulled, which is several GB")
    task = running[0] if running else _started(det, user, context, verify)
    say("notebook   http://{}:{}{}".format(det.address, det.port, task["serviceAddress"]))
    if verify:
        say("verify     in its terminal: python3 -m papermill notebooks/05_minio.ipynb /tmp/05.ipynb")
        say("           or open a chapter there and run it; 05 and 07 to 10")
    if not tunnel:
        say("           for a browser behind the SOCKS proxy of chapter 02;")
        say("           without one: ./runbook notebook --tunnel")
        return
    address = "http://127.0.0.1:{}{}".format(det.http.base_url.port, task["serviceAddress"])
    say("from here  " + address + "   until Ctrl-C, which leaves the notebook")
    while True:
        time.sleep(60)


def _started(det, user, context, verify):
    """A new notebook, with the runbook's files and those of a folder."""
    more = task_files.files(Path(context).expanduser()) if context else []
    found = dict(task_files.with_runbooks(more), **dict(inside.chapters(det.ch) if verify else []))
    files = task_files.packed(sorted(found.items()))
    if not verify:
        return det.start_notebook(user, files=files)
    inside.give(det, det.ch.values["minio_host"])
    return det.start_notebook(user, files=files, secrets={inside.SECRET: inside.PLACE})
