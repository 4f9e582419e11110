"""Edits of a kubeconfig's text: one cluster's entries put in and taken out, each edit as small as it can be."""

from __future__ import annotations

import json
import re

import yaml

from helpers.components.kubernetes.yaml_places import Unsafe, indent, line_end, newline, pair, parsed, root_of

#: the lists of a kubeconfig, and what an entry of each is called
LISTS = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))
CURRENT = "current-context"
# How we tell later what was there before. A key of ours has this at its line's end (block) or around its colon (flow,
# where a comment would spoil JSON); a list that stood for nothing has so many spaces after our bracket.
_MADE, _MADE_FLOW = "  # made by the runbook", " :  "
_NOTHING = ("", "null", "~", "Null", "NULL")


def _kept(text, name):
    """Everything in a kubeconfig that is not ours, as it is written and as it is read."""
    root, content = root_of(text), parsed(text) or {}
    kept = {key: [] for key, _ in LISTS}
    for k, v in root.pairs() if root else []:
        key = yaml.safe_load(text[k.start : k.end])
        if key in kept:
            kept[key] = [
                (text[p.start : p.end], i) for p, i in zip(v.parts, content[key] or []) if i.get("name") != name
            ]
        elif key != CURRENT:
            kept[key] = [(text[k.start : v.end], content[key])]
    return kept


def unharmed(old, new, name):
    """Unsafe when anything but the entries of that name differs between the two texts."""
    before, after = _kept(old, name), _kept(new, name)
    if root_of(old) is None and new.startswith(old):  # apiVersion and kind are new too
        return
    if before != after:
        raise Unsafe("they would change")


def put(text, key, name, item):
    """The text with this item under that name in the list `key`, the list made when there is none."""
    k, v = pair(text, key)
    written = json.dumps(item, ensure_ascii=False)
    if k is None:
        return _add_key(text, key, "[" + written + "]")
    items = parsed(text)[key] or []
    named = [n for n, i in enumerate(items) if i.get("name") == name]
    if len(named) > 1:
        return put(_take_at(text, key, named[-1]), key, name, item)
    if named:
        old = v.parts[named[0]]
        return text if items[named[0]] == item else text[: old.start] + written + text[old.end :]
    if v.kind == "scalar":
        was = text[v.start : v.end]
        spaces = " " * (1 + _NOTHING.index(was))
        return text[: v.start] + ("" if was else " ") + "[" + spaces + written + "]" + text[v.end :]
    if text[v.start] not in "[-":
        raise Unsafe(f"{key} has an anchor or a tag")
    if v.kind == "flow":
        return text[: v.start + 1] + written + (", " if v.parts else "") + text[v.start + 1 :]
    return text[: v.start] + "- " + written + newline(text) + indent(text, v.start) + text[v.start :]


def _add_key(text, key, value):
    """A new key comes first: what ends a file (no newline, a document's end, a long text) stays as it is."""
    root = root_of(text)
    if root.kind == "flow":
        at = text.index("{", root.start) + 1
        return text[:at] + json.dumps(key) + _MADE_FLOW + value + (", " if root.parts else "") + text[at:]
    at = root.parts[0].start
    return text[:at] + key + ": " + value + _MADE + newline(text) + indent(text, at) + text[at:]


def _made(text, k, v):
    return text[k.end : v.start] == _MADE_FLOW or text[v.end : line_end(text, v.end)].rstrip("\r\n") == _MADE


def _drop_key(text, k, v):
    if text[k.end : v.start] == _MADE_FLOW:
        return text[: k.start] + re.sub("^, ?", "", text[v.end :])
    return text[: k.start] + text[line_end(text, v.end) + len(indent(text, k.start)) :]


def take(text, key, name):
    """The text without the items of that name in the list `key`."""
    while root_of(text) is not None:
        named = [n for n, i in enumerate(parsed(text).get(key) or []) if i.get("name") == name]
        if not named:
            break
        text = _take_at(text, key, named[-1])
    return text


def _take_at(text, key, n):
    k, v = pair(text, key)
    item, alone = v.parts[n], len(v.parts) == 1
    if v.kind == "flow":
        before, after = text[: item.start], text[item.end :]
        if alone and _made(text, k, v):
            return _drop_key(text, k, v)
        if alone:
            spaces = text[v.start + 1 : item.start]
            if text[item.end : v.end] == "]" and spaces and spaces.strip(" ") == "" and len(spaces) <= len(_NOTHING):
                was = _NOTHING[len(spaces) - 1]
                return text[: v.start - (not was)] + was + text[v.end :]
            return before + re.sub(r"^\s*,", "", after)
        if n + 1 < len(v.parts):
            comma = re.match(r"\s*, ?", after)
            return before + after[comma.end() :]
        if not before.rstrip().endswith(","):
            raise Unsafe("a comment stands between two entries of " + key)
        return before.rstrip()[:-1] + after
    dash = max(
        t.start_mark.index
        for t in yaml.scan(text, Loader=yaml.SafeLoader)
        if isinstance(t, yaml.BlockEntryToken) and t.start_mark.index <= item.start
    )
    start, end = dash - len(indent(text, dash)), line_end(text, item.end)
    if alone:  # an empty list is written with brackets, and they must not start a line
        colon = text.index(":", k.end) + 1
        return text[:colon] + " []" + text[colon:start] + text[end:]
    return text[:start] + text[end:]


def set_current(text, name, use=False):
    """Make `name` the current context, in the quotes that stand there; name None: none."""
    if root_of(text) is None:
        return text
    k, v = pair(text, CURRENT)
    if k is None:
        return text if name is None else _add_key(text, CURRENT, json.dumps(name, ensure_ascii=False))
    if name is None and _made(text, k, v):
        return _drop_key(text, k, v)
    old = text[v.start : v.end]
    if v.kind != "scalar" or old[:1] in ("&", "!", "|", ">"):
        raise Unsafe(CURRENT + " is no plain word")
    quote = old[:1] if old[:1] in ("'", '"') else ""
    if name is None:
        cut = not quote and text[v.start - 1] == " "
        return text[: v.start - cut] + quote * 2 + text[v.end :]
    if not (use or quote or not old):  # a null in words could not be told from nothing later
        return text
    if quote == "'":
        new = "'" + name.replace("'", "''") + "'"
    elif quote or not re.match(r"[A-Za-z][\w.-]*\Z", name) or yaml.safe_load(name) != name:
        new = json.dumps(name, ensure_ascii=False)
    else:
        new = name
    return text[: v.start] + ("" if old else " ") + new + text[v.end :]
