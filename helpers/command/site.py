"""The site: the source of the book with the last run's executed notebooks in it, built with warnings as errors."""

from __future__ import annotations

import ast
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from helpers.command import record, timeline
from helpers.command.progress import checks_held
from helpers.core import catalogue, notebooks, paths
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO, SETUP

#: the whole platform by chapter number: what it is, where it runs. Those without a notebook are planned.
PARTS = {
    "01": ("Requirements", "looks at the host and at your machine"),
    "02": ("Network: SSH and SOCKS", "your machine"),
    "03": ("Kubernetes: MicroK8s 1.20", "host"),
    "04": ("Add-ons: dns, storage, dashboard, gpu, metallb, host-access", "cluster"),
    "05": ("MinIO: object storage", "host"),
    "06": ("PostgreSQL", "host"),
    "07": ("Pachyderm 1.13: data pipelines", "cluster"),
    "08": ("Determined AI 0.15: training", "cluster"),
    "09": ("Seldon Core: model serving, behind Knative's Istio", "cluster"),
    "10": ("Label Studio: labelling", "host"),
    "11": ("GitLab", "a host of its own, or the same"),
    "12": ("GitLab runner", "cluster"),
    "13": ("End to end: from data to a prediction", "all of it"),
}
README = REPO / "README.md"


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
        timeline.fill(index.parent, run)
        say("site: already so, nothing that it shows has changed")
        return index
    say("site: building")
    stamp.unlink(missing_ok=True)
    log = paths.build() / "book.log"
    with open(log, "w") as f:
        code = subprocess.call(
            [
                str(Path(sys.executable).parent / "jupyter-book"),
                "build",
                "--warningiserror",
                "--keep-going",
                "--path-output",
                str(site),
                str(stage),
            ],
            stdout=f,
            stderr=subprocess.STDOUT,
            cwd=str(paths.build()),
            env=dict(os.environ, NO_COLOR="1"),
        )
    if code != 0:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace")).splitlines()
        wrong = [l for l in lines if re.search("WARNING|ERROR|Error", l)][:8] or lines[-8:]
        raise RunbookError("build the site", saw="\n".join(wrong), do=f"Mend the page it names. The whole log: {log}")
    stamp.write_text(print_)
    timeline.fill(index.parent, run)
    return index


def _fingerprint(folder):
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _stage(stage, run):
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    known = notebooks.load_all()
    shutil.copy2(REPO / "_config.yml", stage / "_config.yml")
    toc = yaml.safe_load((REPO / "_toc.yml").read_text())
    for chapter in (c for part in toc["parts"] for c in part["chapters"] if c["file"].startswith("notebooks/")):
        for n in known.values():  # the sidebar shows the numbers that people use
            if n.path.stem == Path(chapter["file"]).name:
                chapter["title"] = f"{n.number} {n.title}"
    (stage / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False, allow_unicode=True))
    shutil.copytree(REPO / "book", stage / "book")
    _fill(stage / "book", known)
    timeline.stage(stage / "book" / "first-run.md")
    (stage / "notebooks").mkdir()
    for n in known.values():
        c = run.chapters.get(n.id) if run else None
        # What verify found wrong is news; what install left stays otherwise.
        name = c and (c.verify_notebook if c.state == "failed" and c.parameters.get("mode") == "verify" else c.notebook)
        executed = run.folder / name if name else None
        _page(n, executed if executed and executed.exists() else n.path, stage / "notebooks" / n.path.name, c, run)
    (stage / "book" / "status.md").write_text(status_page(run, known))
    (stage / "book" / "fidelity.md").write_text(fidelity_page())
    (stage / "book" / "troubleshooting.md").write_text(troubleshooting_page(known))


