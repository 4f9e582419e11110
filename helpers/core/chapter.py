"""Chapter: what a notebook calls. Steps, checks and the verdict, in the mode that was asked for."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import time

from helpers.core import actions, notebooks, show
from helpers.core.catalogue import Origin
from helpers.core.errors import BadInput, CommandFailed, RunbookError
from helpers.core.events import Events, asked_before
from helpers.core.host import Host
from helpers.core.paths import home
from helpers.core.secrets import Masker, SecretStore
from helpers.core.target import Target
from helpers.core.waiting import wait


class Unmet(AssertionError):
    """A check's own words: what was expected and what was seen. entry: the troubleshooting entry that fits better than the check's."""

    def __init__(self, expected, seen, entry=None):
        self.expected, self.seen, self.entry = expected, seen, entry
        AssertionError.__init__(self, f"expected {expected}, saw {seen}")


class Verdict(RunbookError):
    """The one error of a chapter whose steps or checks do not hold."""


class Chapter:
    """An opened chapter: `ch = Chapter.open("minio", globals())`.

    mode install: a step that is not so is applied, then must hold. verify: probes only; what does not hold is
    collected for the verdict, and nothing on the target changes. plan: shows what install would run. remove:
    what the steps made is undone in reverse order when the verdict is asked for.
    """

    def __init__(self, notebook, values):
        self.notebook, self.values, self.mode = notebook, values, values["mode"]
        target = Target.parse(values["target"])
        self.secrets = SecretStore(target.slug)
        self.masker = Masker(self.secrets.values())
        self.events = Events(self.masker.mask)
        self._log = open(os.environ.get("RUNBOOK_LOG") or str(home("logs") / (notebook.id + ".log")), "a", buffering=1)
        self.host = Host(target, self.masker, self._line)
        self.origin = Origin(values["origin"], target)
        self._results = []  # (state, kind, title, expected, seen, entry)
        self._undo = []  # (title, action), in the order of installing
        self._secret_names = []
        self._stack = contextlib.ExitStack()
        self._ran, self._output, self._live, self._shown_at = [], [], None, 0.0
        self._probes_asked = []
        self._answers = {}  # probe script -> Probe, asked together when the chapter opened

    @classmethod
    def open(cls, name, values):
        """Open a chapter with its notebook's parameters, taken from `values` (the notebook's globals()).

        BadInput when a parameter does not fit, RunbookError when the target cannot be reached or used.
        """
        notebook = notebooks.find(name)
        given = {p: values[p] for p in notebook.parameters if p in values}
        chapter = cls(notebook, notebooks.check_parameters(notebook, given))
        chapter.host.connect()
        chapter.host.require_root()
        chapter._ask_together()
        chapter.events.tell("open", target=chapter.host.name, mode=chapter.mode, origin=chapter.origin.text)
        show.display(
            *show.table(
                ("target", "mode", "origin"), [(chapter.host.name, show.varying(chapter.mode), chapter.origin.shown)]
            )
        )
        return chapter

    # -- what a notebook uses ----------------------------------------------------------------------

    @property
    def installing(self):
        return self.mode == "install"

    def artifact(self, name):
        """The catalogue's artifact as the origin has it; shows version, licence, origin and fidelity."""
        found = self.origin.resolve(name, self.host)
        self.events.tell(
            "artifact",
            name=name,
            version=found.version,
            origin=found.origin,
            fidelity=found.fidelity,
            program=found.program,
            sha256=found.sha256,
        )
        stands = found.fidelity if found.program == name else f"{found.fidelity}: {found.program}"
        show.display(
            *show.table(
                ("artifact", "version", "licence", "from", "fidelity"),
                [(name, found.version, found.licence, found.origin, stands)],
            )
        )
        return found

    def tool(self, name):
        """A program of the catalogue for this machine; shows the artifact. See tools.Tool."""
        from helpers.core.tools import Tool

        return Tool(self.artifact(name), self.masker, lambda text: self.events.tell("wait", text=text))

    def secret(self, name, mine=True):
        """A secret of this target by name, made when new. In a file's text, f"{secret}" is filled in as it is sent.

        mine: this chapter's own, which remove forgets; False: another chapter's.
        """
        secret = self.secrets.get(name)
        self.masker.add(secret.reveal())
        if mine:
            self.forgets(name)
        return secret

    def forgets(self, name):
        """Remove forgets this secret, too: one that a server made and the chapter keeps."""
        if name not in self._secret_names:
            self._secret_names.append(name)

    def run(self, script, **kw):
        """Run a command on the host whatever the mode: for questions, never for changes. Returns its output."""
        return self.host.run(script, **kw).out

    def require(self, title, probe, do, modes=("install", "plan")):
        """A precondition, tested before anything is touched. BadInput with `do` when it does not hold.

        probe: a bash probe, or a callable that returns None when it holds and says why not otherwise.
        """
        if self.mode not in modes:
            show.display(*show.line("left out", title, "asked in " + " and ".join(modes)))
            return
        ok, seen = self._ask([probe])[0]
        if not ok and self.mode == "plan":  # an earlier chapter may yet make it so
            self._note("plan", "precondition", title)
            self.events.tell("step", title=title, state="plan", note=f"install would stop here now: {seen}. {do}")
            show.display(*show.line("warn", title, "install would stop here now: " + seen))
            return
        if not ok:
            raise BadInput(f"start chapter {self.notebook.id}: {title}", self.host.name, seen, do)
        show.display(*show.line("proved", title))

    def file(self, path, content, mode="0644", owner="root:root"):
        """Action: a file on the host with this content."""
        return actions.File(content, path, mode, owner, self._fill, self.host.put)

    def program(self, artifact, path):
        """Action: the artifact's file at this path, its checksum verified."""
        return actions.artifact_file(artifact, path)

    def packages(self, *names, **left):
        """Action: Debian packages from the host's apt sources; see actions.packages for what remove takes away."""
        return actions.packages(names, **left)

    def snap(self, name, channel, then="true"):
        """Action: a classic snap from this channel; `then`: a script after its removal."""
        return actions.snap(name, channel, then)

    def service(self, name, unit, after=()):
        """Action: a systemd service with this unit text, restarted when one of the files `after` is newer than it."""
        return actions.Service(name, unit, after, self.host.put)

    def unit(self, unit, after=(), enabled_by=None):
        """Action: a unit that a package brought runs, restarted when one of the files `after` is newer than its start."""
        return actions.running(unit, after, enabled_by or unit)

    def action(self, shown, probe, apply, undo=None, absent=None):
        """Action from parts: bash scripts or callables, see actions.Action."""
        return actions.Action(shown, probe, apply, undo, absent)

    def step(self, title, *do, probe=None, undo=None, timeout=600):
        """A sentence that is true afterwards. do: commands (then `probe` is needed) and actions.

        probe: a bash probe for the plain commands, exit 0 when it is already so.  undo: a bash script.
        timeout: seconds for each action (600).
        """
        todo = [d for d in do if isinstance(d, actions.Action)]
        lines = [d for d in do if not isinstance(d, actions.Action)]
        if lines:
            if probe is None:
                raise TypeError("plain commands need probe=")
            todo.insert(0, actions.commands(lines, probe, undo))
        getattr(self, "_step_" + self.mode)(title, todo, timeout)

    def check(self, title, prove, changes=False, entry=None, quiet=False):
        """A functional proof. prove() returns a text to show or None, and raises when it is not so.

        changes: it changes the target (a restart, an object written), so that verify leaves it out.
        entry: the troubleshooting entry that fits when it fails; an error's own attribute `entry` goes before.  quiet: show it in the verdict's table only.
        """
        if self.mode in ("plan", "remove"):
            return
        if changes and self.mode == "verify":
            self._note("left out", "check", title)
            show.display(*show.line("left out", title, "it would change the target"))
            return
        self.events.tell("step", title="check: " + title, state="begin")
        expected, seen, state = title, "", "ok"
        try:
            if changes:
                self._answers = {}
            seen = prove() or ""
        except Unmet as e:
            state, expected, seen, entry = "failed", e.expected, e.seen, e.entry or entry
        except RunbookError as e:
            state, seen, entry = "failed", e.saw or e.what, getattr(e, "entry", entry)
        except (KeyboardInterrupt, SystemExit):
            raise
        except Exception as e:  # a proof may fail in any library; each way is a failed check, not the end
            state, seen = "failed", "{}: {}".format(type(e).__name__, str(e).split("\n")[0][:300])
        seen = self.masker.mask(str(seen))
        if changes and state == "ok":
            state = "proved"
        self._note(state, "check", title, expected, seen, entry)
        if not quiet:
            show.display(*show.line(state, title, seen))

    def skip(self, title, reason):
        """Say that something is left out on this target, and why."""
        show.display(*show.line("skipped", f"{title}: {reason}"))

    def table(self, headers, rows, states=None):
        """Show a table; cells that vary between runs are made with show.varying()."""
        show.display(*show.table(headers, rows, states))

    def version(self, name, version):
        """Note the version that was found running, for the record."""
        self.events.tell("version", name=name, version=version)

    def forward(self, port, address="127.0.0.1"):
        """A local port that leads to address:port of the host until the verdict."""
        return self._stack.enter_context(self.host.forward(port, address))

    def cleanup(self, call):
        """Call this at the verdict, whatever happened until then."""
        self._stack.callback(call)

    def wait(self, what, ready, failed=None, timeout=60, do=None):
        """Wait for `ready()`, showing what is waited for; see waiting.wait."""
        return wait(
            what,
            ready,
            failed,
            timeout,
            host=self.host.name,
            do=do,
            tell=lambda text: self.events.tell("wait", text=text),
        )

    def close(self):
        """End what was opened (ports, sessions), for one who uses a chapter's means without a verdict."""
        self._stack.close()

    def unit_failure(self, unit):
        """Why a systemd unit has failed, with its last log lines; None while it has not. For wait(failed=...)."""
        script = (
            f'[ "$(systemctl is-failed {unit} || true)" = failed ] || [ "$(systemctl show -p NRestarts {unit} | cut -d= -f2)" -gt 3 ] 2>/dev/null || exit 1\n'
            f"echo '{unit} keeps failing:'; journalctl -u {unit} -n 8 --no-pager -o cat"
        )
        failed, text = self.host.probe({0: script})[0]
        return text if failed else None

    def restart(self, unit):
        """Restart a unit, for a check with changes=True."""
        self.host.run("systemctl restart " + unit, on_line=lambda *_: None)

    def verdict(self):
        """One table of all steps and checks, then one error when any does not hold. In remove, undoes everything first."""
        if self.mode == "remove":
            self._undo_all()
        self.events.tell("probes", scripts=self._probes_asked)
        rows = [
            (kind, title, show.varying(show.shortened(seen)) if kind == "check" and seen else "")
            for _, kind, title, _, seen, _ in self._results
        ]
        failed = [r for r in self._results if r[0] == "failed"]
        if rows:
            show.display(*show.table(("", "what", "seen"), rows, [r[0] for r in self._results]))
        self.events.tell("verdict", ok=not failed, failed=[r[2] for r in failed])
        self._stack.close()
        if failed:
            raise Verdict(
                f"{self.mode}: {len(failed)} of {len(self._results)} do not hold in chapter {self.notebook.id}",
                self.host.name,
                "\n".join(self._failure(r) for r in failed),
                self._mend(failed),
            )
        words = {
            "install": "installed and proved",
            "verify": "verified",
            "plan": "planned: nothing was changed",
            "remove": "removed",
        }
        show.display(*show.line("ok", "chapter " + self.notebook.id, words[self.mode]))

    # -- the modes of a step ---------------------------------------------------------------------

    def _step_install(self, title, todo, timeout):
        start = self._begin(title)
        before = self._ask([a.probe for a in todo])
        applied = False
        if not all(ok for ok, _ in before):
            for action, (ok, _) in zip(todo, before):
                if not ok or (applied and action.after_changes):
                    self._apply(title, action, timeout)
                    applied = True
            after = self._ask([a.probe for a in todo], fresh=True)
            bad = [seen for ok, seen in after if not ok]
            if bad:
                self._end(title, "failed", "applied, but it does not hold", start)
                raise RunbookError(
                    "make it so: " + title,
                    self.host.name,
                    "\n".join(bad),
                    "Its commands ended without an error, and yet the probe says no. See the log: ./runbook logs "
                    + self.notebook.id,
                )
        self._end(title, "ok", "applied" if applied else "already so", start)

    def _step_verify(self, title, todo, timeout):
        start = self._begin(title)
        bad = [seen for ok, seen in self._ask([a.probe for a in todo]) if not ok]
        self._end(title, "failed" if bad else "ok", "; ".join(bad) if bad else "already so", start)

    def _step_plan(self, title, todo, timeout):
        start = self._begin(title)
        answers = self._ask([a.probe for a in todo])
        if all(ok for ok, _ in answers):
            self._end(title, "ok", "already so", start)
            return
        would = [line for a, (ok, _) in zip(todo, answers) if not ok or a.after_changes for line in a.shown]
        self._end(title, "plan", "would run:\n" + "\n".join("    " + w for w in would), start)

    def _step_remove(self, title, todo, timeout):
        self._undo.extend((title, a) for a in todo if a.undo is not None)
        show.display(*show.line("plan", title, "will be undone below"))

    def _undo_all(self):
        self._answers = {}
        for title, action in reversed(self._undo):
            start = self._begin("undo: " + title)
            if self._is_gone(action):
                self._end("undo: " + title, "ok", "already gone", start)
                continue
            self._apply(title, action, 600, action.undo)
            gone = self._is_gone(action)
            self._end(
                "undo: " + title, "ok" if gone else "failed", "undone" if gone else "undone, and yet still there", start
            )
        if not any(r[0] == "failed" for r in self._results):
            for name in self._secret_names:
                self.secrets.forget(name)

    def _is_gone(self, action):
        return action.absent is not None and self._ask([action.absent], fresh=True)[0][0]

    # -- machinery ---------------------------------------------------------------------------------

    def _begin(self, title):
        self.events.tell("step", title=title, state="begin")
        self._ran, self._output, self._live, self._shown_at = [], [], None, time.monotonic()
        self._title = title
        return time.monotonic()

    def _end(self, title, state, note, start):
        seconds = time.monotonic() - start
        note = self.masker.mask(note)
        kind = "plan" if state == "plan" else "step"
        self._note(state, kind, title, title, note, None)
        self.events.tell("step", title=title, state=state, note=note, seconds=round(seconds, 2))
        show.display(*show.line(state, title, note, show.log_details(self._ran, self._output)), handle=self._live)
        self._live = self._title = None

    def _note(self, state, kind, title, expected="", seen="", entry=None):
        self._results.append((state, kind, title, expected, seen, entry))
        if kind == "check":
            self.events.tell("check", title=title, state=state, expected=expected, seen=seen, entry=entry)

    def _apply(self, title, action, timeout, what=None):
        what = what or action.apply
        self._answers = {}
        self._ran.extend(action.shown)
        try:
            if isinstance(what, str):
                self.host.run(what, timeout=timeout, what=title)
            elif isinstance(action, actions.Service) and what is action.apply:
                what(lambda script: self.host.run(script, timeout=timeout, what=title))
            else:
                what()
        except CommandFailed as e:
            e.do = (e.do or "") + "\nThe log has all of it: ./runbook logs " + self.notebook.id
            self._end(title, "failed", "failed", time.monotonic())
            raise

    def _ask(self, probes, fresh=False):
        """[(ok, seen)] of bash probes (one round trip for all) and callables."""
        scripts = [p for p in probes if isinstance(p, str)]
        self._probes_asked.extend(s for s in scripts if s not in self._probes_asked)
        unknown = [s for s in scripts if fresh or s not in self._answers]
        answers = dict(self._answers, **self.host.probe({s: s for s in unknown})) if unknown else self._answers
        found = []
        for p in probes:
            if isinstance(p, str):
                found.append((answers[p].ok, answers[p].out or "the probe says no"))
            else:
                try:
                    why = p()
                except Unmet as e:
                    why = e.seen
                except RunbookError as e:
                    why = e.saw or e.what
                except Exception as e:  # any library's error means: it is not so
                    why = "{}: {}".format(type(e).__name__, str(e).split("\n")[0][:200])
                found.append((why is None, self.masker.mask(str(why or ""))))
        return found

    def _ask_together(self):
        """Ask, in one round trip, all that this chapter asked last time; the answers serve until something changes."""
        if self.mode in ("install", "verify"):
            scripts = asked_before(self.host.name, self.notebook.id)
            self._answers = self.host.probe({s: s for s in scripts})

    def _fill(self, text):
        """Put secrets in for their marks."""
        return re.sub(r"\{\{secret:([a-z0-9-]+)\}\}", lambda m: self.secret(m.group(1)).reveal(), text)

    def _line(self, stream, text):
        """Every line of output: into the log, and now and then into the cell that waits."""
        self._log.write("{} {}\n".format(datetime.datetime.now().strftime("%H:%M:%S"), text))
        self._output.append(text)
        now = time.monotonic()
        if getattr(self, "_title", None) and now - self._shown_at > 1:
            self._shown_at = now
            self.events.tell("wait", text=text[:160])
            self._live = (
                show.display(*show.line("plan", self._title, text[:100]), handle=self._live, live=True) or self._live
            )

    def _failure(self, result):
        _, kind, title, expected, seen, entry = result
        text = "✗ " + title + ("\n    expected: " + expected if expected != title else "")
        text += "\n    saw: " + (seen or "nothing").replace("\n", "\n         ")
        found = self.notebook.entries.get(entry)
        return text + (f"\n    because: {found.because} ({found.id})" if found else "")

    def _mend(self, failed):
        mends = [self.notebook.entries[r[5]].do for r in failed if r[5] in self.notebook.entries]
        if self.mode == "verify" and len(mends) < len(failed):
            mends.append("Run again with mode=install: it makes what is missing.")
        return (
            "\n".join(dict.fromkeys(mends))
            or "See the chapter's Troubleshooting, and ./runbook logs " + self.notebook.id
        )
