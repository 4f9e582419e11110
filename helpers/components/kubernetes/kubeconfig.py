"""One cluster's entries in a kubeconfig that is somebody's own: put in and taken out, all else stays byte for byte."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import tempfile
from pathlib import Path

import yaml

from helpers.core.errors import RunbookError

_LISTS = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))
_CURRENT = "current-context"
# A file that was not there, or that held nothing, is filled with this; taking ours out leads back to exactly this.
_NEW, _FILLED = "# Made by the runbook\n", "# Filled by the runbook\n"
_EMPTY = 'apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\ncurrent-context: ""\n'
# How we tell later what was there before. A key of ours has this at its line's end (block) or around its colon (flow,
# where a comment would spoil JSON); a list that stood for nothing has so many spaces after our bracket.
_MADE, _MADE_FLOW = "  # made by the runbook", " :  "
_NOTHING = ("", "null", "~", "Null", "NULL")


def default_path():
    """The first file of $KUBECONFIG, or ~/.kube/config."""
    first = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return Path(first[0]) if first else Path.home() / ".kube" / "config"


def entry(path, name):
    """{"cluster": ..., "user": ..., "context": ...} of that context as parsed; None when there is no such context."""
    return _entry(_load(_read(path), path), name)


def differs(path, incoming, name, use=False):
    """None when the file has this cluster (as `microk8s config` prints it) under this name; else what is different.

    use: it must be the current context too.
    """
    wanted, content = _renamed(incoming, name), _load(_read(path), path)
    found, here = _entry(content, name), f"context {name} in {_short(path)}"
    if found is None:
        return f"no context {name} in {_short(path)}"
    cluster = found["cluster"] if isinstance(found["cluster"], dict) else {}
    if cluster.get("server") != wanted["cluster"].get("server"):
        return "{} points to {}, not {}".format(
            here, cluster.get("server") or "nowhere", wanted["cluster"].get("server")
        )
    for kind, is_so in (("cluster", cluster), ("context", found["context"])):
        other = sorted(str(k) for k in set(is_so) | set(wanted[kind]) if is_so.get(k) != wanted[kind].get(k))
        if other:
            return f"{here} has another {other[0]}"
    if found["user"] != wanted["user"]:
        return here + " has other credentials"
    if use and content.get(_CURRENT) != name:
        return "the current context in {} is {}, not {}".format(_short(path), content.get(_CURRENT) or "not set", name)
    mode = os.stat(str(path)).st_mode & 0o777
    return None if mode == 0o600 else f"{_short(path)}: its mode is {mode:04o}, not 0600"


def merge(path, incoming, name, use=False):
    """Put the cluster, user and context of `incoming` into the file, all three called `name`. True when it changed.

    Entries of that name are replaced. The current context changes only when `use`, or in a file that has none.
    RunbookError, and nothing written, when the file is no kubeconfig or its form cannot be edited safely.
    """
    text, wanted = _read(path), _renamed(incoming, name)
    before = _load(text or "", path)
    with _refused(path):
        new = text or ""
        if _root(new) is None:
            new += (_NEW if text is None else _FILLED) + _EMPTY
        for key, kind in _LISTS:
            new = _put(new, key, name, {"name": name, kind: wanted[kind]})
        if use or not before.get(_CURRENT):
            new = _set_current(new, name, use)
        _unharmed(text or "", new, name)
        if _entry(_content(new), name) != wanted:
            raise _Unsafe("what was put in does not read back")
    if new == text and os.stat(str(path)).st_mode & 0o777 == 0o600:
        return False
    _write(path, new)
    return True


def remove(path, name):
    """Take the entries of that name out again. True when the file changed; a file that held only ours is deleted."""
    text = _read(path)
    before = _load(text or "", path)
    with _refused(path):
        new = text or ""
        for key, _ in _LISTS:
            new = _take(new, key, name)
        if before.get(_CURRENT) == name:
            new = _set_current(new, None)
        _unharmed(text or "", new, name)
    if new == (text or ""):
        return False
    if new == _NEW + _EMPTY:
        with _told("delete", path):
            os.unlink(os.path.realpath(str(path)))
        return True
    _write(path, new[: -len(_FILLED + _EMPTY)] if new.endswith(_FILLED + _EMPTY) else new)
    return True


# -- reading ----------------------------------------------------------------------------------------


def _short(path):
    home = str(Path.home())
    return "~" + str(path)[len(home) :] if str(path).startswith(home + os.sep) else str(path)


@functools.lru_cache(8)
def _content(text):
    return yaml.safe_load(text)


@contextlib.contextmanager
def _told(verb, path):
    try:
        yield
    except OSError as e:
        raise RunbookError(
            f"{verb} the kubeconfig {_short(path)}",
            saw=e.strerror or type(e).__name__,
            do="Mend that, or set KUBECONFIG to another file. Nothing was changed.",
        )


class _Unsafe(ValueError):
    """Why a text is not edited."""


@contextlib.contextmanager
def _refused(path):
    """An edit that fails, or would change more than our entries, becomes a refusal."""
    try:
        yield
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        why = str(e) if isinstance(e, _Unsafe) else "it is written in an unusual way"
        raise RunbookError(
            f"edit the kubeconfig {_short(path)}",
            saw="it cannot be edited without touching other entries: " + why,
            do="Set KUBECONFIG to a new file for this cluster. Nothing was changed.",
        ) from None


def _read(path):
    """The file's text, None when there is none; line ends as they are."""
    with _told("read", path):
        try:
            with open(str(path), encoding="utf-8", newline="") as f:
                return f.read()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise _no_kubeconfig(path, "it is not UTF-8 text") from None


