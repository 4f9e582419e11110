"""What other chapters installed, as this one uses it: their secrets are looked up, and never forgotten at remove."""

from __future__ import annotations

from helpers.components.label_studio.program import host_python
from helpers.core import catalogue


def label_studio_version(ch, python):
    """The version of Label Studio that chapter 10 has installed for a Python of the host's."""
    name = "label-studio" if host_python(ch, python) >= (3, 10) else "label-studio-2021"
    return catalogue.load()[name].version


class Lent:
    """A chapter for the client of another one's component. own: names of secrets that are this chapter's."""

    def __init__(self, ch, own=()):
        self._ch, self._own = ch, own

    def __getattr__(self, name):
        return getattr(self._ch, name)

    def secret(self, name, mine=True, guarded=True):
        return self._ch.secret(name, mine=name in self._own, guarded=guarded)

    def forgets(self, name):
        """Nothing: it is not this chapter's."""
