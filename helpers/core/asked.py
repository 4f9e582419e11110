"""The probes that a chapter asked on a target the last time: the next run asks them in one round trip.

They are run as root, so they lie with the secrets and not in a run record, which people copy and share.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, cast

from helpers.core.files import write_whole
from helpers.core.paths import home


def _file(slug: str, chapter: str) -> Path:
    return home("probes") / f"{slug}.{chapter}.json"


def before(slug: str, chapter: str) -> list[str]:
    """The scripts; none when nothing was kept."""
    try:
        found: Any = json.loads(_file(slug, chapter).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    scripts = cast("list[Any]", found) if isinstance(found, list) else []
    return scripts if all(isinstance(script, str) for script in scripts) else []


def keep(slug: str, chapter: str, scripts: list[str]) -> None:
    """For the next run. A disk that is full costs that run some round trips, and this one nothing."""
    with contextlib.suppress(OSError):
        write_whole(_file(slug, chapter), json.dumps(scripts))


def forget(slug: str, chapter: str = "*") -> None:
    """It was removed here, or all of the host went: what comes to be there now is somebody's."""
    for path in home("probes").glob(f"{slug}.{chapter}.json"):
        path.unlink()
