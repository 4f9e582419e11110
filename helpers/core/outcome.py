"""What a chapter came to that was run elsewhere, as a chapter's command hands it on to the record."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence


class Outcome(NamedTuple):
    """id: the chapter's.  events: what it told, see events.py.  error: as a person reads it, "" when it ended well.

    notebook: the executed one's text, "" when there is none.  seconds: how long it took there.
    """

    id: str
    parameters: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    error: str = ""
    notebook: str = ""
    seconds: float = 0.0
