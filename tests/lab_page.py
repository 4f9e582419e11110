"""A JupyterLab on copies of the chapters, and chapter 05's page of it in Chromium, as a person uses both."""

import contextlib
import re
import subprocess
import sys

from serving import free_port, until

from helpers.command import lab
from helpers.command.targets import Targets


@contextlib.contextmanager
def jupyter(folder, target, *more):
    """The address of chapter 05 in a JupyterLab on fresh copies in this folder. more: options of JupyterLab."""
    folder.mkdir(parents=True)
    assert lab.copy_chapters(folder, Targets(target)) == []
    port, told = free_port(), folder.parent / "jupyter.log"
    options = ["--no-browser", "--IdentityProvider.token=abc", "--ServerApp.port_retries=0"]
    argv = [sys.executable, *lab.arguments(folder, port, "05_minio.ipynb"), *options, *more]
    with open(told, "w") as log:
        process = subprocess.Popen(argv, env=lab.environment(), stdout=log, stderr=log)
    try:
        until("JupyterLab", lambda: "is running at" in told.read_text(), timeout=180)
        yield f"http://127.0.0.1:{port}/lab/tree/05_minio.ipynb?token=abc"
    finally:
        process.terminate()
        process.wait(timeout=60)


class Page:
    """The chapter's page, its parameters cell just run."""

    def __init__(self, driver):
        self.driver = driver
        self.one(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]")
        until("the form", self._run_parameters, timeout=200)

    def _run_parameters(self):
        """A key that comes before the page listens is lost: it is pressed again."""
        from selenium.webdriver import ActionChains, Keys

        assert not self.text(".jp-Dialog-content"), self.text(".jp-Dialog-content")
        self.shown(".jp-CodeCell .cm-content").click()
        ActionChains(self.driver).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
        return until("it", lambda: self.driver.find_elements("css selector", ".runbook-form"), timeout=40)

    def one(self, css):
        found = until(css, lambda: self.driver.find_elements("css selector", css), timeout=180)
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

    def ends(self, words, timeout=180):
        """Wait until the form says so; the error has what it said instead."""
        until(words, lambda: words in self.text(".runbook-form"), timeout=timeout)

    def ended(self):
        """What the form says of a run that has ended; None while it runs."""
        over = re.search("refused|: (ok|failed|interrupted|not run)", self.text(".runbook-form b"))
        return self.text(".runbook-form :has(> b)") if over else None

    def states(self):
        """{state: how many rows} of the table."""
        return [state for state, _ in self.rows()]

    def rows(self):
        """[(state, title)] of the table."""
        rows = (
            "return [...document.querySelectorAll('.runbook-checks tr')].map(r => [r.className, r.cells[2].innerText])"
        )
        found = self.driver.execute_script(rows)  # in one go: it turns
        return [(name.removeprefix("is-"), title) for name, title in found]

    def command(self, name):
        """One of JupyterLab's commands, to its end. JupyterLab runs with --LabApp.expose_app_in_browser=True."""
        ask = "jupyterapp.commands.execute(arguments[0]).then(() => arguments[1](''), e => arguments[1]('' + e))"
        self.driver.set_script_timeout(180)
        assert self.driver.execute_async_script(ask, name) == ""
