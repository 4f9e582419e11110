"""The one family of errors that people see: what was tried, where, what came back, what to do next."""

from __future__ import annotations

#: The first word of an error's text, by which a reader of outputs (the runner) knows it.
MARK = "error  "


class RunbookError(Exception):
    """A failure told to a person, on one screen and without a traceback.

    what: what was tried, as a sentence.  host: where.  saw: what came back.  do: what to do next.
    All are plain text; none may hold a secret.  entry: the troubleshooting entry that fits.
    """

    def __init__(
        self,
        what: str,
        host: str | None = None,
        saw: str | None = None,
        do: str | None = None,
        entry: str | None = None,
    ):
        self.what, self.host, self.saw, self.do, self.entry = what, host, saw, do, entry
        super().__init__(what)

    def lines(self) -> list[tuple[str, str]]:
        """The parts as (label, text) pairs, those that are known."""
        pairs = [("error", self.what), ("host", self.host), ("saw", self.saw), ("do", self.do)]
        return [(label, str(text).strip()) for label, text in pairs if text]

    def __str__(self) -> str:
        return "\n".join("{:<6} {}".format(label, text.replace("\n", "\n       ")) for label, text in self.lines())

    def _render_traceback_(self) -> list[str]:
        # IPython prints these lines in place of a traceback.
        return str(self).split("\n")


class BadInput(RunbookError):
    """Refused before anything was touched."""


class OutOfReach(RunbookError):
    """It cannot be asked from where this runs: nothing is known of it, neither good nor bad. saw: what it needs."""


class ConnectionLost(RunbookError):
    """The host went away while a command ran: whether it finished is unknown."""


class CommandFailed(RunbookError):
    """A command ended with an exit code that was not expected. `.code`, `.out`, `.err`: what it left."""

    def __init__(  # noqa: PLR0913 - the four parts of every error, and what the command left
        self,
        what: str,
        host: str | None = None,
        saw: str | None = None,
        do: str | None = None,
        *,
        code: int = 1,
        out: str = "",
        err: str = "",
    ):
        super().__init__(what, host, saw, do)
        self.code, self.out, self.err = code, out, err


class Unmet(RunbookError):
    """A proof's own words: what was expected and what was seen. entry: the one that fits better than the check's."""

    def __init__(self, expected: str, saw: object, entry: str | None = None):
        self.expected = expected
        super().__init__("expected " + expected, saw=str(saw), entry=entry)


class NotYet(RunbookError):
    """What was asked for is not there yet, in the words that a waiting person reads."""

    def __init__(self, saw: str):
        super().__init__("wait", saw=saw)


#: A fault of ours, not of a server, a host or a person: its traceback is the news.
FAULTS_OF_OURS = (AssertionError, AttributeError, NameError, TypeError, ImportError, SyntaxError)


def words(error: BaseException, width: int = 300) -> str:
    """What an error of any library says, in one short text."""
    if isinstance(error, RunbookError):
        return error.saw or error.what
    return "{}: {}".format(type(error).__name__, str(error).split("\n")[0][:width])
