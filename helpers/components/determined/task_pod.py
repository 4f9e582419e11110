"""What a task of Determined's may have in its pod: variables, and Secrets as files. Facts: 0.15.3's sources."""

from __future__ import annotations

import shlex

from helpers.components.kubernetes.host_pip import CERTIFICATES, host_pip
from helpers.core.errors import BadInput

#: the container of a task, which a pod_spec of ours must name, and where the task's files lie in it
CONTAINER, WORK = "determined-container", "/run/determined/workdir"
#: the Secret with the host's settings for pip, and where startup-hook.sh finds it
PIP, PIP_PLACE = "determined-pip", "/run/runbook-pip"
_TRUST = "/run/host-certificates"


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


def with_host_pip(secrets=None):
    """The spec of a pod_spec in which startup-hook.sh finds the host's settings for pip, and what the host trusts.

    secrets: {a Secret that must be there: the folder with its keys}.
    """
    spec = with_secret(PIP, PIP_PLACE, optional=True)
    for name, place in (secrets or {}).items():
        more = with_secret(name, place)
        spec["volumes"] += more["volumes"]
        spec["containers"][0]["volumeMounts"] += more["containers"][0]["volumeMounts"]
    folder = CERTIFICATES.rpartition("/")[0]
    spec["volumes"].append({"name": "host-certificates", "hostPath": {"path": folder}})
    spec["containers"][0]["volumeMounts"].append({"name": "host-certificates", "mountPath": _TRUST, "readOnly": True})
    return spec


def pip_files(host):
    """{name: text} of the Secret PIP, each read when it is asked for."""
    return {"pip.conf": _Read(_pip_conf, host), "environment": _Read(_environment, host)}


class _Read:
    """A text that is read when it is revealed, as a secret of the target's."""

    def __init__(self, read, host):
        self._read, self._host = read, host

    def reveal(self):
        return self._read(self._host)


def _pip_conf(host):
    return host_pip(host).settings + "\n"


def _environment(host):
    """Shell, for pip alone."""
    found = host_pip(host)
    given = dict(found.proxies, PIP_CONFIG_FILE=f"{PIP_PLACE}/pip.conf", PIP_ROOT_USER_ACTION="ignore")
    if found.certificates:
        given["PIP_CERT"] = _TRUST + "/" + CERTIFICATES.rpartition("/")[2]
    return "".join(f"export {name}={shlex.quote(text)}\n" for name, text in sorted(given.items()))
