"""The batch runner: the chapters' graph, papermill with a kernel for each, in parallel, resumable, recorded."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import shutil
import signal
import threading
import time

from helpers.command import record
from helpers.core import catalogue, events, notebooks, parameters
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.paths import REPO, home


@functools.lru_cache(None)
def _papermill():
    """papermill with an engine of ours. Its import takes more than a second: bad input is refused before that."""
    import papermill
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):
        """papermill's own engine, with an environment for the kernel and a hold on it for Ctrl-C."""

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, env=None, holds=None, start_timeout=60, **_):
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=start_timeout,
                timeout=None,
                extra_arguments=["--log-level=50"],
            )  # a kernel's own chatter is no news
            holds.append(client)
            return client.execute(env=env)

    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill_engines.register("runbook", Engine)
    return papermill


class Plan:
    """Which chapters run on which target, in which mode, with which parameters. Everything is checked here, before a start.

    given: {chapter id: {parameter: value}}.  everywhere: {parameter: value} for every chapter that has it.
    """

    def __init__(self, target, mode="install", only=(), first=None, last=None, given=None, everywhere=None):
        known = self.known = notebooks.load_all()
        if mode not in parameters.MODES:
            raise BadInput(
                f"run in the mode {mode!r}", saw="there is no such mode", do="Modes: " + ", ".join(parameters.MODES)
            )
        self.target, self.mode = target, mode
        for values in [everywhere or {}] + list((given or {}).values()):
            for name in ("target", "mode"):
                if name in values:
                    raise BadInput(
                        f"set the parameter {name!r}",
                        saw="it is the same for all chapters of a run",
                        do=f"Use --{name}, or `{name}:` at the top of the platform file.",
                    )
        chosen = {notebooks.find(name, known).id for name in only} or set(known)
        low = notebooks.find(first, known).number if first else "00"
        high = notebooks.find(last, known).number if last else "99"
        self.chapters = [n for n in known.values() if n.id in chosen and low <= n.number <= high]
        if not self.chapters:
            raise BadInput(
                "choose chapters", saw="none is left", do="Chapters: " + ", ".join(n.label for n in known.values())
            )
        named = {}  # one chapter may be named in several ways: minio, 05
        for name, values in (given or {}).items():
            named.setdefault(notebooks.find(name, known).id, {}).update(values)
        self.parameters = {}
        for n in known.values():
            mine = {k: v for k, v in (everywhere or {}).items() if k in n.parameters}
            mine.update(named.get(n.id, {}))
            mine.update(target=target, mode=mode)
            self.parameters[n.id] = n.check(mine)
        parameters.check_names(everywhere or {}, {p: 1 for n in known.values() for p in n.parameters}, "any chapter")
        self._check_graph(known)

    def _check_graph(self, known):
        for n in known.values():
            for need in n.requires:
                if need not in known:
                    raise BadInput(
                        f"read the chapter {n.id}",
                        saw=f"it requires {need!r}, which is no chapter",
                        do="Mend the notebook's metadata.",
                    )
        left = dict(known)
        while left:
            free = [i for i, n in left.items() if not any(need in left for need in n.requires)]
            if not free:
                raise BadInput(
                    "put the chapters in order",
                    saw="they require each other: " + ", ".join(left),
                    do="Mend the notebooks' metadata.",
                )
            for i in free:
                del left[i]

    def key(self, notebook):
        """Hash of all that a chapter's result depends on: its notebook, its parameters, the catalogue, the library."""
        given = {k: v for k, v in self.parameters[notebook.id].items() if k != "mode"}
        text = json.dumps(
            [
                notebook.content["cells"],
                given,
                {k: a.entry for k, a in catalogue.load().items() if k in str(notebook.content)},
            ],
            sort_keys=True,
            default=str,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def needs(self, notebook):
        """Ids of the chosen chapters that must end before this one starts; turned round for remove."""
        ids = {n.id for n in self.chapters}
        if self.mode == "remove":
            return [n.id for n in self.chapters if notebook.id in n.requires]
        return [r for r in notebook.requires if r in ids]


@contextlib.contextmanager
def target_lock(slug, what):
    """Only one run at a time on a target. BadInput names the one that is there."""
    path = home("locks") / ("target-" + slug)
    with open(path, "a+") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            f.seek(0)
            raise BadInput(
                f"start {what} on {slug}",
                saw="another run is at work there: " + f.read().strip(),
                do="Wait for it, or stop it with Ctrl-C there.",
            )
        f.truncate(0)
        f.write(f"process {os.getpid()}, {what}, since {record.now()}")
        f.flush()
        yield


class Runner:
    """Runs a Plan. `run()` returns the record; chapters that failed are in it, nothing is raised for them."""

    def __init__(self, plan, jobs, progress, force=False):
        self.plan, self.jobs, self.progress, self.force = plan, jobs, progress, force
        self.before = record.latest(plan.target)
        self.stopping = threading.Event()
        self._clients, self._save = {}, threading.Lock()

    def run(self):
        started = time.monotonic()
        run = self.current = record.new(self.plan.target, self.plan.mode)
        for n in self.plan.known.values():  # the latest record is the whole picture of its target
            old = self.before.chapters.get(n.id) if self.before else None
            if old:
                run.chapters[n.id] = self._carry(old)
            if n in self.plan.chapters:
                fresh = record.ChapterRun(
                    id=n.id, number=n.number, title=n.title, run=run.id, parameters=self.plan.parameters[n.id]
                )
                if old:
                    fresh.notebook, fresh.verify_notebook, fresh.verified, fresh.probes = (
                        old.notebook,
                        old.verify_notebook,
                        old.verified,
                        old.probes,
                    )
                run.chapters[n.id] = fresh
        run.save()
        try:
            with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
                self._schedule(pool)
        except KeyboardInterrupt:
            run.state = "interrupted"
        for c in run.chapters.values():
            if c.run == run.id and c.state in ("waiting", "running"):
                c.state, c.reason = "not run", c.reason or "the run was stopped"
        mine = [c for c in run.chapters.values() if c.run == run.id]
        if run.state == "running":
            run.state = "ok" if all(c.state in ("ok", "skipped", "planned", "removed") for c in mine) else "failed"
        run.finished, run.seconds = record.now(), round(time.monotonic() - started, 1)
        self._record()
        if self.plan.mode != "plan":
            run.publish()
        return run

    def _carry(self, old):
        """Keep the files of a chapter that an earlier run left, in this run's folder."""
        for name in (old.notebook, old.verify_notebook, old.log):
            source, copy = self.before.folder / name, self.current.folder / name
            if name and source.is_file() and not copy.exists():
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(source, copy)
        return old.model_copy(deep=True)

    def _record(self):
        with self._save:
            self.current.save()

    def _schedule(self, pool):
        todo, busy, done = list(self.plan.chapters), {}, {}
        for n in todo:
            self.progress.state(n.label, "waiting")
        try:
            while todo or busy:
                for n in list(todo):
                    needs = self.plan.needs(n)
                    # verify and plan look at every chapter: what is broken below does not hide what is broken above
                    bad = [
                        d
                        for d in needs
                        if d in done
                        and done[d] not in ("ok", "skipped", "planned", "removed")
                        and self.plan.mode in ("install", "remove")
                    ]
                    if bad:
                        self._finish(n, done, "not run", "it needs {}, which did not end well".format(", ".join(bad)))
                        todo.remove(n)
                    elif all(d in done for d in needs):
                        todo.remove(n)
                        busy[pool.submit(self._chapter, n)] = n
                finished, _ = concurrent.futures.wait(busy, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
                for f in finished:
                    n = busy.pop(f)
                    f.result()
                    done[n.id] = self.current.chapters[n.id].state
        except KeyboardInterrupt:
            self.progress.say(
                "stopping: the commands under way are ended, what was done is kept (Ctrl-C again: at once)"
            )
            self._stop(busy)
            raise

    def _finish(self, n, done, state, reason):
        c = self.current.chapters[n.id]
        c.state, c.reason = state, reason
        done[n.id] = state
        self.progress.state(n.label, state, reason)

    def _stop(self, busy):
        """Interrupt the kernels, then end them: after 10 s, or at a second Ctrl-C."""
        self.stopping.set()
        self._signal(signal.SIGINT)
        with contextlib.suppress(KeyboardInterrupt):
            concurrent.futures.wait(busy, timeout=10)
        self._signal(signal.SIGKILL)

    def _signal(self, number):
        for client in [c for holds in self._clients.values() for c in holds]:
            process = getattr(getattr(client.km, "provisioner", None), "process", None)
            if process is not None and process.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, number)

    # -- one chapter, in a thread of the pool ------------------------------------------------------

    def _chapter(self, n):
        c, start = self.current.chapters[n.id], time.monotonic()
        if self.stopping.is_set():
            return
        c.key = self.plan.key(n)
        self.progress.state(n.label, "running")
        c.state = "running"
        self._record()
        old = self.before.chapters.get(n.id) if self.before else None
        mode = self.plan.mode
        if (
            mode == "install"
            and not self.force
            and old
            and old.state in ("ok", "skipped")
            and old.key == c.key
            and old.notebook
        ):
            if self._execute(n, c, "verify"):
                self._carry(old)
                c.notebook, c.state = old.notebook, "skipped"
                c.reason = "unchanged, and verified: every step already so"
                c.run, c.verified = self.current.id, record.now()
            elif not self.stopping.is_set():
                self.progress.say("{:<18} no longer as it was: {}".format(n.label, (c.error.splitlines() or [""])[0]))
        if c.state == "running":
            good = self._execute(n, c, mode)
            c.state = (
                {"install": "ok", "verify": "ok", "plan": "planned", "remove": "removed"}[mode]
                if good
                else ("interrupted" if self.stopping.is_set() else "failed")
            )
            if good and mode in ("install", "verify"):
                c.verified = record.now()
        c.seconds = round(time.monotonic() - start, 1)
        self._record()
        self.progress.state(n.label, c.state, c.reason)

    def _execute(self, n, c, mode):
        """Run the notebook once in this mode; fills the record, returns whether it ended well."""
        folder = self.current.folder
        stem = n.path.stem + ("" if mode == "install" else "." + mode)
        out, told, log = (
            folder / (stem + ".ipynb"),
            folder / "logs" / (stem + ".events"),
            folder / "logs" / (n.path.stem + ".log"),
        )
        c.log = str(log.relative_to(folder))
        papermill = _papermill()
        env = dict(
            os.environ,
            RUNBOOK_EVENTS=str(told),
            RUNBOOK_LOG=str(log),
            PYTHONPATH=os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")])),
        )
        holds = self._clients[n.id] = []
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(n, told, over), daemon=True)
        watcher.start()
        error = ""
        try:
            papermill.execute_notebook(
                str(n.path),
                str(out),
                parameters=dict(self.plan.parameters[n.id], mode=mode),
                engine_name="runbook",
                progress_bar=False,
                env=env,
                holds=holds,
            )
        except papermill.PapermillExecutionError as e:
            error = _reason(e)
        except Exception as e:  # a kernel that died or never started: it must not take the other chapters with it
            error = "the notebook's kernel ended: {}: {}".format(type(e).__name__, str(e).split("\n")[0])
        finally:
            over.set()
            watcher.join()
            self._clients.pop(n.id, None)
        self._fill(c, events.read(told))
        c.error, c.reason = error, error.splitlines()[0] if error else ""
        if mode == "install":
            c.notebook = out.name
        elif mode == "verify":
            c.verify_notebook = out.name
        elif mode == "remove" and not error:
            c.notebook = c.verify_notebook = ""
        return not error

    def _watch(self, n, path, over):
        """Pass a chapter's events on to the progress display as they come."""
        seen = 0
        while True:
            last = over.wait(0.2)
            found = events.read(path)
            for event in found[seen:]:
                self.progress.event(n.label, event)
            seen = len(found)
            if last:
                return

    @staticmethod
    def _fill(c, found):
        c.steps = [
            record.Step(title=e["title"], state=e["state"], note=e.get("note", ""), seconds=e.get("seconds", 0))
            for e in found
            if e["kind"] == "step" and e["state"] != "begin"
        ]
        c.checks = [
            record.Check(**{k: e.get(k) or "" for k in ("title", "state", "expected", "seen", "entry")})
            for e in found
            if e["kind"] == "check"
        ]
        c.artifacts = [
            record.ArtifactUse(
                **{k: e.get(k) or "" for k in ("name", "version", "origin", "fidelity", "program", "sha256")}
            )
            for e in found
            if e["kind"] == "artifact"
        ]
        c.versions = {e["name"]: e["version"] for e in found if e["kind"] == "version"}
        for e in found:
            if e["kind"] == "probes":
                c.probes = e["scripts"]


def _reason(e):
    """The error of a cell as its author wrote it: ours is text already, others get their name."""
    ours = {cls.__name__ for cls in _family(RunbookError)}
    if e.ename in ours:
        return "\n".join(e.traceback) if isinstance(e.traceback, list) and e.traceback else e.evalue
    return f"{e.ename}: {e.evalue}"


def _family(cls):
    from helpers.core import chapter  # noqa: F401  its Verdict is one of ours

    return [cls] + [s for c in cls.__subclasses__() for s in _family(c)]


def check_reachable(target):
    """Refuse a target that cannot be reached or used, before any chapter starts."""
    host = Host(target)
    host.connect()
    host.require_root()
    return host
