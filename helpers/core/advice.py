"""What a person is told to run next, on the targets that the chapter has."""

from __future__ import annotations

import re
from typing import Any, Mapping

from helpers.core.notebooks import Notebook


def aimed(do: str, notebook: Notebook, values: Mapping[str, Any]) -> str:
    """The advice with the chapter's targets in each `./runbook up` that names none: without, it is for the sandbox."""
    found = {notebook.host: str(values.get("target", ""))}
    found.update({host: str(values[p]) for p, host in notebook.others.items() if p in values})
    if found[notebook.host] in ("", "incluster"):  # from where `up` runs the host has another name
        return do
    words = [f"--target {target}" for target in found.values()][:1]
    if len(set(found.values())) > 1:
        words = [f"--target {host}={target}" for host, target in found.items()]
    text = "./runbook up " + " ".join(words)
    return re.sub(r"\./runbook up\b(?! --target)", lambda _: text, do)
