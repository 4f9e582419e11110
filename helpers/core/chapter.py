"""Chapter: what a notebook calls. Steps, checks and the verdict, in the mode that was asked for."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Iterable,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
    Union,
)

from helpers.core import actions, advice, asked, by_hand, events, in_cluster, modes, notebooks, preconditions, show
from helpers.core.catalogue import Artifact, Origin
from helpers.core.errors import OutOfReach, RunbookError, Unmet, words
from helpers.core.installed_secrets import InstalledSecrets
from helpers.core.ownership import Ownership
from helpers.core.paths import home
from helpers.core.secrets import Masker, Secret, SecretStore
from helpers.core.steps import Prober, Result, Steps
from helpers.core.target import Target
from helpers.core.verdict import CHANGES, judge
from helpers.core.waiting import wait

if TYPE_CHECKING:
    from helpers.core.tools import Tool

#: a bash probe (exit 0: it is so), or a callable that returns None when it is so and says why not otherwise
ProbeOf = Union[str, Callable[[], Optional[str]]]
Work = Union[str, Callable[[], object]]
T = TypeVar("T")


class Chapter:
    """An opened chapter: `ch = Chapter.open("minio", globals())`.

    mode install: a step that is not so is applied, then must hold. verify: probes only; what does not hold is
    collected for the verdict, and nothing on the target changes. plan: shows what install would run. remove:
    what the steps made is undone in reverse order when the verdict is asked for.
    """

    def __init__(self, notebook: notebooks.Notebook, values: Mapping[str, Any]):
        self.notebook, self.values, self.mode = notebook, values, str(values["mode"])
        self.installing = self.mode == "install"
        self.proving = self.mode in ("install", "verify")  # checks run
        self._only = os.environ.get(modes.ONLY_STEP, "") if self.installing else ""
        self.settled = self.mode in ("verify", "remove")  # nothing is fetched
        target = Target.parse(values["target"])
        in_cluster.require_mode(target, self.mode)
        self.secrets = SecretStore(target.slug)
        self.masker = Masker(self.secrets.values())
        self.events = events.Events(self.masker.mask)
        log = os.environ.get("RUNBOOK_LOG") or str(home("logs") / (notebook.id + ".log"))
        self._log = open(log, "a", buffering=1)  # noqa: SIM115 - until the process ends: what comes late is news, too
        self.host = in_cluster.host(target, self.masker, self._line)
        self.origin = Origin(values["origin"], target, settled=self.settled)
        self._rehearsal: int | None = None
        self._prober = Prober(self.host, self.masker.mask)
        self.own = Ownership(self.host, self._asked, notebook.id, values)
        self._steps = Steps(self.own, self._prober, self.events, self.masker.mask)
        self.installed: Mapping[str, Mapping[str, Any]] = {}  # {chapter: its parameters}; known to ./runbook's commands
        self.artifacts: dict[str, Artifact] = {}  # that were asked for, with all that they need
        self._installed = InstalledSecrets(self.host, self._asked, self.secrets, self.installing)
        self._steps.before_changes = self._installed.note
        self._stack = contextlib.ExitStack()

    @classmethod
    def open(cls, name: str, values: Mapping[str, Any]) -> Chapter:
        """Open a chapter with its notebook's parameters, taken from `values` (the notebook's globals()).

        BadInput when a parameter does not fit, RunbookError when the target cannot be reached or used.
        """
        notebook = notebooks.find(name)
        chapter = cls(notebook, notebook.check({p: values[p] for p in notebook.parameters if p in values}))
        chapter.host.connect()
        chapter.host.require_root()
        by_hand.begin(chapter.host, notebook, chapter.values)
        if chapter.proving:
            chapter._prober.ask_before(asked.before(chapter.host.target.slug, notebook.id))
        target, origin = chapter.host.name, chapter.origin
        chapter.events.tell("open", target=target, mode=chapter.mode, origin=origin.text)
        chapter.table(("target", "mode", "origin"), [(target, show.varying(chapter.mode), origin.shown)])
        return chapter

    # -- what there is to install ------------------------------------------------------------------

    def artifact(self, name: str) -> Artifact:
        """The catalogue's artifact as the origin has it; shows it and all that it needs, with origin and fidelity."""
        found = self.origin.with_needs(name, self.host)
        if found[0].authority:
            found[0].socks = self._way_to_rehearsal()
        new = [a for a in found if a is found[0] or a.name not in self.artifacts]
        rows: list[tuple[str, ...]] = []
        for each in new:
            for row in each.rows():
                if each.name not in self.artifacts:
                    self.events.tell("artifact", **row)
                stands = row["fidelity"] if row["program"] == each.name else f"{row['fidelity']}: {row['program']}"
                rows.append((row["name"], row["version"], each.licence, row["origin"], stands))
            self.artifacts[each.name] = each
        self.table(("artifact", "version", "licence", "from", "fidelity"), rows)
        return found[0]

    def _way_to_rehearsal(self) -> int:
        """The local port of a SOCKS proxy by which this machine reaches what the host calls upstream."""
        if self._rehearsal is None:
            self._rehearsal = self.until_the_verdict(self.host.socks())
        return self._rehearsal

    def tool(self, name: str) -> Tool:
        """A program of the catalogue for this machine; shows the artifact. See tools.Tool."""
        from helpers.core import tools  # their HTTP client takes a while to import, and few chapters need it

        made = tools.ToolElsewhere if self.host.in_cluster else tools.Tool
        return made(self.artifact(name), self.masker, self._waits)

    def version(self, name: str, version: str) -> None:
        """Note the version that was found running, for the record, and show it: another one is drift."""
        self.events.tell("version", name=name, version=version)
        if self.proving:
            show.display(*show.line("ok", f"found running: {name} {version}".strip()))

    def secret(self, name: str, mine: bool = True, guarded: bool = True) -> Secret:
        """A secret of this target by name, made when new. In a file's text, f"{secret}" is filled in as it is sent.

        mine: this chapter's own, which remove forgets; False: another chapter's.  guarded: install refuses, with
        BadInput, to replace the one that is on the host; False: a person's for another service, who may change it.
        """
        in_cluster.require_secret(self.host.target, name, self.host.in_cluster and bool(self.secrets.find(name)))
        secret = self._installed.get(name, mine, guarded)
        self.masker.add(secret.reveal())
        return secret

    def forgets(self, name: str) -> None:
        """Remove forgets this secret, too: one that a server made and the chapter keeps."""
        self._installed.forgets(name)

    # -- preconditions, steps, checks --------------------------------------------------------------

    def require(
        self,
        title: str,
        probe: str | Callable[..., str | None],
        *arguments: Any,
        do: str,
        modes: str | Iterable[str] = ("install", "plan"),
    ) -> None:
        """A precondition, tested before anything is touched. BadInput with `do` when it does not hold.

        probe: a bash probe, or a callable that, given the arguments, returns None when it holds and says why not
        otherwise.  modes: those in which it is asked; "any": in all; "guard": before remove takes what others have,
        which the parameter delete_data gives up.
        """
        ask = probe if isinstance(probe, str) else lambda: probe(*arguments)
        given_up, do = bool(self.values.get("delete_data")), advice.aimed(do, self.notebook, self.values)
        preconditions.require(self._steps, self.mode, preconditions.Precondition(title, ask, do, modes, given_up))

    def step(
        self,
        title: str,
        *do: str | actions.Action,
        probe: ProbeOf | None = None,
        undo: Work | None = None,
        makes: str = "",
        timeout: float = 600,
    ) -> None:
        """A sentence that is true afterwards. do: commands (then `probe` is needed) and actions.

        probe: for the plain commands, true when it is already so.  undo: bash script.  makes: the thing that they
        make, as ownership.py names it.  timeout: seconds for each action.
        """
        todo = [d for d in do if isinstance(d, actions.Action)]
        lines = [d for d in do if not isinstance(d, actions.Action)]
        if lines:
            if probe is None:
                raise TypeError("plain commands need probe=")
            todo.insert(0, actions.commands(lines, probe, undo, [makes] if makes else []))
        self.host.hold_ports()
        modes.MODES["verify" if self._only not in ("", title) else self.mode](self._steps, title, todo, timeout)

    def check(
        self,
        title: str,
        prove: Callable[..., str | None],
        *arguments: Any,
        changes: bool = False,
        entry: str | None = None,
        quiet: bool = False,
    ) -> None:
        """A functional proof. prove(*arguments) returns a text to show or None, and raises when it is not so.

        changes: it changes the target (a restart, an object written), so that verify leaves it out.
        entry: the troubleshooting entry that fits when it fails; the error's own goes before.
        quiet: show it in the verdict's table only.
        """
        if not self.proving or self._only:
            return
        if changes and not self.installing:
            self._steps.add(Result("left out", "check", title, seen=CHANGES))
            show.display(*show.line("left out", title, CHANGES))
            return
        self.events.tell("step", title="check: " + title, state="begin")
        if changes:
            self._prober.something_changes()
        expected, state = title, "proved" if changes else "ok"
        try:
            self.host.hold_ports()
            seen = prove(*arguments) or ""
        except OutOfReach as e:
            state, seen = "left out", e.saw or e.what
        except Exception as e:  # a proof may fail in any library; each way is a failed check, not the end
            state, seen = "failed", words(e)
            expected = e.expected if isinstance(e, Unmet) else title
            entry = getattr(e, "entry", None) or entry
        seen = self.masker.mask(str(seen))
        self._steps.add(Result(state, "check", title, expected, seen, entry))
        if not quiet:
            show.display(*show.line(state, title, seen))

    def skip(self, title: str, reason: str) -> None:
        """Say that something is left out on this target, and why."""
        show.display(*show.line("skipped", f"{title}: {reason}"))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Any]], states: Sequence[str] | None = None) -> None:
        """Show a table; cells that vary between runs are made with show.varying()."""
        show.display(*show.table(headers, rows, states))

    def verdict(self) -> None:
        """One table of all steps and checks, then one error when any does not hold.

        In remove, everything is undone first.
        """
        if self.mode == "remove":
            modes.undo_all(self._steps)
            if not self._steps.failed:
                self._installed.forget()
                asked.forget(self.host.target.slug, self.notebook.id)
        if self.installing and not self._only:
            self.own.settle()
            if not self._steps.failed:
                self._installed.note()
        # Kept by an install only: for chapters of the cluster it is what tells an older runbook's from somebody's.
        if self.proving and (self.installing or asked.before(self.host.target.slug, self.notebook.id)):
            asked.keep(self.host.target.slug, self.notebook.id, self._prober.asked)
        self._stack.close()
        by_hand.end(self.host)
        judge(self._steps, self.mode, self.notebook, self.values)

    # -- actions -----------------------------------------------------------------------------------

    def file(self, path: str, content: str, mode: str = "0644", owner: str = "root:root") -> actions.File:
        """Action: a file on the host with this content."""
        return actions.File(content, path, mode, owner, self._fill, self.host.put)

    def program(self, artifact: Artifact, path: str) -> actions.Action:
        """Action: the artifact's file at this path, its checksum verified."""
        return actions.artifact_file(artifact, path, self.settled)

    def packages(self, *names: str, **left: Any) -> actions.Action:
        """Action: Debian packages from the host's apt sources; see actions.packages for what remove takes away."""
        return actions.packages(names, chapter=self.notebook.id, **left)

    def snap(self, name: str, channel: str) -> actions.Action:
        """Action: a classic snap from this channel."""
        return actions.snap(name, channel)

    def service(self, name: str, unit: str, after: Iterable[str | actions.File] = ()) -> actions.Action:
        """Action: a systemd service with this unit text, restarted when one of the files `after` is newer than it."""
        return actions.Service(name, unit, after, self.host)

    def unit(
        self, unit: str, after: Iterable[str | actions.File] = (), enabled_by: str | None = None
    ) -> actions.Action:
        """Action: a package's unit runs, restarted when one of the files `after` is newer than its start."""
        return actions.running(unit, after, enabled_by or unit)

    def action(
        self,
        shown: str | Sequence[str],
        probe: ProbeOf,
        apply: Work,
        undo: Work | None = None,
        absent: ProbeOf | None = None,
    ) -> actions.Action:
        """Action from parts: bash scripts or callables, see actions.Action."""
        return actions.Action(shown, probe, apply, undo, absent)

    # -- the host ----------------------------------------------------------------------------------

    def run(self, script: str, quiet: bool = True, **how: Any) -> str:
        """Run a command on the host whatever the mode: for questions, never for changes. Returns its output."""
        return self.host.run(script, quiet=quiet, **how).out

    def wait(  # noqa: PLR0913 - its keywords are its interface
        self,
        what: str,
        ready: Callable[[], T],
        failed: Callable[[], str | None] | None = None,
        timeout: float = 300,
        do: str | None = None,
        *,
        stands: Callable[[], str | None] | None = None,
    ) -> T:
        """Wait for `ready()`, showing what is waited for; see waiting.wait."""
        return wait(what, ready, failed, timeout, host=self.host.name, do=do, tell=self._waits, stands=stands)

    def forward(self, port: int, address: str = "127.0.0.1") -> int:
        """A local port that leads to address:port of the host until the verdict."""
        return self.until_the_verdict(self.host.forward(port, address))

    def until_the_verdict(self, means: ContextManager[T]) -> T:
        """Open this (a port, a session) until the verdict, whatever happens until then; returns what it yields."""
        return self._stack.enter_context(means)

    def cleanup(self, call: Callable[[], object]) -> None:
        """Call this at the verdict, whatever happens until then."""
        self._stack.callback(call)

    def close(self) -> None:
        """End what was opened (ports, sessions), for one who uses a chapter's means without a verdict."""
        self._stack.close()

    # -- machinery ---------------------------------------------------------------------------------

    def _asked(self, script: str) -> tuple[bool, str]:
        return self._prober.ask([script])[0]

    def _waits(self, text: str) -> None:
        self.events.tell("wait", text=text)

    def _fill(self, text: str) -> str:
        """Put secrets in for their marks."""
        return re.sub(r"\{\{secret:([a-z0-9_-]+)\}\}", lambda m: self.secret(m.group(1)).reveal(), text)

    def _line(self, stream: str, text: str) -> None:
        """Every line of output: into the log, and now and then into the cell that waits."""
        self._log.write("{} {}\n".format(datetime.datetime.now().strftime("%H:%M:%S"), text))
        self._steps.line(text)


__all__ = ["Chapter", "RunbookError", "Unmet"]