def _fill(folder, known):
    """Put what the code knows into the prose: commands, parameters, the parts that exist."""
    there = {n.number: n for n in known.values()}
    rows = [
        [
            number,
            f"[{there[number].title}](../notebooks/{there[number].path.name})" if number in there else title,
            place,
            "yes" if number in there else "planned",
        ]
        for number, (title, place) in PARTS.items()
    ]
    for page, mark, text in (
        ("architecture.md", "parts of the platform", _table(["chapter", "part", "where it runs", "today"], rows)),
        ("reference.md", "commands", commands_reference()),
        ("reference.md", "parameters", parameters_reference(known)),
    ):
        path = folder / page
        path.write_text(path.read_text().replace(f"<!-- {mark} -->", text))
    drawing = folder / "_static" / "architecture.svg"
    drawing.write_text(
        re.sub(
            'class="a-plan" data-chapter="([0-9]+)"',
            lambda m: m.group().replace("a-plan", "a-now") if m.group(1) in there else m.group(),
            drawing.read_text(),
        )
    )


def _page(n, source, page, c, run):
    """An executed notebook as a page: what papermill noted about the run (times, paths) is left out."""
    content = json.loads(Path(source).read_text("utf-8"))
    content["metadata"].pop("papermill", None)
    # papermill's own notes of an exception: the line below the title and the cell itself say it.
    content["cells"] = [c for c in content["cells"] if "papermill-error-cell-tag" not in c["metadata"].get("tags", [])]
    used = {}
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            used = _assignments("".join(cell["source"]))
            tags.append("remove-cell")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = _plain_marks("".join(data["text/html"]))
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = _with_values("".join(cell["source"]), used)
    title, _, rest = "".join(content["cells"][0]["source"]).partition("\n")
    content["cells"][0]["source"] = f"{title}\n\n{_last_run(c, run)}\n{rest}"
    page.write_text(json.dumps(content, indent=1, ensure_ascii=False))


def _assignments(source):
    """{name: value} of plain assignments."""
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
    }


def _with_values(source, used):
    """The parameters cell with the values of the run in it, in place of papermill's second cell; its comments stay."""
    lines = source.split("\n")
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign) or node.lineno != node.end_lineno:
            continue
        name, default = node.targets[0].id, ast.literal_eval(node.value)
        value = used.get(name, default)
        if value != default:
            line = lines[node.lineno - 1]
            comment = line[node.end_col_offset :].strip()
            shown = (
                f"{name} = {json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list)) else repr(value)}"
            )
            note = f"default: {line[node.value.col_offset : node.end_col_offset]}"
            lines[node.lineno - 1] = "{:<32} {}".format(shown, f"{comment} ({note})" if comment else "# " + note)
    return "\n".join(lines)


def _plain_marks(markup):
    """‹text› of a cell's output as a dotted line, which says the same and is easier to read."""
    markup = re.sub('(<span style="color:)#57606a(">)‹✓›', r"\1#1a7f37\2✓", markup).replace("‹-›", "-")
    return re.sub("‹([^‹›]*)›", r'<span class="varies" title="may differ from run to run">\1</span>', markup)


def _when(text):
    """An ISO 8601 time in UTC, as people write it."""
    return text[:16].replace("T", " ") if text else ""


def _held(c):
    held, comma, rest = checks_held(c).partition(", ")
    return f"{held} checks hold{comma}{rest}" if held else ""


def _last_run(c, run):
    """The line below a chapter's title: how it went the last time."""
    kind, text = "none", "Not run yet: this page has no outputs."
    if c is not None and c.state == "removed":
        text = f"Removed from `{run.target}`: this page has no outputs."
    elif c is not None and c.state in ("failed", "interrupted", "not run"):
        kind, text = (
            "failed",
            "**{}** on `{}` in mode {}: {}. [Status](../book/status.md) has the rest.".format(
                c.state.capitalize(),
                run.target,
                c.parameters.get("mode", run.mode),
                re.sub("^error +((install|verify|remove): )?", "", c.reason or "no reason is known")
                .rstrip(".")
                .replace("`", "'"),
            ),
        )
    elif c is not None and c.notebook:
        stands = [
            "{}: {}".format(a.name, a.fidelity if a.program in ("", a.name) else f"{a.program} stands in, {a.fidelity}")
            for a in c.artifacts
        ]
        kind, text = (
            "ok",
            " · ".join(filter(None, [f"Last verified {_when(c.verified)} UTC on `{run.target}`", _held(c)] + stands)),
        )
    return f"```{{div}} last-run {kind}\n{text}\n```\n"


