"""`./runbook new CHAPTER`: the files of a chapter that passes all checks and does something small, to begin from."""

from __future__ import annotations

import json
import keyword
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from helpers.command.base import CHAPTER, examples, say
from helpers.core import notebooks, paths
from helpers.core.errors import BadInput, RunbookError
from helpers.core.files import write_whole
from helpers.core.notebooks import Notebook
from helpers.core.shell import filled

TEMPLATES = Path(__file__).with_name("new_chapter")
_WIDTH = 33  # of a parameter before its comment
_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TITLE = re.compile(r"\w[\w ,.:()&+'-]*")


class Wanted(NamedTuple):
    """A chapter that is to be made."""

    id: str
    number: str
    title: str
    requires: list[str]

    @property
    def slug(self) -> str:
        return self.id.replace("_", "-")

    @property
    def stem(self) -> str:
        return f"{self.number}_{self.id}"


@click.command(
    "new",
    epilog=examples("""
./runbook new board
./runbook new board --title "Board: a wall for notes" --requires postgres
./runbook new gitlab_runner --number 12 --requires gitlab
"""),
)
@click.argument("chapter")
@click.option("--title", metavar="TEXT", help="Its heading.  [default: its name]")
@click.option("--number", metavar="NN", help="Its place in the book.  [default: after the last one]")
@click.option("--requires", multiple=True, type=CHAPTER, help="It stands on this one (may be given again).")
def new(chapter: str, title: str | None, number: str | None, requires: tuple[str, ...]) -> None:
    """Make the files of a new chapter: it runs and passes all checks as it is. CHAPTER is its name: my_component."""
    wanted = _wanted(chapter, title, number, requires)
    texts = files(wanted)
    _write(texts, f"make chapter {wanted.id}")
    for path in texts:
        say(f"made  {path.relative_to(paths.REPO)}")
    say("\n" + _text("next", wanted).rstrip("\n"))


# -- what is refused -------------------------------------------------------------------------------


def _wanted(id: str, title: str | None, number: str | None, requires: Iterable[str]) -> Wanted:
    """BadInput names what does not fit; nothing has been touched then."""
    known = notebooks.load_all()
    _refuse(id, known)
    name = title or id.replace("_", " ").capitalize()
    if not _TITLE.fullmatch(name):
        raise BadInput(f"call chapter {id} {name!r}", saw="a title is one line of words", do="Board: a wall for notes")
    place = _number(number, known)
    below = [notebooks.find(each, known) for each in requires or [next(iter(known))]]
    late = [n.label for n in below if n.number >= place]
    if late:
        do = f"Choose a higher number, or see ./runbook new --help. The next free one: {_number(None, known)}"
        raise BadInput(f"make {id} chapter {place}", saw=f"it would come before what it requires: {late[0]}", do=do)
    return Wanted(id, place, name, [n.id for n in below])


def _refuse(id: str, known: Mapping[str, Notebook]) -> None:
    """A name that cannot be a chapter's, or is taken."""
    what = f"call a chapter {id!r}"
    if not _ID.fullmatch(id) or len(id) > 24:
        saw = "it is 1 to 24 small letters, digits and single _, and begins with a letter"
        raise BadInput(what, saw=saw, do="For example: ./runbook new my_component")
    if keyword.iskeyword(id) or id.startswith(("error", "before")) or id == notebooks.PLATFORM:
        raise BadInput(what, saw="it means something else already", do=f"For example: ./runbook new my_{id}")
    if id in known:
        raise BadInput(what, saw=f"there is one: {known[id].path.name}", do="Choose another name.")


def _number(given: str | None, known: Mapping[str, Notebook]) -> str:
    taken = {n.number: n.id for n in known.values()}
    if given is None:
        planned = tomllib.loads((paths.SETUP / "planned.toml").read_text())
        return f"{max(map(int, [*taken, *planned])) + 1:02d}"
    place = given.zfill(2)
    if not re.fullmatch("[0-9]{2}", place) or place == "00":
        raise BadInput(f"give a chapter the number {given}", saw="numbers are 01 to 99", do="./runbook new --help")
    if place in taken:
        do = f"The next free one: {_number(None, known)}"
        raise BadInput(f"give a chapter the number {place}", saw=f"{taken[place]} has it", do=do)
    return place


# -- its files -------------------------------------------------------------------------------------


