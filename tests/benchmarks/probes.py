"""Thirty probes through the Host against one plain SSH script that asks the same, as a ratio.

Run by hand, with the sandbox up: `./runbook sandbox up && .venv/bin/python tests/benchmarks/probes.py [TARGET]`
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from helpers.core.host import Host

PROBE, COUNT, ROUNDS = "test -e /etc/passwd && id -u root >/dev/null", 30, 15


def seconds(call):
    """Median seconds of a call."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main(target):
    host = Host(target).connect()
    try:
        argv = host.ssh_command() + ["sudo -n bash -c '{}'".format("; ".join([PROBE] * COUNT))]
        plain = seconds(lambda: subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True))
        ours = seconds(lambda: host.probe(dict.fromkeys(range(COUNT), PROBE)))
        one = seconds(lambda: host.run("true"))
    finally:
        host.close()
    print(f"one SSH script that asks {COUNT} things   {plain * 1000:6.1f} ms")
    print(f"{COUNT} probes in one round trip          {ours * 1000:6.1f} ms   ratio {ours / plain:.1f}")
    print(f"one command                          {one * 1000:6.1f} ms")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["sandbox"]))
