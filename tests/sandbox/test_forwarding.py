"""IP forwarding after the last sandbox: as it was, but not taken from others who came since."""

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
