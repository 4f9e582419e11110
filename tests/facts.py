"""What was read of a real program, in the tables of a file of tests/recordings/: each row has a test."""

from __future__ import annotations

import re
from pathlib import Path

RECORDINGS = Path(__file__).with_name("recordings")


class Facts:
    """The rows of a file by their first cell, and which of them a test is of."""

    def __init__(self, file: str):
        self.rows = set(re.findall(r"^\| (?!what \|)([^|]+?) \| .+\|$", (RECORDINGS / file).read_text(), re.M))
        self.untested = set(self.rows)
        assert self.rows, f"{file} has no table"

    def row(self, *names: str):
        """The decorated test is of these rows."""
        assert set(names) <= self.rows, set(names) - self.rows
        self.untested -= set(names)
        return lambda test: test