def _table(headers, rows):
    cells = [headers, ["---"] * len(headers)] + [
        [str(c).replace("|", "\\|").replace("\n", " ") for c in r] for r in rows
    ]
    return "\n".join("| " + " | ".join(r) + " |" for r in cells) + "\n"


#: a chapter's state as the status page says it
STATES = {"ok": "ok", "skipped": "ok, unchanged", "removed": "removed", "planned": "planned"}


def status_page(run, known):
    """The status page's Markdown, from the record alone."""
    head = "# Status\n\nMade from the last run's record.\n\n"
    if run is None:
        return head + "No run yet: `./runbook up`.\n"
    kind = "ok" if run.state == "ok" else "failed"
    text = (
        head
        + "```{{div}} last-run {}\nRun `{}` on `{}`, mode {}: **{}**. Finished {} UTC, {:.0f} s.\n```\n\n".format(
            kind, run.id, run.target, run.mode, run.state, _when(run.finished) or "not", run.seconds
        )
    )
    rows, used, failing = [], [], []
    for n in known.values():
        c = run.chapters.get(n.id)
        name = "[{} {}](../notebooks/{})".format(n.number, n.title.split(":")[0], n.path.name)
        if c is None:
            rows.append([name, "not run", "", "", "", ""])
            continue
        rows.append(
            [
                name,
                STATES.get(c.state, f"**{c.state}**"),
                checks_held(c),
                fidelity(c),
                ", ".join(_version(k, v) for k, v in sorted(c.versions.items())),
                _when(c.verified),
            ]
        )
        used += [
            [a.name, a.version, a.origin, a.fidelity, "" if a.program == a.name else a.program] for a in c.artifacts
        ]
        failing += [[n.label, k.title, k.seen] for k in c.checks if k.state == "failed"]
        failing += [[n.label, s.title, s.note] for s in c.steps if s.state == "failed"]
    if failing:
        text += "## What does not hold\n\n" + _table(["chapter", "what", "seen"], failing) + "\n"
    text += "## Chapters\n\n" + _table(
        ["chapter", "state", "checks that hold", "fidelity", "found running", "last verified (UTC)"], rows
    )
    text += (
        "\nA chapter is unchanged when its notebook, parameters and artifacts are those of the run that installed it, and all of it still holds. "
        "Checks that would write to the host or restart something are left out then.\n"
    )
    if used:
        text += "\n## Artifacts\n\nWhat was asked for, where it came from, and what stood in. [Fidelity](fidelity.md) explains the words.\n\n"
        text += _table(["artifact", "version asked for", "from", "fidelity", "stood in"], used)
    return text


def _version(name, found):
    """What a program says of itself, without its own name said twice."""
    said = re.sub(rf"^({re.escape(name)} )?version ", "", found)
    return f"{name} {said}" if said else name


def fidelity(c):
    """A chapter's fidelity in words: that of the weakest of its artifacts."""
    order = ["original", "equivalent", "double"]
    return max(
        (a.fidelity for a in c.artifacts), key=lambda f: order.index(f) if f in order else 9, default="installs nothing"
    )


def fidelity_page():
    """The table of substitutes, from setup/sandbox/fidelity.toml."""
    import tomllib

    path = SETUP / "sandbox" / "fidelity.toml"
    entries = tomllib.loads(path.read_text()) if path.exists() else {}
    text = (
        "# Fidelity\n\nWhat the [sandbox's](sandbox.md) mirror serves in place of each artifact when no bundle folder holds the real one. "
        "On a host that installs from upstream nothing of this applies.\n\n"
        "- **original**: the same program in the same version\n- **equivalent**: another real program with the same protocol\n"
        "- **double**: written for this project, small, and held to recordings of the real server's answers\n\n"
    )
    known = catalogue.load()
    text += _table(
        ["artifact", "what for", "version asked for", "fidelity", "what stands in"],
        [
            [
                f"[{name}](differs-{name})" if e.get("differs") else name,
                known[name].about if name in known else "",
                known[name].version if name in known else "",
                e["fidelity"],
                e.get("program", ""),
            ]
            for name, e in entries.items()
        ],
    )
    text += "\n## What differs\n"
    for name, e in entries.items():
        if e.get("differs"):
            text += "\n(differs-{0})=\n### {0}\n\n{1} ({2})\n\n".format(name, e.get("program", ""), e["fidelity"])
            text += "\n".join("- " + html.escape(d, quote=False) for d in e["differs"]) + "\n"
    return text


