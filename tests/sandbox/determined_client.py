"""The real `det` of determined==0.15.3, on Python 3.7, which takes two seconds to start: forked from one that has."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from helpers.core.paths import home

PINS = Path(__file__).with_name("determined-client.txt")
UV = "uv==0.13.8"
ENV = {"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore", "LANG": "C.UTF-8"}
#: Forks for each line, and tells how it ended. The child ends as `det` does.
SERVER = """
import json, os, sys
from determined.cli.cli import main
for line in sys.stdin:
    call = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        [os.dup2(os.open(call["out"], os.O_WRONLY | os.O_APPEND), fd) for fd in (1, 2)]
        os.environ.clear()
        os.environ.update(call["env"])
        sys.argv = ["det"] + call["words"]
        sys.exit(main(call["words"]))
    ended = os.waitpid(child, 0)[1]
    print(os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else -os.WTERMSIG(ended), flush=True)
"""


def installed(base: str) -> Path:
    """Its environment in the cache, made with this Python 3.7 where it is not there yet (half a minute)."""
    folder = home("cache") / "determined-client"
    stamp, wanted = folder / "stamp", hashlib.sha256(PINS.read_bytes() + base.encode()).hexdigest()
    with open(home("locks") / "determined-client", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
            # uv needs half a minute where pip needs minutes; it runs on a newer Python than 3.7.
            pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--upgrade"]
            subprocess.run([*pip, "--target", folder / "uv", UV], check=True)
            uv = [folder / "uv/bin/uv", "pip", "install", "-q", "--python", folder / "bin/python"]
            subprocess.run([*uv, "-r", PINS], check=True)
            stamp.write_text(wanted)
    return folder


class Client:
    """The client; called with a master, a home and its words it gives (exit code, what it printed, without colours)."""

    def __init__(self, environment: Path):
        argv = [environment / "bin/python", "-c", SERVER]
        self.process = subprocess.Popen(argv, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, master: str, folder: Path, *words: str) -> tuple[int, str]:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as out:
            env = {**ENV, "HOME": str(folder)}
            self._tell({"words": ["-m", master, *words], "env": env, "out": out.name})
            code = int(self.process.stdout.readline())
            return code, re.sub(r"\x1b\[[0-9;]*m", "", out.read())

    def _tell(self, call: Mapping[str, object]) -> None:
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.communicate(timeout=120)
