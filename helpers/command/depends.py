"""The files that a chapter depends on: core, its room, the rooms that this imports, and what they name in setup/."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from helpers.core import paths
from helpers.core.notebooks import Notebook

_IMPORTED = re.compile(r"\bhelpers\.components(?:\.(\w+)| import ([\w, ]+))")
#: the catalogue counts entry by entry, and the sandbox' recipes are what an origin serves
_NOT_ITS_OWN = ("catalogue.toml", "sandbox")


def files(notebook: Notebook) -> list[Path]:
    """All of them, sorted; read anew each time."""
    code = "\n".join(notebook.code())
    rooms = _rooms(notebook.id, code)
    texts = "\n".join([code, *(path.read_text("utf-8") for path in rooms if path.suffix == ".py")])
    named = [path for path in paths.SETUP.iterdir() if path.name in texts and path.name not in _NOT_ITS_OWN]
    return sorted({*_below([paths.REPO / "helpers/core"]), *rooms, *_below(named)})


def digest(notebook: Notebook) -> str:
    """A hash of their names and contents."""
    whole = hashlib.sha256()
    for path in files(notebook):
        whole.update(f"{path.relative_to(paths.REPO)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _rooms(own: str, code: str) -> list[Path]:
    """The files of a chapter's room and of all rooms that its cells and these import in turn."""
    known: dict[str, list[Path]] = {}
    todo = [own, *_imports(code)]
    while todo:
        name = todo.pop()
        if name not in known:
            room = paths.REPO / "helpers/components" / name
            known[name] = _below([*room.parent.glob(name + ".*"), *room.parent.glob(name + "_*"), room])
            for path in known[name]:
                todo += _imports(path.read_text("utf-8")) if path.suffix == ".py" else []
    return [path for room in known.values() for path in room]


def _imports(code: str) -> list[str]:
    return [name for one, many in _IMPORTED.findall(code) for name in [one, *many.replace(",", " ").split()] if name]


def _below(places: Iterable[Path]) -> list[Path]:
    found = [path for place in places for path in [place, *place.rglob("*")]]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]
