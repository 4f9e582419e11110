"""Each fault of the safety review has a test that holds it, or is named as open: tests/safety.md."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
#: letter: how many faults the review numbers
FAULTS = {"D": 17, "E": 8, "P": 9, "R": 15, "S": 4, "B": 7}


def _rows():
    lines = [line.strip("| \n").split("|") for line in (TESTS / "safety.md").read_text().splitlines()[7:]]
    return {fault.strip(): (re.findall("`([^`]+)`", held), (rest or [""])[0].strip()) for fault, held, *rest in lines}


def test_each_fault_of_the_review_has_a_row_and_each_row_a_test_or_what_is_open():
    rows = _rows()
    assert [*rows] == [f"{letter}{n + 1}" for letter, n_of in FAULTS.items() for n in range(n_of)] + ["injection"]
    assert all(held or still_open for held, still_open in rows.values())


def test_each_test_that_is_named_is_there():
    named = {test for held, _ in _rows().values() for test in held}
    missing = [test for test in sorted(named) if not _is_there(*test.split("::"))]
    assert not missing and len(named) > 60


def _is_there(file, name):
    path = TESTS / file
    return path.is_file() and re.search(rf"^def {name}\(", path.read_text(), re.M) is not None