def _no_kubeconfig(path, saw):
    return RunbookError(
        f"read the kubeconfig {_short(path)}",
        saw=saw,
        do="Mend it, or set KUBECONFIG to another file. Nothing was changed.",
    )


def _load(text, path):
    try:
        content = _content(text or "")
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        # Never the parser's own message: it quotes the line, and that may hold a token.
        mark = getattr(e, "problem_mark", None)
        raise _no_kubeconfig(
            path, "it is not YAML" + (": line {}: {}".format(mark.line + 1, getattr(e, "problem", "")) if mark else "")
        ) from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise _no_kubeconfig(path, "it is no kubeconfig")
    for key, _ in _LISTS:
        if not isinstance(content.get(key, []), (list, type(None))) or not all(
            isinstance(i, dict) for i in content.get(key) or []
        ):
            raise _no_kubeconfig(path, f"it is no kubeconfig: {key} is not a list of entries")
    return content


def _entry(content, name):
    def item(key, kind, wanted):
        return next((i.get(kind) for i in content.get(key) or [] if i.get("name") == wanted), None)

    context = item("contexts", "context", name)
    if not isinstance(context, dict):
        return None
    return {
        "cluster": item("clusters", "cluster", context.get("cluster")),
        "user": item("users", "user", context.get("user")),
        "context": context,
    }


def _renamed(incoming, name):
    try:
        content = yaml.safe_load(incoming)
        found = _entry(content, content["current-context"])
        return json.loads(
            json.dumps(
                {
                    "cluster": dict(found["cluster"]),
                    "user": dict(found["user"]),
                    "context": dict(found["context"], cluster=name, user=name),
                },
                default=str,
            )
        )
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError):
        raise RunbookError(
            "read what `microk8s config` prints",
            saw="there is no cluster, user and context in it",
            do="On the host: microk8s status --wait-ready; microk8s config",
        ) from None


# -- places in the text, as the parser names them ---------------------------------------------------


class _Part:
    """A node where it is written (an alias too): text[start:end]; kind scalar, flow, block; parts: its nodes, keys and values in turn."""

    def __init__(self, kind, start, end=None):
        self.kind, self.start, self.end, self.parts = kind, start, end, []

    def pairs(self):
        return list(zip(self.parts[::2], self.parts[1::2]))


@functools.lru_cache(8)
def _root(text):
    """The document's node; None when there is none."""
    open_parts = [_Part("stream", 0)]
    for e in yaml.parse(text, Loader=yaml.SafeLoader):
        start, end = e.start_mark.index, e.end_mark.index
        if isinstance(e, yaml.CollectionStartEvent):
            open_parts[-1].parts.append(_Part("flow" if e.flow_style else "block", start))
            open_parts.append(open_parts[-1].parts[-1])
        elif isinstance(e, yaml.CollectionEndEvent):
            part = open_parts.pop()
            # A block's own end mark lies after the comments that follow it.
            part.end = end if part.kind == "flow" else part.parts[-1].end
        elif isinstance(e, yaml.NodeEvent):
            open_parts[-1].parts.append(_Part("scalar", start, start + len(text[start:end].rstrip(" \r\n"))))
    return next((p for p in open_parts[0].parts if p.kind != "scalar" or p.start != p.end), None)


def _pair(text, key):
    """(key node, value node) of a top-level key, or (None, None)."""
    root = _root(text)
    found = [(k, v) for k, v in root.pairs() if yaml.safe_load(text[k.start : k.end]) == key]
    if len(found) > 1 or (not found and key in _content(text)):
        raise _Unsafe(f"{key} stands twice, or is merged in")
    return found[0] if found else (None, None)


def _line_start(text, index):
    return text.rfind("\n", 0, index) + 1


def _line_end(text, index):
    """After the line's newline."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _newline(text):
    return "\r\n" if "\r\n" in text else "\n"


def _indent(text, index):
    """The spaces before a line's first word, which is at index (a byte order mark may stand before)."""
    spaces = text[_line_start(text, index) : index].lstrip("\ufeff")
    if spaces.strip(" "):
        raise _Unsafe("something stands before an entry on its line")
    return spaces


# -- edits on the text ------------------------------------------------------------------------------


