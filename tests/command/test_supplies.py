"""Chapters on a sandbox whose substitutes are still being built: the order, the waiting, and a build that fails."""

import io
import threading
import time

import pytest
from rich.console import Console

from helpers.command import supplies
from helpers.command.plan import Plan
from helpers.command.progress import Progress
from helpers.command.runner import Runner
from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.sandbox.supply import Supply


def test_chapters_with_the_longest_way_to_the_end_come_first():
    known = notebooks.load_all()
    order = [n.id for n in supplies.in_order(reversed(known.values()), known)]
    ways = ["kubernetes", "addons", "minio", "pachyderm", "label_studio", "end_to_end"]
    assert [name for name in order if name in ways] == ways
    assert order.index("gitlab") < order.index("seldon")  # two stand on it, one on the other
    for n in known.values():
        assert all(order.index(need) < order.index(n.id) for need in n.requires)


@pytest.fixture
def runner(runs, own_home):
    """A runner of chapter 05, which waits for a supply that is not yet at work."""
    shown = Console(file=io.StringIO(), width=140)
    runner = Runner(Plan("local", only=["minio"]), 1, Progress(shown))
    runner.supplies = {"local": Supply(["minio"], lambda _text: None)}
    runner.shown = shown.file
    return runner


def test_a_chapter_whose_build_fails_is_not_run_and_says_why_and_where(runner):
    item = runner.supplies["local"].items["minio"]

    def fail():
        item.error = RunbookError("minio: building", saw="exit code 3\nno space", do="see the whole log: /x/build.log")

    threading.Timer(0.7, fail).start()
    begin = time.process_time()
    run = runner.run()
    assert time.process_time() - begin < 0.4, "waiting takes no processor: the builds have it"
    c = run.chapters["minio"]
    assert (run.state, c.state) == ("failed", "not run")
    assert "minio: building" in c.reason and "/x/build.log" in c.reason and "no space" in c.error
    lines = runner.shown.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == ["waits", "not"], "one line each, however long it took"
    assert "waits for minio" in lines[0]
