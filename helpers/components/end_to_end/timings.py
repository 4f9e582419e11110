"""How long each stage took, as the systems themselves say."""

from __future__ import annotations

from helpers.core import show


def of(stages):
    """[(stage, where, seconds)] of the newest delivery. stages: a lineage.Lineage."""
    job, rows = stages.pictures.job(), []
    if job is not None:
        rows.append(("outlines of the pictures", "Pachyderm", _between(job.started, job.finished)))
    rows.append(("labels, from the first to the last", "Pachyderm", _labelling(stages)))
    found = stages.delivery.newest(status="success")
    for each in stages.delivery.jobs(found["id"]) if found else []:
        rows.append((f"job {each['name']}", "GitLab", each.get("duration")))
    return rows


def _labelling(stages):
    """Between the first and the last commit of labels."""
    commits = list(stages.pictures.client.list_commit(stages.labels.project.labels.split(".")[1]))
    finished = [c.finished.seconds for c in commits if c.finished.seconds]
    return max(finished) - min(finished) if finished else None


def _between(start, end):
    return (end.seconds + end.nanos / 1e9) - (start.seconds + start.nanos / 1e9)


def show_stages(ch, stages, asked):
    """The table. asked: seconds that a prediction took."""
    rows = [*of(stages), ("a prediction on twenty pictures", "Seldon", asked)]
    shown = [(stage, where, show.varying("not told" if s is None else f"{s:.2f} s")) for stage, where, s in rows]
    ch.table(("stage", "told by", "took"), shown)
