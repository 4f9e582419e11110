"""One execution of a notebook: papermill with a kernel of its own, what the chapter tells meanwhile, how it ended."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from helpers.command import kernels
from helpers.core import events, host_lock, modes
from helpers.core.errors import MARK, RunbookError
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO
from helpers.core.secrets import Masker, SecretStore
from helpers.core.target import Target

Event = dict[str, Any]
Mask = Callable[[str], str]
STOPPED = "the run was stopped"


@functools.cache
def _papermill() -> Any:
    """papermill with an engine of ours. Its import takes more than a second: bad input is refused before that."""
    papermill, clients, engines = map(import_module, ("papermill", "papermill.clientwrap", "papermill.engines"))
    client_class = _client(clients.PapermillNotebookClient)

    def execute(_: type, book: Any, kernel_name: str, env: dict[str, str], holds: list[Any], **other: Any) -> Any:
        client = client_class(
            book,
            kernel_name=kernel_name,
            kernel_manager_class=kernels.manager(),
            startup_timeout=60,
            timeout=None,
            extra_arguments=["--log-level=50"],  # a kernel's own chatter is no news
        )
        client.mask, client.stop = other["mask"], other["stop"]
        holds.append(client)
        book.save = _seldom(book)
        try:
            return client.execute(env=env)
        finally:
            del book.save  # papermill keeps the end, how ever it came

    # papermill's own engine, with an environment for the kernel and a hold on it for Ctrl-C
    engine = type("Engine", (engines.NBClientEngine,), {"execute_managed_notebook": classmethod(execute)})
    logging.getLogger("papermill").setLevel(logging.ERROR)
    # A message of a kernel that has just ended: its chapter's verdict is there, and a traceback would hide it.
    logging.getLogger("tornado.general").setLevel(logging.CRITICAL)
    engines.papermill_engines.register("runbook", engine)
    return papermill


def _seldom(book: Any) -> Callable[[], None]:
    """Its save, 5 s after the last one at the soonest: papermill writes it all at each cell's begin and end."""
    save = book.save

    def seldom() -> None:
        if (book.now() - book.last_save_time).total_seconds() >= 5:
            save()

    return seldom


class Stop:
    """Ends an execution at the next moment at which an interrupt is heard. interrupt: sends one to the kernel.

    A kernel hears interrupts while a cell runs, and ignores them while it starts and between two cells. So one that
    comes then waits for the next cell: that is not begun, or interrupted where it has been sent to the kernel already.
    """

    def __init__(self, interrupt: Callable[[], None]):
        self._interrupt, self._lock = interrupt, threading.Lock()
        self.asked = self._heard = False

    def ask(self) -> None:
        with self._lock:
            self.asked = True
            if self._heard:
                self._interrupt()

    def cell_runs(self) -> None:
        """The kernel says that it has begun the cell."""
        with self._lock:
            self._heard = True
            if self.asked:
                self._interrupt()

    def cell_ended(self) -> None:
        with self._lock:
            self._heard = False


def _client(client: Any) -> Any:
    """The class of papermill's client, masking what cells show before it is kept, beginning no cell after a stop."""
    error = import_module("nbclient.exceptions").CellExecutionError

    class Client(client):
        mask: Mask
        stop: Stop

        def execute_cell(self, *cell: Any) -> Any:
            if self.stop.asked:
                raise error("", "KeyboardInterrupt", STOPPED)
            try:
                return super().execute_cell(*cell)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
            finally:
                self.stop.cell_ended()

        def process_message(self, msg: Event, *where: Any) -> Any:
            if msg["msg_type"] == "execute_input":
                self.stop.cell_runs()
            clean = {**msg, "content": masked(msg["content"], self.mask)}
            return super().process_message(clean, *where)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]

    return Client


def masked(value: Any, mask: Mask) -> Any:
    """Texts, and lists and dictionaries of them, each masked."""
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        return type(known)({key: masked(item, mask) for key, item in known.items()})
    if isinstance(value, list):
        return [masked(item, mask) for item in cast("list[Any]", value)]
    return mask(value) if isinstance(value, str) else value


def mask_of(parameters: dict[str, Any]) -> Mask:
    """Takes every secret of a chapter's targets out of a text: those of now, and those that were there before."""
    masker = Masker()

    def mask(text: str) -> str:
        for target in (value for name, value in parameters.items() if name.endswith("target")):
            with contextlib.suppress(RunbookError, OSError):
                for value in SecretStore(Target.parse(target).slug).values():
                    masker.add(value)
        return masker.mask(text)

    return mask


class Execution:
    """A notebook, run once with these parameters; its files go into a run's folder.

    out: the executed notebook.  log: the output of its commands.  events: what the chapter told.
    step: the title of the only step that install applies.
    """

    def __init__(self, notebook: Notebook, parameters: dict[str, Any], folder: Path, step: str = ""):
        self.notebook, self.parameters, self.step = notebook, parameters, step
        stem, mode = notebook.path.stem, parameters["mode"]
        name = stem if mode == "install" else f"{stem}.{mode}"
        self.out = folder / f"{name}.ipynb"
        self.log = folder / "logs" / f"{stem}.log"
        self.events = folder / "logs" / f"{name}.events"
        self._clients: list[Any] = []
        self._stop = Stop(lambda: self._kill(signal.SIGINT))
        self._mask = mask_of(parameters)

    def run(self, tell: Callable[[Event], None]) -> str:
        """Run it to its end. Returns why it failed, "" when it did not. tell: gets each event as it comes."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(tell, over), daemon=True)
        watcher.start()
        try:
            return self._mask(self._run())
        finally:
            over.set()
            watcher.join()

    def told(self) -> list[Event]:
        """What the chapter told so far."""
        return events.read(self.events)

    def stop(self) -> None:
        """Interrupt it, as Ctrl-C does: the cell that runs, or before the next one is begun."""
        self._stop.ask()

    def kill(self) -> None:
        """End its kernel at once."""
        self._kill(signal.SIGKILL)

    def _kill(self, number: int) -> None:
        for client in self._clients:
            process = getattr(getattr(client.km, "provisioner", None), "process", None)
            if process is not None and process.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, number)

    def _run(self) -> str:
        papermill = _papermill()
        try:
            papermill.execute_notebook(
                str(self.notebook.path),
                str(self.out),
                parameters=self.parameters,
                engine_name="runbook",
                progress_bar=False,
                env=self._environment(),
                holds=self._clients,
                mask=self._mask,
                stop=self._stop,
            )
        except papermill.PapermillExecutionError as e:
            return _reason(e)
        except Exception as e:  # a kernel that died or never started: it must not take the other chapters with it
            return "the notebook's kernel ended: {}: {}".format(type(e).__name__, str(e).split("\n")[0])
        return STOPPED if self._stop.asked else ""

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
        own = {"RUNBOOK_EVENTS": str(self.events), "RUNBOOK_LOG": str(self.log), "PYTHONPATH": path}
        return {**os.environ, **own, host_lock.HELD_BY_RUN: "held", modes.ONLY_STEP: self.step}

    def _watch(self, tell: Callable[[Event], None], over: threading.Event) -> None:
        reader, last = events.Reader(self.events), False
        while not last:
            last = over.wait(0.2)
            for event in reader.new():
                tell(event)


def _reason(e: Any) -> str:
    """The error of a cell: ours is text for a person already, whoever defined it; others get their name."""
    text = "\n".join(e.traceback or [])
    if text.startswith(MARK):
        return text
    return f"{e.ename}: {e.evalue}"
