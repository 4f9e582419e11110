"""A real Chapter whose host is answered by a function: the stand-in is at the process boundary, and nowhere else."""

from __future__ import annotations

import re
import shlex

from helpers.core import host as host_module
from helpers.core import notebooks
from helpers.core.chapter import Chapter
from helpers.core.process import Result

_PROBE = re.compile(r"^\( set -euo pipefail; eval (.*?) \) 2>&1 </dev/null; echo \"(@@[0-9a-f]+) \$\?\"$", re.S | re.M)


def chapter(monkeypatch, name, answer, mode="verify", **parameters):
    """The chapter on this machine as its target, with what a host would say.

    answer(script, stdin) -> an output (exit code 0), or (exit code, output, error output). Each probe comes alone.
    """
    notebook = notebooks.find(name)
    ch = Chapter(notebook, notebook.check(dict(parameters, target="local", mode=mode)))

    def execute(argv, stdin=None, timeout=20, on_line=None, keep=None):
        words = shlex.split(argv[-1])
        said = _said(answer, words[words.index("-c") + 1], stdin)
        for line in said.out.splitlines() if on_line else []:
            on_line("out", line)
        return said

    monkeypatch.setattr(host_module, "execute", execute)
    return ch


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
