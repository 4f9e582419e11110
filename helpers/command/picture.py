"""The picture of the platform, an SVG: where each chapter's part runs, and how it went the last time."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from helpers.command import record
from helpers.command.record import Run
from helpers.core.notebooks import Notebook

WIDE, GAP, HIGH, HEAD = 960, 12, 78, 38  # the picture, between boxes, a box, a frame's title; in pixels


PLANNED = "architecture.html#what-is-there-and-what-is-planned"


class Part(NamedTuple):
    """A chapter of the platform; notebook is None where it is planned."""

    number: str
    title: str
    where: str
    notebook: Notebook | None


class Frame(NamedTuple):
    """A machine, or what else holds parts. columns: of boxes beside each other."""

    title: str
    note: str
    x: int
    wide: int
    columns: int
    parts: list[Part]

    @property
    def high(self) -> int:
        return HEAD + (HIGH + GAP) * -(-len(self.parts) // self.columns) + GAP

    def drawn(self, y: int, high: int, run: Run | None) -> Iterator[str]:
        yield f'<rect class="p-frame" x="{self.x}" y="{y}" width="{self.wide}" height="{high}" rx="8"/>'
        yield f'<text class="p-head" x="{self.x + GAP}" y="{y + 24}">{self.title}'
        yield f'<tspan class="p-note" dx="8">{self.note}</tspan></text>'
        wide = (self.wide - GAP) // self.columns - GAP
        for n, part in enumerate(self.parts):
            row, column = divmod(n, self.columns)
            x, top = self.x + GAP + column * (wide + GAP), y + HEAD + row * (HIGH + GAP)
            yield _box(part, run, x, top, wide)


def svg(parts: Sequence[Part], run: Run | None) -> str:
    """All parts in their frames, each a link to its chapter."""
    desk, host, cluster, other, rest = _sorted(parts)
    middle = [
        Frame("Your machine", "", 12, 208, 1, desk),
        Frame("The host", "by SSH", 256, 220, 1, host),
        Frame(_first(host + cluster, "cluster") or "The cluster", "on the same host", 488, 460, 2, cluster),
    ]
    others = f"{_first(other)}'s host"
    below = [Frame(others, "or the same", 256, 220, 1, other), Frame("All of it", "", 488, 460, 2, rest)]
    high = max(frame.high for frame in middle)
    under = max(frame.high for frame in below)
    body = [piece for frame in middle for piece in frame.drawn(10, high, run)]
    body += [piece for frame in below if frame.parts for piece in frame.drawn(high + 22, under, run)]
    return "\n".join([_head(high + under + 34), *body, *_way(high), *_legend(high + 22), "</svg></div>"])


def _first(parts: Sequence[Part], provides: str = "") -> str:
    """The short title of the first of these parts, or of the first that provides this."""
    fit = (p for p in parts if not provides or (p.notebook and provides in p.notebook.provides))
    return next((html.escape(p.title.partition(":")[0]) for p in fit), "")


def _sorted(parts: Sequence[Part]) -> list[list[Part]]:
    """Those of your machine, the host, the cluster, another host, and those of everything."""
    found: list[list[Part]] = [[], [], [], [], []]
    places = ("your machine", "host", "cluster", "a host of its own")
    for part in parts:
        at = next((n for n, place in enumerate(places) if part.where.startswith(place)), 4)
        found[at].append(part)
    return found


def _head(high: int) -> str:
    title = "The platform: each part where it runs, with its state in the last run"
    return (
        '<div class="wide"><svg class="diagram" xmlns="http://www.w3.org/2000/svg" role="group" '
        f'viewBox="0 0 {WIDE} {high}" aria-label="{title}" '
        f'font-family="system-ui, -apple-system, sans-serif" font-size="14">{STYLE}'
    )


def _box(part: Part, run: Run | None, x: int, y: int, wide: int) -> str:
    state, words = _state(part, run)
    title, _, about = part.title.partition(":")
    lines = textwrap.wrap(textwrap.shorten(about.strip(), wide // 4, placeholder=" ..."), wide // 7)[:2]
    texts = [_text("p-name", x + 10, y + 21, f"{part.number} {title}")]
    texts += [_text("p-note", x + 10, y + 38 + 14 * n, line) for n, line in enumerate(lines)]
    texts.append(_text(f"p-word p-word-{state}", x + 10, y + HIGH - 9, words))
    box = f'<rect class="p-{state}" x="{x}" y="{y}" width="{wide}" height="{HIGH}" rx="6"/>{"".join(texts)}'
    to = f"../notebooks/{part.notebook.path.stem}.html" if part.notebook else PLANNED
    return f'<a href="{to}" data-chapter="{part.number}" data-state="{state}">{box}</a>'


def _text(kind: str, x: int, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{html.escape(text)}</text>'


def _state(part: Part, run: Run | None) -> tuple[str, str]:
    """(ok, failed, none or planned; the same in words)."""
    if part.notebook is None:
        return "planned", "planned"
    c = run.chapters.get(part.notebook.id) if run else None
    if c is None or c.state in record.OPEN:
        return "none", "not run yet"
    if c.state in record.INSTALLED:
        return "ok", f"✓ ok, {c.seconds:.0f} s"
    return ("failed", f"✗ {c.state}") if c.state == "failed" else ("none", c.state)


def _way(high: int) -> Iterator[str]:
    """The one connection from your machine to the host."""
    y = 10 + high // 2
    yield f'<path class="p-way" d="M220 {y}H256"/>'
    yield _text("p-note", 226, y - 8, "SSH")


def _legend(y: int) -> Iterator[str]:
    told = (("ok", "installed and proved"), ("failed", "did not end well"), ("none", "not run"), ("planned", "planned"))
    for n, (state, words) in enumerate(told):
        yield f'<rect class="p-{state}" x="14" y="{y + 8 + 24 * n}" width="26" height="15" rx="3"/>'
        yield _text("p-note", 50, y + 20 + 24 * n, words)


# Colours of the theme, and of book/_static/runbook.css for states; the fallbacks are for a reader without them.
STYLE = f"<style>\n{Path(__file__).with_suffix('.css').read_text()}</style>"