def troubleshooting_page(known):
    """The index of all chapters' troubleshooting entries."""
    text = (
        "# Troubleshooting\n\nEvery chapter ends with what can go wrong in it. Here is all of it. A check that fails names its entry.\n\n"
        "Before a chapter starts, the way to the host can fail: no such host, refused, wrong key, unknown host key, no sudo. "
        "Those errors say themselves what to do; [Network](network.md) has the background. `./runbook doctor` tells what your own machine lacks.\n"
    )
    for n in known.values():
        if n.entries:
            text += "\n## {} {}\n\nOf chapter [{}](../notebooks/{}).\n\n".format(
                n.number, n.title.split(":")[0], n.title, n.path.name
            )
            text += _table(
                ["entry", "you see", "because", "do"],
                [[f"`{e.id}`", e.see, e.because, e.do] for e in n.entries.values()],
            )
    return text


def commands_reference():
    """What each command's --help says."""
    import click

    from helpers.command.main import main

    def section(command, name, above):
        context = click.Context(command, info_name=name, parent=above, max_content_width=80, terminal_width=80)
        if isinstance(command, click.Group):
            text = "" if above is None else f"\n### `{context.command_path}`\n\n{command.help}\n"
            return text + "".join(section(c, n, context) for n, c in sorted(command.commands.items()))
        return "\n{} `{}`\n\n```text\n{}\n```\n".format(
            "###" if above.parent is None else "####", context.command_path, command.get_help(context)
        )

    return section(main, "./runbook", None)


def parameters_reference(known):
    """The parameters of all chapters, from their parameters cells."""
    text = ""
    for n in known.values():
        own = [p for p in n.parameters.values() if p.name not in ("target", "mode", "origin")]
        text += "\n### {} `{}`\n\n[{}](../notebooks/{}){}\n\n".format(
            n.number,
            n.id,
            n.title,
            n.path.name,
            ", after {}".format(", ".join(f"`{r}`" for r in n.requires)) if n.requires else "",
        )
        text += (
            _table(
                ["parameter", "default", ""],
                [
                    [
                        f"`{p.name}`",
                        f"`{json.dumps(p.default) if not isinstance(p.default, bool) else p.default}`",
                        p.help,
                    ]
                    for p in own
                ],
            )
            if own
            else "No parameters of its own.\n"
        )
    return text


def readme_block(run, known):
    """The README's table of chapters, from the record."""
    there, rows = {n.number: n for n in known.values()}, []
    for number, (title, _) in PARTS.items():
        n = there.get(number)
        c = run.chapters.get(n.id) if run and n else None
        rows.append(
            [
                number,
                f"[{n.title}](notebooks/{n.path.name})" if n else title,
                fidelity(c) if c else "",
                (c.verified[:10] if c else "not run") if n else "planned",
            ]
        )
    note = (
        f"\nFidelity is that of the run on `{run.target}` that these dates are from; `./runbook book --readme` writes the table.\n"
        if run
        else ""
    )
    return _table(["", "chapter", "fidelity", "last verified"], rows) + note


def refresh_readme():
    """Write the table of chapters into the README, between its two comments. Returns whether it changed."""
    old = README.read_text()
    new, found = re.subn(
        r"(?s)(<!-- chapters -->\n).*?(<!-- /chapters -->)",
        lambda m: m.group(1) + readme_block(record.latest(), notebooks.load_all()) + m.group(2),
        old,
    )
    if not found:
        raise RunbookError(
            "write the README's table",
            saw="its two comments are gone",
            do="Put <!-- chapters --> and <!-- /chapters --> where the table belongs.",
        )
    if new != old:
        README.write_text(new)
    return new != old
