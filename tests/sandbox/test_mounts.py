"""What is mounted below a folder is seen by whatever name; without it `rm -rf` would go through a bind mount."""

import os
import subprocess
import sys

import pytest

from helpers.core.paths import REPO

SCRIPT = """
import subprocess, sys
from pathlib import Path
from helpers.core.errors import RunbookError
from helpers.sandbox import rootfs
source, point = map(Path, sys.argv[1:])
subprocess.run(["mount", "--bind", str(source), str(point)], check=True)
assert rootfs.mounts_below(point.parent) == [str(point)], rootfs.mounts_below(point.parent)
try:
    rootfs.remove(point.parent)
except RunbookError as e:
    assert str(point) in e.saw
else:
    raise AssertionError("removed")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("name", ("plain", "with a space", "tab\tand\\back"))
def test_a_bind_mount_below_stops_a_removal(tmp_path, name):
    outside, inside = tmp_path / "outside", tmp_path / name / "in side"
    outside.mkdir()
    inside.mkdir(parents=True)
    (outside / "file").write_text("kept")
    argv = ["unshare", "--mount", sys.executable, "-c", SCRIPT, str(outside), str(inside)]
    subprocess.run(argv, cwd=str(REPO), check=True, timeout=60)
    assert (outside / "file").read_text() == "kept"
