"""What a running chapter tells the runner: JSON lines in the file that RUNBOOK_EVENTS names."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Callable


class Events:
    """Appends events. Without RUNBOOK_EVENTS (a chapter run by hand) they go nowhere: the cells show everything.

    kinds: open, artifact, version, step (begin/end), wait, check, verdict.
    """

    def __init__(self, mask: Callable[[str], str]):
        self.path, self.mask = os.environ.get("RUNBOOK_EVENTS"), mask

    def tell(self, kind: str, **fields: Any) -> None:
        if self.path:
            line = self.mask(json.dumps(dict(fields, kind=kind), default=str))
            with open(self.path, "a") as f:
                f.write(line + "\n")


class Reader:
    """Reads a file of events bit by bit, each once. A line that is cut off waits until it is whole."""

    def __init__(self, path: str | Path):
        self._path, self._at = str(path), 0

    def new(self) -> list[dict[str, Any]]:
        """The events that were written since the last call; none while there is no file."""
        found: list[dict[str, Any]] = []
        with contextlib.suppress(FileNotFoundError, ValueError), open(self._path, "rb") as f:
            f.seek(self._at)
            for line in f:
                if not line.endswith(b"\n"):
                    break
                found.append(json.loads(line.decode()))
                self._at += len(line)
        return found


def read(path: str | Path) -> list[dict[str, Any]]:
    """The events written so far; a last line that is cut off (a kill) is left out."""
    return Reader(path).new()
