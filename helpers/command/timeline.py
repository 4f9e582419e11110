"""The first run's time line: what was made when, from the first command to the site, in the record and on a page."""

from __future__ import annotations

import contextlib
import html
import os
import re
import time
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.command.record import GOOD, ChapterRun, Run, Span, TimeLine

if TYPE_CHECKING:
    from helpers.sandbox.supply import Item, Supply

# When ./runbook was called, which made its own environment before this; no news for the programs started from here.
_BEGAN = float(os.environ.pop("RUNBOOK_BEGAN", "") or time.time())

KINDS = ("set-up", "build", "chapter", "site")
BEGIN, END = "<!-- time line -->", "<!-- end of the time line -->"


class Clock:
    """Takes the times of one `./runbook up`."""

    def __init__(self, began: float = _BEGAN):
        self.began = began
        self.spans: list[Span] = []
        if time.time() - began > 5:
            self.spans.append(Span(kind="set-up", name="Python and its packages", began=0, seconds=self.now()))

    def now(self) -> float:
        return round(time.time() - self.began, 1)

    @contextlib.contextmanager
    def span(self, kind: str, name: str) -> Generator[None]:
        """Note how long what is done inside takes."""
        began = self.now()
        yield
        self.spans.append(Span(kind=kind, name=name, began=began, seconds=round(self.now() - began, 1)))

    def keep(self, run: Run, before: Iterable[Run], supplies: Iterable[Supply]) -> None:
        """Put the time line into the record: this run's where it built as much as the one that was there before."""
        at_work = [s for s in supplies if any(i.made for i in s.items.values())]
        built = [self._build(i) for s in at_work for i in s.items.values() if i.made]
        old = next((r.first for r in before if r.first), None)
        if old and len(built) < max(1, len([s for s in old.spans if s.kind == "build"])):
            run.first = old
        else:
            spans = [*self.spans, *map(self._builder, at_work[:1]), *built]
            spans += [s for s in map(self.chapter, run.chapters.values()) if s and s.began >= 0]
            run.first = self._line(run, sorted(spans, key=lambda s: s.began))
        run.save()

    def _line(self, run: Run, spans: list[Span]) -> TimeLine:
        started = datetime.fromtimestamp(self.began, UTC).isoformat(timespec="seconds")
        seconds = max((s.began + s.seconds for s in spans), default=0)
        return TimeLine(run=run.id, started=started, seconds=seconds, processors=os.cpu_count() or 0, spans=spans)

    def _builder(self, supply: Supply) -> Span:
        began, seconds = supply.preparing
        began = max(0, round(began - self.began, 1))
        return Span(kind="set-up", name="the builder", began=began, seconds=seconds)

    def _build(self, item: Item) -> Span:
        state, began = "ok" if item.state == "served" else item.state, round(item.began - self.began, 1)
        return Span(kind="build", name=item.name, state=state, began=began, seconds=item.seconds)

    def chapter(self, c: ChapterRun) -> Span | None:
        """A chapter of a run, from when the clock began."""
        if not c.began:
            return None
        began = datetime.fromisoformat(c.began).timestamp() - self.began
        return Span(kind="chapter", name=f"{c.number} {c.id}", state=c.state, began=round(began, 1), seconds=c.seconds)


def of_run(run: Run) -> TimeLine:
    """The chapters of one run, from its start."""
    clock = Clock(datetime.fromisoformat(run.started).timestamp())
    own = [clock.chapter(c) for c in run.chapters.values() if c.run == run.id]
    spans = sorted((s for s in own if s), key=lambda s: s.began)
    return TimeLine(run=run.id, started=run.started, seconds=run.seconds, processors=0, spans=spans)


# -- the page ----------------------------------------------------------------------------------------


def stage(page: Path) -> None:
    """Put the place of the time line into the page's source; fill() puts it into the page that is made of it.

    Not before: the site's own time is known when it stands, and a site whose source is the same is not built again.
    """
    page.write_text(page.read_text().replace("<!-- first run -->", f"{BEGIN}{END}"))


def fill(site: Path, run: Run | None) -> None:
    """Write the record's time line into the built page."""
    page = site / "book/first-run.html"
    if page.is_file():
        text = page.read_text()
        new = re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + block(run.first if run else None) + END, text, flags=re.S)
        if new != text:
            page.write_text(new)


def block(line: TimeLine | None) -> str:
    """The time line as HTML: what it comes to, the chart, the table."""
    if line is None:
        return "<p>No run yet: <code>./runbook up</code>.</p>"
    good = [s for s in line.spans if s.kind == "chapter" and s.state == "ok"]
    first = min((s.began + s.seconds for s in good), default=0)
    text = f"From the first command on: <strong>{_clock(line.seconds)}</strong> on {line.processors} processors"
    text += f", the first chapter ok after {_clock(first)}" if good else ""
    text += f". Run <code>{line.run}</code>, {line.started[:16].replace('T', ' ')} UTC."
    return f"<p>{text}</p>{chart(line)}{_rows(line)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _rows(line: TimeLine) -> str:
    cells = [(s.name, s.kind, _clock(s.began), f"{s.seconds:.0f}", s.state) for s in line.spans]
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in cells)
    head = "".join(f"<th>{name}</th>" for name in ("what", "kind", "from", "seconds", "state"))
    return f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


ROW, LEFT, WIDE = 18, 190, 960  # a bar's height with its gap, room for names, the chart's width; in pixels

STYLE = f"<style>\n{Path(__file__).with_suffix('.css').read_text()}</style>"


def chart(line: TimeLine) -> str:
    """One bar for each set-up, build, chapter and the site, over minutes. Its colours stand on light and dark."""
    height, minutes = ROW * len(line.spans) + 62, int(line.seconds // 60) + 1
    scale = (WIDE - LEFT - 60) / (minutes * 60)
    step = next(s for s in (1, 2, 5, 10, 20, 60, minutes) if minutes / s <= 12)
    parts = [_grid(LEFT + m * 60 * scale, height, m) for m in range(0, minutes + 1, step)]
    parts += [_bar(s, 30 + ROW * number, scale) for number, s in enumerate(line.spans)]
    shown = [k for k in KINDS if any(s.kind == k for s in line.spans)]
    legend = "".join(
        f'<rect class="t-{kind}" x="{LEFT + 110 * n}" y="{height - 14}" width="12" height="10" rx="2"/>'
        f'<text class="t-note" x="{LEFT + 110 * n + 18}" y="{height - 5}">{name}</text>'
        for n, (kind, name) in enumerate([*((k, k) for k in shown), ("bad", "did not end well")])
    )
    return (
        f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">'
        f"<title>Run {line.run}: {_clock(line.seconds)}</title>{STYLE}{''.join(parts)}{legend}</svg>"
    )


def _grid(x: float, height: int, minute: int) -> str:
    return (
        f'<line class="t-grid" x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{height - 24}"/>'
        f'<text class="t-note" x="{x:.1f}" y="14" text-anchor="middle">{minute} min</text>'
    )


def _bar(s: Span, y: int, scale: float) -> str:
    kind = s.kind if s.state in GOOD else "bad"
    x, width = LEFT + s.began * scale, max(s.seconds * scale, 2)
    return (
        f'<text class="t-name" x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{html.escape(s.name)}</text>'
        f'<rect class="t-{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}" rx="2"/>'
        f'<text class="t-note" x="{x + width + 5:.1f}" y="{y + 11}">{s.seconds:.0f} s</text>'
    )
