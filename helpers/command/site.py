"""The site: the source of the book with the last run's executed notebooks in it, built with warnings as errors."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from helpers.command import chapter_page, pages, record, timeline
from helpers.command.record import ChapterRun, Run
from helpers.core import notebooks, paths
from helpers.core.errors import RunbookError
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO


def build(commands: click.Group, say: Callable[[str], None] = lambda text: None) -> Path:
    """Stage and build; returns the site's index page. RunbookError with jupyter-book's last lines when it fails.

    commands: what the reference shows the --help of. Nothing is built again when nothing that the site shows has
    changed since the last time.
    """
    source, site, run = paths.build() / "source", paths.build() / "site", record.latest()
    stage(source, run, commands)
    print_ = _fingerprint(source)
    index, stamp = site / "_build" / "html" / "index.html", site / "fingerprint"
    if index.exists() and stamp.exists() and stamp.read_text() == print_:
        say("site: already so, nothing that it shows has changed")
    else:
        say("site: building")
        stamp.unlink(missing_ok=True)
        jupyter_book(source, site, paths.build() / "book.log")
        # The page that leads to the first one has no icon, and a browser asks the server for /favicon.ico then.
        index.write_text('<link rel="icon" href="_static/favicon.svg">\n' + index.read_text())
        stamp.write_text(print_)
    timeline.fill(index.parent, run)
    report = run.folder / record.DRIFT / "report.html" if run else None
    if report and report.is_file():
        shutil.copy2(report, index.parent / f"{record.DRIFT}.html")
    return index


#: A third of the build was spent on looking for garbage among trees of documents, of which there is little.
_JUPYTER_BOOK = "import gc; gc.set_threshold(100000, 20, 100); from jupyter_book.cli.main import main; main()"


def jupyter_book(source: Path, site: Path, log: Path, builder: str = "html") -> None:
    """Build a staged source. RunbookError with jupyter-book's last lines when it warns or fails."""
    program = [sys.executable, "-c", _JUPYTER_BOOK]
    words = ["build", "--builder", builder, "--warningiserror", "--keep-going", "--path-output", site, source]
    python = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))  # autodoc imports the helpers
    env = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": python}
    with open(log, "w") as f:
        code = subprocess.call([*program, *words], stdout=f, stderr=subprocess.STDOUT, cwd=log.parent, env=env)
    if code != 0:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace")).splitlines()
        wrong = [line for line in lines if re.search("WARNING|ERROR|Error", line)][:8] or lines[-8:]
        raise RunbookError("build the site", saw="\n".join(wrong), do=f"Mend the page it names. The whole log: {log}")


def _fingerprint(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def stage(source: Path, run: Run | None, commands: click.Group) -> None:
    """Make the site's source anew: the book's prose with what the code knows in it, and the chapters' last outputs."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    known, before = notebooks.load_all(), record.history(run)
    shutil.copy2(REPO / "_config.yml", source / "_config.yml")
    (source / "_toc.yml").write_text(_contents(known))
    shutil.copytree(REPO / "book", source / "book")
    _fill(source / "book", pages.inserts(known, commands, run))
    timeline.stage(source / "book" / "first-run.md")
    for name, text in pages.whole(run, known).items():
        (source / "book" / name).write_text(text)
    (source / "notebooks").mkdir()
    for n in known.values():
        c = run.chapters.get(n.id) if run else None
        head = chapter_page.last_run(c, run, before) + "\n" + chapter_page.again(n, c)
        page = chapter_page.page(_shown(n, c, run), head, chapter_page.parameters(n, c))
        (source / "notebooks" / n.path.name).write_text(page)


def _contents(known: Mapping[str, Notebook]) -> str:
    """The table of contents, with the numbers that people use, and without the line of a chapter that was deleted."""
    toc: dict[str, Any] = yaml.safe_load((REPO / "_toc.yml").read_text())
    titles = {f"notebooks/{n.path.stem}": f"{n.number} {n.title}" for n in known.values()}
    for part in toc["parts"]:
        part["chapters"] = [
            p for p in part["chapters"] if p["file"] in titles or not p["file"].startswith("notebooks/")
        ]
        for page in part["chapters"]:
            if page["file"] in titles:
                page["title"] = titles[page["file"]]
    return yaml.safe_dump(toc, sort_keys=False, allow_unicode=True)


def _fill(book: Path, inserts: Mapping[str, str]) -> None:
    """Put what the code knows in place of its marks in the prose."""
    for path in book.glob("*.md"):
        text = path.read_text()
        path.write_text(re.sub("<!-- (.+?) -->", lambda mark: inserts.get(mark[1], mark[0]), text))


def _shown(n: Notebook, c: ChapterRun | None, run: Run | None) -> Path:
    """The executed notebook whose outputs the page shows; the source when there is none."""
    if not c or not run:
        return n.path
    # What verify found wrong is news; what install left stays otherwise.
    broken = c.state == "failed" and c.parameters.get("mode") == "verify"
    name = c.verify_notebook if broken else c.notebook
    executed = run.folder / name
    return executed if name and executed.exists() else n.path
