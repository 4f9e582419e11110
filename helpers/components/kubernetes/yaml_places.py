"""Where the parts of a YAML document stand in its text, as the parser names them, for edits that touch nothing else."""

from __future__ import annotations

import functools

import yaml


class Unsafe(ValueError):
    """Why a text is not edited."""


@functools.lru_cache(8)
def parsed(text):
    """What the text says, as YAML reads it."""
    return yaml.safe_load(text)


class Part:
    """A node where it is written (an alias too): text[start:end].

    kind: scalar, flow or block.  parts: its nodes, keys and values in turn.
    """

    def __init__(self, kind, start, end=None):
        self.kind, self.start, self.end, self.parts = kind, start, end, []

    def pairs(self):
        return list(zip(self.parts[::2], self.parts[1::2]))


@functools.lru_cache(8)
def root_of(text):
    """The document's node; None when there is none."""
    open_parts = [Part("stream", 0)]
    for e in yaml.parse(text, Loader=yaml.SafeLoader):
        start, end = e.start_mark.index, e.end_mark.index
        if isinstance(e, yaml.CollectionStartEvent):
            open_parts[-1].parts.append(Part("flow" if e.flow_style else "block", start))
            open_parts.append(open_parts[-1].parts[-1])
        elif isinstance(e, yaml.CollectionEndEvent):
            part = open_parts.pop()
            # A block's own end mark lies after the comments that follow it.
            part.end = end if part.kind == "flow" else part.parts[-1].end
        elif isinstance(e, yaml.NodeEvent):
            open_parts[-1].parts.append(Part("scalar", start, start + len(text[start:end].rstrip(" \r\n"))))
    return next((p for p in open_parts[0].parts if p.kind != "scalar" or p.start != p.end), None)


def pair(text, key):
    """(key node, value node) of a top-level key, or (None, None)."""
    root = root_of(text)
    found = [(k, v) for k, v in root.pairs() if yaml.safe_load(text[k.start : k.end]) == key]
    if len(found) > 1 or (not found and key in parsed(text)):
        raise Unsafe(f"{key} stands twice, or is merged in")
    return found[0] if found else (None, None)


def _line_start(text, index):
    return text.rfind("\n", 0, index) + 1


def line_end(text, index):
    """After the line's newline."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def newline(text):
    return "\r\n" if "\r\n" in text else "\n"


def indent(text, index):
    """The spaces before a line's first word, which is at index (a byte order mark may stand before)."""
    spaces = text[_line_start(text, index) : index].lstrip("\ufeff")
    if spaces.strip(" "):
        raise Unsafe("something stands before an entry on its line")
    return spaces
