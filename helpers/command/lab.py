"""`./runbook lab`: JupyterLab on copies of the chapters, with the target and the parameters of the last run."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from helpers.command import record
from helpers.command.base import CHAPTER, examples, say, target_option
from helpers.command.targets import Targets
from helpers.core import notebooks
from helpers.core.errors import BadInput
from helpers.core.files import write_whole
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO, home
from helpers.core.target import Target

STARTUP = Path(__file__).with_name("lab_startup.py")
#: no question about news, which would go out and ask for them
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
_HINT = "Run the cell above (Shift+Enter): its form appears below it. Or run the chapter cell by cell."
#: for nbval, on a copy that was run and saved: the form is no output to compare
_FORM = "nbval-ignore-output"


@click.command("lab", epilog=examples("./runbook lab\n./runbook lab minio --target ssh://ubuntu@10.0.0.5"))
@click.argument("chapter", required=False, type=CHAPTER)
@target_option
@click.option("--port", default=8888, type=click.IntRange(1, 65535), help="Where JupyterLab listens.  [default: 8888]")
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
def lab(chapter: str | None, target: str | None, port: int, no_browser: bool) -> None:
    """Open the chapters in JupyterLab: each with a form, to plan, install and verify it by hand."""
    known = notebooks.load_all()
    opened = notebooks.find(chapter or next(iter(known)), known).path.name
    run = record.latest(target)
    name = target or (run.target if run else "sandbox")
    folder = home("lab", Target.parse(name).slug)
    where = Targets(target) if target else Targets(name, run.hosts if run else {})
    for path in copy_chapters(folder, where):
        say(f"{path.name} was changed by hand and stays as it is; delete {path} for a fresh one")
    argv = [sys.executable, *arguments(folder, port, opened), *(["--no-browser"] if no_browser else [])]
    os.execve(sys.executable, argv, environment())


def arguments(folder: Path, port: int, opened: str) -> list[str]:
    """JupyterLab's, on this folder; its settings and layout are the folder's own, not a person's."""
    own = folder / ".lab"
    own.mkdir(exist_ok=True)
    (own / "overrides.json").write_text(json.dumps(SETTINGS))
    options = {
        "ServerApp.root_dir": folder,
        "ServerApp.port": port,
        "LabApp.default_url": f"/lab/tree/{opened}",
        "LabApp.app_settings_dir": own,
        "LabApp.user_settings_dir": own / "user",
        "LabApp.workspaces_dir": own / "workspaces",
        "LabApp.news_url": "None",
    }
    root = ["--allow-root"] if os.geteuid() == 0 else []  # Jupyter refuses root; who runs this for `local` is root
    return ["-m", "jupyterlab", *root, *(f"--{name}={value}" for name, value in options.items())]


def environment() -> dict[str, str]:
    """Kernels find the helpers, and begin with what shows the forms."""
    path = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSTARTUP": str(STARTUP)}


# -- the copies --------------------------------------------------------------------------------------------------------


def copy_chapters(folder: Path, where: Targets) -> list[Path]:
    """Copy every chapter, filled in. Returns the copies that a person has changed: those are left alone."""
    known = notebooks.load_all()
    old = record.last({n.id: where.of(n.host) for n in known.values()})
    installed, standing = record.installed(old), record.standing(old)
    changed: list[Path] = []
    for n in known.values():
        path = folder / n.path.name
        if _changed(path):
            changed.append(path)
            continue
        mode = "verify" if n.id in standing else "plan"  # "Run all cells" changes nothing before somebody says so
        given = {name: value for name, value in installed.get(n.id, {}).items() if name in n.parameters}
        write_whole(path, _text(_filled(n, {**given, "target": where.of(n.host), "mode": mode})), 0o644)
    return changed


def _changed(path: Path) -> bool:
    """Has it other cells than this command wrote? Outputs do not count."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return False
    except ValueError as e:
        raise BadInput(f"read {path}", saw=str(e), do="Delete it: it is a copy.") from None
    return content["metadata"].get("runbook_lab") != _digest(content)


def _digest(content: Mapping[str, Any]) -> str:
    sources = [(c["cell_type"], "".join(c["source"])) for c in content["cells"]]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def _filled(n: Notebook, values: Mapping[str, Any]) -> dict[str, Any]:
    """The chapter's content with these values in its parameters cell, and a word on the form below it."""
    content = json.loads(json.dumps(n.content))
    tagged = [cell["metadata"].get("tags", []) for cell in content["cells"]]
    at = next(i for i, tags in enumerate(tagged) if "parameters" in tags)
    cell = content["cells"][at]
    cell["source"] = filled("".join(cell["source"]), values).splitlines(keepends=True)
    tagged[at].append(_FORM)
    content["cells"].insert(at + 1, {"cell_type": "markdown", "id": "how-to-begin", "metadata": {}, "source": [_HINT]})
    content["metadata"]["runbook_lab"] = _digest(content)
    return content


def filled(source: str, values: Mapping[str, Any]) -> str:
    """A parameters cell with these values in it; comments stay where they are as long as there is room."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        name, at, last = node.targets[0].id, node.lineno - 1, node.end_lineno or node.lineno
        if name in values and ast.literal_eval(node.value) != values[name]:
            rest = lines[last - 1].encode()[node.value.end_col_offset :].decode()
            column = len(lines[at]) - len(rest) if last - 1 == at else 0
            said = f"{name} = {json_like(values[name])}"
            lines[at:last] = [(said.ljust(column + _indent(rest)) + "  " + rest.strip()).rstrip()] + [""] * (
                last - 1 - at
            )
    return "\n".join(lines)


def _indent(rest: str) -> int:
    return max(0, len(rest) - len(rest.lstrip()) - 2)


def json_like(value: Any) -> str:
    """A value as the chapters write it: texts in double quotes."""
    return repr(value) if isinstance(value, bool) or value is None else json.dumps(value, ensure_ascii=False)


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
