"""`./runbook lab`: chapter 05 in a JupyterLab of this machine, in Chromium, beside the S3 server that stands in."""

import json

import pytest
from click.testing import CliRunner
from lab_page import Page, jupyter
from serving import free_port, until

from helpers.command import lab
from helpers.components.label_studio import browser
from helpers.core import notebooks


@pytest.mark.parametrize("words, opened", [([], next(iter(notebooks.load_all()))), (["minio"], "minio")])
def test_it_opens_the_named_chapter_or_the_first(own_home, runs, monkeypatch, words, opened):
    started = []
    monkeypatch.setattr(lab.os, "execve", lambda program, argv, environment: started.extend(argv))
    CliRunner().invoke(lab.lab, [*words, "--target", "local"], catch_exceptions=False)
    assert f"--LabApp.default_url=/lab/tree/{notebooks.find(opened).path.name}" in started


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("lab-home")


@pytest.fixture(scope="module")
def page(home):
    """Chapter 05 in a browser, on copies for the target `local`."""
    if browser.why_none():
        pytest.skip(browser.why_none())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_HOME", str(home))
        patch.setenv("RUNBOOK_RUNS", str(home / "runs"))
        with jupyter(home / "lab" / "local", "local") as address, browser.Browser() as b:
            b.driver.set_window_size(1280, 1600)
            b.driver.get(address)
            yield Page(b.driver)


def test_a_wrong_port_is_refused_in_place(page):
    page.type("port", "99999")
    until("the refusal", lambda: "a port is 1 to 65535" in page.text(".runbook-refused"))
    assert page.one("button.runbook-verify").get_attribute("disabled")


def test_verify_turns_the_table_and_leaves_a_record(page, home):
    page.type("port", str(free_port()))
    page.press("verify")
    page.ends("verify: failed")
    states = page.states()
    assert "running" not in states and "failed" in states and "left-out" in states and "waiting" not in states
    [record] = (home / "runs").glob("2*/run.json")
    chapter = json.loads(record.read_text())["chapters"]["minio"]
    assert chapter["state"] == "failed" and chapter["parameters"]["target"] == "local"
    assert len(chapter["steps"]) + len(chapter["checks"]) == len(states)


def test_stop_while_its_kernel_starts_ends_it_and_frees_the_form(page, home):
    before = set((home / "runs").glob("2*/run.json"))
    page.press("verify")
    [record] = until("the run", lambda: set((home / "runs").glob("2*/run.json")) - before, timeout=120)
    until("its chapter", lambda: json.loads(record.read_text())["chapters"]["minio"]["state"] == "running")
    page.press("stop")
    page.ends("verify: interrupted")
    run = json.loads(record.read_text())
    assert (run["state"], run["chapters"]["minio"]["state"]) == ("interrupted", "interrupted")
    assert "running" not in page.states() and page.one("button.runbook-verify:not([disabled])")
    assert page.one("button.runbook-stop").get_attribute("disabled")
