"""The supply: substitutes built in the order in which chapters need them, each served as soon as it is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.core import catalogue
from helpers.core.errors import RunbookError

from . import builds, caches, mirror, rootfs
from .builds import Report

#: The thread that has what the other two leave of the processors. What comes first is in their hands, it would hold it
#: up; among the last are those that mostly download. Without it Determined's environment came last, measured.
_FROM_THE_END = 2


def recipes_for(artifacts: Iterable[str]) -> list[str]:
    """The recipes that make these artifacts and all that they need in turn, each once, in this order."""
    known, stated = builds.recipes(), mirror.fidelity()
    names: list[str] = catalogue.with_needs(artifacts)
    makers = [str(stated.get(name, {}).get("recipe", name)) for name in names]
    return [name for name in dict.fromkeys(makers) if name in known]


def last_of(count: int, close: Callable[[], None]) -> Callable[[], None]:
    """What each of so many calls at its end; the last one closes."""
    left = iter(range(count - 1, -1, -1))
    return lambda: None if next(left) else close()


def _told(error: Exception) -> RunbookError:
    """The error as one for people."""
    if isinstance(error, RunbookError):
        return error
    return RunbookError(
        "build the sandbox's substitutes", saw=f"{type(error).__name__}: {error}", do="df -h, then again"
    )


@dataclass
class Item:
    """One substitute on its way. state: waiting, building, built, served, failed, stopped; times as time.time()."""

    name: str
    state: str = "waiting"
    began: float = 0.0
    seconds: float = 0.0
    folder: Path | None = None
    error: RunbookError | None = None
    made: bool = False  # by this supply, not found in the cache


class Supply:
    """Builds what is missing, in threads behind the caller, and serves every one that is there.

    prepare: makes what building and serving need, once, before all else.
    serve: puts all of {recipe: its folder} on the mirror; called with more of them each time.
    quiet: of a build only the begin and the end are told.
    """

    def __init__(self, names: Iterable[str], report: Report, quiet: bool = False):
        self.items = {name: Item(name) for name in names}
        self.prepare: Callable[[], object] = lambda: None
        self.serve: Callable[[dict[str, Path]], None] = lambda _built: None
        self.quiet, self.report = quiet, report
        self.tell: Report = builds.silent if quiet else report
        self.preparing = (0.0, 0.0)  # when, and how long
        self.stopped, self.prepared = threading.Event(), threading.Event()
        self._lock, self._serving = threading.Lock(), threading.Lock()
        self._threads: list[threading.Thread] = []
        self._at_end: Callable[[], None] = lambda: None
        self._left = 0
        self._makers: dict[tuple[str, ...], list[str]] = {}

    # -- the work ------------------------------------------------------------------------------

    def start(self, at_end: Callable[[], None] = lambda: None) -> None:
        """Begin in the background; at_end runs when the last thread is through, however it went."""
        self._at_end = at_end
        self._threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(builds.AT_ONCE)]
        self._left = len(self._threads)
        for thread in self._threads:
            thread.start()

    def all_served(self) -> None:
        """Note that all of it is on the mirror already."""
        for item in self.items.values():
            item.state = "served"

    def serve_what_is_there(self) -> None:
        """Serve what was built before."""
        for item in self.items.values():
            if item.state == "waiting" and builds.place(item.name).is_dir():
                item.state, item.folder = "built", builds.place(item.name)
        self._serve_built()

    def wait(self) -> None:
        """Until all is served; the first error is raised when nothing is under way any more."""
        try:
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(0.5)
                    if any(item.error for item in self.items.values()):
                        self.stopped.set()
        finally:
            self.stop()
        for item in self.items.values():
            if item.error:
                raise item.error

    def stop(self) -> None:
        """End what is under way. A build that is cut off leaves nothing; what is served stays served."""
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def trim_caches(self) -> None:
        """New builds may have made the caches too large. What goes wrong there is no fault of the host's."""
        if not self.stopped.is_set() and any(item.made for item in self.items.values()):
            try:
                caches.trim(self.tell)
            except (RunbookError, OSError) as error:
                self.tell(f"caches: not trimmed: {error}")

    def _work(self, number: int) -> None:
        try:
            if number == 0:  # the others wait for it in _next
                self._ready()
            while (item := self._next(number)) is not None:
                self._make(item)
        finally:
            with self._lock:
                self._left -= 1
                last = self._left == 0
            if last:
                self._at_end()

    def _ready(self) -> None:
        began = time.time()
        try:
            self.prepare()
            self.preparing = (began, round(time.time() - began, 1))
            self.serve_what_is_there()
        except rootfs.Stopped:
            pass
        except Exception as error:  # in a thread: those who wait must hear of it
            for item in self.items.values():
                item.state, item.error = "failed", _told(error)
        finally:
            self.prepared.set()

    def _next(self, number: int) -> Item | None:
        self.prepared.wait()
        with self._lock:
            items = list(self.items.values())
            for item in reversed(items) if number == _FROM_THE_END else items:
                if item.state == "waiting" and not self.stopped.is_set():
                    item.state, item.began = "building", time.time()
                    return item
        return None

    def _make(self, item: Item) -> None:
        work = builds.Work(nice=self._nice(item), quiet=self.quiet, stopped=self.stopped)
        item.made = not builds.place(item.name).is_dir()
        try:
            item.folder = builds.build(item.name, self.report, work)
            item.state, item.seconds = "built", round(time.time() - item.began, 1)
            self._serve_built()
        except rootfs.Stopped:
            item.state = "stopped"
        except Exception as error:
            item.state, item.error = "failed", _told(error)
            self.report(f"{item.name}: failed, {str(item.error.saw).splitlines()[0]}")
        item.seconds = item.seconds or round(time.time() - item.began, 1)

    def _nice(self, item: Item) -> int:
        """The weight of its build: behind chapters, what they wait for first has most of what they leave."""
        if not self.quiet:
            return 5
        names = list(self.items)
        before = [self.items[name].state for name in names[: names.index(item.name)]]
        return (5, 12, 19)[min(sum(state in ("waiting", "building") for state in before), 2)]

    def _serve_built(self) -> None:
        """Images first, then the index that names them: what is named is there."""
        with self._serving:
            ready = {i.name: i.folder for i in self.items.values() if i.folder and i.state in ("built", "served")}
            self.serve(ready)
            for name in ready:
                self.items[name].state = "served"

    # -- what a chapter asks -------------------------------------------------------------------

    def failure(self, artifacts: Iterable[str]) -> RunbookError | None:
        """Why one of these artifacts, or of what they need, will not come."""
        return next((item.error for item in self._of(artifacts) if item.error), None)

    def lacks(self, artifacts: Iterable[str]) -> str:
        """What these artifacts wait for, in words; empty when all are served."""
        missing = [item for item in self._of(artifacts) if item.state != "served"]
        if not missing:
            return ""
        busy = [f"{i.name}, being built: {time.time() - i.began:.0f} s" for i in missing if i.state == "building"]
        names = [i.name for i in missing if i.state != "building"]
        rest = f"{', '.join(names[:3])}{' and more' if names[3:] else ''}"
        return "waits for " + "; ".join(filter(None, [*busy, rest and ("then " if busy else "") + rest]))

    def _of(self, artifacts: Iterable[str]) -> list[Item]:
        asked = tuple(artifacts)
        if asked not in self._makers:  # asked several times a second while chapters wait
            self._makers[asked] = recipes_for(asked)
        return [self.items[name] for name in self._makers[asked] if name in self.items]
