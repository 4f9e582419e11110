"""`python -m helpers` by the hundred: each is forked from one process that has imported all of it, once for 0.5 s."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping

from helpers.core.paths import REPO

#: Forks for each call, and tells how it ended. The child ends as any Python does, with what is to be done at its exit.
SERVER = """
import json, os, runpy, socket, sys
import helpers.command.main
asked = socket.socket(fileno=int(sys.argv[1]))
while True:
    message, streams, _, _ = socket.recv_fds(asked, 1 << 20, 3)
    pid = os.fork() if message else 0
    if not pid:
        break
    [os.close(fd) for fd in streams]
    asked.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
asked.close()
if message:
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    call = json.loads(message)
    os.environ.clear()
    os.environ.update(call["env"])
    os.chdir(call["cwd"])
    sys.path[0], sys.argv = call["cwd"], ["helpers", *call["words"]]
    runpy.run_module("helpers", run_name="__main__", alter_sys=True)
"""
_one_at_a_time = threading.Lock()


def helpers(*words: str, env: Mapping[str, str], cwd: object = REPO) -> subprocess.CompletedProcess[str]:
    """What subprocess.run([sys.executable, "-m", "helpers", *words]) gives, without input, its output captured."""
    call = json.dumps({"words": words, "env": dict(env), "cwd": str(cwd)}).encode()
    with _one_at_a_time, open(os.devnull) as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        link, _ = _server()
        socket.send_fds(link, [call], [stream.fileno() for stream in (nothing, out, err)])
        code = int(link.recv(20))
        said = [stream.seek(0) or stream.read().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(["helpers", *words], code, *said)


@functools.cache
def _server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The link to it. It ends with this process, whose end of the link it then sees closed."""
    ours, theirs = socket.socketpair()
    ours.settimeout(120)
    env = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS")}
    argv = [sys.executable, "-c", SERVER, str(theirs.fileno())]
    env["PYTHONPATH"] = str(REPO)
    process = subprocess.Popen(argv, env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    return ours, process
