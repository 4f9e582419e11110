"""A headless Chromium on this machine, driven by Selenium: pages as a person sees them, and pictures of them."""

from __future__ import annotations

import base64
import os
import platform
import shutil
import tempfile
from functools import partial

from helpers.core import chromium, show
from helpers.core.errors import RunbookError
from helpers.core.waiting import wait

_IMAGES = """return Array.from(document.images).filter(i => i.complete && i.naturalWidth > 0)
.map(i => [i.naturalWidth, i.naturalHeight, Math.round(i.getBoundingClientRect().width)])"""
_SEEN = """const all = Array.from(document.images), came = all.filter(i => i.complete),
good = came.filter(i => i.naturalWidth > 0).length
return [document.body ? document.body.innerText : '', all.length, good, came.length - good]"""


def why_none():
    """Why no browser can be driven here; None when one can."""
    try:
        import selenium.webdriver  # noqa: F401
    except ImportError:
        return "the Python package selenium is not there"
    if not chromium.program():
        return chromium.NONE
    if platform.system() != "Darwin" and not shutil.which("chromedriver"):
        return "there is no chromedriver on this machine (./runbook doctor tells how to get it)"
    return None


class Browser:
    """A window of 1280 x 900. Use it in a `with`; `.driver` is Selenium's."""

    def __init__(self, host=None):
        from selenium import webdriver

        self.host = host
        options = webdriver.ChromeOptions()
        options.binary_location = chromium.program()
        for flag in chromium.flags():
            options.add_argument(flag)
        driver = shutil.which("chromedriver")
        # Chromium leaves a folder with its lock behind when it is ended: that goes with ours.
        self._folder = tempfile.mkdtemp(prefix="runbook-")
        service = webdriver.ChromeService(executable_path=driver, env=dict(os.environ, TMPDIR=self._folder))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fill(self, values):
        """Type into fields by name, then press Enter in the last one."""
        for name, value in values.items():
            field = self.wait("the field " + name, partial(self.driver.find_element, "name", name))
            field.clear()
            field.send_keys(value)
        field.submit()

    def shown(self, url, what, ready):
        """Open a page and wait until ready(); loaded once more, as a person would, when one of its requests was lost.

        A page tries none of them again: what did not come within a minute never comes to it.
        """
        self.driver.get(url)
        try:
            return self.wait(what, ready)
        except RunbookError:
            self.driver.get(url)
            return self.wait(what, ready)

    def wait(self, what, ready, timeout=300):
        """Wait until ready() returns something true; what the page says and shows is in the error."""
        try:
            return wait(what, ready, timeout=timeout, every=0.25, host=self.host)
        except RunbookError as e:
            e.saw = f"{e.saw}; {self._seen()}"
            raise

    def _seen(self):
        text, pictures, good, broken = self.driver.execute_script(_SEEN)
        said = "the page {} ({}) says: {}".format(
            self.driver.title or "without a title",
            self.driver.current_url.partition("?")[0],
            " ".join(text.split())[:200] or "nothing",
        )
        console = [each["message"] for each in self.driver.get_log("browser")][-2:]
        lost = "; its console: " + " / ".join(console) if console else ""
        return f"{good} of {pictures} pictures came, {broken} are broken; {said}{lost}"

    def images(self):
        """[(width, height, shown width)] of the page's pictures that really loaded, in pixels.

        The first two are the file's own, the third is what it takes on the page.
        """
        return [tuple(found) for found in self.driver.execute_script(_IMAGES)]

    def screenshot(self):
        """The window as a PNG file."""
        return self.driver.get_screenshot_as_png()


def show_screenshot(png, title):
    """Show a screenshot in the cell. The picture is not compared between runs, its title is."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    picture = f'<img alt="{title}" style="max-width:100%;border:1px solid #d0d7de" src="{source}">'
    figure = f"<figure><figcaption>{title}</figcaption><!--varies-->{picture}<!--/varies--></figure>"
    show.display("[picture] " + title, figure)
