"""This machine after `sandbox down`: settings, rules, routes, links, mounts as they were; in a network of its own."""

import os
import subprocess
import sys

import pytest
from machine_state import state

from helpers.core.paths import REPO

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")


def test_what_the_kernel_counts_is_no_setting():
    seen = {line.partition(" = ")[0] for line in state()["settings"]}
    assert {"vm/max_map_count", "net/ipv4/ip_forward"} <= seen
    assert not seen & {"fs/quota/syncs", "fs/file-nr", "kernel/random/entropy_avail", "kernel/pty/nr"}


# The calls of ip and iptables are counted, and at one of them the process dies as by kill -9.
BEGINNING = """
import os, signal, subprocess, sys
from pathlib import Path
sys.path.insert(0, "tests/sandbox")
from helpers.core.errors import RunbookError
from helpers.sandbox import network
from machine_state import difference, state, without_others
subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
here, iptables = Path(sys.argv[1]), sys.argv[2].split()
real, left = subprocess.run, [0]
def run(argv, **how):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if argv[0] == "chroot" and argv[1] == str(here):
        argv = [*iptables, *argv[3:]]
    return real(argv, **how)
def ip(*words):
    real(["ip", *words], check=True)
def rule(*words):
    real([*iptables, *words], check=True)
network.SHARED, network.SETTINGS = here / "shared", here / "sys"
for name in network.KUBELET:
    (network.SETTINGS / name).parent.mkdir(parents=True, exist_ok=True)
    (network.SETTINGS / name).write_text("7\\n")
def kubelet():
    for name, value in network.KUBELET.items():
        (network.SETTINGS / name).write_text(value + "\\n")
def all_of_it(**how):
    mine = [f"{p.relative_to(here)} {p.read_text()}" for p in sorted(here.rglob("*")) if p.is_file()]
    found = state(iptables, **how)
    return {**found, "mounts": without_others(found["mounts"]), "ours": mine, "shared": [str(network.SHARED.exists())]}
def sandbox(number=250):
    return network.Network(f"rb-{number}", f"10.99.{number}", here / str(number))
def docker():
    ip("link", "set", "lo", "up")
    for name, address in (("docker0", "172.17.0.1/16"), ("br-0123", "172.18.0.1/16")):
        ip("link", "add", name, "type", "bridge")
        ip("link", "set", name, "addrgenmode", "none")  # an address of IPv6 comes seconds later
        ip("addr", "add", address, "dev", name)
        ip("link", "set", name, "up")
        rule("-A", "FORWARD", "-i", name, "-j", "ACCEPT")
        rule("-t", "nat", "-A", "POSTROUTING", "-s", address, "!", "-o", name, "-j", "MASQUERADE")
    rule("-P", "FORWARD", "DROP")
    ip("route", "add", "10.99.0.0/24", "via", "172.17.0.9")
def killed_at(number, call):
    child = os.fork()
    if not child:
        subprocess.run, left[0] = run, number
        call()
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0
def down(*others):
    for one in (sandbox(), *others):
        one.down(here)
network.FORWARD.write_text(sys.argv[3])
if sys.argv[4] == "docker":
    docker()
sandbox(249)._iptables(None if iptables == ["iptables"] else Path(iptables[1]), "-C", network.NO_ROUTER)
QUICKLY = {"tables": ("nat", "filter"), "settings": False}
before, soon = all_of_it(), all_of_it(**QUICKLY)
subprocess.run = run
def same(when):
    found = difference(before, all_of_it())
    assert not found, (when, found)
def same_soon(when):
    found = difference(soon, all_of_it(**QUICKLY))
    assert not found and network.FORWARD.read_text().strip() == sys.argv[3], (when, found)
"""

LIFE = """
def up():
    sandbox().up(here)
up()
kubelet()
sandbox(251).up(here)
assert difference(before, all_of_it())
sandbox().down(here)
sandbox(251).down(here)
same("after a whole life")
down()
same("after another down")
print("ok")
"""

KILLED = """
def up():
    sandbox().up(here)
number = 0
while True:
    number += 1
    if not killed_at(number, up):
        break
    down()
    same_soon(f"up was killed at its call {number}, then down")
    killed_at(number, up)
    up()
    kubelet()
    up()
    down()
    same_soon(f"up was killed at its call {number}, then up and down")
assert number > 8, number
down()
number = 0
while True:
    number += 1
    up()
    kubelet()
    if not killed_at(number, down):
        break
    down()
    same_soon(f"down was killed at its call {number}, then down")
assert number > 8, number
same("at the end")
print("ok")
"""


def alone(script, *arguments):
    argv = ["unshare", "--net", "--mount", sys.executable, "-c", BEGINNING + script, *arguments]
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, timeout=600)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize(("forwarding", "beside"), (("0", ""), ("0", "docker"), ("1", "docker")))
def test_it_is_as_it_was_also_beside_docker(tmp_path, forwarding, beside, iptables):
    assert alone(LIFE, str(tmp_path), iptables, forwarding, beside) == "ok"


def test_it_is_as_it_was_after_kill_9_at_each_call_of_up_and_down(tmp_path, iptables):
    assert alone(KILLED, str(tmp_path), iptables, "0", "docker") == "ok"


GUESTS = """
import socket
real(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
def guest(number):
    name = f"g{number}"
    sandbox(number).up(here)
    ip("netns", "add", name)
    ip("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", f"v{number}", "master", f"rb-{number}", "up")
    ip("-n", name, "addr", "add", f"10.99.{number}.2/24", "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("-n", name, "route", "add", "default", "via", f"10.99.{number}.1")
ip("link", "set", "lo", "up")
guest(250)
guest(251)
registry = socket.create_server(("10.99.250.1", 5000))
connect = [sys.executable, "-c", "import socket; socket.create_connection(('10.99.250.1', 5000), timeout=2)"]
for place in ([], ["ip", "netns", "exec", "g250"], ["ip", "netns", "exec", "g251"]):
    print(real([*place, *connect], stderr=-3).returncode)
"""


def test_no_other_sandboxs_guest_reaches_a_registry(tmp_path, iptables):
    """It takes images without a login, and the names in it are what the next host runs."""
    assert alone(GUESTS, str(tmp_path), iptables, "0", "").split() == ["0", "0", "1"]


ROOTLESS = """
sandbox().up(here)
path = os.environ["PATH"]
os.environ["PATH"] = str(here / "nothing")
try:
    sandbox().down(None)
except RunbookError as e:
    print(e.do)
os.environ["PATH"] = str(here / "bin") + ":" + path
assert sandbox().exists(), "it tells that rules are left"
sandbox().down(None)
same("without any root folder")
"""


def test_without_any_root_folder_the_rules_go_by_the_machines_own_iptables(tmp_path, iptables):
    """They stayed, and nobody said so."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "iptables").write_text(f'#!/bin/sh\nexec {iptables} "$@"\n')
    (tmp_path / "bin" / "iptables").chmod(0o755)
    said = alone(ROOTLESS, str(tmp_path), iptables, "0", "")
    assert said == "apt-get install iptables, then once more: the sandbox's rules are still in this machine's kernel"
