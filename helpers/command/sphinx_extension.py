"""A Sphinx extension: our docstrings are plain text, not reStructuredText; no page has scripts that nobody calls."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from helpers.core.paths import REPO

HEAD = """# Helpers

What a chapter's cells, and a component's room, stand on: `helpers/core`, from its docstrings. It runs on Python 3.7,
in a notebook in the cluster as well. [Contributing](contributing.md) says where code goes.

"""
MODULE = """## {}

```{{eval-rst}}
.. automodule:: {}
   :members:
```

"""


def page() -> str:
    """The page of all modules of core; its last line changes with their text, so that the site is built again."""
    paths = [path for path in sorted((REPO / "helpers" / "core").glob("*.py")) if path.name != "__init__.py"]
    modules = "".join(MODULE.format(f"core.{path.stem}", f"helpers.core.{path.stem}") for path in paths)
    return f"{HEAD}{modules}% {_digest(paths)}\n"


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", _plain)
    app.connect("html-page-context", _without_thebe, priority=900)
    return {"parallel_read_safe": True}


def _plain(_app: Any, _what: str, _name: str, _of: Any, _options: Any, lines: list[str]) -> None:
    """Words stay words: no role, no emphasis, no link by "://", no block by its indentation."""
    for n, line in enumerate(lines):
        lines[n] = re.sub(r"([\\*`|_<>])", r"\\\1", line.strip()).replace("://", ":\\ //")


def _without_thebe(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Thebe runs cells by a server elsewhere, which nothing here does; its settings, twice on a page, are an error."""
    context["script_files"] = [script for script in context["script_files"] if "thebe" not in _told(script)]


def _told(script: Any) -> str:
    return f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}".lower()
