"""What this machine lacks, why it matters, and the exact command that mends it."""
from __future__ import annotations


def sandbox_lacks(path, space=True):
    return []
