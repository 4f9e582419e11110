"""The runbook's library: `from helpers import Chapter` is all that a notebook needs."""

from helpers.core.chapter import Chapter
from helpers.core.errors import Unmet
from helpers.core.show import varying

__all__ = ["Chapter", "Unmet", "varying"]
