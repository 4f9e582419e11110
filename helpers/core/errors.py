"""The one family of errors that people see: what was tried, where, what came back, what to do next."""

from __future__ import annotations

import inspect
from types import FrameType

#: The first word of an error's text, by which a reader of outputs (the runner) knows it.
MARK = "error  "


class RunbookError(Exception):
    """A failure told to a person, on one screen and without a traceback.

    what: what was tried, as a sentence.  host: where.  saw: what came back.  do: what to do next.
    All are plain text; none may hold a secret.  entry: the troubleshooting entry that fits.
    """

    #: asked again a little later, it would come again: a wait ends with it
    final = False

    def __init__(
        self,
        what: str,
        host: str | None = None,
        saw: str | None = None,
        do: str | None = None,
        entry: str | None = None,
    ):
        self.what, self.host, self.saw, self.do, self.entry = what, host, saw, do, entry
        self._made = _maker(self, inspect.currentframe())
        super().__init__(what)

    @property
    def row(self) -> str:
        """The troubleshooting row that tells of it: its entry, else that of the function that made it."""
        return self.entry or self._made

    def lines(self) -> list[tuple[str, str]]:
        """The parts as (label, text) pairs, those that are known."""
        pairs = [("error", self.what), ("host", self.host), ("saw", self.saw), ("do", self.do)]
        return [(label, str(text).strip()) for label, text in pairs if text]

    def __str__(self) -> str:
        return "\n".join("{:<6} {}".format(label, text.replace("\n", "\n       ")) for label, text in self.lines())

    @property
    def more(self) -> str:
        """Where its troubleshooting row is, as the last line that a person sees; empty when it has none."""
        where = f"./runbook explain {self.row}, or book/troubleshooting.html#{self.row} of the site"
        return "{:<6} {}".format("more", where) if self.row else ""

    def _render_traceback_(self) -> list[str]:
        # IPython prints these lines in place of a traceback.
        return [*str(self).split("\n"), *filter(None, [self.more])]


def _maker(error: RunbookError, frame: FrameType | None) -> str:
    """The row of the function of ours that makes this error; that of its class where the class has its words."""
    while frame and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    if frame is None or not str(frame.f_globals.get("__name__")).startswith("helpers."):
        return ""
    own = frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is error
    return row_of(frame.f_globals["__name__"], type(error).__name__ if own else frame.f_code.co_name)


def row_of(module: str, function: str) -> str:
    """The id of the row of a function's errors: helpers.core.ssh, _explained -> error-ssh-explained."""
    rooms = module.split(".")[1:]
    words = ["error", *(rooms if rooms[0] == "sandbox" else rooms[1:]), function]
    return "-".join(word.strip("_").replace("_", "-").lower() for word in words)


class BadInput(RunbookError):
    """Refused before anything was touched."""

    final = True


class OutOfReach(RunbookError):
    """It cannot be asked from where this runs: nothing is known of it, neither good nor bad. saw: what it needs."""

    final = True


class ConnectionLost(RunbookError):
    """The host went away while a command ran: whether it finished is unknown."""


class TimedOut(RunbookError):
    """The deadline passed. `.saw`: the last thing seen; of a command, that it was ended, or may go on."""


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
