"""`./runbook lab`: chapter 05 in a JupyterLab of this machine, in Chromium, beside the S3 server that stands in."""

import json
import subprocess
import sys

import pytest
from serving import free_port, until

from helpers.command import lab
from helpers.command.targets import Targets
from helpers.components.label_studio import browser


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("lab-home")


@pytest.fixture(scope="module")
def jupyter(home):
    """The address of a JupyterLab on copies of the chapters for the target `local`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_HOME", str(home))
        patch.setenv("RUNBOOK_RUNS", str(home / "runs"))
        folder = home / "lab" / "local"
        folder.mkdir(parents=True)
        assert lab.copy_chapters(folder, Targets("local")) == []
        port = free_port()
        options = ["--no-browser", "--IdentityProvider.token=abc", "--ServerApp.port_retries=0"]
        argv = [sys.executable, *lab.arguments(folder, port, "05_minio.ipynb"), *options]
        with open(home / "jupyter.log", "w") as log:
            process = subprocess.Popen(argv, env=lab.environment(), stdout=log, stderr=log)
    until("JupyterLab", lambda: "is running at" in (home / "jupyter.log").read_text(), timeout=60)
    yield f"http://127.0.0.1:{port}/lab/tree/05_minio.ipynb?token=abc"
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def page(jupyter):
    """Chapter 05 in a browser, its parameters cell just run."""
    if browser.why_none():
        pytest.skip(browser.why_none())
    with browser.Browser() as b:
        b.driver.set_window_size(1280, 1600)
        b.driver.get(jupyter)
        yield Page(b.driver)


class Page:
    def __init__(self, driver):
        self.driver = driver
        self.one(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]")
        until("the form", self._run_parameters, timeout=60)

    def _run_parameters(self):
        """A key that comes before the page listens is lost: it is pressed again."""
        from selenium.webdriver import ActionChains, Keys

        self.shown(".jp-CodeCell .cm-content").click()
        ActionChains(self.driver).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
        return until("it", lambda: self.driver.find_elements("css selector", ".runbook-form"), timeout=8)

    def one(self, css):
        found = until(css, lambda: self.driver.find_elements("css selector", css), timeout=60)
        return found[0]

    def shown(self, css):
        return next(e for e in self.driver.find_elements("css selector", css) if e.is_displayed())

    def text(self, css):
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText || ''", css)

    def type(self, name, value):
        field = self.one(f".runbook-field-{name} input")
        field.clear()
        field.send_keys(value)

    def press(self, name):
        css = f"button.runbook-{name}:not([disabled])"
        self.one(css)
        self.driver.execute_script("document.querySelector(arguments[0]).click()", css)

    def states(self):
        """{state: how many rows} of the table."""
        rows = "return [...document.querySelectorAll('.runbook-checks tr')].map(row => row.className)"
        return [name.removeprefix("is-") for name in self.driver.execute_script(rows)]  # in one go: it turns


def test_a_wrong_port_is_refused_in_place(page):
    page.type("port", "99999")
    until("the refusal", lambda: "a port is 1 to 65535" in page.text(".runbook-refused"))
    assert page.one("button.runbook-verify").get_attribute("disabled")


def test_verify_turns_the_table_and_leaves_a_record(page, home):
    page.type("port", str(free_port()))
    page.press("verify")
    until("its end", lambda: "verify: failed" in page.text(".runbook-form"), timeout=60)
    states = page.states()
    assert "running" not in states and "failed" in states and "left-out" in states and "waiting" not in states
    [record] = (home / "runs").glob("2*/run.json")
    chapter = json.loads(record.read_text())["chapters"]["minio"]
    assert chapter["state"] == "failed" and chapter["parameters"]["target"] == "local"
    assert len(chapter["steps"]) + len(chapter["checks"]) == len(states)


def test_stop_while_its_kernel_starts_ends_it_and_frees_the_form(page, home):
    before = set((home / "runs").glob("2*/run.json"))
    page.press("verify")
    until("the run", lambda: set((home / "runs").glob("2*/run.json")) - before, timeout=60)
    page.press("stop")
    until("its end", lambda: "verify: interrupted" in page.text(".runbook-form"), timeout=60)
    [record] = set((home / "runs").glob("2*/run.json")) - before
    run = json.loads(record.read_text())
    assert (run["state"], run["chapters"]["minio"]["state"]) == ("interrupted", "interrupted")
    assert "running" not in page.states() and page.one("button.runbook-verify:not([disabled])")
    assert page.one("button.runbook-stop").get_attribute("disabled")
