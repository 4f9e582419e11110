"""The runbook as its user sees it: the command line against a host of a test module's own, from a bare Ubuntu on."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import faults
from host_state import state

from helpers.components.kubernetes import firewall
from helpers.core import notebooks
from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.secrets import SecretStore
from helpers.core.target import Target
from helpers.sandbox import Sandbox

#: 12 and 13 take as long as five others, each time: they are in the story with --faults
DELIVERY = () if os.environ.get("RUNBOOK_FAULTS") else ("gitlab_runner", "end_to_end")
CHAPTERS = [name for name in notebooks.load_all() if name not in DELIVERY]

#: {chapter: the chapters that it stands on}: what is below broken may be broken, too
NEEDS = {n.id: set(n.requires) for n in notebooks.load_all().values()}

#: {group: [(a command on the host or a function of story and host, the chapter that it breaks, verify's words for it)]}
#: The faults of a group do not hide each other: one verify names them all, and one up mends them.
FAULTS = faults.gather()

#: what the operator had before the runbook came
KUBECONFIG = """# three clusters of mine
apiVersion: v1
kind: Config
clusters:
  - name: work     # do not touch
    cluster: {server: 'https://work.example:6443'}
  - name: home
    cluster:
      server: https://home:6443
  - cluster: {server: https://lab:6443}
    name: lab
users:
  - name: me
    user: {token: abc}
contexts:
  - {name: work, context: {cluster: work, user: me}}
  - {name: home, context: {cluster: home, user: me}}
  - {name: lab, context: {cluster: lab, user: me}}
current-context: home
"""

#: the host's own firewall, on from before the first chapter, as the book's page on the network has it
FIREWALL = " && ".join(
    ["ufw allow 22/tcp", *(line.replace("sudo ", "") for line in firewall.lines()), "ufw --force enable"]
)


def above(chapter):
    """The chapters that need this one, at first or at second hand."""
    found = {c for c, needs in NEEDS.items() if chapter in needs}
    return found.union(*map(above, found))


class Story:
    """The command line against the sandbox of this name, with runs/ in a folder of its own.

    chapters: those that it has, in order; parameters: what each `up` gives them.
    """

    def __init__(self, folder, name, chapters, parameters=()):
        self.name, self.target, self.chapters = name, f"sandbox:{name}", chapters
        self.slug = Target.parse(self.target).slug
        #: the alias in the runbook's SSH file is the tests' own, so that a person's sandbox keeps its entry
        parameters = [f"network.alias={name}", *parameters]
        self.up_words = ("up", "--target", self.target, *(word for given in parameters for word in ("-p", given)))
        self.runs, self.times, self.before = folder / "runs", {}, None
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(KUBECONFIG)
        self.env = dict(os.environ, RUNBOOK_RUNS=str(self.runs), PYTHONPATH=str(REPO), KUBECONFIG=str(self.kubeconfig))

    def argv(self, *words):
        return [sys.executable, "-m", "helpers", *words]

    def run(self, *words, seconds=4500):  # a first `up` with all builds, beside the other half of the tests: over 1800
        """Run a command, whatever it ends with; stdout has both streams."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(self.argv(*words), env=self.env, cwd=REPO, text=True, timeout=seconds, **streams)

    def __call__(self, *words, code=0):
        """Run a command; returns its output (both streams)."""
        done = self.run(*words)
        assert done.returncode == code, done.stdout
        return done.stdout

    def up(self, *words, code=0):
        return self(*self.up_words, *self.all_unless(words), *words, code=code)

    def all_unless(self, words):
        """--only for each of the story's chapters, where the words choose none."""
        chosen = {"--only", "--until"} & {w.partition("=")[0] for w in words}
        whole = len(self.chapters) == len(NEEDS)
        return [] if chosen or whole else [word for name in self.chapters for word in ("--only", name)]

    def papermill(self, name, folder, mode="install"):
        """A chapter alone; returns the finished process, and the notebook with its outputs as text."""
        out = folder / (name + ".ipynb")
        program, given = Path(sys.executable).parent / "papermill", {"target": self.target, "mode": mode}
        argv = [program, notebooks.find(name).path, out, "--no-progress-bar"]
        argv += [word for pair in given.items() for word in ("-p", *pair)]
        done = subprocess.run(argv, env=self.env, cwd=REPO, text=True, capture_output=True, timeout=900)
        return done, out.read_text()

    def start(self, *words):
        """A command in the background, its output by lines."""
        return subprocess.Popen(
            self.argv(*words), env=self.env, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @property
    def record(self):
        return json.loads((self.runs / "latest" / "run.json").read_text())

    def states(self):
        return {c["id"]: c["state"] for c in self.record["chapters"].values()}

    def verify_names(self, host, *groups):
        """Break what groups of faults break: verify fails exactly these chapters and what needs them, and names each
        thing.
        """
        broken = [fault for group in groups for fault in FAULTS[group] if fault[1] in self.chapters]
        for break_it, *_ in broken:
            break_it(self, host) if callable(break_it) else host.run(break_it)
        said, chapters = self.up("--mode", "verify", "--no-book", code=1), {chapter for _, chapter, *_ in broken}
        assert [words for _, _, *all_words in broken for words in all_words if words not in said] == [], said
        states = self.states()
        assert {c for c in chapters if states[c] != "failed"} == set()
        assert {c for c, s in states.items() if s != "ok"} <= chapters.union(*map(above, chapters))

    @property
    def site(self):
        return self.runs / "_build" / "site" / "_build" / "html"

    def save(self, name):
        self("sandbox", "save", name, "--name", self.name)

    def restore(self, name):
        self("sandbox", "restore", name, "--name", self.name)


@contextlib.contextmanager
def on_a_fresh_host(name, folder, chapters=CHAPTERS, parameters=()):
    """A Story on the sandbox `name`, a cloud's fresh Ubuntu: its first minute, with apt's locks held and snapd not
    seeded, is that of the first `up`, and again of what is restored to "bare". The builds come behind the first
    chapters, as for a user.
    """
    story, box = Story(folder, name, chapters, parameters), Sandbox(name)
    box.down(wipe=True)
    SecretStore(story.slug).forget_all()
    box.up(artifacts=[], like="ubuntu")
    host = Host(story.target)
    host.run(FIREWALL)
    story.before = state(host)
    host.close()
    story.save("bare")
    yield story
    if not os.environ.get("RUNBOOK_KEEP"):
        story("sandbox", "down", "--name", name, "--wipe")