def files(w: Wanted) -> dict[Path, str]:
    """All that it takes, by path, in the order in which it is written: the notebook, which all others find, is last."""
    top, tests = paths.REPO, paths.REPO / "tests" / "components" / w.id
    own = {
        top / "helpers" / "components" / f"{w.id}.py": _text("room", w),
        tests / f"test_{w.id}.py": _text("test", w),
        tests / "faults.py": _text("faults", w),
        paths.NOTEBOOKS / f"{w.stem}.ipynb": _notebook(w),
    }
    what, room = f"make chapter {w.id}", top / "helpers" / "components" / w.id
    for path in [room, *own]:
        if path.exists() and (path == room or path.read_text("utf-8") != own[path]):
            do = "Choose another name, or move it away."
            raise BadInput(what, saw=f"{path.relative_to(top)} is there already, and is another", do=do)
    shared = {top / "_toc.yml": _in_contents(top / "_toc.yml", w), top / "README.md": _in_readme(top / "README.md", w)}
    *before, last = own.items()
    return dict([*before, *shared.items(), last])


def _text(template: str, w: Wanted) -> str:
    start = f'folder = "/srv/{w.slug}"'
    cls = "".join(part.capitalize() for part in w.id.split("_"))
    pad = " " * max(2, _WIDTH - len(start))
    return filled(TEMPLATES / f"{template}.txt", id=w.id, slug=w.slug, title=w.title, cls=cls, pad=pad)


def _notebook(w: Wanted) -> str:
    """Of the template, in which `--- kind tag` begins a cell."""
    cells = list[dict[str, Any]]()
    for each in re.split(r"(?m)^--- ", _text("notebook", w))[1:]:
        head, _, source = each.partition("\n")
        kind, *tags = head.split()
        cell = {"cell_type": kind, "id": f"{w.number}-{len(cells):02d}", "metadata": {"tags": tags} if tags else {}}
        cell |= {"execution_count": None, "outputs": []} if kind == "code" else {}
        cells.append({**cell, "source": source.rstrip("\n").splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "runbook": _metadata(w)}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _metadata(w: Wanted) -> dict[str, Any]:
    folder = [f"`/srv/{w.slug}` (`folder`)", "{number}", "yes, with all notes"]
    return {
        "id": w.id,
        "provides": [w.slug],
        "requires": w.requires,
        "tables": {"files": [folder]},
        "title": w.title,
        "where": "host",
    }


def _in_contents(path: Path, w: Wanted) -> str:
    """_toc.yml with its line after that of the chapter before it."""
    return _with_row(path, r"      - file: notebooks/(\d\d)_\w+", f"      - file: notebooks/{w.stem}", w.number)


def _in_readme(path: Path, w: Wanted) -> str:
    """The README's table of chapters with its row, in the place of a planned one of its number."""
    row = f"| {w.number} | [{w.title}](notebooks/{w.stem}.ipynb) |  | not run |"
    return _with_row(path, r"\| (\d\d) \| .*", row, w.number)


def _with_row(path: Path, pattern: str, row: str, number: str) -> str:
    """The file's text with this row after that of the number before it, or in the place of its own number's."""
    lines = path.read_text("utf-8").split("\n")
    numbered = [(i, m[1]) for i, line in enumerate(lines) if (m := re.fullmatch(pattern, line))]
    before = [i for i, other in numbered if other < number]
    if not before:
        do = "Take it from git again."
        raise RunbookError(f"add chapter {number} to {path.name}", saw="the chapters' lines are not there", do=do)
    at = before[-1] + 1
    lines[at : at + ((at, number) in numbered)] = [row]
    return "\n".join(lines)


def _write(texts: Mapping[Path, str], what: str) -> None:
    """All of them, or none: what an error or Ctrl-C cuts off is taken back.

    A kill cuts off without that: then the files that are there are as they are written, and the next `new` goes on.
    """
    old = {path: path.read_text("utf-8") if path.exists() else None for path in texts}
    made = [path.parent for path in texts if not path.parent.exists()]
    try:
        for path, text in texts.items():
            path.parent.mkdir(exist_ok=True)
            write_whole(path, text, 0o644)
    except BaseException as e:
        _take_back(old, made)
        if isinstance(e, OSError):
            do = "Is the disk full (df -h), or the repository another user's? Nothing was made."
            raise RunbookError(what, "this machine", f"{e.filename}: {e.strerror}", do) from None
        raise


def _take_back(old: Mapping[Path, str | None], folders: Iterable[Path]) -> None:
    for path, text in reversed(list(old.items())):
        if text is None:
            path.unlink(missing_ok=True)
        elif path.read_text("utf-8") != text:
            write_whole(path, text, 0o644)
    for folder in folders:
        if folder.exists():
            folder.rmdir()
