"""A hook of pre-commit.yaml: refuses a commit whose subject is not `area: what is now so` in at most 72 characters.

A merge is named by what it brings, in any words.
"""

import re
import sys
from pathlib import Path

MOST = 72
SAID = """error  commit {!r}
saw    {}
do     Say what is now so, and of which area:  sandbox: a recipe says its own fidelity
       To go on with your text:  git commit -eF {}"""


def subject(message):
    """All before the first empty line, as git takes it. Lines that begin with # are git's own."""
    lines = [line.strip() for line in message.splitlines() if not line.startswith("#")]
    return "\n".join(lines).strip().partition("\n\n")[0].replace("\n", " ")


def wrong(words):
    """What is wrong with a subject; empty when nothing is."""
    if words.startswith("Merge "):
        return ""
    if not re.match(r"\w[^:]*: \S", words):
        return "it does not begin with an area, a colon and a space"
    if len(words) > MOST:
        return f"it has {len(words)} characters, and {MOST} fit; why it is so goes below an empty line"
    return ""


if __name__ == "__main__":
    path = Path(sys.argv[1])
    words = subject(path.read_text("utf-8"))
    if saw := wrong(words):
        sys.exit(SAID.format(words, saw, path))
