"""One cluster's entries in a kubeconfig that is somebody's own: put in and taken out, all else stays byte for byte."""
from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

from .errors import RunbookError

_LISTS = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))
_MADE = "  # made by the runbook"


def default_path():
    """The first file of $KUBECONFIG, or ~/.kube/config."""
    first = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return Path(first[0]) if first else Path.home() / ".kube" / "config"


def entry(path, name):
    """{"cluster": ..., "user": ..., "context": ...} of that context as parsed; None when there is no such context."""
    return _entry(_load(_read(path), path), name)


def differs(path, incoming, name):
    """None when the file has this cluster (as `microk8s config` prints it) under this name; else what is different."""
    wanted, found = _renamed(incoming, name), entry(path, name)
    if found is None:
        return "no context {} in {}".format(name, path)
    if found["context"] != wanted["context"] or found["cluster"] != wanted["cluster"]:
        there, ours = (found["cluster"] or {}).get("server"), wanted["cluster"].get("server")
        return "context {} in {} points to {}, not {}".format(name, path, there or "nowhere", ours) if there != ours else \
            "context {} in {} has another certificate or namespace".format(name, path)
    if found["user"] != wanted["user"]:
        return "context {} in {} has other credentials".format(name, path)
    mode = os.stat(str(path)).st_mode & 0o777
    return None if mode == 0o600 else "{} may be read by others: its mode is {:o}".format(path, mode)


def merge(path, incoming, name, use=False):
    """Put the cluster, user and context of `incoming` into the file, all three called `name`. True when it changed.

    Entries of that name are replaced. The current context changes only when `use`, or in a file that has none.
    RunbookError, and nothing written, when the file is no kubeconfig or its form cannot be edited safely.
    """
    text, wanted = _read(path), _renamed(incoming, name)
    before = _load(text, path)
    new = text
    if not text.strip():
        new = "# Made by the runbook\napiVersion: v1\nkind: Config\n"
    for key, kind in _LISTS:
        new = _put(new, key, name, json.dumps({"name": name, kind: wanted[kind]}))
    if use or not before.get("current-context"):
        new = _set_current(new, name)
    return _write(path, text, new, before, name)


def remove(path, name):
    """Take the entries of that name out again. True when the file changed; a file that held only ours is deleted."""
    text = _read(path)
    before = _load(text, path)
    new = text
    for key, _ in _LISTS:
        new = _take(new, key, name)
    if before.get("current-context") == name:
        new = _set_current(new, None)
    if new != text and new.startswith("# Made by the runbook") and not any((_load(new, path).get(key) for key, _ in _LISTS)):
        os.unlink(os.path.realpath(str(path)))
        return True
    return _write(path, text, new, before, name)


def _read(path):
    try:
        with open(str(path), newline="") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def _load(text, path):
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as e:
        raise RunbookError("read the kubeconfig {}".format(path), saw=" ".join(str(e).split()), do="Mend it, or set KUBECONFIG to another file. Nothing was changed.")
    if not isinstance(content, dict) or any(not isinstance(content.get(k) or [], list) for k, _ in _LISTS):
        raise RunbookError("read the kubeconfig {}".format(path), saw="it is no kubeconfig", do="Set KUBECONFIG to another file. Nothing was changed.")
    return content


def _entry(content, name):
    def item(key, kind, wanted):
        for i in content.get(key) or []:
            if i.get("name") == wanted:
                return i.get(kind)
        return None
    context = item("contexts", "context", name)
    if context is None:
        return None
    return {"context": context, "cluster": item("clusters", "cluster", context.get("cluster")), "user": item("users", "user", context.get("user"))}


def _renamed(incoming, name):
    content = yaml.safe_load(incoming)
    found = _entry(content, content["current-context"])
    return {"cluster": found["cluster"], "user": found["user"], "context": dict(found["context"], cluster=name, user=name)}


# -- edits on the text, at the places that the parser names ------------------------------------------

def _node(text, key):
    """(root, value node of a top-level key or None)."""
    root = yaml.compose(text)
    for k, v in root.value if root is not None else []:
        if k.value == key:
            return root, v
    return root, None


