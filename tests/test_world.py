"""Each fault of real hosts and real servers has a test that is red when what mends it is broken: tests/world.toml."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
    try:
        done = subprocess.run(argv, cwd=copy, env=env, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return  # a wait that never ends is red, too: R8
    assert done.returncode == 1 and "failed" in done.stdout, done.stdout[-2000:]
