"""The book as one PDF, for printing: all its pages in one, which a headless Chromium prints."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from helpers.command import site
from helpers.core import chromium, paths
from helpers.core.errors import RunbookError

#: a link to a page of the book: its name, its place with the #, "" for the page
_PAGE = re.compile(r'href="(?:\.\./)?((?:book|notebooks)/\w+)\.html(#[^"]+)?"')


def pdf(say: Callable[[str], None] = lambda text: None) -> Path:
    """Print the site's source as it was staged last; returns the PDF. RunbookError without a Chromium."""
    program, folder = chromium.program(), paths.build()
    if program is None:
        raise RunbookError("print the book", saw=chromium.NONE, do="./runbook book makes the site without it.")
    say("pdf: building")
    site.jupyter_book(folder / "source", folder / "print", folder / "print.log", "singlehtml")
    made = folder / "runbook.pdf"
    made.unlink(missing_ok=True)
    _print(program, _page(folder / "source", folder / "print" / "_build" / "singlehtml"), made)
    return made


def _page(source: Path, built: Path) -> Path:
    """The page that has all the others, at the top of the folder: there its styles are, as Sphinx writes their paths.

    index.html only leads to it, and a browser that prints does not follow. Links to other pages, which Sphinx writes
    as links to files, lead to their places in this one.
    """
    root = yaml.safe_load((source / "_toc.yml").read_text())["root"]
    made = built / "book.html"
    made.write_text(
        _PAGE.sub(lambda to: f'href="{to[2] or f"#document-{to[1]}"}"', (built / f"{root}.html").read_text())
    )
    return made


def _print(program: str, page: Path, made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="runbook-") as profile:
        own = [f"--user-data-dir={profile}", "--no-pdf-header-footer", f"--print-to-pdf={made}"]
        argv = [program, *chromium.flags(), *own, page.as_uri()]
        try:
            said = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=180).stderr
        except subprocess.TimeoutExpired:
            said = "it was not done after 180 s"
    if not made.is_file():
        raise RunbookError("print the book", saw="\n".join(said.strip().splitlines()[-3:]), do=f"Print {page} by hand.")
