"""Pictures for chapter 07's page: what is made from what, and the data set with its outlines."""

from __future__ import annotations

import base64
import html

from helpers.components.pachyderm import dataset
from helpers.core import show

#: pixels: a node's width and height, and the gap between columns
_WIDE, _HIGH, _GAP = 116, 44, 36
_REPO = 'rx="4" fill="#ddf4ff" stroke="#0969da"'
_PIPELINE = f'rx="{_HIGH // 2}" fill="#fff8c5" stroke="#9a6700"'
_ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>'
)


def show_provenance(pipes, repo):
    """What is made from what, from repo on, as a picture. Nothing in plan and remove."""

    def make():
        nodes, edges = provenance(pipes, repo)
        text = "\n".join("{} -> {}".format(a.replace(":", " "), b.replace(":", " ")) for a, b in edges)
        return text, graph(nodes, edges)

    _show(pipes.ch, make)


def show_pictures(pipes, repo, output):
    """The first picture of each class above its outline, as Pachyderm has them now. Nothing in plan and remove."""

    def make():
        paths = [p for p in pipes.repos.names(repo) if p.endswith("/0.png")]
        text = f"{len(paths)} pictures, and below them their outlines"
        rows = [row for name in (repo, output) for row in _side_by_side(pipes.repos, name, paths)]
        return text, _image(rows, 2, text)

    _show(pipes.ch, make)


def _show(ch, make):
    if not ch.proving:
        return
    try:
        text, markup = make()
    except Exception:  # a check has said it already; a picture is no proof
        show.display(*show.line("left out", "the picture", "it could not be read from Pachyderm"))
    else:
        show.display(text, markup)


def _side_by_side(repos, name, paths):
    pictures = [dataset.pixels(repos.read(name, path)) for path in paths]
    return [sum(parts, []) for parts in zip(*pictures)]


def _image(rows, scale, alt):
    data = base64.b64encode(dataset.png(rows)).decode()
    size = f'width="{len(rows[0]) * scale}" height="{len(rows) * scale}"'
    return f'<img alt="{alt}" style="image-rendering:pixelated" {size} src="data:image/png;base64,{data}">'


def provenance(pipes, repo):
    """(nodes, edges) from repo on: {"repo:x" or "pipeline:x": note}, [(from, to)]."""
    nodes, edges, todo = {"repo:" + repo: f"{len(pipes.repos.names(repo))} files"}, [], [repo]
    infos = sorted(pipes.client.list_pipeline().pipeline_info, key=lambda i: i.pipeline.name)
    while todo:
        source = todo.pop(0)
        for info in infos:
            name, inputs = info.pipeline.name, _inputs(info.input)
            if source in inputs:
                count = len(pipes.repos.names(name))
                nodes["pipeline:" + name] = "glob " + inputs[source]
                nodes["repo:" + name] = "{} file{}".format(count, "" if count == 1 else "s")
                new = [("repo:" + source, "pipeline:" + name), ("pipeline:" + name, "repo:" + name)]
                edges += [e for e in new if e not in edges]
                todo.append(name)
    return nodes, edges


def _inputs(node):
    """{repository: glob} of a pipeline's input, also inside cross, union and join."""
    found = {node.pfs.repo: node.pfs.glob} if node.pfs.repo else {}
    for part in list(node.cross) + list(node.union) + list(node.join):
        found.update(_inputs(part))
    return found


def graph(nodes, edges):
    """An SVG of repositories (boxes) and pipelines (pills), left to right by the longest way to each.

    nodes: {"repo:name" or "pipeline:name": a note below the name}.  edges: [(from, to)].
    """
    columns = _columns(nodes, edges)
    width = len(columns) * (_WIDE + _GAP) - _GAP + 4
    height = max(map(len, columns)) * (_HIGH + 20) + 4
    at = {
        name: (2 + x * (_WIDE + _GAP), height * (2 * y + 1) // (2 * len(column)) - _HIGH // 2)
        for x, column in enumerate(columns)
        for y, name in enumerate(column)
    }
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" style="max-width:100%;height:auto" '
            'font-family="sans-serif" text-anchor="middle">',
            _ARROW,
            *(_edge(at[a], at[b]) for a, b in edges),
            *(_node(name, nodes[name], *place) for name, place in at.items()),
            "</svg>",
        ]
    )


def _columns(nodes, edges):
    """The nodes' names, column by column."""
    level = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for a, b in edges:
            level[b] = max(level[b], level[a] + 1)
    return [[n for n in nodes if level[n] == k] for k in range(max(level.values()) + 1)]


def _edge(start, end):
    (x1, y1), (x2, y2) = start, end
    middle, y1, y2 = (x1 + _WIDE + x2) // 2, y1 + _HIGH // 2, y2 + _HIGH // 2
    return (
        f'<path d="M{x1 + _WIDE} {y1} C{middle} {y1} {middle} {y2} {x2 - 1} {y2}" '
        'fill="none" stroke="#57606a" stroke-width="1.5" marker-end="url(#tip)"/>'
    )


def _node(name, note, x, y):
    kind, _, label = name.partition(":")
    box = f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" {_REPO if kind == "repo" else _PIPELINE}/>'
    return box + _text(label, x, y + 19, 13, "#1f2328") + _text(note, x, y + 35, 11, "#57606a")


def _text(text, x, y, size, colour):
    return f'<text x="{x + _WIDE // 2}" y="{y}" font-size="{size}" fill="{colour}">{html.escape(text)}</text>'
