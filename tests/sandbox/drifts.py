"""What a hand changes on the story's platform: the drifts beside each component's tests, and a report of them."""

import re
from typing import NamedTuple

import faults

from helpers.command import drift_report


class ByHand(NamedTuple):
    """do, undo: commands on the host, or functions of it. lines: as the report has them, with single spaces."""

    chapter: str
    do: object
    undo: object
    lines: tuple = ()


def gather(components=faults.COMPONENTS):
    """{group: [ByHand]} of every tests/components/<chapter>/drifts.py. Groups: quick (seconds), long (minutes)."""
    found = faults.gather("drifts", components)
    return {group: [ByHand(c, do, undo, tuple(rest)) for do, c, undo, *rest in rows] for group, rows in found.items()}


def no_longer(*titles):
    """The lines of checks and steps that held, and do not."""
    return tuple(sign + title for title in titles for sign in ("- ✓ ", "+ ✗ "))


def make(host, change):
    """do or undo."""
    change(host) if callable(change) else host.run(change)


def named(runs):
    """{chapter: the lines of its changes, sorted} of the last report."""
    report, _ = drift_report.read(runs / "latest" / "drift")
    said = {c.id: [line for change in c.changes for line in change.lines()] for c in report.chapters.values()}
    return {chapter: sorted(map(_words, lines)) for chapter, lines in said.items()}


def _words(line):
    """Without what varies, and whatever a package's version is."""
    line = re.sub("✓ found running: \\S+'s package [^+ ]+(\\+deb[^+ ]+)?", "PACKAGE", re.sub("‹[^›]*›", "", line))
    return " ".join(line.split())


def expected(changes):
    """{chapter: the lines in which these are named, sorted}."""
    chapters = dict.fromkeys(c.chapter for c in changes)
    return {chapter: sorted(line for c in changes if c.chapter == chapter for line in c.lines) for chapter in chapters}
