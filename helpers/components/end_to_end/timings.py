"""How long each stage took, as the systems themselves say."""

from __future__ import annotations

import datetime

from helpers.core import show

HEADS = ("stage", "told by", "took")


def of(stages):
    """[(stage, where, seconds)] of the newest delivery. stages: a lineage.Lineage."""
    job, rows = stages.pictures.job(), []
    if job is not None:
        rows.append(("outlines of the pictures", "Pachyderm", _between(job.started, job.finished)))
    rows.append(("labels, from the first to the last", "Label Studio", _labelling(stages)))
    found = stages.delivery.newest(status="success")
    for each in stages.delivery.jobs(found["id"]) if found else []:
        rows.append((f"job {each['name']}", "GitLab", each.get("duration")))
    return rows


def _labelling(stages):
    """Between the first label and the last that was made; what was corrected since counts as made."""
    made = sorted(_time(annotation["created_at"]) for annotation in stages.labels.newest().values())
    return (made[-1] - made[0]).total_seconds() if made else None


def _time(text):
    return datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")


def _between(start, end):
    return (end.seconds + end.nanos / 1e9) - (start.seconds + start.nanos / 1e9)


def rows(stages, asked):
    """The rows of the table. asked: seconds that a prediction took."""
    found = [*of(stages), ("a prediction on twenty pictures", "Seldon", asked)]
    return [(stage, where, show.varying("not told" if s is None else f"{s:.2f} s")) for stage, where, s in found]