def _named(seq, name):
    for item in seq.value if isinstance(seq, yaml.SequenceNode) else []:
        if any(k.value == "name" and v.value == name for k, v in item.value):
            return item
    return None


def _end(node):
    """Where a node's last character is; a block's own end mark lies after the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False):
        return node.end_mark.index
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _line_start(text, index):
    return text.rfind("\n", 0, index) + 1


def _newline(text):
    return "\r\n" if "\r\n" in text else "\n"


def _append(text, line):
    nl = _newline(text)
    return text + ("" if not text or text.endswith("\n") else nl) + line + nl


def _put(text, key, name, item):
    root, seq = _node(text, key)
    old = _named(seq, name)
    if old is not None:
        return text[:old.start_mark.index] + item + text[_end(old):]
    if seq is None:
        if root is not None and root.flow_style:
            at = root.end_mark.index - 1
            return text[:at] + (", " if root.value else "") + json.dumps(key) + ": [" + item + "]" + text[at:]
        return _append(text, "{}: [{}]{}".format(key, item, _MADE))
    if isinstance(seq, yaml.ScalarNode):    # "clusters:" with nothing, or null
        return text[:seq.start_mark.index] + (" " if text[seq.start_mark.index - 1] == ":" else "") + "[" + item + "]" + text[seq.end_mark.index:]
    if seq.flow_style:
        at = seq.start_mark.index + 1
        return text[:at] + item + (", " if seq.value else "") + text[at:]
    first = seq.value[0].start_mark.index
    start = _line_start(text, first)
    dash = text.rindex("-", start, first)
    return text[:start] + text[start:dash] + "- " + item + _newline(text) + text[start:]


def _take(text, key, name):
    _, seq = _node(text, key)
    item = _named(seq, name)
    if item is None:
        return text
    start, end = item.start_mark.index, _end(item)
    if seq.flow_style:
        line_end = text.find("\n", end)
        if len(seq.value) == 1 and text[end:line_end].strip() == "]" + _MADE:
            return text[:_line_start(text, start)] + text[line_end + 1:]
        rest = text[end:]
        if rest.startswith(", "):
            return text[:start] + rest[2:]
        return text[:start].rstrip().rstrip(",") + rest if len(seq.value) > 1 else text[:start] + rest
    if len(seq.value) == 1:     # the last one of a block: an empty list needs brackets
        return text[:text.rindex("-", 0, start)] + "[]" + text[end:]
    line_end = text.find("\n", end)
    return text[:_line_start(text, start)] + (text[line_end + 1:] if line_end >= 0 else "")


def _set_current(text, name):
    root, node = _node(text, "current-context")
    if node is not None:
        space = " " if text[node.start_mark.index - 1] == ":" else ""
        line_end = text.find("\n", node.end_mark.index)
        if name is None and text[node.end_mark.index:line_end] == _MADE:
            return text[:_line_start(text, node.start_mark.index)] + text[line_end + 1:]
        return text[:node.start_mark.index] + space + json.dumps(name or "") + text[node.end_mark.index:]
    if name is None:
        return text
    if root is not None and root.flow_style:
        at = root.end_mark.index - 1
        return text[:at] + ", \"current-context\": " + json.dumps(name) + text[at:]
    return _append(text, "current-context: {}{}".format(json.dumps(name), _MADE))


def _write(path, old, new, before, name):
    """Write whole or not at all, 0600, through a link; refused when anything but our entries would change."""
    target = Path(os.path.realpath(str(path)))
    if new == old and target.exists() and target.stat().st_mode & 0o777 == 0o600:
        return False
    after = _load(new, path)

    def others(content):
        rest = {k: v for k, v in content.items() if k not in ("current-context", "apiVersion", "kind") and k not in dict(_LISTS)}
        return [[i for i in content.get(k) or [] if i.get("name") != name] for k, _ in _LISTS] + [rest]
    if others(after) != others(before):
        raise RunbookError("edit the kubeconfig {}".format(path), saw="its form cannot be edited without touching other entries",
                           do="Set KUBECONFIG to a new file for this cluster. Nothing was changed.")
    target.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    part = target.with_name(target.name + ".runbook-part")
    fd = os.open(str(part), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", newline="") as f:
        f.write(new)
    os.replace(str(part), str(target))
    return True
