"""The add-on host-access: an address of the host on its loopback, for pods, and for it alone."""

from __future__ import annotations

from pathlib import Path

from helpers.core.shell import filled, script

_HERE = Path(__file__).parent
_SCRIPTS = _HERE / "scripts"
_UNIT = "mlops-host-access"
#: the thing, as core/ownership.py names it, by which MicroK8s takes the add-on for enabled: the address is in it
MARK = "file /var/snap/microk8s/current/var/lock/host-access-enabled"


def at_each_start(ch, address):
    """Action: a unit that gives the loopback this address before MicroK8s' proxy does, which takes a whole network."""
    return ch.service(_UNIT, filled(_HERE / "host_access.service", ADDRESS=address))


def enabled(kube, address):
    """Action: the add-on, with this address as the loopback's only one of it.

    Remove does what `disable` does, which stops half way where the address is gone already. Where the add-on was here
    before, it and its address stay.
    """
    probe = script(_SCRIPTS / "host_access.sh", address)
    enable = kube.addon("host-access", "ip=" + address, probe, None)
    alone = _SCRIPTS / "host_access_alone.sh"

    def apply():
        kube.ch.host.run(script(alone, address), what=f"give the loopback {address}/32")
        enable.apply()

    shown = [f"ip addr replace {address}/32 dev lo label lo:microk8s", *enable.shown]
    gone = script(_SCRIPTS / "host_access_gone.sh")
    theirs = [MARK] * kube.ch.own.was_before(MARK)
    return enable.but(shown=shown, apply=apply, undo=script(alone, ""), absent=gone, makes=theirs)
