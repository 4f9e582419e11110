"""A real Chapter, on this machine or with hosts that functions answer for, at the process boundary and nowhere else."""

from __future__ import annotations

import functools
import os
import re
import shlex
from pathlib import Path

from helpers.core import host as host_module
from helpers.core import notebooks
from helpers.core import ssh as ssh_module
from helpers.core.chapter import Chapter
from helpers.core.process import Result
from helpers.core.process import execute as really

_PROBE = re.compile(r"^\( set -euo pipefail; eval (.*?) \) 2>&1 </dev/null; echo \"(@@[0-9a-f]+) \$\?\"$", re.S | re.M)


def chapter(monkeypatch, name, answer, mode="verify", over_ssh=None, **parameters):
    """The chapter, on this machine if no other target is given, with what a host would say.

    answer(script, stdin) -> an output (exit code 0), or (exit code, output, error output). Each probe comes alone.
    over_ssh: the same of a host that is reached by SSH, where another one answers there.
    """
    notebook = _notebook(name)
    ch = Chapter(notebook, notebook.check({"target": "local", **parameters, "mode": mode}))

    def execute(argv, stdin=None, timeout=20, on_line=None, keep=None):
        if "-G" in argv:
            return really(argv, timeout=timeout)
        words = shlex.split(argv[-1])
        there = over_ssh if over_ssh and argv[0] == "ssh" else answer
        said = _said(there, words[words.index("-c") + 1], stdin)
        for line in said.out.splitlines() if on_line else []:
            on_line("out", line)
        return said

    monkeypatch.setattr(host_module, "execute", execute)
    monkeypatch.setattr(ssh_module, "execute", _connection)
    return ch


def opened(name, mode="install", **parameters):
    """The chapter with this machine as its host, and nobody in between: what it does is done here."""
    notebook = _notebook(name)
    ch = Chapter(notebook, notebook.check({"target": "local", "origin": "upstream", "mode": mode, **parameters}))
    vars(ch.host).update(_who(os.environ.get("HOME"), os.environ["PATH"]))
    return ch


_notebook = functools.cache(notebooks.find)


@functools.cache  # the same for all hosts of a test: six processes each
def _who(home, path):
    """What a Host on this machine knows once it is connected."""
    known = vars(host_module.Host("local").connect())
    return {name: known[name] for name in ("home", "sudo", "_connected", "_user", "_sudo_refusal")}


def _connection(argv, timeout=20):
    """What ssh does for the shared connection: its socket comes and goes. What it reads in settings is true."""
    if "-G" in argv:
        return really(argv, timeout=timeout)
    path = next(Path(word[len("ControlPath=") :]) for word in argv if word.startswith("ControlPath="))
    if "-M" in argv:
        path.touch()
    if "stop" in argv:
        path.unlink()
    return Result(0, "", "", 0.0)


def _said(answer, script, stdin):
    if script == host_module._WHO:
        return Result(0, "@@runbook root 0 Linux bash /root\n", "", 0.0)
    script = script[len(host_module._PRELUDE) :]
    probes = _PROBE.findall(script)
    if not probes:
        return _result(answer(script, stdin))
    out = ""
    for quoted, mark in probes:
        said = _result(answer(shlex.split(quoted)[0], None))
        out += said.out + said.err + ("" if (said.out + said.err).endswith("\n") else "\n") + f"{mark} {said.code}\n"
    return Result(0, out, "", 0.0)


def _result(said):
    code, out, err = (0, said, "") if isinstance(said, str) else said
    return Result(code, out, err, 0.0)
