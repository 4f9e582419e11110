"""The status page: the last run, what changed since the one before, how long each chapter took, and all runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from helpers.command import record, timeline
from helpers.command.markdown import literal, raw_html, table, when
from helpers.command.progress import checks_held
from helpers.command.record import ChapterRun, Run
from helpers.core.notebooks import Notebook

Known = Mapping[str, Notebook]
RUNS = 20  # of the history that is shown


def fidelity(c: ChapterRun) -> str:
    """A chapter's fidelity in words: that of the weakest of its artifacts."""
    order = ["original", "equivalent", "double"]
    found = [a.fidelity for a in c.artifacts]
    return max(found, key=lambda f: order.index(f) if f in order else 9, default="installs nothing")


def status(run: Run | None, known: Known, before: Sequence[Run] = ()) -> str:
    """The status page's Markdown, from the record and those of the runs before it on its target, newest first."""
    head = "# Status\n\nMade from the last run's record.\n\n"
    if run is None:
        return head + "No run yet: `./runbook up`.\n"
    ran = [(n, run.chapters[n.id]) for n in known.values() if n.id in run.chapters]
    failing = [row for n, c in ran for row in _failing(n, c)]
    used = [
        [a.name, *map(literal, (a.version, a.origin, a.fidelity, "" if a.program == a.name else a.program))]
        for _, c in ran
        for a in c.artifacts
    ]
    sections = [
        head + _status_line(run),
        "## What does not hold\n\n" + table(["chapter", "what", "seen"], failing) if failing else "",
        _changed(before[0], run) if before else "",
        _compared(run),
        "## Chapters\n\n" + _chapters_table(run, known) + "\n" + UNCHANGED,
        _durations(run),
        ARTIFACTS + table(["artifact", "version asked for", "from", "fidelity", "stood in"], used) if used else "",
        HISTORY + table(["run", "mode", "state", "seconds", "chapters"], map(_run_row, [run, *before[: RUNS - 1]])),
    ]
    return "\n".join(filter(None, sections))


UNCHANGED = (
    "A chapter is unchanged when its notebook, parameters and artifacts are those of the run that installed it, "
    "and all of it still holds. Checks that would write to the host or restart something are left out then.\n"
)
ARTIFACTS = (
    "## Artifacts\n\nWhat was asked for, where it came from, and what stood in. "
    "[Fidelity](fidelity.md) explains the words.\n\n"
)


def _status_line(run: Run) -> str:
    kind = "ok" if run.state == "ok" else "failed"
    how = f"Run `{run.id}` on {run.where('`')}, mode {run.mode}: **{run.state}**."
    return f"```{{div}} last-run {kind}\n{how} Finished {when(run.finished) or 'not'} UTC, {run.seconds:.0f} s.\n```\n"


def _failing(n: Notebook, c: ChapterRun) -> list[list[str]]:
    checks = [[n.label, literal(check.title), literal(check.seen)] for check in c.checks if check.state == "failed"]
    return checks + [[n.label, literal(step.title), literal(step.note)] for step in c.steps if step.state == "failed"]


def _chapters_table(run: Run, known: Known) -> str:
    of = run.chapters.get
    headers = ["chapter", "state", "checks that hold", "fidelity", "found running", "last verified (UTC)"]
    rows = [[*_chapter_row(n, c), run.target_of(c) if c else ""] for n in known.values() for c in [of(n.id)]]
    return table([*headers, "on"], rows) if run.several else table(headers, [row[:-1] for row in rows])


def _chapter_row(n: Notebook, c: ChapterRun | None) -> list[str]:
    name = "[{} {}](../notebooks/{})".format(n.number, n.title.split(":")[0], n.path.name)
    if c is None:
        return [name, "not run", "", "", "", ""]
    running = ", ".join(version(program, found) for program, found in sorted(c.versions.items()))
    return [name, _state(c), checks_held(c), fidelity(c), running, when(c.verified)]


def _state(c: ChapterRun) -> str:
    if c.state == "skipped":
        return "ok, unchanged"
    return c.state if c.state in record.GOOD else f"**{c.state}**"


