"""What the story breaks: the faults that lie beside each component's tests, gathered into groups."""

from __future__ import annotations

import runpy
from pathlib import Path

from helpers.core import notebooks

COMPONENTS = Path(__file__).parents[1] / "components"


def gather(what="faults", components=COMPONENTS):
    """{group: [(break it, chapter, words of verify, ...)]} of every tests/components/<chapter>/faults.py.

    what: the same of another file that has rows in groups, by a name that is the file's in capitals.
    What stands on others is broken first: a fault below could keep one above from being made.
    """
    groups = {}
    for n in reversed(notebooks.load_all().values()):
        path = components / n.id / f"{what}.py"
        for group, rows in runpy.run_path(str(path))[what.upper()].items() if path.exists() else ():
            groups.setdefault(group, []).extend((first, n.id, *others) for first, *others in rows)
    return groups


def no_pods(namespace, deployment, label):
    """A command on the host: no pod of a deployment, and none that is still ending."""
    return (
        f"microk8s kubectl scale deployment {deployment} -n {namespace} --replicas=0; "
        f"microk8s kubectl wait pod -n {namespace} -l {label} --for=delete --timeout=240s"
    )
