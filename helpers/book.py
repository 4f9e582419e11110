"""The site: the source of the book with the last run's executed notebooks in it, built with warnings as errors."""
from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import catalogue, notebooks, paths, record
from .errors import RunbookError
from .paths import REPO, SETUP
from .progress import checks_held

def build(say=lambda text: None) -> Path:
    """Stage and build; returns the site's index page. RunbookError with jupyter-book's last lines when it fails.

    Nothing is built again when nothing that the site shows has changed since the last time.
    """
    stage, site = paths.build() / "source", paths.build() / "site"
    run = record.latest()
    _stage(stage, run)
    print_ = _fingerprint(stage)
    index = site / "_build" / "html" / "index.html"
    stamp = site / "fingerprint"
    if index.exists() and stamp.exists() and stamp.read_text() == print_:
        say("site: already so, nothing that it shows has changed")
        return index
    say("site: building")
    stamp.unlink(missing_ok=True)
    log = paths.build() / "book.log"
    with open(log, "w") as f:
        code = subprocess.call([str(Path(sys.executable).parent / "jupyter-book"), "build", "--warningiserror", "--keep-going", "--path-output", str(site), str(stage)],
                               stdout=f, stderr=subprocess.STDOUT, cwd=str(paths.build()))
    if code != 0:
        lines = log.read_text(errors="replace").splitlines()
        wrong = [l for l in lines if re.search("WARNING|ERROR|Error", l)][:8] or lines[-8:]
        raise RunbookError("build the site", saw="\n".join(wrong), do="Mend the page it names. The whole log: {}".format(log))
    stamp.write_text(print_)
    return index


def _fingerprint(folder):
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _stage(stage, run):
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(REPO / name, stage / name)
    shutil.copytree(REPO / "book", stage / "book")
    (stage / "notebooks").mkdir()
    known = notebooks.load_all()
    for n in known.values():
        c = run.chapters.get(n.id) if run else None
        executed = run.folder / c.notebook if c and c.notebook else None
        _page(n, executed if executed and executed.exists() else n.path, stage / "notebooks" / n.path.name)
    (stage / "book" / "status.md").write_text(status_page(run, known))
    (stage / "book" / "fidelity.md").write_text(fidelity_page())
    (stage / "book" / "troubleshooting.md").write_text(troubleshooting_page(known))


def _page(n, source, page):
    """An executed notebook as a page: what papermill noted about the run (times, paths) is left out."""
    content = json.loads(Path(source).read_text("utf-8"))
    content["metadata"].pop("papermill", None)
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            tags.append("remove-cell")
    page.write_text(json.dumps(content, indent=1, ensure_ascii=False))


def _table(headers, rows):
    cells = [headers, ["---"] * len(headers)] + [[str(c).replace("|", "\\|").replace("\n", " ") for c in r] for r in rows]
    return "\n".join("| " + " | ".join(r) + " |" for r in cells) + "\n"


def status_page(run, known):
    """The status page's Markdown, from the record alone."""
    head = "# Status\n\nWritten from the last run's record; nobody edits it.\n\n"
    if run is None:
        return head + "No run yet: `./runbook up`.\n"
    text = head + "Run `{}` on `{}`, mode {}: **{}**, finished {}, {:.0f} s.\n\n".format(run.id, run.target, run.mode, run.state, run.finished or "not", run.seconds)
    rows, used, failing = [], [], []
    for n in known.values():
        c = run.chapters.get(n.id)
        if c is None:
            rows.append(["[{} {}](../notebooks/{})".format(n.number, n.title, n.path.name), "not run", "", "", "", ""])
            continue
        rows.append(["[{} {}](../notebooks/{})".format(n.number, n.title, n.path.name), c.state, checks_held(c),
                     ", ".join(sorted({a.fidelity for a in c.artifacts})) or "no artifact", ", ".join("{} {}".format(k, v) for k, v in sorted(c.versions.items())), c.verified])
        used += [[a.name, a.version, a.origin, a.fidelity, "" if a.program == a.name else a.program] for a in c.artifacts]
        failing += [[n.label, k.title, k.seen] for k in c.checks if k.state == "failed"]
        failing += [[n.label, s.title, s.note] for s in c.steps if s.state == "failed"]
    text += _table(["chapter", "state", "checks that hold", "fidelity", "version found", "last verified (UTC)"], rows)
    if used:
        text += "\n## What was installed, and what stood in\n\n" + _table(["artifact", "version", "origin", "fidelity", "stood in"], used)
    if failing:
        text += "\n## What does not hold\n\n" + _table(["chapter", "what", "seen"], failing)
    return text


def fidelity_page():
    """The table of substitutes, from setup/sandbox/fidelity.toml."""
    import tomllib
    path = SETUP / "sandbox" / "fidelity.toml"
    entries = tomllib.loads(path.read_text()) if path.exists() else {}
    text = ("# Fidelity\n\nWhat the sandbox's mirror serves in place of each artifact, when no bundle folder holds the real one. "
            "**original**: the same program in the same version. **equivalent**: another real program with the same protocol. "
            "**double**: written for this project, small, and held to recordings of the real server's answers.\n\n")
    known = catalogue.load()
    text += _table(["artifact", "version asked for", "fidelity", "what stands in"],
                   [[name, known[name].version if name in known else "", e["fidelity"], e.get("program", "")] for name, e in entries.items()])
    for name, e in entries.items():
        if e.get("differs"):
            text += "\n## {}: what differs\n\n".format(name) + "\n".join("- " + d for d in e["differs"]) + "\n"
    return text


def troubleshooting_page(known):
    """The index of all chapters' troubleshooting entries."""
    text = "# Troubleshooting\n\nEvery chapter ends with what can go wrong in it. Here is all of it; failing checks name their entry.\n"
    for n in known.values():
        if n.entries:
            text += "\n## [{} {}](../notebooks/{})\n\n".format(n.number, n.title, n.path.name)
            text += _table(["entry", "you see", "because", "do"], [[e.id, e.see, e.because, e.do] for e in n.entries.values()])
    return text
