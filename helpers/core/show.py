"""What a cell shows, as text and as HTML. What may vary between runs stands between ‹ and › and is not compared."""

from __future__ import annotations

import html
import re
import textwrap
from collections import deque
from typing import Any, Iterable, Sequence

# proved, left out: checks that change the target, in install and in verify; that mark varies.
MARKS = {"ok": "✓", "failed": "✗", "warn": "!", "skipped": "-", "plan": "→", "proved": "‹✓›", "left out": "‹-›"}
COLOURS = {"ok": "#1a7f37", "failed": "#cf222e", "warn": "#9a6700", "plan": "#0969da"}

_SUSPECT = re.compile(r"error|fail|warn|denied|refused|unable|cannot", re.I)


def varying(text: object) -> str:
    """Mark a text as one that may differ from run to run."""
    return "‹{}›".format(str(text).replace("‹", "<").replace("›", ">"))  # marks do not nest


def shortened(text: str, width: int = 90) -> str:
    """The first line of a text, cut at a word."""
    return textwrap.shorten(text.split("\n")[0], width, placeholder=" ...")


def display(text: str, markup: str, handle: Any = None, live: bool = False) -> Any:
    """Show one output in the cell (update it when it has a handle). Returns the handle when `live`."""
    from IPython import get_ipython  # pyright: ignore[reportPrivateImportUsage]
    from IPython.display import display as publish  # pyright: ignore[reportUnknownVariableType]

    if get_ipython() is None:
        print(text)
        return None
    data = {"text/plain": text, "text/html": f'<div class="runbook">{markup}</div>'}
    if handle is not None:
        handle.update(data, raw=True)
        return handle
    return publish(data, raw=True, display_id=True) if live else publish(data, raw=True)


def line(state: str, title: str, note: str = "", details: str = "") -> tuple[str, str]:
    """(text, html) of one line with its state; details is HTML that nobody compares."""
    text = "{} {}{}".format(MARKS[state], title, " " + varying(note) if note else "")
    markup = "{} {}{}{}".format(
        _mark(state),
        html.escape(title),
        f' <small style="color:#57606a">{html.escape(varying(note))}</small>' if note else "",
        f"<!--varies-->{details}<!--/varies-->" if details else "",
    )
    return text, markup


def _mark(state: str) -> str:
    return '<span style="color:{}">{}</span>'.format(COLOURS.get(state, "#57606a"), MARKS[state])


def log_details(commands: Sequence[str], output: Output) -> str:
    """HTML: the commands that ran and what they printed, long output as head, tail and suspicious lines."""
    if not commands and not output.count:
        return ""
    body = "\n".join("$ " + c for c in commands) + ("\n" if output.count else "") + output.summary()
    shown = f'<pre style="font-size:80%">{html.escape(body)}</pre>'
    return f"<details><summary><small>what ran</small></summary>{shown}</details>"


class Output:
    """Long output in few lines, however long: the first, the last, and those between that look like trouble."""

    HEAD, TAIL, MOST, WIDTH = 6, 6, 8, 2000

    def __init__(self, lines: Iterable[str] = ()):
        self.count = 0
        self._first: list[str] = []  # as many as are shown whole
        self._last: deque[str] = deque(maxlen=self.TAIL)
        self._suspects: list[str] = []
        for text in lines:
            self.add(text)

    def add(self, text: str) -> None:
        """One more line."""
        self.count += 1
        if len(text) > self.WIDTH:
            text = text[: self.WIDTH] + " ... the whole is in the log"
        if len(self._first) < self.HEAD + self.TAIL + self.MOST:
            self._first.append(text)
        if len(self._last) == self.TAIL and self.count > self.HEAD + self.TAIL:
            self._suspect(self._last[0])
        self._last.append(text)

    def _suspect(self, text: str) -> None:
        if len(self._suspects) < self.MOST and _SUSPECT.search(text):
            self._suspects.append(text)

    def summary(self) -> str:
        if self.count <= len(self._first):
            return "\n".join(self._first)
        between = self.count - self.HEAD - self.TAIL
        note = "... {} lines, the whole is in the log{}".format(between, ", among them:" if self._suspects else "")
        return "\n".join([*self._first[: self.HEAD], note, *self._suspects, *self._last])


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], states: Sequence[str] | None = None
) -> tuple[str, str]:
    """(text, html) of a table. states: one of ok, failed, warn, skipped a row, shown as a first column."""
    heads, cells = list(headers), [[str(c) for c in r] for r in rows]
    if states:
        heads = ["", *heads]
        cells = [[MARKS[s], *r] for s, r in zip(states, cells)]
    widths = [max(len(text) for cell in column for text in cell.split("\n")) for column in zip(heads, *cells)]
    out: list[str] = []
    for r in [heads, ["-" * w for w in widths], *cells]:
        parts = [c.split("\n") for c in r]
        for n in range(max(len(p) for p in parts)):
            out.append("  ".join((p[n] if n < len(p) else "").ljust(w) for p, w in zip(parts, widths)).rstrip())

    def cell(text: str, n: int, row: int) -> str:
        text = html.escape(text).replace("\n", "<br>")
        return f"<td>{_mark(states[row]) if states and n == 0 else text}</td>"

    markup = '<table class="table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'.format(
        "".join(f"<th>{html.escape(h)}</th>" for h in heads),
        "".join("<tr>{}</tr>".format("".join(cell(c, n, i) for n, c in enumerate(r))) for i, r in enumerate(cells)),
    )
    return "\n".join(out), markup
