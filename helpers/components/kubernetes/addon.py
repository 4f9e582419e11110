"""MicroK8s' `enable`: its exit code is 0 whatever became of the add-on, so that its words are read."""

from __future__ import annotations

import contextlib
import os

from helpers.core import notes
from helpers.core.errors import NotYet, RunbookError, Unmet

#: what each script of 1.20 says at its end (actions/enable.NAME.sh); that of the dashboard goes on with advice
_ENDS = {
    "dashboard": "If RBAC is not enabled access the dashboard",
    "dns": "DNS is enabled",
    "gpu": "NVIDIA is enabled",
    "host-access": "Host-access is enabled",
    "istio": "Istio is starting",
    "knative": "Knative is starting",
    "metallb": "MetalLB is enabled",
    "registry": "The registry is enabled",
    "storage": "Storage will be available soon",
}
#: how the pod is called by which `enable` takes an add-on for enabled, one that is ending as well (addons.yaml)
_MARKS = {
    "dashboard": "kubernetes-dashboard",
    "dns": "coredns",
    "istio": "istio",
    "metallb": "speaker",
    "registry": "registry",
    "storage": "hostpath-provisioner",
}
_PODS = "get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name} {end}'"
#: seconds for the pods of an add-on that was disabled to end: their grace period is 30
_ENDING = 300


def command(name, argument=""):
    return f"microk8s enable {name}" + (f":{argument}" if argument else "")


def _mark(kube, name):
    """A file on the host while an add-on is enabled or removed: one that was cut off may have all its pods."""
    return f"{notes.copies(kube.ch.notebook.id)}/half-{name}"


def whole(kube, name):
    """A probe: no run was cut off while it enabled or removed it."""
    return f"[ ! -e {_mark(kube, name)} ] || {{ echo 'a run was cut off while it changed {name}'; exit 1; }}"


def removing(kube, name, undo):
    """The undo, with a note on the host that it is half there while it goes."""
    mark = _mark(kube, name)
    return f"mkdir -p {os.path.dirname(mark)}; touch {mark}\n{undo}\nrm {mark}"


@contextlib.contextmanager
def enabling(kube, name):
    """Note on the host that it is half there, until it is enabled. Gives whether an earlier run was cut off."""
    mark, run = _mark(kube, name), kube.ch.host.run
    begin = f"mkdir -p {os.path.dirname(mark)}; [ ! -e {mark} ] || echo cut off; touch {mark}"
    yield bool(run(begin, quiet=True, what=f"note that {name} is being enabled").out)
    run(f"rm {mark}", quiet=True, what=f"note that {name} is enabled")


def enable(kube, name, argument="", owners=frozenset()):
    """Enable it; it may still start then. Unmet with the last lines when its script did not come to its end.

    owners: {(namespace, kind, name)} that it makes. Disabled a moment ago, it counts as enabled while its pods end:
    without these owners that is waited for, and it is enabled once more.
    """
    said = _enabled(kube, name, argument)
    if _already(name, said) and _missing(kube, owners):
        _wait_for_the_end(kube, name)
        said = _enabled(kube, name, argument)
        missing = _missing(kube, owners) if _already(name, said) else None
        if missing:
            saw = f"it says that it is enabled, but there is no {missing}"
            do = f"On the host: microk8s disable {name}; then run again."
            raise RunbookError(f"enable {name}", kube.ch.host.name, saw, do)


def _enabled(kube, name, argument):
    done = kube.ch.host.run(command(name, argument), timeout=600, stdin="", what="enable " + name)
    if not _already(name, done.out) and _ENDS[name] not in done.out:
        lines = [line for line in (done.out + "\n" + done.err).splitlines() if line.strip()]
        raise Unmet(f'the add-on {name} enabled, and "{_ENDS[name]}" said', "\n".join(lines[-4:]) or "nothing")
    return done.out


def _already(name, said):
    return f"Addon {name} is already enabled." in said or (name == "metallb" and "MetalLB already enabled." in said)


def _missing(kube, owners):
    """The first of these that is not there; None when all are."""
    for namespace in sorted({owner[0] for owner in owners}):
        wanted = sorted(f"{kind}/{name}" for space, kind, name in owners if space == namespace)
        found = kube.kubectl("get {} -n {} --ignore-not-found -o name".format(" ".join(wanted), namespace)).split()
        there = {name.rpartition("/")[2] for name in found}
        gone = [one for one in wanted if one.rpartition("/")[2] not in there]
        if gone:
            return f"{gone[0]} in {namespace}"
    return None


def _wait_for_the_end(kube, name):
    mark = _MARKS.get(name)

    def ended():
        left = [pod for pod in kube.kubectl(_PODS).split() if mark and pod.partition("/")[2].startswith(mark)]
        if left:
            raise NotYet("there is still pod " + left[0])
        return True

    do = f"`{command(name)}` does nothing while a pod's name begins with {mark}: microk8s kubectl get pods -A"
    kube.ch.wait(f"the pods of an earlier {name} to end", ended, timeout=_ENDING, do=do)
