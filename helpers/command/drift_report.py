"""The drift report: as lines in a terminal, as one page, and as JUnit XML for a pipeline."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

from pydantic import BaseModel, ValidationError

from helpers.command.drift import DRIFT, FAILED, SAME, Cell, ChapterDrift
from helpers.command.markdown import when
from helpers.core.files import write_whole
from helpers.core.shell import filled


class Report(BaseModel):
    """What one `./runbook regress` found."""

    run: str
    where: str
    at: str  # when it ended: ISO 8601, UTC
    seconds: float
    chapters: dict[str, ChapterDrift] = {}

    @property
    def red(self) -> list[ChapterDrift]:
        return [c for c in self.chapters.values() if c.state != SAME]

    @property
    def closing(self) -> str:
        """The one line that sums it up."""
        counts = {state: [c.id for c in self.chapters.values() if c.state == state] for state in (SAME, DRIFT, FAILED)}
        words = [f"{len(counts[SAME])} as recorded"]
        words += [f"{len(ids)} {state} ({', '.join(ids)})" for state, ids in counts.items() if ids and state != SAME]
        return f"{len(self.chapters)} chapters compared in {self.seconds:.0f} s: " + "; ".join(words)


def lines(c: ChapterDrift) -> list[str]:
    """A chapter in the terminal: its state, since which run, and what changed."""
    if c.state == SAME:
        return [f"{c.label:<18} as recorded"]
    out = [f"{c.label:<18} {c.state:<7} against {c.since}"]
    for change in c.changes:
        out += [f"    {change.where}", *(f"      {line}" for line in change.lines())]
    return out + [f"    {line}" for line in c.error.splitlines()]


def write(folder: Path, report: Report, outputs: Mapping[str, object]) -> None:
    """report.html, junit.xml, and report.json with the outputs of each chapter, for --accept; each whole."""
    folder.mkdir(exist_ok=True)
    write_whole(folder / "report.html", page(report), 0o644)
    write_whole(folder / "junit.xml", junit(report), 0o644)
    content = {"report": report.model_dump(), "outputs": outputs}
    write_whole(folder / "report.json", json.dumps(content, indent=1, ensure_ascii=False), 0o644)


def read(folder: Path) -> tuple[Report, dict[str, dict[str, list[object]]]] | None:
    """What write() left, and None where there is none that can be read."""
    try:
        content = json.loads((folder / "report.json").read_text())
        return Report(**content["report"]), cast("dict[str, dict[str, list[object]]]", content["outputs"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None


def junit(report: Report) -> bytes:
    """A suite for each chapter, a case for each cell."""
    top = ElementTree.Element("testsuites", name="runbook regress", time=f"{report.seconds:.2f}")
    for c in report.chapters.values():
        suite = ElementTree.SubElement(top, "testsuite", name=c.label, timestamp=report.at[:19])
        suite.set("time", f"{c.seconds:.2f}")
        for cell in c.cells:
            _case(suite, c, cell)
        if c.state == FAILED and not any(cell.error for cell in c.cells):
            _case(suite, c, Cell(where="the whole chapter", error=c.error))
        counted = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
        for name, path in {**counted, "skipped": "testcase/skipped"}.items():
            suite.set(name, str(len(suite.findall(path))))
    for name in ("tests", "failures", "errors"):
        top.set(name, str(sum(int(suite.get(name, "0")) for suite in top)))
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)


def _case(suite: ElementTree.Element, c: ChapterDrift, cell: Cell) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"runbook.{c.id}", name=_xml(cell.where))
    case.set("time", f"{cell.seconds:.2f}")
    said = [line for change in cell.changes for line in change.lines()]
    if said:
        failure = ElementTree.SubElement(case, "failure", type=DRIFT, message=_xml(said[-1]))
        failure.text = _xml(f"against {c.since}\n" + "\n".join(said))
    elif cell.error and c.state == FAILED:
        error = ElementTree.SubElement(case, "error", type=FAILED, message=_xml(cell.error.splitlines()[0]))
        error.text = _xml(cell.error)
    elif cell.skipped:
        ElementTree.SubElement(case, "skipped", message="the chapter had ended before")


def _xml(text: str) -> str:
    """Without characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe"))


def page(report: Report) -> str:
    """One page that needs nothing else."""
    rows = "\n".join(map(_row, report.chapters.values()))
    details = "\n".join(map(_details, report.red))
    colour = "bad" if report.red else "good"
    return filled(
        Path(__file__).with_suffix(".html"),
        HEAD=html.escape(f"Run {report.run} on {report.where}, compared {when(report.at)} UTC."),
        CLOSING=f'<p class="{colour}">{html.escape(report.closing)}</p>',
        ROWS=rows,
        DETAILS=details,
    )


def _row(c: ChapterDrift) -> str:
    label = html.escape(f"{c.number} {c.title}")
    link = label if c.state == SAME else f'<a href="#{c.id}">{label}</a>'
    state = "as recorded" if c.state == SAME else c.state
    cells = [link, f'<span class="{"good" if c.state == SAME else "bad"}">{state}</span>']
    cells += map(html.escape, (str(len(c.changes) or ""), c.since, c.target, f"{c.seconds:.0f}"))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _details(c: ChapterDrift) -> str:
    parts = [f'<h2 id="{c.id}">{html.escape(f"{c.number} {c.title}: {c.state}")}</h2>']
    parts.append(f"<p>Against {html.escape(c.since)}.</p>")
    for change in c.changes:
        parts.append(f"<h3>{html.escape(change.where)}</h3>")
        if change.order:
            parts.append("<p>The same lines in another order.</p>")
        lines_ = [_marked("del", f"- {line}") for line in change.before]
        lines_ += [_marked("ins", f"+ {line}") for line in change.now]
        parts.append(f"<pre>{''.join(lines_)}</pre>")
    if c.error:
        parts.append(f"<pre>{html.escape(c.error)}</pre>")
    return "\n".join(parts)


def _marked(tag: str, line: str) -> str:
    """A line of its own; one that tells of a failure is no good news because it is new."""
    bad = ' class="bad"' if tag == "ins" and line.startswith("+ ✗") else ""
    return f"<{tag}{bad}>{html.escape(line)}</{tag}>"
