"""Steps under way: what is asked, applied and shown, and what came of each."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from helpers.core import host as hosts
from helpers.core import show
from helpers.core.actions import Action, Probe, Work
from helpers.core.errors import FAULTS_OF_OURS, ConnectionLost, OutOfReach, RunbookError, words
from helpers.core.events import Events
from helpers.core.ownership import Ownership


class Answer(NamedTuple):
    """What a probe said: is it so, and the words for it."""

    ok: bool
    seen: str


class Result(NamedTuple):
    """What came of one step or check. state: ok, failed, proved, plan or left out; kind: step, check or plan."""

    state: str
    kind: str
    title: str
    expected: str = ""
    seen: str = ""
    entry: str | None = None


class Prober:
    """Asks probes of a host: all bash scripts in one round trip, callables one by one."""

    def __init__(self, host: hosts.Host, mask: Callable[[str], str]):
        self.host, self.mask = host, mask
        self.asked: list[str] = []  # every script so far, for the next run's one round trip
        self._answers: dict[str, hosts.Probe] = {}  # script -> host.Probe, while nothing changes

    def ask_before(self, scripts: Iterable[str]) -> None:
        """Ask these, in one round trip; the answers serve until something changes."""
        self._answers = self.host.probe({s: s for s in scripts})

    def something_changes(self) -> None:
        """No answer that was got before is good any more."""
        self._answers = {}

    def ask(self, probes: Sequence[Probe], fresh: bool = False) -> list[Answer]:
        """The Answers. A callable returns None when it is so and says why not otherwise, also by an error."""
        scripts = [p for p in probes if isinstance(p, str)]
        self.asked.extend(s for s in scripts if s not in self.asked)
        unknown = [s for s in scripts if fresh or s not in self._answers]
        answers = self._with(unknown) if unknown else self._answers
        return [self._of_script(answers[p]) if isinstance(p, str) else self._of_callable(p) for p in probes]

    def _with(self, scripts: Iterable[str]) -> dict[str, hosts.Probe]:
        known = dict(self._answers)
        known.update(self.host.probe({s: s for s in scripts}))
        return known

    def _of_script(self, said: hosts.Probe) -> Answer:
        return Answer(said.ok, said.out or "the probe says no")

    def _of_callable(self, probe: Callable[[], str | None]) -> Answer:
        try:
            why = probe()
        except (ConnectionLost, OutOfReach):
            raise
        except Exception as e:  # any library's error means: it is not so
            why = words(e, 200)
        return Answer(why is None, self.mask(str(why or "")))


#: last lines of a step's output that its error may show; all of them are in the log
_KEPT = 1000


class Steps:
    """The steps of one chapter run: the one under way, with its live output in the cell, and the results of all."""

    def __init__(self, own: Ownership, prober: Prober, events: Events, mask: Callable[[str], str]):
        self.own, self.chapter, self.prober, self.events, self.mask = own, own.chapter, prober, events, mask
        self.results: list[Result] = []
        self.undo: list[tuple[str, Action]] = []  # with their titles, in the order of installing
        self.before_changes: Callable[[], None] = lambda: None  # called before a step changes anything
        self._title, self._start, self._shown_at = "", 0.0, 0.0
        self._live: Any = None
        self._ran: list[str] = []
        self._output = show.Output()

    @property
    def host(self) -> hosts.Host:
        return self.prober.host

    @property
    def failed(self) -> list[Result]:
        return [r for r in self.results if r.state == "failed"]

    def begin(self, title: str) -> None:
        self.events.tell("step", title=title, state="begin")
        self._ran, self._output, self._live = [], show.Output(), None
        self._title, self._start = title, time.monotonic()
        self._shown_at = self._start

    def end(self, state: str, note: str) -> None:
        """End the step that is under way. state: ok, failed, plan or left out."""
        title, seconds, note = self._title, time.monotonic() - self._start, self.mask(note)
        self.add(Result(state, "plan" if state == "plan" else "step", title, title, note))
        self.events.tell("step", title=title, state=state, note=note, seconds=round(seconds, 2))
        show.display(*show.line(state, title, note, show.log_details(self._ran, self._output)), handle=self._live)
        self._live, self._title = None, ""

    def add(self, result: Result) -> None:
        self.results.append(result)
        if result.kind == "check":
            told = result._asdict()
            self.events.tell(told.pop("kind"), **told)

    def line(self, text: str) -> None:
        """A line of a command's output: now and then it is shown in the cell that waits."""
        self._output.add(text)
        now = time.monotonic()
        if self._title and now - self._shown_at > 1:
            self._shown_at = now
            self.events.tell("wait", text=text[:160])
            shown = show.display(*show.line("plan", self._title, text[:100]), handle=self._live, live=True)
            self._live = shown or self._live

    def apply(self, action: Action, what: Work, timeout: float) -> None:
        """Do what the action's apply or undo says. Its failure, of whatever library, is the step's, in words."""
        self.prober.something_changes()
        self._ran.extend(action.shown)
        try:
            if isinstance(what, str):
                self.host.run(what, timeout=timeout, what=self._title, keep=_KEPT)
            else:
                what()
        except FAULTS_OF_OURS:
            self.end("failed", "failed")
            raise
        except Exception as e:
            raise self._failed(e) from e

    def _failed(self, error: Exception) -> RunbookError:
        if not isinstance(error, RunbookError):
            error = RunbookError("make it so: " + self._title, self.host.name, self.mask(words(error)))
        if isinstance(error, ConnectionLost):
            note = error.saw or error.what
        else:
            note = "failed"
            error.do = ((error.do or "") + f"\nThe log has all of it: ./runbook logs {self.chapter}").strip()
        self.end("failed", note)
        return error
