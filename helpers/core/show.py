"""What a cell shows, as text and as HTML. What may vary between runs stands between ‹ and › and is not compared."""

from __future__ import annotations

import html
import re
import textwrap
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


def log_details(commands: Sequence[str], output: Sequence[str]) -> str:
    """HTML: the commands that ran and what they printed, long output as head, tail and suspicious lines."""
    if not commands and not output:
        return ""
    body = "\n".join("$ " + c for c in commands) + ("\n" if output else "") + summary(output)
    shown = f'<pre style="font-size:80%">{html.escape(body)}</pre>'
    return f"<details><summary><small>what ran</small></summary>{shown}</details>"


def summary(lines: Iterable[str], head: int = 6, tail: int = 6, most: int = 8) -> str:
    """Long output in few lines: the first, the last, and those between that look like trouble."""
    lines = list(lines)
    if len(lines) <= head + tail + most:
        return "\n".join(lines)
    between = lines[head:-tail]
    suspects = [text for text in between if _SUSPECT.search(text)][:most]
    note = "... {} lines, the whole is in the log{}".format(len(between), ", among them:" if suspects else "")
    return "\n".join(lines[:head] + [note] + suspects + lines[-tail:])


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
