"""The kernel's settings after the last sandbox: as they were, but not taken from others who came since."""

import os
import subprocess
import sys

import pytest
from machine_state import IPTABLES

from helpers.core.paths import REPO

SCRIPT = """
import subprocess, sys
from pathlib import Path
from helpers.sandbox import network
subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
network.SHARED, network.FORWARD = Path(sys.argv[1]) / "shared", Path(sys.argv[1]) / "forward"
network.FORWARD.write_text("0\\n")
with network._shared():
    network._forward()
assert network.FORWARD.read_text() == "1\\n"
if sys.argv[2]:
    subprocess.run(["ip", "link", "add", sys.argv[2], "type", "bridge"], check=True)
network.Network("rb-x", "10.99.250", Path("/x")).down(None)
print(network.FORWARD.read_text().strip())
assert not network.SHARED.exists()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")
@pytest.mark.parametrize("came, after", (("", "0"), ("docker0", "1"), ("virbr0", "1"), ("vb-old", "0")))
def test_it_is_left_on_for_links_that_came_since(tmp_path, came, after):
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", SCRIPT, str(tmp_path), came]
    done = subprocess.run(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.strip() == after


KERNEL = """
import subprocess, sys
from pathlib import Path
from helpers.sandbox import network
subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
here = Path(sys.argv[1])
network.SHARED, network.FORWARD, network.SETTINGS = here / "shared", here / "forward", here / "sys"
network.FORWARD.write_text("1\\n")
one, two = (network.Network(f"rb-{n}", f"10.99.{n}", here) for n in (250, 251))
one._iptables = two._iptables = lambda root, action, rule: action != "-D"  # the rules are not what is tried here
values = lambda: [(network.SETTINGS / name).read_text().strip() for name in [*network.KUBELET][:3]]
def put(*new):
    for name, value in zip(network.KUBELET, new):
        (network.SETTINGS / name).parent.mkdir(parents=True, exist_ok=True)
        (network.SETTINGS / name).write_text(value + "\\n")
put("1", "0", "0")
one.up(here)
put("10", "1", "1")  # a kubelet
one.up(here)  # after a kill -9
two.up(here)
one.down(here)
assert values() == ["10", "1", "1"], values()  # the other still needs them
put(*sys.argv[2].split())
two.down(here)
print(*values())
assert not network.SHARED.exists()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")
@pytest.mark.parametrize("at_the_end, after", (("10 1 1", "1 0 0"), ("30 1 2", "30 0 2")))
def test_what_a_kubelet_set_is_put_back_by_the_last_sandbox(tmp_path, at_the_end, after):
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", KERNEL, str(tmp_path), at_the_end]
    done = subprocess.run(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.strip() == after


RULES = """
import subprocess, sys
from pathlib import Path
from helpers.sandbox import network
subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
here, iptables = Path(sys.argv[1]), sys.argv[3]
network.SHARED, network.FORWARD = here / "shared", here / "forward"
network.FORWARD.write_text(sys.argv[2])
def call(self, root, action, rule):
    argv = [*iptables.split(), "-w", "-t", rule[0], action, *rule[1:]]
    return subprocess.run(argv, stderr=subprocess.DEVNULL).returncode == 0
network.Network._iptables = call
network._remember = lambda: None
def rules():
    saved = [subprocess.run([*iptables.split(), "-t", t, "-S"], stdout=-1, text=True).stdout for t in ("nat", "filter")]
    return "".join(saved)
def routed():
    return [line for line in rules().splitlines() if "FORWARD" in line]
one, two = (network.Network(f"rb-{n}", f"10.99.{n}", here / str(n)) for n in (250, 251))
before = rules()
call(one, here, "-A", one._outdated())  # by an older runbook
one.up(here)
up = routed()
one.up(here)
assert routed() == up
assert "-A FORWARD -o rb-250 -j DROP" in up and "-A FORWARD -o rb-250 -j ACCEPT" not in up, up
stranger = "-A FORWARD ! -i rb-+ ! -o rb-+ -j DROP"
print(stranger in up)
two.up(here)
one.down(here)
assert (stranger in up) == (stranger in routed())
two.down(here)
assert rules() == before, rules()
assert network.FORWARD.read_text() == sys.argv[2]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")
@pytest.mark.skipif(not IPTABLES, reason="no iptables on this machine")
@pytest.mark.parametrize("forwarding, shut", (("0\n", "True"), ("1\n", "False")))
def test_the_machine_becomes_no_router_for_its_other_networks(tmp_path, forwarding, shut):
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", RULES, str(tmp_path), forwarding, IPTABLES]
    done = subprocess.run(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.strip() == shut
