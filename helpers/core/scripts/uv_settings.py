"""Runs with the Python whose pip it asks, on a host or here: prints pip's settings as exports that uv understands."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from typing import Iterator

_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
}


def exports(listed: str) -> Iterator[str]:
    """A line for each setting of `pip config list` that uv has; the environment's come last: they win."""
    for line in sorted(listed.splitlines(), key=lambda text: text.startswith(":env:")):
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        name = _NAMES.get(option)
        if name and section in ("global", "install", ":env:"):
            between = "," if name == "UV_FIND_LINKS" else " "
            yield f"export {name}={shlex.quote(between.join(ast.literal_eval(value).split()))}"


if __name__ == "__main__":
    ask = [sys.executable, "-m", "pip", "config", "list"]
    print("\n".join(exports(subprocess.run(ask, stdout=subprocess.PIPE, text=True).stdout)))