def version(name: str, found: str) -> str:
    """What a program says of itself, without its own name said twice."""
    said = re.sub(rf"^({re.escape(name)} )?version ", "", found)
    return literal(f"{name} {said}" if said else name)


# -- from run to run ---------------------------------------------------------------------------------

HISTORY = "## Runs\n\nThe last ones on this target, from `runs/`.\n\n"


def _run_row(run: Run) -> list[str]:
    ended = [c for c in run.chapters.values() if c.run == run.id and c.state not in record.GOOD]
    wrong = ", ".join(f"{c.number} {c.state}" for c in ended)
    good = len([c for c in run.chapters.values() if c.run == run.id and c.state in record.GOOD])
    state = run.state if run.state == "ok" else f"**{run.state}**"
    ends = f"{good} as they should" + (f"; {wrong}" if wrong else "")
    return [f"`{run.id}`", run.mode, state, f"{run.seconds:.0f}", ends]


def _changed(old: Run, new: Run) -> str:
    rows = list(changes(old, new))
    head = f"## Changed since run `{old.id}`\n\n"
    return head + (table(["chapter", "what", "before", "now"], rows) if rows else NOTHING)


def _compared(run: Run) -> str:
    """What the last `regress` found, with the way to its report, and what was accepted."""
    accepted = [
        [f"{c.number} {c.id}", when(a.at), *map(literal, (a.by, a.reason, "; ".join(a.changes)))]
        for c in run.chapters.values()
        for a in c.accepted
    ]
    head = "## Compared with what was recorded\n\n" if run.compared or accepted else ""
    if run.compared:
        red = [name for name, state in run.compared.states.items() if state != "same"]
        found = "not as recorded: " + literal(", ".join(red)) if red else "all as recorded"
        head += (
            f"By `./runbook regress`, {when(run.compared.at)} UTC: {len(run.compared.states)} chapters, {found}.\n\n"
        )
        head += raw_html(f'<p><a href="../{record.DRIFT}.html">The drift report</a></p>') + "\n"
    return head + (table(["chapter", "accepted (UTC)", "by", "reason", "what"], accepted) if accepted else "")


NOTHING = "Nothing: states, versions, parameters, artifacts and checks are the same.\n"


def changes(old: Run, new: Run) -> Iterator[list[str]]:
    """[chapter, what, before, now] of all that a reader of both records would call different."""
    for c in new.chapters.values():
        before = old.chapters.get(c.id)
        for what, was, now in _differences(before, c) if before else [("chapter", "", c.state)]:
            if was != now:
                yield [f"{c.number} {c.id}", literal(what), literal(was), literal(now)]


def _differences(old: ChapterRun, new: ChapterRun) -> Iterator[tuple[str, str, str]]:
    yield "state", _plain(old.state), _plain(new.state)
    for name in sorted({*old.versions, *new.versions} if new.versions else ()):
        yield name, old.versions.get(name, ""), new.versions.get(name, "")
    for name in sorted({*old.parameters, *new.parameters} - {"mode", "target"}):
        yield f"parameter {name}", str(old.parameters.get(name, "")), str(new.parameters.get(name, ""))
    was = {a.name: f"{a.version} {a.fidelity}" for a in old.artifacts}
    for a in new.artifacts:
        yield f"artifact {a.name}", was.get(a.name, ""), f"{a.version} {a.fidelity}"
    held = {check.title: check.state for check in old.checks}
    for check in new.checks:  # one that is left out says nothing new
        if "left out" not in (check.state, held.get(check.title)):
            yield f"check: {check.title}", _plain(held.get(check.title, "")), _plain(check.state)


def _plain(state: str) -> str:
    """States that mean the same to a reader of two runs: unchanged is ok, and so is proved."""
    return {"skipped": "ok", "proved": "ok"}.get(state, state)


def _durations(run: Run) -> str:
    line = timeline.of_run(run)
    head = (
        f"## How long each chapter took\n\nIn run `{run.id}`, mode {run.mode}; bars begin when the chapter began.\n\n"
    )
    return head + raw_html(timeline.chart(line)) if line.spans else ""
