"""Chapters as they lie in notebooks/: metadata, parameters by example, troubleshooting tables."""

from __future__ import annotations

import ast
import collections
import difflib
import io
import ipaddress
import json
import re
import tokenize

from helpers.core import address_pools as addresses
from helpers.core.errors import BadInput
from helpers.core.paths import NOTEBOOKS

MODES = ("install", "verify", "plan", "remove")

Parameter = collections.namedtuple("Parameter", "name default help")
Entry = collections.namedtuple("Entry", "id see because do")


class Notebook:
    """One source notebook: id, number ("05"), title, requires (ids), provides (words), parameters, entries, path."""

    def __init__(self, path):
        self.path = path
        self.content = json.loads(path.read_text("utf-8"))
        meta = self.content["metadata"].get("runbook", {})
        self.id = meta["id"]
        self.title = meta["title"]
        self.requires = meta.get("requires", [])
        self.provides = meta.get("provides", [])
        self.where = meta.get("where", "")  # where the component runs, in words
        self.processes = meta.get("processes", [])  # names of its programs on the host, which may hold its ports
        self.programs = meta.get("programs", {})  # on the operator's machine, {name: {"why", "when": a parameter}}
        self.commands = meta.get("commands", {})  # of ./runbook, {name: module}
        self.tables = meta.get("tables", {})  # {table of the book: rows}
        self.number = path.name.split("_")[0]
        self.parameters = collections.OrderedDict((p.name, p) for p in self._parameters())

    @property
    def label(self):
        return f"{self.number} {self.id}"

    def _cells(self, kind):
        for cell in self.content["cells"]:
            if cell["cell_type"] == kind:
                yield cell, "".join(cell["source"])

    def _parameters(self):
        for cell, source in self._cells("code"):
            if "parameters" in cell["metadata"].get("tags", []):
                comments = {
                    t.start[0]: t.string.lstrip("# ")
                    for t in tokenize.generate_tokens(io.StringIO(source).readline)
                    if t.type == tokenize.COMMENT
                }
                for node in ast.parse(source).body:
                    if isinstance(node, ast.Assign):
                        yield Parameter(node.targets[0].id, ast.literal_eval(node.value), comments.get(node.lineno, ""))

    @property
    def artifacts(self):
        """Names of the catalogue's artifacts that the chapter asks for."""
        return [
            name
            for _, source in self._cells("code")
            for name in re.findall(r'\bch\.(?:artifact|tool)\("([^"]+)"\)', source)
        ]

    @property
    def entries(self):
        """The rows of the troubleshooting table (`| entry | you see | because | do |`), by id."""
        found = collections.OrderedDict()
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


def load_all(folder=None):
    """Every chapter, by id, in the book's order."""
    books = [Notebook(p) for p in sorted((folder or NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"))]
    return collections.OrderedDict((n.id, n) for n in books)


def find(name, among=None):
    """A chapter by id, number or file name (minio, 05, 05_minio). BadInput with the nearest name otherwise."""
    known = among or load_all()
    for n in known.values():
        if name in (n.id, n.number, n.path.stem, n.path.name):
            return n
    raise BadInput(
        f"find the chapter {name!r}",
        saw="there is none of that name",
        do=_nearest(name, list(known)) or "Chapters: " + ", ".join(known),
    )


def check_parameters(notebook, given):
    """The chapter's parameters with `given` over its defaults. BadInput names the first one that does not fit.

    Types are those of the example values in the parameters cell, also inside lists. By name: *port and *ports are 1 to
    65535, *cidr a network like 10.1.0.0/16 (or empty), *pool ranges of addresses for MetalLB, *_servers IP addresses,
    channel a version and a risk level, mode one of install, verify, plan, remove.
    """
    check_names(given, notebook.parameters, "chapter " + notebook.id)
    values = {}
    for name, parameter in notebook.parameters.items():
        value = given.get(name, parameter.default)
        problem = _problem(name, value, parameter.default)
        if problem:
            raise BadInput(
                f"set {name} = {value!r} in chapter {notebook.id}",
                saw=problem,
                do="For example: {} = {!r}{}".format(
                    name, parameter.default, "  # " + parameter.help if parameter.help else ""
                ),
            )
        values[name] = value
    return values


def check_names(given, known, where):
    """BadInput, with the nearest name, when a given parameter is not among the known ones."""
    for name in given:
        if name not in known:
            raise BadInput(
                f"set the parameter {name!r} of {where}",
                saw="there is no such parameter",
                do=_nearest(name, list(known)) or "There are: " + ", ".join(known),
            )


def _problem(name, value, example):
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    if isinstance(example, bool) != isinstance(value, bool) or not isinstance(
        value, (int, float) if isinstance(example, float) else type(example)
    ):
        return f"it must be {wanted.get(type(example), type(example).__name__)}, not {type(value).__name__}"
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(value, list) and example and type(item) is not type(example[0]):
            return f"each must be {wanted[type(example[0])]}, like {example[0]!r}"
        # Parameters stand in commands of the chapters, so what a shell or a program would interpret is refused at the door.
        if isinstance(item, str) and (re.search(r"[^\w./:@%+=,-]", item) or item.startswith("-")):
            return "only letters, digits and . / : @ % + = , - _ are allowed, and no - at the start"
    if name == "mode" and value not in MODES:
        return "there is no such mode. {}".format(_nearest(value, MODES) or "Modes: " + ", ".join(MODES))
    if name.endswith(("port", "ports")) and not all(1 <= item <= 65535 for item in items):
        return "a port is 1 to 65535"
    if name.endswith("cidr") and value:
        try:
            ipaddress.ip_network(value)
        except ValueError as e:
            return str(e)
    if name.endswith("pool"):
        try:
            addresses.parse_ranges(value)
        except BadInput as e:
            return e.saw
    if name.endswith("_servers"):
        try:
            list(map(ipaddress.ip_address, map(str, items)))
        except ValueError as e:
            return str(e)
    if name == "channel" and not re.fullmatch(r"[0-9]+\.[0-9]+(/(stable|candidate|beta|edge))?", value):
        return "a channel is a version and a risk level, like 1.20/stable"
    return None


def _nearest(name, known):
    close = difflib.get_close_matches(str(name), list(known), 1, 0.5)
    return f"Did you mean {close[0]}?" if close else ""
