"""The runbook's library. A notebook takes Chapter from here and its component's room from helpers.components."""

from helpers.core.chapter import Chapter
from helpers.core.errors import Unmet
from helpers.core.show import varying

__all__ = ["Chapter", "Unmet", "varying"]