def _kept(text, name):
    """Everything in a kubeconfig that is not ours, as it is written and as it is read."""
    root, content = _root(text), _content(text) or {}
    kept = {key: [] for key, _ in _LISTS}
    for k, v in root.pairs() if root else []:
        key = yaml.safe_load(text[k.start : k.end])
        if key in kept:
            kept[key] = [
                (text[p.start : p.end], i) for p, i in zip(v.parts, content[key] or []) if i.get("name") != name
            ]
        elif key != _CURRENT:
            kept[key] = [(text[k.start : v.end], content[key])]
    return kept


def _unharmed(old, new, name):
    before, after = _kept(old, name), _kept(new, name)
    if _root(old) is None and new.startswith(old):  # apiVersion and kind are new too
        return
    if before != after:
        raise _Unsafe("they would change")


def _put(text, key, name, item):
    k, v = _pair(text, key)
    written = json.dumps(item, ensure_ascii=False)
    if k is None:
        return _add_key(text, key, "[" + written + "]")
    items = _content(text)[key] or []
    named = [n for n, i in enumerate(items) if i.get("name") == name]
    if len(named) > 1:
        return _put(_take_at(text, key, named[-1]), key, name, item)
    if named:
        old = v.parts[named[0]]
        return text if items[named[0]] == item else text[: old.start] + written + text[old.end :]
    if v.kind == "scalar":
        was = text[v.start : v.end]
        spaces = " " * (1 + _NOTHING.index(was))
        return text[: v.start] + ("" if was else " ") + "[" + spaces + written + "]" + text[v.end :]
    if text[v.start] not in "[-":
        raise _Unsafe(f"{key} has an anchor or a tag")
    if v.kind == "flow":
        return text[: v.start + 1] + written + (", " if v.parts else "") + text[v.start + 1 :]
    return text[: v.start] + "- " + written + _newline(text) + _indent(text, v.start) + text[v.start :]


def _add_key(text, key, value):
    """A new key comes first: what stands at the end of a file (no newline, a document's end, a long text) stays as it is."""
    root = _root(text)
    if root.kind == "flow":
        at = text.index("{", root.start) + 1
        return text[:at] + json.dumps(key) + _MADE_FLOW + value + (", " if root.parts else "") + text[at:]
    at = root.parts[0].start
    return text[:at] + key + ": " + value + _MADE + _newline(text) + _indent(text, at) + text[at:]


def _made(text, k, v):
    return text[k.end : v.start] == _MADE_FLOW or text[v.end : _line_end(text, v.end)].rstrip("\r\n") == _MADE


def _drop_key(text, k, v):
    if text[k.end : v.start] == _MADE_FLOW:
        return text[: k.start] + re.sub("^, ?", "", text[v.end :])
    return text[: k.start] + text[_line_end(text, v.end) + len(_indent(text, k.start)) :]


def _take(text, key, name):
    while _root(text) is not None:
        named = [n for n, i in enumerate(_content(text).get(key) or []) if i.get("name") == name]
        if not named:
            break
        text = _take_at(text, key, named[-1])
    return text


def _take_at(text, key, n):
    k, v = _pair(text, key)
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
            raise _Unsafe("a comment stands between two entries of " + key)
        return before.rstrip()[:-1] + after
    dash = max(
        t.start_mark.index
        for t in yaml.scan(text, Loader=yaml.SafeLoader)
        if isinstance(t, yaml.BlockEntryToken) and t.start_mark.index <= item.start
    )
    start, end = dash - len(_indent(text, dash)), _line_end(text, item.end)
    if alone:  # an empty list is written with brackets, and they must not start a line
        colon = text.index(":", k.end) + 1
        return text[:colon] + " []" + text[colon:start] + text[end:]
    return text[:start] + text[end:]


def _set_current(text, name, use=False):
    """Make `name` the current context, in the quotes that stand there; name None: none."""
    if _root(text) is None:
        return text
    k, v = _pair(text, _CURRENT)
    if k is None:
        return text if name is None else _add_key(text, _CURRENT, json.dumps(name, ensure_ascii=False))
    if name is None and _made(text, k, v):
        return _drop_key(text, k, v)
    old = text[v.start : v.end]
    if v.kind != "scalar" or old[:1] in ("&", "!", "|", ">"):
        raise _Unsafe(_CURRENT + " is no plain word")
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


# -- writing ----------------------------------------------------------------------------------------


def _write(path, text):
    """Whole or not at all, 0600, through a link; whoever owned the file still does."""
    target = Path(os.path.realpath(str(path)))
    with _told("write", path):
        for folder in [f for f in reversed(target.parents) if not f.exists()]:
            folder.mkdir(mode=0o700, exist_ok=True)
        fd, part = tempfile.mkstemp(prefix=target.name + ".", dir=str(target.parent))  # 0600 from the start
        try:
            with os.fdopen(fd, "w", encoding="utf-8", newline="") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
            if target.exists() and target.stat().st_uid != os.geteuid():
                os.chown(part, target.stat().st_uid, target.stat().st_gid)
            os.replace(part, str(target))
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise
