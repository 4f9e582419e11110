"""What a task of Determined's may have in its pod: variables, and Secrets as files. Facts: 0.15.3's sources."""

from __future__ import annotations

from helpers.core.errors import BadInput

#: the container of a task, which a pod_spec of ours must name, and where the task's files lie in it
CONTAINER, WORK = "determined-container", "/run/determined/workdir"


def variables(values):
    """{name: text} as `environment_variables` of a task. BadInput for a text with "=" in it.

    0.15.3 cuts each variable at every "=" (master/internal/kubernetes/spec.go); one with two ends the task without
    a word of why.
    """
    for name, text in values.items():
        if "=" in text:
            raise BadInput(f"give {name} to a task", saw=f'"=" in {text}', do="Determined 0.15.3 takes no such value.")
    return [f"{name}={text}" for name, text in values.items()]


def with_secret(name, place, keys=None, optional=False):
    """The spec of a pod_spec in which the task's container has a Secret's keys as files in the folder `place`.

    keys: those alone; None: all.  optional: the pod starts without such a Secret, too.
    """
    source = {"secretName": name, "optional": optional}
    if keys:
        source["items"] = [{"key": key, "path": key} for key in keys]
    mount = {"name": name, "mountPath": place, "readOnly": True}
    return {
        "volumes": [{"name": name, "secret": source}],
        "containers": [{"name": CONTAINER, "volumeMounts": [mount]}],
    }
