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
one._iptables = two._iptables = lambda *_: True  # the rules are not what is tried here
values = lambda: [(network.SETTINGS / name).read_text().strip() for name in network.KUBELET]
def put(*new):
    for name, value in zip(network.KUBELET, new):
        (network.SETTINGS / name).parent.mkdir(parents=True, exist_ok=True)
        (network.SETTINGS / name).write_text(value + "\\n")
put("1", "0", "0")
one.up(here)
put("10", "1", "1")  # a kubelet
one.up(here)  # after a kill -9
two.up(here)
one._iptables = two._iptables = lambda *_: False
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
