"""Where the node's containerd asks for images: registries that answer for others, a login; and each pod's own image."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.components.kubernetes.probes import READY, of_pods, owners_of
from helpers.core import actions
from helpers.core.actions import Action
from helpers.core.errors import NotYet, RunbookError
from helpers.core.shell import filled, script

_HERE = Path(__file__).parent

#: containerd.toml is made of it at each start of containerd
TEMPLATE = "/var/snap/microk8s/current/args/containerd-template.toml"
PASSWORD = "docker-hub"

_HUB = "registry-1.docker.io"
_TABLE = 'plugins."io.containerd.grpc.v1.cri".registry'
_BEGIN, _END, _ASIDE = "# runbook: registries", "# runbook: end of registries", "# runbook, set aside: "
_BLOCK = re.compile(f"^{_BEGIN}\n.*?^{_END}\n", re.M | re.S)

_PAUSE = f"sed -n 's/^ *sandbox_image *= *\"\\(.*\\)\".*/\\1/p' {TEMPLATE}"
_EVENTS = (
    "get events -A --sort-by=.lastTimestamp --field-selector reason=FailedCreatePodSandBox"
    " -o jsonpath='{.items[-1:].message}'"
)
#: READY that says why the node's own pods, its network's, do not start, which keeps it from being Ready
READY_OR_WHY = of_pods(
    f"ready() {{\n{READY}\n}}\nlast_event() {{ microk8s kubectl {_EVENTS}; }}\n"
    + script(_HERE / "scripts" / "ready_or_why.sh"),
    owners_of(READY),
)


def why_bad_mirrors(mirrors):
    """For a precondition: None when each is "registry=another one"."""
    bad = [text for text in mirrors if not re.fullmatch(r"[\w.:-]+=[\w.:/-]+", text)]
    return "not of the form registry=mirror: " + ", ".join(bad) if bad else None


class Registries:
    """What the node's containerd knows of registries. mirrors: ["registry=mirror"]; user: Docker Hub's, or none."""

    def __init__(self, kube, mirrors=(), user=""):
        self.kube, self.ch = kube, kube.ch
        self.mirrors, self.user = [text.split("=", 1) for text in mirrors], user

    def why_no_password(self):
        """For a precondition: None when the user's password, or better an access token, is known."""
        known = not self.user or self.ch.secrets.find(PASSWORD)
        return None if known else "RUNBOOK_SECRET_DOCKER_HUB is not set"

    def chosen(self):
        """Action: containerd asks the mirrors first, and logs in to Docker Hub where a user is given."""
        return Action(
            f"write {TEMPLATE}; systemctl restart snap.microk8s.daemon-containerd", self._why_not, self._apply
        )

    def _why_not(self):
        text = self._read()[1]
        return None if self._wanted(text) == text else "containerd's settings name other registries, or another login"

    def _wanted(self, text):
        return with_registries(text, self.mirrors, (self.user, self._password()) if self.user else None)

    def _password(self):
        why = self.why_no_password()
        if why:
            raise RunbookError("log in to Docker Hub", saw=why)
        return self.ch.secret(PASSWORD, guarded=False).reveal()

    def _read(self):
        said = self.ch.host.run(f"stat -c '%a %U:%G' {TEMPLATE}; cat {TEMPLATE}", raw=True, what="read " + TEMPLATE)
        access, _, text = said.out.partition("\n")
        return access.split(), text

    def _apply(self):
        (mode, owner), text = self._read()
        if self.user:  # a later run, without it in its environment, asks whether it is still so
            self.ch.secrets.keep(PASSWORD, self._password())
        self.ch.host.put(self._wanted(text), TEMPLATE, mode, owner)
        self.ch.host.run("systemctl restart snap.microk8s.daemon-containerd", what="restart containerd")
        # As long as for a new node: on a first install its network's pods are still to come.
        self.kube.wait_for("the node to be Ready", READY_OR_WHY)

    # -- the image of each pod -----------------------------------------------------------------

    def pause(self):
        """Action: the image that holds each pod's namespaces is on the node. Without it not one pod starts."""
        probe = (
            f'image=$({_PAUSE})\nmicrok8s ctr images ls -q | grep -xF "$image" >/dev/null ||'
            ' { echo "the node has no image $image, which each pod needs"; exit 1; }'
        )
        return actions.commands("microk8s kubectl apply -f -   (a pod of the pause image)", probe).but(apply=self._pull)

    def _pull(self):
        image = self.ch.run(_PAUSE).strip()

        def ready():
            self.kube.apply(filled(_HERE / "manifests" / "pause.yaml", IMAGE=image))
            phase = self.kube.kubectl("get pod runbook-pause -n kube-system -o jsonpath='{.status.phase}'")
            if phase != "Running":
                raise NotYet(why_no_pod(image, self.kube.kubectl(_EVENTS)) or "the pod is " + phase)
            return True

        try:
            self.ch.wait("the image " + image, ready, do=_another(image))
        finally:
            self.kube.kubectl("delete pod runbook-pause -n kube-system --ignore-not-found --wait=false")


def why_no_pod(image, event):
    """What the kubelet's last event says of the image of each pod; None when it is of something else."""
    if f'"{image}"' not in event:
        return None
    return "the registry {} gives no {}: {}".format(image.partition("/")[0], image, event.rpartition(f'"{image}": ')[2])


def _another(image):
    host = image.partition("/")[0]
    if host != "k8s.gcr.io":
        return f"On the host: curl -I https://{host}/v2/"
    return """Is the host's way to it open? On the host: curl -I https://k8s.gcr.io/v2/
If it is no more: ./runbook up --only kubernetes -p 'kubernetes.image_mirrors=["k8s.gcr.io=registry.k8s.io"]'"""


# -- containerd's settings -------------------------------------------------------------------------


def with_registries(text, mirrors, login=None):
    """containerd's settings with these [(registry, mirror)] and login (user, password), in place of earlier ones."""
    plain = re.sub("^" + _ASIDE, "", _BLOCK.sub("", text), flags=re.M)
    if not mirrors and not login:
        return plain
    for registry, _ in mirrors:
        plain = _set_aside(plain, registry)
    lines = [line for registry, mirror in mirrors for line in _mirror(registry, mirror)]
    if login:
        user, password = login
        lines += [f'[{_TABLE}.configs."{_HUB}".auth]', f'  username = "{user}"', f'  password = "{password}"']
    ends = "" if plain.endswith("\n") else "\n"
    return plain + ends + "\n".join([_BEGIN, *lines, _END]) + "\n"


def _mirror(registry, mirror):
    itself = _HUB if registry == "docker.io" else registry
    return [f'[{_TABLE}.mirrors."{registry}"]', f'  endpoint = ["{_endpoint(mirror)}", "https://{itself}"]']


def _endpoint(mirror):
    """containerd puts /v2 before an image's name where the address has no path, and takes a path as it is."""
    host, _, path = re.sub("^https?://", "", mirror).partition("/")
    scheme = "http" if mirror.startswith("http://") else "https"
    path = re.sub("^v2(/|$)", "", path).strip("/")
    return f"{scheme}://{host}" + (f"/v2/{path}" if path else "")


def _set_aside(text, registry):
    """TOML takes a table once: one of this registry that is there becomes a comment."""
    head, lines, aside = f'[{_TABLE}.mirrors."{registry}"]', [], False
    for line in text.splitlines(keepends=True):
        if line.strip().startswith("["):
            aside = line.strip() == head
        lines.append(_ASIDE + line if aside else line)
    return "".join(lines)
