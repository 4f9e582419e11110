"""MicroK8s on the host: what must be so before it comes, its steps, and the two kubeconfigs that lead to it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from helpers.components.kubernetes import kubeconfig
from helpers.components.kubernetes.host_kubeconfig import HostKubeconfig, leads_here
from helpers.components.kubernetes.kube import READY, Kube
from helpers.components.kubernetes.probes import NOT_INSTALLED, with_cluster
from helpers.components.kubernetes.registries import READY_OR_WHY, TEMPLATE
from helpers.core import actions, asked, notes
from helpers.core.actions import Action
from helpers.core.shell import script

_SCRIPTS = Path(__file__).with_name("scripts")

#: probes: what is asked of a host before MicroK8s comes
CGROUP_V1 = "[ \"$(stat -fc %T /sys/fs/cgroup)\" != cgroup2fs ] || { echo 'cgroup v2 only'; exit 1; }"
SNAPD = "command -v snap >/dev/null || { echo 'no snap command'; exit 1; }"
#: the API server's, kubelet's, the scheduler's two, the controller manager's two, the datastore's, the cluster agent's,
#: and that of containerd's metrics: each ends its program when it is taken (Kubernetes 1.20's defaults, MicroK8s'
#: documentation of its ports and its containerd-template.toml)
PORTS_ARE_OURS = script(_SCRIPTS / "ports_are_ours.sh", 16443, 10250, 10251, 10259, 10252, 10257, 19001, 25000, 1338)
NODE_NAME = script(_SCRIPTS / "node_name.sh")

#: a probe: NodePorts answer on every address of the host
NODE_PORTS_ARE_OPEN = script(_SCRIPTS / "argument_is.sh", "kube-proxy", "--nodeport-addresses", "")

_UNITS = ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy", "containerd")
#: functions, of what MicroK8s leaves behind when its snap is removed
_LEFT = script(_SCRIPTS / "microk8s_left.sh") + "\n"


#: chapter 04 makes it; where that has no note, a runbook that kept none did
OLDERS_UNIT = "/etc/systemd/system/mlops-host-access.service"


def channel_exists(channel):
    """A probe: the snap store has this channel of MicroK8s, or MicroK8s is here already."""
    track, risk = _track(channel).split("/")[:2]
    return script(_SCRIPTS / "channel_exists.sh", track, risk)


def track_is_ours(channel):
    """A probe: no MicroK8s of another track is installed: the step would refresh it to this one, remove purge it."""
    return with_cluster(script(_SCRIPTS / "track_is_ours.sh", channel.split("/")[0]))


def made_by_older(ch, label="", space=""):
    """A probe of a thing in the cluster, or the snap: a runbook that kept no note made it.

    label: key=value, the mark of a namespace and of its objects; all else is asked for in the namespace `space`.
    """
    known = "known" if asked.before(ch.host.target.slug, ch.notebook.id) else "unknown"
    left = OLDERS_UNIT if ch.notebook.id in ("kubernetes", "addons") else ""  # it speaks for these two alone
    return script(_SCRIPTS / "made_by_older.sh", known, label, space, left, f"{notes.STATE}/addons.json")


def _track(channel):
    return channel if "/" in channel else channel + "/stable"


def _argument(program, name, value, service):
    """Action: MicroK8s starts a program with name=value; with value "" without it."""
    shown = f"{name}={value} in args/{program}" if value else f"no {name} in args/{program}"
    return Action(
        [shown, f"systemctl restart snap.microk8s.daemon-{service}"],
        script(_SCRIPTS / "argument_is.sh", program, name, value),
        script(_SCRIPTS / "argument_set.sh", program, name, value, service),
    )


class MicroK8s:
    """MicroK8s on the chapter's target, and its user: the one that SSH logs in as."""

    def __init__(self, ch):
        self.ch, self.kube = ch, Kube(ch)
        self.user = ch.run("id -un", sudo=False).strip()

    def snap(self, channel):
        """Action: the snap, from this channel ("1.20" or "1.20/stable")."""
        return self.ch.snap("microk8s", _track(channel)).but(
            undo=_LEFT + script(_SCRIPTS / "microk8s_goes.sh"),
            absent=f"{NOT_INSTALLED}\n{_LEFT}nothing_left",
        )

    def version(self):
        """The version that is installed; empty when there is none."""
        return self.ch.run("snap list microk8s 2>/dev/null | awk 'NR==2 {print $2}' || true").strip()

    def group(self):
        """Action: the user is in the group microk8s."""
        user = self.user
        own_folder = f"mkdir -p ~{user}/.kube; chown -f -R {user} ~{user}/.kube"
        return Action(
            f"groupadd -f microk8s; usermod -a -G microk8s {user}; {own_folder}",
            f"id -nG {user} | grep -w >/dev/null microk8s || {{ echo '{user} is not in the group'; exit 1; }}",
            f"groupadd -f microk8s; usermod -a -G microk8s {user}; {own_folder}",
            f"gpasswd -d {user} microk8s >/dev/null 2>&1 || true; groupdel microk8s 2>/dev/null || true",
            absent=script(_SCRIPTS / "not_in_group.sh", user, "microk8s"),
        ).but(**self._theirs(f"gpasswd -d {user} microk8s || true", f"member microk8s/{user}"))

    def alias(self):
        """Action: kubectl on the host is MicroK8s'."""
        return Action(
            "snap alias microk8s.kubectl kubectl",
            script(_SCRIPTS / "snap_alias.sh", "there"),
            "snap alias microk8s.kubectl kubectl",
            "snap unalias kubectl 2>/dev/null || true",
            absent=script(_SCRIPTS / "snap_alias.sh", "gone"),
        ).but(**self._theirs("snap unalias kubectl || true", "alias kubectl"))

    def _theirs(self, undo, *things):
        """Fields of an action on a MicroK8s that was here before: remove takes what the note has as ours alone."""
        return {"undo": undo, "makes": things} if self.ch.own.was_before("snap microk8s") else {}

    def why_no_alias(self):
        """None when the name kubectl is free among snaps, or MicroK8s'; else whose it is: snapd refuses the alias."""
        other = self.ch.run(
            "{ snap list kubectl 2>/dev/null || true; } | awk 'NR == 2 {print $1}'; "
            "{ snap aliases 2>/dev/null || true; } | awk '$2 == \"kubectl\" && $1 !~ /^microk8s[.]/ {print $1}'",
            sudo=False,
        ).split()
        return f"the snap {other[0]} has that name: type microk8s.kubectl" if other else None

    def services(self):
        """Action: MicroK8s' services run."""
        return actions.commands("microk8s start", script(_SCRIPTS / "services_run.sh", *_UNITS))

    def ports(self, node_ports):
        """Actions: no port of Kubernetes' own asks for no login, and NodePorts answer on the host's loopback alone.

        node_ports: loopback or network, all addresses of the host, which is Kubernetes' own way.  A firewall's rules
        for incoming packets do not close a NodePort: kube-proxy has sent the packet on before they are asked.
        """
        addresses = "127.0.0.0/8" if node_ports == "loopback" else ""
        return [
            self._argument("kubelet", "--read-only-port", "0", "kubelet"),
            self._argument("kube-proxy", "--nodeport-addresses", addresses, "proxy"),
        ]

    def _argument(self, program, name, value, service):
        """Of a MicroK8s that was here before, remove puts the program's arguments back."""
        things = [f"file /var/snap/microk8s/current/args/{program}", f"unit snap.microk8s.daemon-{service}.service"]
        return _argument(program, name, value, service).but(**self._theirs("true", *things))

    def registries(self, chosen):
        """The action, of registries.py: of a MicroK8s that was here before, remove puts containerd's settings back."""
        return chosen.but(**self._theirs("true", f"file {TEMPLATE}", "unit snap.microk8s.daemon-containerd.service"))

    def node_ready(self):
        """Action: its node is Ready. Installing waits up to 5 minutes, showing what for."""

        def apply():
            self.ch.host.run("microk8s start", timeout=300, what="start MicroK8s")
            do = "On the host: sudo microk8s inspect; journalctl -u snap.microk8s.daemon-kubelet -n 50"
            self.kube.wait_for("the node to be Ready", READY_OR_WHY, do=do)

        return Action("microk8s start; microk8s status --wait-ready", READY, apply)

    def host_kubeconfig(self):
        """Action: the user's ~/.kube/config on the host leads to the cluster."""
        config = HostKubeconfig(self.kube, self.user)
        return config.action().but(**self._theirs(config.undo, f"context {self.user}/microk8s"))

    def why_anothers(self, path, context):
        """For a precondition: None unless the context of the operator's kubeconfig leads to another host's cluster."""
        found = kubeconfig.entry(path, context)
        if found is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            if leads_here(self.kube, found, Path(folder)):
                return None
        return f"it leads to {(found['cluster'] or {}).get('server') or 'nowhere'}"

    def kubeconfig(self, path, context, use, proxy=None):
        """Action: the operator's kubeconfig at `path` has this cluster as `context`.

        use: make it the current one.  proxy: the local port of the SOCKS proxy that leads to it; None: none.
        Remove leaves a context of that name that leads to another host's cluster.
        """
        shown = str(path).replace(str(Path.home()), "~")

        def wanted():
            return kubeconfig.through_proxy(self.kube.config(), proxy)

        def undo():
            if not self.why_anothers(path, context):
                kubeconfig.remove(path, context)

        def why_there():
            away = kubeconfig.entry(path, context) is None or self.why_anothers(path, context)
            return None if away else f"context {context} is still there"

        return Action(
            f"kubectl config: cluster, user and context {context} into {shown}",
            lambda: kubeconfig.why_differs(path, wanted(), context, use),
            lambda: kubeconfig.merge(path, wanted(), context, use),
            undo,
            absent=why_there,
        )
