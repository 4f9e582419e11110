"""The program on the host: which version its Python can run, and every package pinned in an environment of its own."""

from __future__ import annotations

import hashlib
import re
import shlex

from helpers.components.label_studio.layout import DATA, DATABASE, SCRIPTS, SETTINGS, UNIT, USER, VENV
from helpers.core import actions, catalogue
from helpers.core.actions import Action, packages
from helpers.core.errors import RunbookError
from helpers.core.paths import SETUP
from helpers.core.shell import script

#: a line for each package of both lists, and for what installs them: NAME==VERSION and its files' SHA-256
_CHECKSUMS = SETUP / "label-studio-setup" / "sha256.txt"


def host_python(ch, python):
    """(major, minor) of the host's Python; (0, 0) when there is none. A pod takes the newest that one may have."""
    ask = f"{shlex.quote(python)} -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null || echo 0 0"
    if ch.host.in_cluster:  # there all of Label Studio is left out: its port is asked for with no password before
        return _version_of(catalogue.load()["label-studio"].entry["pythons"][-1])
    major, minor = ch.run(ask).split()
    return int(major), int(minor)


def _version_of(text):
    return tuple(map(int, text.split(".")))


def why_wrong_python(version):
    """None when a Label Studio runs on this Python, (major, minor); else why not."""
    if version == (0, 0):
        return "there is no such program"
    old, new = (catalogue.load()[name] for name in ("label-studio-2021", "label-studio"))
    if _runs_on(old, version) or _runs_on(new, version):
        return None
    return "it is Python {}.{}; Label Studio {} needs {}, {} needs {}".format(
        *version, old.version, " to ".join(old.entry["pythons"]), new.version, " to ".join(new.entry["pythons"])
    )


def _runs_on(artifact, version):
    first, last = map(_version_of, artifact.entry["pythons"])
    return first <= version <= last


def things(database_port=None):
    """What the chapter makes on the host, as core/ownership.py names it. database_port: None without PostgreSQL."""
    made = [f"user {USER}", f"folder {DATA}", f"folder {VENV}", f"file {SETTINGS}"]
    made += [f"file /etc/systemd/system/{UNIT}.service", f"unit {UNIT}.service"]
    kinds = ("database", "role") if database_port else ()
    return made + [f"{kind} {database_port}/{DATABASE}" for kind in kinds]


#: a probe of one of these things: a runbook that kept no note made it
MADE_BY_OLDER = script(SCRIPTS / "made_by_older.sh", VENV, SETTINGS, DATA, USER)


class Program:
    """One version of Label Studio. artifact: the catalogue's; python: the host's interpreter, a name or a path."""

    def __init__(self, ch, artifact, python):
        self.ch, self.artifact, self.python, self.version = ch, artifact, python, artifact.version

    def packages(self):
        """The list of packages that is installed: all of them, each pinned."""
        return (SETUP / "label-studio-setup" / (self.version + ".txt")).read_text("utf-8")

    def verified(self, pins):
        """The same list, each package with the checksums of its files. KeyError for one that has none.

        RunbookError where the checksums are not.
        """
        if not _CHECKSUMS.exists():  # it is a third of the runbook, and only install needs it
            what, do = f"install Label Studio {self.version}", "Run chapter 10 from your own machine."
            raise RunbookError(
                what, self.ch.host.name, "a notebook of Determined's has no checksums of its packages", do
            )
        known = dict(line.split(" ", 1) for line in _CHECKSUMS.read_text("utf-8").splitlines() if "==" in line)
        lines = []
        for line in pins.splitlines():
            pin = line.partition(";")[0].strip()
            hashes = [] if not pin or pin.startswith("#") else known[pin].split()
            lines.append(" ".join([line, *("--hash=sha256:" + each for each in hashes)]))
        return "\n".join(lines) + "\n"

    def can_follow(self):
        """A probe: what is installed is this version, or an older one whose database it can bring up to date."""
        return script(SCRIPTS / "can_follow.sh", VENV, self.version)

    def venv_package(self):
        """Action: the package that makes Python's environments. Remove leaves it: other programs may use it."""
        return packages(["python3-venv"], chapter=self.ch.notebook.id).but(undo=None)

    def installed(self):
        """Action: Label Studio and all it needs, in an environment of its own."""
        listed = self.packages()
        count = len([line for line in listed.splitlines() if re.match(r"[A-Za-z0-9]", line)])
        mark = hashlib.sha256(f"{self.python} {listed}".encode()).hexdigest()
        return Action(
            [
                f"{self.python} -m venv {VENV}",
                f"pip install --no-deps --require-hashes -r {VENV}/requirements.txt   "
                f"(label-studio=={self.version} and what it needs: {count} packages, each pinned)",
            ],
            script(SCRIPTS / "is_installed.sh", VENV, self.version, mark),
            lambda: self._install(listed, mark),
            "rm -rf --one-file-system " + VENV,
            f"[ ! -e {VENV} ]",
            makes=[f"folder {VENV}"],
        )

    def _install(self, listed, mark):
        settings = (actions.SCRIPTS / "uv_settings.py").read_text("utf-8")
        tool = self.verified(self.artifact.entry["installer"]).strip()
        install = script(SCRIPTS / "install.sh", VENV, self.python, tool, mark, settings)
        stdin = self.verified(listed)
        self.ch.host.run(install, stdin=stdin, timeout=1500, what=f"install Label Studio {self.version}")
