"""The kernel's settings after the last sandbox: as they were, but not taken from others who came since."""

import os
import subprocess
import sys

import pytest

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
for rule in one._outdated():
    call(one, here, "-A", rule)
one.up(here)
up = routed()
one.up(here)
assert routed() == up
assert "-A FORWARD ! -i rb-+ -o rb-250 -j DROP" in up, up
assert not [line for line in up if line.startswith("-A FORWARD -o rb-250 -j")], up
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
@pytest.mark.parametrize("forwarding, shut", (("0\n", "True"), ("1\n", "False")))
def test_the_machine_becomes_no_router_for_its_other_networks(tmp_path, forwarding, shut, iptables):
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", RULES, str(tmp_path), forwarding, iptables]
    done = subprocess.run(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.strip() == shut


PACKETS = """
import subprocess, sys, time
from pathlib import Path
from helpers.sandbox import network
here, iptables = Path(sys.argv[1]), sys.argv[2].split()
def sh(text):
    return subprocess.run(["sh", "-ec", text], stderr=subprocess.DEVNULL).returncode == 0
assert sh("mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run; ip link set lo up")
network.SHARED, network._remember = here / "shared", lambda: None
def call(self, root, action, rule):
    argv = [*iptables, "-w", "-t", rule[0], action, *rule[1:]]
    return subprocess.run(argv, stderr=subprocess.DEVNULL).returncode == 0
network.Network._iptables = call
one, two = (network.Network(f"rb-{n}", f"10.99.{n}", here / str(n)) for n in (250, 251))
two.up(here)  # the second one first
one.up(here)
assert sh("ip link add lan type bridge; ip addr add 10.98.9.1/24 dev lan; ip link set lan up")
for name, bridge, net in (("g1", "rb-250", "10.99.250"), ("g2", "rb-251", "10.99.251"), ("out", "lan", "10.98.9")):
    assert sh(f'''ip netns add {name}; ip link add v-{name} type veth peer name eth0 netns {name}
ip link set v-{name} master {bridge} up; ip -n {name} addr add {net}.2/24 dev eth0; ip -n {name} link set eth0 up
ip -n {name} link set lo up; ip -n {name} route add default via {net}.1''')
SERVE = ["ip", "netns", "exec", None, sys.executable, "-m", "http.server", "80"]
servers = [subprocess.Popen([w or g for w in SERVE], cwd="/", stderr=-3, stdout=-3) for g in ("g1", "g2")]
def reaches(name, address):
    return sh(f"timeout 1 ip netns exec {name} bash -c ': </dev/tcp/{address}/80'")
try:
    end = time.monotonic() + 20
    while not (reaches("g1", "10.99.250.2") and reaches("g2", "10.99.251.2")) and time.monotonic() < end:
        time.sleep(0.1)
    print(reaches("g1", "10.99.251.2"), reaches("g2", "10.99.250.2"), reaches("out", "10.99.250.2"))
finally:
    for server in servers:
        server.kill()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")
def test_two_hosts_reach_each_other_whichever_came_first_and_no_third_reaches_them(tmp_path, iptables):
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", PACKETS, str(tmp_path), iptables]
    done = subprocess.run(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True True False"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")
@pytest.mark.parametrize("there", (True, False))
def test_a_bridge_of_a_sandbox_whose_folder_was_deleted_is_taken_over(tmp_path, there):
    other = tmp_path / "other"
    other.mkdir() if there else None
    script = f"""
import subprocess
from pathlib import Path
from helpers.sandbox import network
for command in ("mount -t sysfs sysfs /sys", "ip link add rb-250 type bridge", "ip link set rb-250 alias {other}"):
    subprocess.run(command.split(), check=True)
try:
    network.Network("rb-250", "10.99.250", Path("/mine")).check()
    print("taken over")
except network.RunbookError as e:
    print(e.saw)
"""
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", script]
    done = subprocess.run(argv, cwd=str(REPO), stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.strip() == (f"it belongs to the sandbox in {other}" if there else "taken over")
