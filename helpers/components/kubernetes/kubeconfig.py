"""One cluster's entries in a kubeconfig that is somebody's own: put in and taken out, all else stays byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import yaml

from helpers.components.kubernetes.kubeconfig_edits import CURRENT, LISTS, put, set_current, take, unharmed
from helpers.components.kubernetes.kubeconfig_lock import locked
from helpers.components.kubernetes.yaml_places import Unsafe, parsed, root_of
from helpers.core.errors import RunbookError
from helpers.core.files import write_whole

# A file that was not there, or that held nothing, is filled with this; taking ours out leads back to exactly this.
_NEW, _FILLED = "# Made by the runbook\n", "# Filled by the runbook\n"
_EMPTY = (Path(__file__).with_name("manifests") / "kubeconfig.yaml").read_text("utf-8")


def default_path():
    """The first file of $KUBECONFIG, or ~/.kube/config."""
    first = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return Path(os.path.abspath(first[0])) if first else Path.home() / ".kube" / "config"


def entry(path, name):
    """{"cluster": ..., "user": ..., "context": ...} of that context as parsed; None when there is no such context."""
    return _entry(_load(_read(path), path), name)


def through_proxy(config, port):
    """What `microk8s config` prints, for a kubectl (1.19 or newer) behind the SOCKS proxy at this local port.

    port None: as it is.
    """
    if not port:
        return config
    content = yaml.safe_load(config)
    for item in content["clusters"]:
        item["cluster"]["proxy-url"] = f"socks5://127.0.0.1:{port}"
    return yaml.safe_dump(content)


def why_differs(path, incoming, name, use=False):
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
    if use and content.get(CURRENT) != name:
        return "the current context in {} is {}, not {}".format(_short(path), content.get(CURRENT) or "not set", name)
    mode = os.stat(str(path)).st_mode & 0o777
    return None if mode == 0o600 else f"{_short(path)}: its mode is {mode:04o}, not 0600"


def merge(path, incoming, name, use=False):
    """Put the cluster, user and context of `incoming` into the file, all three called `name`. True when it changed.

    Entries of that name are replaced. The current context changes only when `use`, or in a file that has none.
    RunbookError, and nothing written, when the file is no kubeconfig or its form cannot be edited safely.
    """
    wanted = _renamed(incoming, name)
    with _alone(path):
        return _merge(path, wanted, name, use)


def _merge(path, wanted, name, use):
    text = _read(path)
    before = _load(text or "", path)
    with _refused(path):
        new = text or ""
        if root_of(new) is None:
            new += (_NEW if text is None else _FILLED) + _EMPTY
        for key, kind in LISTS:
            new = put(new, key, name, {"name": name, kind: wanted[kind]})
        if use or not before.get(CURRENT):
            new = set_current(new, name, use)
        unharmed(text or "", new, name)
        if _entry(parsed(new), name) != wanted:
            raise Unsafe("what was put in does not read back")
    if new == text and os.stat(str(path)).st_mode & 0o777 == 0o600:
        return False
    _write(path, new)
    return True


def remove(path, name):
    """Take the entries of that name out again. True when the file changed; a file that held only ours is deleted."""
    if _read(path) is None:
        return False
    with _alone(path):
        return _remove(path, name)


def _remove(path, name):
    text = _read(path)
    before = _load(text or "", path)
    with _refused(path):
        new = text or ""
        for key, _ in LISTS:
            new = take(new, key, name)
        if before.get(CURRENT) == name:
            new = set_current(new, None)
        unharmed(text or "", new, name)
    if new == (text or ""):
        return False
    if new == _NEW + _EMPTY:
        with _told("delete", path):
            os.unlink(os.path.realpath(str(path)))
        return True
    _write(path, new[: -len(_FILLED + _EMPTY)] if new.endswith(_FILLED + _EMPTY) else new)
    return True


def _short(path):
    home = str(Path.home())
    return "~" + str(path)[len(home) :] if str(path).startswith(home + os.sep) else str(path)


@contextlib.contextmanager
def _told(verb, path):
    try:
        yield
    except OSError as e:
        raise RunbookError(
            f"{verb} the kubeconfig {_short(path)}",
            saw=e.strerror or type(e).__name__,
            do="Mend that, or set KUBECONFIG to another file. Nothing was changed.",
        ) from None


@contextlib.contextmanager
def _alone(path):
    """With the lock of the file, whose folder is made when missing."""
    with _told("write", path):
        _make_folder(Path(path).parent)
    with contextlib.ExitStack() as held:
        with _told("lock", path):
            held.enter_context(locked(path))
        yield


def _make_folder(folder):
    for missing in [f for f in reversed([folder, *folder.parents]) if not f.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def _refused(path):
    """An edit that fails, or would change more than our entries, becomes a refusal."""
    try:
        yield
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        why = str(e) if isinstance(e, Unsafe) else "it is written in an unusual way"
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
        content = parsed(text or "")
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        # Never the parser's own message: it quotes the line, and that may hold a token.
        mark = getattr(e, "problem_mark", None)
        raise _no_kubeconfig(
            path, "it is not YAML" + (": line {}: {}".format(mark.line + 1, getattr(e, "problem", "")) if mark else "")
        ) from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise _no_kubeconfig(path, "it is no kubeconfig")
    for key, _ in LISTS:
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


def _write(path, text):
    """Whole or not at all, 0600, through a link; whoever owned the file still does."""
    target = Path(os.path.realpath(str(path)))
    with _told("write", path):
        _make_folder(target.parent)
        write_whole(target, text, owner=target.stat() if target.exists() else None)
