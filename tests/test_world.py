"""Each fault of real hosts and real servers has a test that is red when what mends it is broken: tests/world.toml."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from serving import until

from helpers.core.paths import REPO

TESTS = Path(__file__).parent
ROWS = tomllib.loads((TESTS / "world.toml").read_text())
#: letter: the numbers of the review, of MicroK8s' trial (its M2, M6, M8 and M10 are F2, F3, F1 and F6, M14 an order),
#: of the real servers (R2 is F4), and of the reports
FAULTS = {
    "F": [*range(1, 31)],
    "M": [1, 3, 4, 5, 7, 9, 11, 12, 13, 15],
    "R": [1, *range(3, 11)],
    "P": [*range(1, 19)],
}
BROKEN = [name for name, row in ROWS.items() if "was" in row]


def test_each_fault_has_a_row():
    missing = {f"{letter}{number}" for letter, numbers in FAULTS.items() for number in numbers} | {"F2b", "F3b"}
    assert missing - {name.partition(":")[0] for name in ROWS} == set()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_tests_that_are_there_and_what_mends_it(name):
    row = ROWS[name]
    for test in row.get("tests", []):
        file, _, function = test.partition("::")
        assert re.search(rf"^def {function}\(", (TESTS / file).read_text(), re.M), test
    if "was" in row:
        assert row["tests"] and row["was"] != row.get("broken", "")
        assert (REPO / row["file"]).read_text().count(row["was"]) == 1, row["file"]
    if "page" in row:
        assert row["has"] in (REPO / row["page"]).read_text()
    assert row.get("tests") or row.get("page")


@pytest.mark.skipif(not os.environ.get("RUNBOOK_FAULTS"), reason="long: ./runbook test --faults tests/test_world.py")
@pytest.mark.parametrize("name", BROKEN)
def test_it_is_red_when_what_mends_it_is_broken(name, tmp_path):
    copy, row = tmp_path / "copy", ROWS[name]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, check=True, stdout=subprocess.PIPE, text=True).stdout
    for path in filter(None, listed.split("\0")):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / path, copy / path)
    file = copy / row["file"]
    file.write_text(file.read_text().replace(row["was"], row.get("broken", "")))
    tests = [str(copy / "tests" / test) for test in row["tests"]]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    code, said = ended_in_time(argv, cwd=copy, env=env, timeout=120)
    assert code is None or (code == 1 and "failed" in said), said[-2000:]  # a wait that never ends is red, too: R8


def ended_in_time(argv, timeout, **how):
    """(exit code, output); the code is None where it was ended, with all that it has started."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(argv, start_new_session=True, **streams, **how) as begun:
        try:
            said, _ = begun.communicate(timeout=timeout)
            return begun.returncode, said
        except subprocess.TimeoutExpired:
            os.killpg(begun.pid, signal.SIGKILL)
            return None, begun.communicate()[0]


def test_what_does_not_end_is_ended_with_what_it_has_started(tmp_path):
    begins = f"sleep 300 & echo $! >{tmp_path}/pid; wait"
    assert ended_in_time(["bash", "-c", begins], timeout=1)[0] is None
    words = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    until("its child to end", lambda: not words.exists() or not words.read_bytes())
    assert ended_in_time(["sh", "-c", "echo failed; exit 1"], timeout=60) == (1, "failed\n")
