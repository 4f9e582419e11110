"""What a host has, asked in one round trip, and which tools are on the operator's machine."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from helpers.core.shell import script

_HOST = Path(__file__).with_name("look_at_host.sh")


def look_at_host(ch):
    """The host's facts as a dict of texts, in one round trip; "ports" is {number: program}, "skew" seconds."""
    before = time.time()
    out = ch.run(script(_HOST))
    after = time.time()
    facts = {"ports": {}}
    for line in out.splitlines():
        key, _, value = line.partition("=")
        if key == "port":
            number, _, who = value.partition(" ")
            facts["ports"][int(number)] = who
        else:
            facts[key] = value.strip()
    # The host's clock was read between the two; what is outside of that is skew.
    clock = float(facts["clock"])
    facts["skew"] = max(before - clock, clock - after, 0.0)
    return facts


def look_here():
    """Versions of the operator's tools as texts; "" when a tool is missing."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": "{}.{}".format(*sys.version_info[:2]),
        "helm": _version(["helm", "version", "--short"]),
        "kubectl": _version(["kubectl", "version", "--client", "--output=json"]),
        "ssh": _version(["ssh", "-V"]),
    }


def _version(argv):
    if not shutil.which(argv[0]):
        return ""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    found = re.search(r"(?:v|_)(\d+\.\d+(?:\.\d+)?)", done.stdout.decode("utf-8", "replace"))
    return found.group(1) if found else "unknown"
