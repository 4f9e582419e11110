"""`./runbook lint`: are the chapters' notebooks as a chapter must be?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from helpers.command import notebook_rules
from helpers.command.base import CHAPTER, examples, say
from helpers.core import notebooks, paths
from helpers.core.errors import BadInput
from helpers.core.paths import REPO

#: of a notebook: names that are undefined, or imported for nothing
NAMES = ["check", "--isolated", "--no-cache", "--output-format", "json", "--select", "F821,F401"]
_NAMES_DO = {"F821": "Import it, or spell it as it is.", "F401": "Take it out."}


class Finding(NamedTuple):
    """What is wrong with a notebook. cell: counted from 1; 0 for the notebook as a whole."""

    path: Path
    cell: int
    what: str
    do: str

    def lines(self) -> str:
        """As a person reads it."""
        path = self.path.relative_to(REPO) if self.path.is_relative_to(REPO) else self.path
        where = f"{path}, cell {self.cell}" if self.cell else str(path)
        return f"{where}: {self.what}\n    do  {self.do}"


def findings(files: Sequence[Path]) -> list[Finding]:
    """All that is wrong with these notebooks, in the order of files and cells."""
    found = [Finding(path, *each) for path in files for each in notebook_rules.broken(path)]
    found += _names(files)
    return sorted(found, key=lambda each: (files.index(each.path), each.cell))


def _names(files: Sequence[Path]) -> Iterator[Finding]:
    """Names that are undefined, or imported for nothing: asked of ruff, of all notebooks at once."""
    if not files:
        return
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run([ruff, *NAMES, *files], capture_output=True, text=True, timeout=60)
    by_name = {str(path.resolve()): path for path in files}
    for each in json.loads(done.stdout):
        if each["code"] in _NAMES_DO:  # what cannot be read has been told
            yield Finding(by_name[each["filename"]], each["cell"], each["message"], _NAMES_DO[each["code"]])


def chosen(names: Sequence[str]) -> list[Path]:
    """The notebooks of these names: files, or chapters by id or number. All chapters without any."""
    if not names:
        return sorted(paths.NOTEBOOKS.glob("*.ipynb"))
    return list(dict.fromkeys(Path(name) if name.endswith(".ipynb") else notebooks.find(name).path for name in names))


@click.command("lint", epilog=examples("./runbook lint\n./runbook lint minio\n./runbook lint notebooks/05_minio.ipynb"))
@click.argument("chapters", nargs=-1, type=CHAPTER, metavar="[CHAPTER]...")
def lint(chapters: tuple[str, ...]) -> None:
    """Check the notebooks' form: title, parameters, sections, entries; no outputs, no versions, no long lines.

    A CHAPTER is an id, a number or a file; all of them without one. Touches no host.
    """
    files = chosen(chapters)
    for path in files:
        if not path.is_file():
            raise BadInput(f"check {path}", saw="there is no such file", do="./runbook lint checks all there are")
    found = findings(files)
    for each in found:
        say(each.lines())
    bad = len({each.path for each in found})
    say(f"{len(files)} notebooks, nothing found" if not found else f"{len(found)} found in {bad} of {len(files)}")
    sys.exit(1 if found else 0)
