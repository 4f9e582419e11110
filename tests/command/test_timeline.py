"""The first run's time line: what is kept from run to run, its chart and its table."""

import json
import re
import time

from helpers.command import record, timeline
from helpers.command.record import ChapterRun, Span, TimeLine
from helpers.sandbox.supply import Supply


def supplied(*seconds):
    """A supply that has built as many recipes."""
    supply = Supply([f"r{n}" for n in range(len(seconds))], lambda _text: None)
    for item, took in zip(supply.items.values(), seconds, strict=True):
        item.state, item.made, item.began, item.seconds = "served", True, time.time() - 50, took
    return supply


def ran(before=None, supply=None):
    clock = timeline.Clock(time.time() - 100)
    run = record.new("sandbox", "install")
    chapter = ChapterRun(id="minio", number="05", title="MinIO", state="ok", seconds=20, run=run.id)
    chapter.began = record.now("milliseconds")
    run.chapters["minio"] = chapter
    time.sleep(0.2)
    with clock.span("site", "the site"):
        pass
    clock.keep(run, [before] if before else [], [supply] if supply else [])
    return record.read(run.folder)


def test_builds_chapters_and_the_site_are_in_the_record_in_their_order(runs):
    line = ran(supply=supplied(30.5, 4)).first
    assert [s.kind for s in line.spans] == ["set-up", "set-up", "build", "build", "chapter", "site"]
    assert line.spans[2].name == "r0" and 45 < line.spans[2].began < 55 and line.spans[2].seconds == 30.5
    assert line.spans[0].name == "Python and its packages" and line.spans[0].seconds >= 100
    assert 115 < line.seconds < 125, "the chapter ends last"


def test_a_run_that_builds_less_keeps_the_line_of_the_one_before(runs):
    first = ran(supply=supplied(30, 4))
    second = ran(first, supplied(30))
    third = ran(second)
    assert second.first == first.first == third.first
    fresh = ran(third, supplied(30, 4))
    assert fresh.first.run == fresh.id


def test_a_record_of_before_has_none(runs):
    run = ran()
    content = json.loads((run.folder / "run.json").read_text())
    del content["first"], content["chapters"]["minio"]["began"]
    (run.folder / "run.json").write_text(json.dumps(content))
    assert record.read(run.folder).first is None


LINE = TimeLine(
    run="1",
    started="2021-06-01T10:00:00+00:00",
    seconds=1130,
    processors=2,
    spans=[
        Span(kind="build", name="microk8s", began=100, seconds=400),
        Span(kind="chapter", name="05 minio", began=160, seconds=30.4),
        Span(kind="chapter", name="03 <k>", state="failed", began=500, seconds=60),
        Span(kind="site", name="the site", began=1100, seconds=30),
    ],
)


def test_the_chart_has_a_bar_of_its_length_for_each():
    drawn = timeline.chart(LINE)
    bars = re.findall(r'class="t-(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)" height="14"', drawn)
    assert [kind for kind, _, _ in bars] == ["build", "chapter", "bad", "site"]
    (_, x0, w0), (_, x1, w1) = bars[:2]
    assert abs(float(w0) / float(w1) - 400 / 30.4) < 0.1 and float(x1) > float(x0) > timeline.LEFT
    assert all(float(x) + float(w) < timeline.WIDE for _, x, w in bars)
    assert "03 &lt;k&gt;" in drawn and "<k>" not in drawn


def test_the_page_says_the_total_and_the_first_chapter_and_the_source_stays_the_same(tmp_path, runs):
    page = tmp_path / "book/first-run.html"
    page.parent.mkdir()
    page.write_text("before <!-- first run --> after")
    timeline.stage(page)
    staged = page.read_text()
    run = record.new("sandbox", "install")
    timeline.fill(tmp_path, run)
    assert "No run yet" in page.read_text()
    run.first = LINE
    for _ in range(2):
        timeline.fill(tmp_path, run)
        assert "18 min 50 s" in page.read_text() and "first chapter ok after 3 min 10 s" in page.read_text()
    assert page.read_text().count("<svg") == 1 and "No run yet" not in page.read_text()
    assert staged == f"before {timeline.BEGIN}{timeline.END} after"
