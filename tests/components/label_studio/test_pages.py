"""A real browser on a page of our own."""

import os
import tempfile

import pytest
from serving import serving

from helpers.components.label_studio import browser
from helpers.components.label_studio.pages import png_size
from helpers.components.pachyderm import dataset

WAIT = browser.Browser.wait


@pytest.mark.skipif(bool(browser.why_none()), reason=str(browser.why_none()))
def test_a_picture_counts_only_when_it_loaded(tmp_path):
    content = sorted(dataset.files().items())[0][1]
    (tmp_path / "there.png").write_bytes(content)
    (tmp_path / "page.html").write_text(
        "<title>A page</title><p>some words</p><img src=there.png style='width:200px'><img src=not-there.png>"
    )
    assert png_size(content) == (28, 28) and png_size(b"text") is None
    with browser.Browser("a host") as b:
        b.driver.get((tmp_path / "page.html").as_uri())
        assert b.wait("a picture", b.images, timeout=20) == [(28, 28, 200)]
        assert b.screenshot()[:8] == b"\x89PNG\r\n\x1a\n"
        with pytest.raises(Exception) as e:
            b.wait("a second picture", lambda: len(b.images()) > 1, timeout=1)
        assert "1 of 2 pictures came, 1 are broken; the page A page (file://" in str(e.value)
        assert "page.html) says: some words" in str(e.value)
        assert "its console: " in str(e.value) and "not-there.png" in str(e.value)


@pytest.mark.skipif(bool(browser.why_none()), reason=str(browser.why_none()))
def test_a_page_that_lost_a_request_is_loaded_once_more(monkeypatch):
    """Its picture answers 424 at first, as Label Studio does when its storage fails."""
    content = sorted(dataset.files().items())[0][1]
    monkeypatch.setattr(browser.Browser, "wait", lambda self, *a, **k: WAIT(self, a[0], a[1], timeout=5))

    def handle(request):
        if request.path == "/":
            return 200, b"<img src=picture.png>", {"Content-Type": "text/html"}
        first = sum(r.path == "/picture.png" for r in server.asked) == 1
        return (424, b"", {}) if first else (200, content, {"Content-Type": "image/png"})

    with serving(handle) as server, browser.Browser("a host") as b:
        url = f"http://127.0.0.1:{server.port}/"
        assert b.shown(url, "a picture", b.images) == [(28, 28, 28)]
        assert [r.path for r in server.asked if r.path != "/favicon.ico"] == ["/", "/picture.png"] * 2


@pytest.mark.skipif(bool(browser.why_none()), reason=str(browser.why_none()))
def test_it_leaves_nothing_in_the_folder_of_temporary_files(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:  # a short path: Chromium's socket lies below it
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        with browser.Browser("a host") as b:
            b.driver.get("about:blank")
            assert os.listdir(folder) != []
        assert os.listdir(folder) == []
