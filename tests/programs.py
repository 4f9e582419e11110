"""Programs of a host that a test writes."""

from __future__ import annotations

from pathlib import Path


def put(folder: Path, name: str, script: str = "") -> Path:
    """A program in this folder, for sh if its first line names no other; returns its file."""
    program = folder / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program
