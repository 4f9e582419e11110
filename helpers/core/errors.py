"""The one error people see: what was tried, where, what came back, what to do next."""

from __future__ import annotations


class RunbookError(Exception):
    """A failure told to a person, on one screen and without a traceback.

    what: what was tried, as a sentence.  host: where.  saw: what came back.
    do: what to do next.  All are plain text; none may hold a secret.
    """

    def __init__(self, what, host=None, saw=None, do=None):
        self.what, self.host, self.saw, self.do = what, host, saw, do
        super().__init__(what)

    def lines(self):
        """The parts as (label, text) pairs, those that are known."""
        pairs = [("error", self.what), ("host", self.host), ("saw", self.saw), ("do", self.do)]
        return [(label, str(text).strip()) for label, text in pairs if text]

    def __str__(self):
        return "\n".join("{:<6} {}".format(label, text.replace("\n", "\n       ")) for label, text in self.lines())

    def _render_traceback_(self):
        # IPython prints these lines in place of a traceback.
        return str(self).split("\n")


class BadInput(RunbookError):
    """Refused before anything was touched."""


class ConnectionLost(RunbookError):
    """The host went away while a command ran: whether it finished is unknown."""


class CommandFailed(RunbookError):
    """A command ended with an exit code that was not expected. `.code`, `.out`, `.err`: what it left."""

    def __init__(self, what, host=None, saw=None, do=None, code=None, out="", err=""):
        super().__init__(what, host, saw, do)
        self.code, self.out, self.err = code, out, err
