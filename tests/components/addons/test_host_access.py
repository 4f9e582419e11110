"""host-access: its address, in a network of its own with the real `ip`, and MicroK8s' mark in a file."""

import shutil
import subprocess

import pytest
import stand_in

from helpers.components.addons import addons, host_access

ADDRESS = "10.0.1.1"
_LOCK = "/var/snap/microk8s/current/var/lock/host-access-enabled"
#: what ifconfig does of MicroK8s 1.20: the address with the mask of its class (facts: enable.host-access.sh)
IFCONFIG = f"ip addr add {ADDRESS}/8 dev lo label lo:microk8s"


def _own_networks():
    can = shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0
    return bool(can)


pytestmark = pytest.mark.skipif(not _own_networks(), reason="needs a network of its own (unshare -n), as root")


@pytest.fixture
def actions(monkeypatch, own_home):
    """The two actions: the unit, and the add-on."""
    return addons.Addons(stand_in.chapter(monkeypatch, "addons", None)).host_access(ADDRESS)


@pytest.fixture
def loopback(tmp_path):
    """Run scripts one after the other where nothing but a loopback is: [(exit code, what it printed)]."""
    (tmp_path / "lock").write_text(ADDRESS + "\n")

    def run(*scripts):
        lines = ["ip link set lo up"]
        for number, script in enumerate(scripts):
            path = tmp_path / f"{number}.sh"
            path.write_text(script.replace(_LOCK, str(tmp_path / "lock")))
            lines.append(f'out=$(bash -euo pipefail {path} 2>&1); echo "$? $out"')
        done = subprocess.run(["unshare", "-n", "bash", "-c", "\n".join(lines)], capture_output=True, text=True)
        assert not done.stderr, done.stderr
        return [(int(code), said) for code, _, said in (line.partition(" ") for line in done.stdout.splitlines())]

    return run


def starts(unit):
    """The unit's command, as the host runs it at each boot."""
    return next(line for line in unit.splitlines() if "ExecStart=" in line).split("=", 1)[1]


@pytest.fixture
def the_unit(monkeypatch, own_home):
    """The unit as it travels to the host, and the script that takes it."""
    told = []
    ch = stand_in.chapter(monkeypatch, "addons", lambda script, stdin: told.append((stdin, script)) or "")
    host_access.at_each_start(ch, ADDRESS).apply()
    return next((stdin.decode(), script) for stdin, script in told if stdin)


def test_the_unit_sets_it_before_microk8s_proxy_does(the_unit, loopback, actions):
    unit, script = the_unit
    assert "/etc/systemd/system/mlops-host-access.service" in script
    proxy = "snap.microk8s.daemon-proxy.service"
    assert f"\nBefore={proxy}\n" in unit
    # A proxy that is started or restarted without the address would take the whole network.
    assert f"\nPartOf={proxy}\n" in unit and unit.endswith(f"WantedBy=multi-user.target {proxy}\n")
    probe = actions[1].probe
    before, _, _, after = loopback(probe, starts(unit), starts(unit), probe)
    assert before == (1, "lo has no address for pods, not 10.0.1.1/32") and after == (0, "")


def test_a_whole_network_is_not_so_and_is_mended(actions, loopback):
    probe = actions[1].probe
    alone = host_access.script(host_access._SCRIPTS / "host_access_alone.sh", ADDRESS)
    _, wide, _, _, mended = loopback(IFCONFIG, probe, alone, "echo 10.0.1.1 > " + _LOCK, probe)
    assert wide == (1, "lo has 10.0.1.1/8 for pods, not 10.0.1.1/32")
    assert mended == (0, "")


def test_another_route_to_the_host_is_seen(actions, loopback):
    set_it, network = f"ip addr add {ADDRESS}/32 dev lo label lo:microk8s", "ip route add local 10.0.0.0/8 dev lo"
    said = loopback(set_it, network, actions[1].probe)[-1]
    assert said[0] == 1 and said[1].startswith("more than 10.0.1.1 leads to this host: local 10.0.0.0/8 dev lo")


def test_another_address_and_an_add_on_that_is_off_are_not_so(actions, loopback, tmp_path):
    (tmp_path / "lock").write_text("10.0.1.2\n")
    probe = actions[1].probe
    other, _, off = loopback(probe, "rm " + _LOCK, probe)
    assert other == (1, "host-access is enabled for 10.0.1.2, not for 10.0.1.1")
    assert off == (1, "host-access is not enabled")


def test_remove_takes_address_and_mark_whatever_is_left_of_them(actions, loopback):
    enable = actions[1]
    two = "ip addr add 10.0.1.2/32 dev lo label lo:microk8s"
    there, _, gone, again, gone_too = loopback(enable.absent, enable.undo, enable.absent, enable.undo, enable.absent)
    assert there == (1, "host-access is enabled") and gone == again == gone_too == (0, "")
    steps = loopback(IFCONFIG, two, enable.absent, enable.undo, enable.absent)
    assert steps[2] == (1, "lo still has 10.0.1.1/8 10.0.1.2/32") and steps[4] == (0, "")
