"""What a person sees while chapters run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from helpers.command import record

COLOURS = {
    **dict.fromkeys(record.GOOD, "green"),
    **dict.fromkeys(record.BAD, "yellow"),
    "failed": "red",
    "planned": "blue",
    "running": "cyan",
    "waiting": "dim",
}


def new_console() -> Console:
    """A console; where no terminal tells its width, lines are long enough for a table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


class Progress:
    """Told of every event of every chapter. `with Progress(console) as p: p.event("05 minio", event)`."""

    def __init__(self, console: Console | None = None):
        self.console = console or new_console()
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock, self._live = threading.Lock(), None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._live:
            self._live.__exit__(*exc)

    def say(self, text: str) -> None:
        """One plain line, above the live table."""
        self.console.print(text, markup=False, soft_wrap=True)

    def state(self, label: str, state: str, note: str = "") -> None:
        with self._lock:
            row = self._rows.setdefault(label, {"since": time.monotonic(), "step": "", "note": ""})
            begins_to_wait = state == "waiting" and note and not row["note"]
            row.update(state=state, note=note)
            if state == "running":
                row["since"] = time.monotonic()
        if begins_to_wait and not self._live:
            self.say(f"{label:<18} {note}")
        elif state != "waiting" and (state != "running" or not self._live):
            self.say("{:<18} {}{}".format(label, state, ": " + note if note else ""))

    def event(self, label: str, event: Mapping[str, Any]) -> None:
        kind = event["kind"]
        if kind == "step":
            with self._lock:
                self._rows[label].update(
                    step=event["title"], note="" if event["state"] == "begin" else event.get("note", "")
                )
            if event["state"] != "begin" and not self._live:
                note = left_out(event, "note") or event.get("note") or event["state"]
                self.say("{:<18}   {} ({})".format(label, event["title"], note))
        elif kind == "check" and not self._live:
            said = left_out(event, "seen") or event["state"]
            self.say("{:<18}   check: {}: {}".format(label, event["title"], said))
        elif kind == "wait":
            with self._lock:
                self._rows[label]["note"] = event["text"]

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        with self._lock:
            for label, row in self._rows.items():
                busy = row["state"] == "running"
                table.add_row(
                    label,
                    "[{}]{}[/]".format(COLOURS.get(row["state"], "white"), row["state"]),
                    "{:.0f} s".format(time.monotonic() - row["since"]) if busy else "",
                    row["step"].replace("[", "\\[") if busy else "",
                    ("[dim]" + row["note"].replace("[", "\\[")[:70] + "[/]") if row["note"] else "",
                )
        return table


def left_out(event: Mapping[str, Any], why: str) -> str:
    """That a step or check is left out, and why, in the words of its cell and of the record; "" when it is not."""
    return f"left out: {event[why]}" if event["state"] == "left out" and event.get(why) else ""


def checks_held(c: record.ChapterRun) -> str:
    """How many of a chapter's checks hold, in words."""
    good = len([k for k in c.checks if k.state in record.HELD])
    left = len([k for k in c.checks if k.state == "left out"])
    if not c.checks:
        return ""
    return "{} of {}{}".format(good, len(c.checks) - left, f", {left} left out" if left else "")


def closing(console: Console, run: record.Run) -> None:
    """The closing table of a run."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("chapter", *(["on"] if run.several else []), "state", "steps", "checks", "fidelity", "seconds", ""):
        table.add_column(head, overflow="fold")
    for c in run.chapters.values():
        done = [s for s in c.steps if s.note.startswith("already")]
        table.add_row(
            f"{c.number} {c.id}",
            *([run.target_of(c)] if run.several else []),
            "[{}]{}[/]".format(COLOURS.get(c.state, "white"), c.state),
            f"{len(c.steps)} ({len(done)} already so)" if c.steps else "",
            checks_held(c),
            ", ".join(sorted({a.fidelity for a in c.artifacts})),
            f"{c.seconds:.1f}",
            (c.reason or "").replace("[", "\\[").split("\n")[0][:90],
        )
    console.print(table)


def report(console: Console, run: record.Run) -> None:
    """The closing table, and the whole error of each chapter that failed in this run."""
    console.print()
    closing(console, run)
    for c in run.chapters.values():
        if c.run == run.id and c.error:
            console.print(f"\n{c.number} {c.id}", style="bold")
            console.print(c.error, markup=False, soft_wrap=True)
