"""The book on paper: one page of all, as Sphinx builds it, printed by a Chromium of this machine."""

import re

import programs
import pytest

from helpers.command import printed
from helpers.core import chromium
from helpers.core.errors import RunbookError


@pytest.fixture
def built(tmp_path):
    """A source and what Sphinx makes of it: the page lies below its styles, and names them as if it lay beside."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "_toc.yml").write_text("format: jb-book\nroot: book/start\n")
    made = tmp_path / "singlehtml"
    (made / "book").mkdir(parents=True)
    (made / "_static").mkdir()
    (made / "_static" / "paper.css").write_text("p { break-before: page; }")
    (made / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=book/start.html">')
    text = "".join(f"<p>page {number}</p>" for number in range(5))
    (made / "book" / "start.html").write_text(f'<link rel="stylesheet" href="_static/paper.css"><h1>x</h1>{text}')
    return tmp_path


@pytest.mark.skipif(not chromium.program(), reason=chromium.NONE)
def test_the_page_of_all_pages_is_printed_with_its_styles(built):
    made = built / "runbook.pdf"
    printed._print(chromium.program(), printed._page(built / "source", built / "singlehtml"), made)
    content = made.read_bytes()
    assert content.startswith(b"%PDF-") and content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") == 6


def test_links_between_pages_lead_to_places_in_the_one(built):
    """Sphinx leaves links to files: on paper and in a PDF they lead nowhere."""
    start = built / "singlehtml" / "book" / "start.html"
    start.write_text(
        '<a href="../notebooks/05_minio.html">05</a> <a href="book/start.html#platform-file">file</a>'
        '<a href="https://min.io/docs/book/a.html">out</a><a href="#here">here</a>'
    )
    text = printed._page(built / "source", built / "singlehtml").read_text()
    places = ["#document-notebooks/05_minio", "#platform-file", "https://min.io/docs/book/a.html", "#here"]
    assert re.findall('href="([^"]+)"', text) == places


def test_without_a_chromium_it_says_so_before_anything_is_built(runs, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunbookError) as e:
        printed.pdf()
    assert e.value.saw == chromium.NONE and list(tmp_path.rglob("print*")) == []


def test_a_browser_that_prints_nothing_is_told_with_its_last_words(built):
    nobody = programs.put(built, "nobody", "echo starting >&2\necho 'no display at all' >&2\nexit 1")
    with pytest.raises(RunbookError) as e:
        printed._print(str(nobody), built / "singlehtml" / "index.html", built / "runbook.pdf")
    assert "no display at all" in e.value.saw
