"""Chapters as they lie in notebooks/: metadata, parameters by example, troubleshooting tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple

from helpers.core import parameters
from helpers.core.errors import BadInput
from helpers.core.paths import NOTEBOOKS

#: the host of a chapter that names none
PLATFORM = "platform"
#: the end of a parameter that has another host's target
_TARGET = "_target"


class Entry(NamedTuple):
    """One row of a troubleshooting table."""

    id: str
    see: str
    because: str
    do: str


class Notebook:
    """One source notebook: id, number ("05"), title, requires (ids), provides (words), parameters, entries, path."""

    def __init__(self, path: Path):
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        meta = self.content["metadata"].get("runbook", {})
        self.id: str = meta["id"]
        self.title: str = meta["title"]
        self.requires: list[str] = meta.get("requires", [])
        self.provides: list[str] = meta.get("provides", [])
        self.host: str = meta.get("host", PLATFORM)  # by name: a run gives it a target
        self.where: str = meta.get("where", "")  # where the component runs, in words
        # names of its programs on the host, which may hold its ports
        self.processes: list[str] = meta.get("processes", [])
        # on the operator's machine, {name: {"why", "when": a parameter}}
        self.programs: dict[str, Any] = meta.get("programs", {})
        self.commands: dict[str, str] = meta.get("commands", {})  # of ./runbook, {name: module}
        self.tables: dict[str, Any] = meta.get("tables", {})  # {table of the book: rows}
        self.number = path.name.split("_")[0]
        self.parameters = {p.name: p for p in self._parameters()}
        #: the catalogue's artifacts that it asks for, by name; a run asks for them several times a second
        self.artifacts = self._artifacts()

    @property
    def label(self) -> str:
        return f"{self.number} {self.id}"

    @property
    def others(self) -> dict[str, str]:
        """{parameter: host} of hosts beside its own: a run fills gitlab_target with the target of the host gitlab."""
        return {p: p[: -len(_TARGET)] for p in self.parameters if p.endswith(_TARGET)}

    def _cells(self, kind: str) -> Iterator[tuple[dict[str, Any], str]]:
        for cell in self.content["cells"]:
            if cell["cell_type"] == kind:
                yield cell, "".join(cell["source"])

    def code(self) -> Iterator[str]:
        """The sources of its code cells."""
        return (source for _, source in self._cells("code"))

    def _parameters(self) -> Iterator[parameters.Parameter]:
        for cell, source in self._cells("code"):
            if "parameters" in cell["metadata"].get("tags", []):
                yield from parameters.read(source)

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The chapter's parameters with `given` over its defaults; BadInput names the first that does not fit."""
        return parameters.check(self.id, self.parameters, given)

    def _artifacts(self) -> list[str]:
        """One by one or in a loop over their names."""
        found: list[str] = []
        for _, source in self._cells("code"):
            for loop in re.finditer(r"\bfor (\w+) in \(([^)]*)\):\s+ch\.artifact\(\1\)", source):
                found += re.findall(r'"([^"]+)"', loop.group(2))
            found += re.findall(r'\bch\.(?:artifact|tool)\("([^"]+)"\)', source)
        return found

    @property
    def entries(self) -> dict[str, Entry]:
        """The rows of the troubleshooting table (`| entry | you see | because | do |`), by id."""
        found: dict[str, Entry] = {}
        for _, source in self._cells("markdown"):
            inside = False
            for line in source.splitlines():
                cells = [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
                if not line.startswith("|") or len(cells) != 4:
                    inside = False
                elif cells[0] == "entry":
                    inside = True
                elif inside and not cells[0].startswith("-"):
                    found[cells[0]] = Entry(*cells)
        return found


def load_all(folder: Path | None = None) -> dict[str, Notebook]:
    """Every chapter, by id, in the book's order."""
    books = [Notebook(p) for p in sorted((folder or NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"))]
    return {n.id: n for n in books}


def find(name: str, among: Mapping[str, Notebook] | None = None) -> Notebook:
    """A chapter by id, number or file name (minio, 05, 05_minio). BadInput with the nearest name otherwise."""
    known = among or load_all()
    for n in known.values():
        if name in (n.id, n.number, n.path.stem, n.path.name):
            return n
    raise BadInput(
        f"find the chapter {name!r}",
        saw="there is none of that name",
        do=parameters.nearest(name, list(known)) or "Chapters: " + ", ".join(known),
    )
