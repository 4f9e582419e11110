"""`./runbook watch`: verify every night. One line, an exit code, a text file for Prometheus, a systemd timer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from helpers.command import record, targets, units
from helpers.command.base import examples, say, targets_option
from helpers.command.markdown import when
from helpers.core import notebooks
from helpers.core.errors import BadInput
from helpers.core.paths import REPO, home
from helpers.core.target import Target

UP = [sys.executable, "-m", "helpers", "up"]
#: where Debian's prometheus-node-exporter reads text files
NODE_EXPORTER = Path("/var/lib/prometheus/node-exporter")


@click.command(
    epilog=examples("""
./runbook watch --target ssh://ubuntu@10.0.0.5                a timer that verifies at 03:00
./runbook watch --target ssh://ubuntu@10.0.0.5 --at 22:30 --textfile /var/lib/node_exporter/runbook.prom
./runbook watch --target ssh://ubuntu@10.0.0.5 --print        its units; nothing is written
./runbook watch --target ssh://ubuntu@10.0.0.5 --now          what the timer does, now
./runbook watch --target ssh://ubuntu@10.0.0.5 --remove
""")
)
@targets_option
@click.option("-f", "--file", "file", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="See up.")
@click.option("--at", default="03:00", show_default=True, metavar="HH:MM", help="When, in this machine's time.")
@click.option("--textfile", metavar="FILE", help="For Prometheus, *.prom.  [default: node_exporter's folder, or ours]")
@click.option("--user", is_flag=True, help="A unit of yours, not of the system; so for who is not root.")
@click.option("--now", "what", flag_value="now", help="Verify now; ends with up's exit code.")
@click.option("--print", "what", flag_value="print", help="Show the units; nothing is written.")
@click.option("--remove", "what", flag_value="remove", help="Take the timer away, and its text file.")
def watch(  # noqa: PLR0913 - its options
    targets: tuple[str, ...], file: str | None, at: str, textfile: str | None, user: bool, what: str | None
) -> None:
    """Verify every night, by a systemd timer on this machine. It changes nothing on the target.

    Each time it writes one line (the journal has it), and a text file that Prometheus's node_exporter reads. A unit
    that failed stands in `systemctl --failed`.
    """
    watched = _watched(targets, file, textfile)
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
        raise BadInput("watch at that time", saw=at, do="Two digits each, as 03:00 or 22:30.")
    if what == "now":
        sys.exit(watched.verify())
    unit = units.Unit(watched.name, watched.where, watched.argv, at, str(watched.textfile), user or os.geteuid() != 0)
    if what == "print":
        say(unit.shown)
    elif what == "remove":
        removed = unit.remove()
        say(f"removed {unit.timer}" if removed else f"there is no {unit.timer}")
    else:
        unit.install()
        say(f"watch   {unit.timer}: every day at {at}\nmetrics {watched.textfile}\nline    {unit.journal}")
        if unit.user:
            say("note    it runs while you are logged in; always: loginctl enable-linger")


@dataclass(frozen=True)
class Watched:
    """What is verified, and where its result goes."""

    name: str
    where: str
    words: tuple[str, ...]  # of up and of watch: targets, file
    textfile: Path

    @property
    def argv(self) -> list[str]:
        """What the timer starts."""
        return [str(REPO / "runbook"), "watch", "--now", *self.words, "--textfile", str(self.textfile)]

    def verify(self) -> int:
        """Verify now: the line, the text file. Returns up's exit code."""
        argv = [*UP, "--mode", "verify", "--no-book", "--json", *self.words]
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        try:
            run: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            run = {}
        line = f"{when(record.now())} UTC {self.where}: {_in_words(run, done.returncode, done.stderr)}"
        click.echo(line)
        with open(home("watch") / f"{self.name}.log", "a") as f:
            f.write(line + "\n")
        self._tell(run, done.returncode)
        return done.returncode

    def _tell(self, run: dict[str, Any], code: int) -> None:
        """The text file, whole or not at all."""
        # Here and not above: it was a sixth of what each command imports.
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

        registry = CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ["watch", *labels], registry=registry)

        gauge("runbook_watch_exit_code", "Exit code of the last verify: 0 is well.").labels(self.name).set(code)
        last = gauge("runbook_watch_finished_timestamp_seconds", "When the last verify ended.")
        last.labels(self.name).set_to_current_time()
        if run:
            seconds = gauge("runbook_watch_duration_seconds", "How long the last verify took.")
            seconds.labels(self.name).set(run["seconds"])
        holds = gauge("runbook_chapter_holds", "1 when the chapter was verified, 0 when not.", "chapter")
        held = gauge("runbook_chapter_checks_held", "Checks that hold.", "chapter")
        failed = gauge("runbook_chapter_checks_failed", "Checks that do not hold.", "chapter")
        for c in run.get("chapters", []):
            holds.labels(self.name, c["id"]).set(c["state"] in record.GOOD)
            held.labels(self.name, c["id"]).set(c["checks"]["held"])
            failed.labels(self.name, c["id"]).set(len(c["checks"]["failed"]))
        write_to_textfile(str(self.textfile), registry)
        self.textfile.chmod(0o644)


def _watched(given: tuple[str, ...], file: str | None, textfile: str | None) -> Watched:
    """BadInput when a target or a file is none."""
    found = targets.given(given, notebooks.load_all())
    where = list(dict.fromkeys(filter(None, [found.everywhere, *found.named.values()]))) or ["sandbox"]
    name = "-".join(dict.fromkeys(Target.parse(target).slug for target in where))
    words = [word for text in given for word in ("--target", text)]
    words += ["--file", os.path.abspath(file)] if file else []
    path = Path(os.path.abspath(textfile)) if textfile else _folder() / f"runbook-{name}.prom"
    if path.suffix != ".prom" or not path.parent.is_dir():
        saw = "it does not end in .prom" if path.suffix != ".prom" else f"there is no folder {path.parent}"
        raise BadInput(f"write metrics to {path}", saw=saw, do="node_exporter reads *.prom in its textfile folder.")
    return Watched(name, " and ".join(where), tuple(words), path)


def _folder() -> Path:
    there = NODE_EXPORTER.is_dir() and os.access(NODE_EXPORTER, os.W_OK) and shutil.which("prometheus-node-exporter")
    return NODE_EXPORTER if there else home("watch")


def _in_words(run: dict[str, Any], code: int, said: str) -> str:
    """How it went, on one line."""
    if not run:
        lines = [re.sub(r"^(error|saw)\s+", "", line) for line in said.splitlines() if re.match("error|saw", line)]
        return f"not verified (exit code {code}): " + (": ".join(lines[:2]) or "it said nothing")
    bad = [c for c in run["chapters"] if c["state"] not in record.GOOD]
    if not bad:
        return "ok, {} chapters hold, {:.0f} s".format(len(run["chapters"]), run["seconds"])
    named = "; ".join("{} {}: {}".format(c["number"], c["id"], _why(c)) for c in bad)
    return "{} of {} chapters do not hold: {}".format(len(bad), len(run["chapters"]), named)


def _why(c: dict[str, Any]) -> str:
    failed = ", ".join(c["checks"]["failed"])
    return " ".join((failed or c["reason"] or c["state"]).split())
