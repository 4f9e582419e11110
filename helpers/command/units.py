"""A systemd timer on the operator's machine, and the service that it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from helpers.core.errors import BadInput, RunbookError
from helpers.core.files import write_whole
from helpers.core.paths import REPO
from helpers.core.shell import filled

_HERE = Path(__file__).parent

#: what the service has of the shell that made it
_KEPT = ("PATH", "HOME", "KUBECONFIG", "RUNBOOK_HOME", "RUNBOOK_RUNS", "RUNBOOK_SSH_CONFIG", "RUNBOOK_BUNDLE")


@dataclass(frozen=True)
class Unit:
    """A daily start of a command. user: a unit of this person's, not of the system."""

    name: str
    where: str
    argv: list[str]
    at: str
    textfile: str
    user: bool

    @property
    def timer(self) -> str:
        return f"runbook-watch-{self.name}.timer"

    @property
    def service(self) -> str:
        return f"runbook-watch-{self.name}.service"

    @property
    def folder(self) -> Path:
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return Path(config) / "systemd/user" if self.user else Path("/etc/systemd/system")

    @property
    def journal(self) -> str:
        """The command that shows its lines."""
        return f"journalctl {'--user ' if self.user else ''}-u {self.service}"

    @property
    def texts(self) -> dict[str, str]:
        kept = [f"Environment={_quoted(f'{name}={os.environ[name]}')}" for name in _KEPT if os.environ.get(name)]
        service = filled(
            _HERE / "watch.service",
            WHERE=_plain(self.where),
            FOLDER=_plain(str(REPO)),
            ENVIRONMENT="\n".join(kept),
            # env: systemd takes no program whose path has a quote or a percent sign in it
            COMMAND=" ".join(["/usr/bin/env", *(_quoted(word).replace("$", "$$") for word in self.argv)]),
            TEXTFILE=self.textfile,
        )
        return {self.service: service, self.timer: filled(_HERE / "watch.timer", WHERE=_plain(self.where), AT=self.at)}

    @property
    def shown(self) -> str:
        return "\n".join(f"# {self.folder / name}\n{text}" for name, text in self.texts.items())

    def install(self) -> None:
        """Write both and start the timer. BadInput where no systemd is; what does not start is taken away again."""
        self._require()
        self.folder.mkdir(parents=True, exist_ok=True)
        before = {name: self._read(name) for name in self.texts}
        for name, text in self.texts.items():
            write_whole(self.folder / name, text, 0o644)
        try:
            self._systemctl("daemon-reload")
            self._systemctl("enable", "--now", self.timer)
        except RunbookError:
            for name, text in before.items():
                write_whole(self.folder / name, text, 0o644) if text else (self.folder / name).unlink()
            raise

    def remove(self) -> bool:
        """Stop it and take its files away. Returns whether there was one."""
        there = [self.folder / name for name in self.texts if (self.folder / name).is_file()]
        if not there:
            return False
        self._require()
        metrics = [line[11:] for line in self._read(self.service).splitlines() if line.startswith("# metrics: ")]
        self._systemctl("disable", "--now", self.timer)
        for path in [*there, *map(Path, metrics)]:
            path.unlink(missing_ok=True)
        self._systemctl("daemon-reload")
        return True

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.is_file() else ""

    def _require(self) -> None:
        """BadInput where no systemd answers."""
        what = f"set up {self.timer}"
        by_hand = "Where there is no systemd, let cron run what --print shows behind ExecStart."
        if not shutil.which("systemctl"):
            raise BadInput(what, saw="this machine has no systemctl", do=by_hand)
        try:
            self._systemctl("show-environment")
        except RunbookError as e:
            raise BadInput(what, saw=e.saw, do=by_hand) from None

    def _systemctl(self, *words: str) -> None:
        argv = ["systemctl", *(["--user"] if self.user else []), *words]
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = (done.stderr or done.stdout).strip() or str(done.returncode)
            do = "systemctl says why; journalctl -xe has more."
            raise RunbookError("set the timer: " + " ".join(argv), saw=said, do=do)


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word as systemd reads it back."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
