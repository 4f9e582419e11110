"""The runbook's library: `from helpers import Chapter` is all that a notebook needs."""
from .chapter import Chapter, Unmet
from .show import varying

__all__ = ["Chapter", "Unmet", "varying"]
