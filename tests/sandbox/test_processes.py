"""The sandbox's background processes end whole."""

import socket
import sys

from serving import until

from helpers.sandbox import processes

# The leader's child holds the port, and goes on for a moment after the leader was killed, as a container's programs do.
LEADER = """
import os, socket, sys, time
if os.fork():
    time.sleep(60)
listening = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1], "w").write(f"{listening.getsockname()[1]}\\n")
parent = os.getppid()
while os.getppid() == parent:
    time.sleep(0.02)
time.sleep(0.7)
"""


def test_what_was_stopped_holds_its_port_no_more(tmp_path):
    pid, said = tmp_path / "pid", tmp_path / "port"
    processes.start(pid, [sys.executable, "-c", LEADER, said], tmp_path / "log")
    until("its port", lambda: said.read_text().endswith("\n"))
    port = int(said.read_text())
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    assert processes.kill(pid)
    with socket.socket() as link:
        assert link.connect_ex(("127.0.0.1", port)) != 0, "a program started now would not get it"
