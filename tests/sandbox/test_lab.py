"""Chapter 05 by hand on a real host: stopped in the browser while its install changes something, finished, replayed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab_page import Page, jupyter
from serving import until

from helpers.command import lab, record
from helpers.command.targets import Targets
from helpers.components.label_studio import browser
from helpers.core.host_lock import held
from helpers.core.paths import REPO, SETUP

#: what the host fetches with: a program's file comes after ten minutes
SLOW = '#!/bin/bash\ncase "$*" in *.part.*) sleep 611 ;; esac\nexec /usr/bin/curl "$@"\n'
BOOK = "05_minio.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab") / "copies"


@pytest.fixture(scope="module")
def page(box, target, folder):
    """Chapter 05 in a browser; the host has it no more at the end."""
    if browser.why_none():
        pytest.skip(browser.why_none())
    with jupyter(folder, target, "--LabApp.expose_app_in_browser=True") as address, browser.Browser() as b:
        b.driver.set_window_size(1280, 1600)
        b.driver.get(address)
        yield Page(b.driver)
    up = [sys.executable, "-m", "helpers", "up", "--target", target, "--only", "minio", "--mode", "remove", "--no-book"]
    subprocess.run(up, cwd=REPO, check=True, timeout=300)


def chapter(target):
    return record.latest(target).chapters["minio"]


def test_stop_while_the_program_is_fetched_leaves_nothing_half_done_and_install_finishes_it(page, host, target):
    host.run("cat > /usr/local/bin/curl; chmod +x /usr/local/bin/curl", stdin=SLOW)
    try:
        page.press("install")
        fetching = ("running", "minio is the pinned version")
        until("the fetch", lambda: fetching in page.rows() and host.ask("pgrep -xf 'sleep 611'").ok, page.ended, 300)
        page.press("stop")
        page.ends("install: interrupted", timeout=240)
    finally:
        host.run("rm -f /usr/local/bin/curl")
    c = chapter(target)
    assert (c.state, [s.state for s in c.steps]) == ("interrupted", ["ok", "ok"])
    assert host.run("ls /usr/local/bin; pgrep -xf 'sleep 611' || true").out == "", "no part of a file, no process"
    assert "minio-user" in host.run("stat -c %U /srv/minio; ls -A /srv/minio").out.split()
    with held(host, what="another"):  # refused while anybody has it
        pass
    page.press("install")
    page.ends("install: ok", timeout=300)
    c = chapter(target)
    assert c.state == "ok" and [s.note for s in c.steps][:3] == ["already so", "already so", "applied"]
    assert host.run("systemctl is-active minio").out.strip() == "active"


def nbval(book):
    """How `pytest --nbval` by hand ends on a notebook, and what it says."""
    words = ["--nbval", "--nbval-sanitize-with", str(SETUP / "nbval-sanitize.cfg"), "-p", "no:cacheprovider", "-q"]
    argv = [sys.executable, "-m", "pytest", *words, "--nbval-current-env", str(book)]
    env = dict(os.environ, PYTHONPATH=str(REPO))  # the kernel's folder is the notebook's
    done = subprocess.run(argv, cwd=REPO, env=env, capture_output=True, text=True, timeout=180)
    return done.returncode, done.stdout


def test_the_same_notebook_under_papermill_and_nbval(page, host, target, folder, tmp_path):
    """As ./runbook lab copies it, in verify mode; as papermill leaves it; and as JupyterLab saves it, form and all."""
    page.command("docmanager:save")
    lab.copy_chapters(folder, Targets(target))
    page.driver.refresh()
    page, saved, fresh, out = Page(page.driver), folder / BOOK, tmp_path / "fresh.ipynb", tmp_path / "out.ipynb"
    shutil.copy(saved, fresh)
    assert 'mode = \\"verify\\"' in fresh.read_text()
    papermill = Path(sys.executable).with_name("papermill")
    subprocess.run([papermill, str(fresh), str(out), "--no-progress-bar"], cwd=REPO, check=True, timeout=180)
    page.command("notebook:run-all-cells")
    page.command("docmanager:save")
    assert "widget-view" in saved.read_text() and all("✓ chapter minio" in book.read_text() for book in (out, saved))
    for book in (fresh, out, saved):
        assert nbval(book)[0] == 0, nbval(book)[1]
    host.run("usermod -aG games minio-user")
    try:
        red = [nbval(book) for book in (out, saved)]
    finally:
        host.run("gpasswd -d minio-user games")
    assert [(code, said.count("1 failed")) for code, said in red] == [(1, 1)] * 2, red
