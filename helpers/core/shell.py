"""Shell scripts that lie in files beside their module, with quoted arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from string import Template


def script(path: str | Path, *arguments: object) -> str:
    """The script's text with $1, $2, ... set to these arguments: for a step's apply and undo, a probe, or host.run.

    Comment lines at its beginning (the shebang, what it is for) are left out: they would travel with each call.
    """
    lines = Path(path).read_text("utf-8").splitlines()
    while lines and lines[0].startswith("#"):
        del lines[0]
    text = "\n".join(lines).strip("\n")
    return ("set -- " + " ".join(shlex.quote(str(a)) for a in arguments) + "\n" if arguments else "") + text


def quoted(text: str) -> str:
    """The text as one word for whatever shell a login has: between single quotes a backslash means itself, but in fish.

    Between double quotes two of them are one in all of them.
    """
    return re.sub(r"\\+", lambda found: "'\"" + found[0] * 2 + "\"'", shlex.quote(text))


def filled(path: str | Path, **values: object) -> str:
    """A text file beside a module (a manifest, a unit) with $NAME filled in; $$ is a dollar sign.

    KeyError when a name in it has no value.
    """
    return Template(Path(path).read_text("utf-8")).substitute(values)
